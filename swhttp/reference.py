"""docs/options.md: every option with all its names, written from the tables that the server itself reads.

`make docs` writes it; a test fails when the file and the tables differ. Pure, but for `main`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from swhttp import foreign, limits, swoole
from swhttp.cli import default_text, off_flag
from swhttp.config import MAY_BE_ZERO, MOST, MOST_S, OPTIONS
from swhttp.launch import shown
from swhttp.options import Option
from swhttp.sources import KINDS, RANKS

_UNITS = ((1 << 50, "PiB"), (1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def markdown() -> str:
    """The text of docs/options.md."""
    return "\n".join([*_intro(), *_options(), *_swoole(), *_foreign()]) + "\n"


def _intro() -> Iterator[str]:
    yield "# Options"
    yield ""
    yield "<!-- Made by `make docs`: change swhttp/config.py instead. -->"
    yield ""
    yield "    swhttp [OPTIONS] APP"
    yield ""
    yield ("`APP` is `module:attribute`, where the attribute may have dots; of a module alone it is the attribute "
           "`application`, or else `app`. It has a variable, `SWHTTP_APP`, and a key, `app`, as well.")
    yield ""
    yield "`swhttp --check-config` shows what is in force and where each value comes from."
    yield ""
    yield "## Where values come from"
    yield ""
    yield "The first of these that has a value for an option decides:"
    yield ""
    for number, rank in enumerate(RANKS, 1):
        yield f"{number}. {rank}"
    yield ""
    yield "- **On the command line** a switch has a form that turns it off: `--no-factory`."
    yield ("- **On the command line and in a call** an option that does nothing without another one (`--static-index` "
           "without `--static`) is an error, unless that one is given somewhere. In a variable or a file it may wait "
           "for it, but for those of TLS.")
    yield (f"- **In a variable** several values are separated by commas{_other_separators()}; "
           "switches are `1`, `true`, `yes`, `on` or `0`, `false`, `no`, `off`. An empty variable says nothing.")
    yield ("- **A file** is TOML. Options stand at its top level or in `[swhttp]`, in a `pyproject.toml` in "
           "`[tool.swhttp]`; keys may have underscores for dashes (`keep_alive`). Several values are an array; "
           "`process` may be a table as well. "
           "Relative paths count from the current directory, after `--chdir`. An unknown key is an error.")
    yield ("- **A file of `--env-file`** has lines `NAME=value`, as python-dotenv reads them. What is set already "
           "stays; the app sees the rest too.")
    yield ("- **`swhttp.run(app, **options)`** takes the keys with underscores, and values as TOML has them: "
           "`swhttp.run(app, bind=[\"127.0.0.1:8000\"], keep_alive=10)`. `hooks` may be the module itself, and "
           "`process` a dictionary of names and functions.")
    yield ("- **`--bind`, `--host` with `--port`, `--uds` and `--fd`** are ways to say the same thing. One source may "
           "use one of them, and the first source that uses any decides.")
    yield ""
    yield "Variables that other servers read too:"
    yield ""
    yield from _table(("variable", "option"), (
        (f"`{option.common_variable}`", f"`{option.main}`") for option in OPTIONS.values() if option.common_variable))


def _other_separators() -> str:
    """Of which variables that is not so, because their values have commas."""
    text = ""
    for separator, how in (("\n", "stand one a line"), (";", "have semicolons between them")):
        names = [f"`{option.variable}`" for option in OPTIONS.values()
                 if option.repeatable and option.separator == separator]
        text += f", those of {' and '.join(names)} {how}"
    return text


def _options() -> Iterator[str]:
    groups: dict[str, list[str]] = {}
    for name, option in OPTIONS.items():
        groups.setdefault(option.group, []).append(name)
    for title, names in groups.items():
        yield ""
        yield f"## {title}"
        yield ""
        yield from _table(("option", "variable", "key", "default", "meaning"), (
            (_flags(name, OPTIONS[name]), f"`{OPTIONS[name].variable}`",
             "" if OPTIONS[name].not_in_file else f"`{OPTIONS[name].key}`", _default(name), _meaning(name))
            for name in names))


def _flags(name: str, option: Option) -> str:
    flags = ", ".join(f"`{flag}`" for flag in option.flags)
    value = "" if KINDS[name] == "bool" else f" {option.metavar or ''}".rstrip()
    if KINDS[name] == "bool":
        flags += f", `{off_flag(option)}`"
    also = f"<br>also {', '.join(f'`{alias}`' for alias in option.aliases)}" if option.aliases else ""
    return flags + value + also


def _default(name: str) -> str:
    text = default_text(name)
    if OPTIONS[name].metavar == "BYTES":
        text = _bytes(int(text))
    return text if OPTIONS[name].default_text and not text[:1].isdigit() else f"`{text}`"


def _bytes(count: int) -> str:
    """A count of bytes, in a unit if it is a whole number of these."""
    for size, unit in _UNITS:
        if count >= size and count % size == 0:
            return f"{count} ({count // size} {unit})"
    return str(count)


def _meaning(name: str) -> str:
    option = OPTIONS[name]
    parts = [option.help]
    if option.choices:
        parts.append(f"One of {', '.join(f'`{choice}`' for choice in option.choices)}.")
    if name in MOST:
        least = 0 if name in MAY_BE_ZERO else 1
        most = _bytes(MOST[name]) if option.metavar == "BYTES" else str(MOST[name])
        parts.append(f"From {least} to {most}.")
    if option.metavar == "SECONDS":
        bounds = "From 0 to" if name in MAY_BE_ZERO else "More than 0, at most"
        parts.append(f"{bounds} {MOST_S.get(name, limits.MAX_WAIT_S):.0f}.")
    return " ".join(parts)


def _swoole() -> Iterator[str]:
    yield ""
    yield "## Names of Swoole"
    yield ""
    yield ("A file may use these names of Swoole's settings. Where a name is an option of ours too, a number is "
           "Swoole's.")
    yield ""
    yield from _table(("Swoole", "here"), (
        (f"`{name}`", _swoole_meaning(setting)) for name, setting in swoole.SETTINGS.items()))
    yield ""
    yield "Other names are errors that say what to do instead:"
    yield ""
    yield from _table(("Swoole", "what the error says"), _by_advice(swoole.ADVICE))


def _swoole_meaning(setting: swoole.Setting) -> str:
    option = OPTIONS[setting.option]
    if not setting.values:
        return f"`{option.key}`"
    meanings = [f"{number} `{shown(value)}`" for number, value in setting.values.items()]
    return f"`{option.key}`: {', '.join(meanings)}. {'; '.join(setting.no_value.values())}"


def _foreign() -> Iterator[str]:
    yield ""
    yield "## Options of gunicorn and uvicorn that are none here"
    yield ""
    yield "Those that mean the same under another name are in the tables above, after \"also\". The rest are errors:"
    yield ""
    yield from _table(("option", "what the error says"), _by_advice(foreign.ADVICE))


def _by_advice(table: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """One row for all names with the same advice."""
    names: dict[str, list[str]] = {}
    for name, advice in table.items():
        names.setdefault(advice, []).append(f"`{name}`")
    for advice, together in names.items():
        yield ", ".join(together), advice


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def main() -> None:
    """Write it to stdout."""
    print(markdown(), end="")


if __name__ == "__main__":
    main()
