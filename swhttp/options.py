"""An option: the names that one setting has everywhere, and how what is written there becomes its value.

Pure: nothing here reads a file or a variable. `swhttp.config` declares the options, `swhttp.sources` asks for values.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

PREFIX: Final = "SWHTTP_"
"""How the environment variables of all options begin."""
_TRUE: Final = ("1", "true", "yes", "on")
_FALSE: Final = ("0", "false", "no", "off")
_LARGEST: Final = 1 << 63  # past any bound of ours; the decimals of a much larger one cannot even be shown
_WANTED: Final = {
    "int": "a whole number", "int | None": "a whole number", "float": "a number", "bool": "true or false",
    "str": "a text", "tuple[str, ...]": "a text, or a list of texts,"}


@dataclass(frozen=True)
class Named:
    """One value of a repeatable option that has a name, as `NAME=value` in a text."""

    name: str
    value: Any

    def __str__(self) -> str:
        return f"{self.name}={self.value}"


@dataclass(frozen=True)
class Option:
    """How a field of Config is given.

    `flags`: those that the help shows, the main one first; it names the variable and the key too. `group`: heading in
    the help. `metavar`: what its value is called there. `choices`: the values it may have, if these are all.
    `repeatable`: may be given more than once. `separator`: what stands between several in a variable.
    `default_text`: what people are told of a default that is not the field's own. `aliases`: flags of gunicorn and
    uvicorn that mean the same. `common_variable`: one that other servers read too; it counts after everything else.
    `not_in_file`: it says where files are, or what to do with the rest. `table`: in a file it may be a table as well.
    `secret`: its value is not shown. `needs`: fields of Config; it does nothing unless one of
    them is given too. `code`: it names code; in a call it may be that code itself. Where it is
    repeatable, a table has a name for each. `method`: and it may be any object that has this.
    """

    flags: tuple[str, ...]
    group: str
    help: str
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    repeatable: bool = False
    separator: str = ","
    default_text: str | None = None
    aliases: tuple[str, ...] = ()
    common_variable: str = ""
    not_in_file: bool = False
    table: bool = False
    code: bool = False
    method: str = ""
    secret: bool = False
    needs: tuple[str, ...] = ()

    @property
    def main(self) -> str:
        """The flag that messages use, as in `--keep-alive`."""
        return self.flags[0]

    @property
    def key(self) -> str:
        """In a TOML file, as in `keep-alive`."""
        return self.main.removeprefix("--")

    @property
    def keyword(self) -> str:
        """In a call, as in `keep_alive`."""
        return self.key.replace("-", "_")

    @property
    def variable(self) -> str:
        """In the environment, as in `SWHTTP_KEEP_ALIVE`."""
        return PREFIX + self.keyword.upper()


def from_text(kind: str, option: Option, text: str) -> Any:
    """The value that a text from the command line or a variable stands for.

    `kind`: the field's type, as Config spells it. Raises ValueError: what is wrong, for a person.
    """
    match kind:
        case "int" | "int | None" | "float":
            try:
                number = float(text) if kind == "float" else int(text)
            except ValueError:
                raise ValueError(f"{_WANTED[kind]} is needed, not {text!r}") from None
            if isinstance(number, int) and abs(number) > _LARGEST:
                raise ValueError(f"{_WANTED[kind]} is needed, not one as large as that")
            return number
        case "bool":
            if text.lower() in (*_TRUE, *_FALSE):
                return text.lower() in _TRUE
            raise ValueError(f"true or false is needed, not {text!r}")
        case "tuple[str, ...]":
            return tuple(part for line in text.split(option.separator) if (part := line.strip()))
        case _:
            return _choice(option, text)


def from_object(kind: str, option: Option, value: object) -> Any:
    """The value that a TOML value or a Python object stands for; as `from_text`."""
    match kind, value:
        case "bool", bool():
            return value
        case "int" | "int | None" | "float", int() if abs(value) > _LARGEST:
            raise ValueError(f"{_WANTED[kind]} is needed, not one as large as that")
        case "int" | "int | None", int() if not isinstance(value, bool):
            return value
        case "float", int() | float() if not isinstance(value, bool):
            return float(value)
        case "str", str():
            return _choice(option, value)
        case "str", dict() if option.table:
            return value
        case "str", ModuleType() if option.code:
            return value
        case "str", _ if option.method and callable(getattr(value, option.method, None)):
            return value
        case "tuple[str, ...]", dict() if option.code:
            return tuple(Named(name, one) for name, one in value.items())
        case "tuple[str, ...]", str():
            return (value,)
        case "tuple[str, ...]", list() | tuple() if all(isinstance(one, str) for one in value):
            return tuple(value)
    raise ValueError(f"{_WANTED[kind]} is needed, not {described(value)}")


def _choice(option: Option, text: str) -> str:
    """Choices are small words: INFO means info."""
    return text.lower() if text.lower() in option.choices else text


def described(value: object) -> str:
    """What was given instead of what is needed."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {value!r}"
    if isinstance(value, dict):
        return "a table"
    try:
        return f"{value!r}"
    except ValueError:  # of a number that has, or in an array of one that has, thousands of digits
        return "a number as large as that"


def closest(wrong: str, known: Iterable[str], least: float = 0.6) -> str | None:
    """The one of `known` that is most like `wrong`. `least`: how alike it has to be, from 0 to 1."""
    return next(iter(difflib.get_close_matches(wrong.lower(), list(known), n=1, cutoff=least)), None)


def meant(wrong: str, known: Iterable[str]) -> str:
    """ "; did you mean 'x'?" when one of `known` is like `wrong`, else empty."""
    found = closest(wrong, known)
    return f"; did you mean {found!r}?" if found else ""
