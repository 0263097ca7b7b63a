"""docs/limits.md: every bound of the server with its value, what it is of, and the test that reaches it.

`python -m tests.support.limitdocs > docs/limits.md` writes it (`make docs`); a test fails when it is stale. The bounds
and what is said of them are read from swhttp/limits.py, the tests from tests/limits_reached.txt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from swhttp import limits
from tests.support.server import TESTS

REACHED_PATH: Final = TESTS / "limits_reached.txt"
LINE: Final = re.compile(r"([A-Z][A-Z_0-9]*): Final = (?:.*?)(?:  # (.*))?")
UNITS: Final = {"BYTES": "bytes", "S": "s", "CHARS": "characters", "MIB": "MiB"}


class Bound(NamedTuple):
    """One line of limits.py. `heading`: the comment above its paragraph."""

    name: str
    value: object
    about: str
    heading: str


def bounds() -> Iterator[Bound]:
    """All of them, in their order."""
    heading = ""
    before = ""
    for line in (TESTS.parent / "swhttp" / "limits.py").read_text("utf-8").splitlines():
        if line.startswith("# "):
            heading = line[2:] if not before.strip() else f"{heading} {line[2:]}"
        elif match := LINE.fullmatch(line):
            yield Bound(match[1], getattr(limits, match[1]), match[2] or "", heading.split(".")[0].split(" (")[0])
        before = line


def reached() -> dict[str, str]:
    """Name to `module::test`, or to "- why nothing reaches it"."""
    lines = [line for line in REACHED_PATH.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    pairs = [line.partition(" ")[::2] for line in lines]
    assert len(dict(pairs)) == len(pairs), "a bound stands twice in tests/limits_reached.txt"
    return dict(pairs)


def shown(bound: Bound) -> str:
    """Its value with its unit, where the name has one."""
    unit = UNITS.get(bound.name.rpartition("_")[2], "")
    if bound.name.endswith("_BYTES_S"):
        unit = "bytes/s"
    value = bound.value
    text = f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)
    return f"{text} {unit}".strip()


def markdown() -> str:
    """The text of docs/limits.md."""
    tests = reached()
    lines = [
        "# Limits", "", "<!-- Made by `make docs`: change swhttp/limits.py, tests/limits_reached.txt instead. -->", "",
        "Nothing in the server is without a bound. What happens at some of these is told in",
        "[When something is full](when-something-is-full.md); many are the defaults of [options](options.md).",
    ]  # fmt: skip
    heading = None
    for bound in bounds():
        if bound.heading != heading:
            heading = bound.heading
            lines += ["", f"## {heading}", "", "| bound | value | of what | reached by |", "|---|---|---|---|"]
        test = tests.get(bound.name, "")
        by = f"`{test}`" if "::" in test else f"nothing: {test.removeprefix('- ')}"
        cells = (f"`{bound.name}`", shown(bound), bound.about, by)
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
