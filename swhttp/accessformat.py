"""The format of the access log: from what the operator wrote to a flat list of parts that a reactor can run.

It owns the names of atoms, in Apache's spelling (mod_log_config: `%h`, `%>s`, `%{Referer}i`) and in gunicorn's
(`%(h)s`), the named formats, and the bounds that make every line fit: literal texts and numbers take what they take,
and values share what is left, so that a line can be cut inside a value only, never inside its frame. It never sees a
request: `swhttp.reactor.accesslog` runs the parts.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Final

from swhttp import limits


class Kind(enum.IntEnum):
    """What a part writes. The same numbers are in `reactor/logline.h`."""

    TEXT = 0
    # Values: bytes of the client's or the app's, escaped.
    CLIENT = 1  # the client's address
    LOCAL = 2  # the address that it connected to
    REQUEST = 3  # the request line
    METHOD = 4
    PATH = 5
    QUERY = 6  # with its question mark
    BARE_QUERY = 7
    PROTOCOL = 8
    REQUEST_FIELD = 9
    RESPONSE_FIELD = 10
    HOST = 11  # of the Host field, without a port
    # Times: of the start, and of the line.
    TIME = 16  # by strftime, local
    TIME_UTC = 17
    SECONDS = 18  # since the epoch
    MILLISECONDS = 19
    MICROSECONDS = 20
    MILLI_PART = 21  # of the second
    MICRO_PART = 22
    # Numbers.
    STATUS = 32
    BYTES = 33  # of the body
    BYTES_OR_DASH = 34
    WIRE_BYTES = 35  # head and framing too
    DURATION_US = 36
    DURATION_MS = 37
    DURATION_S = 38
    DURATION_DECIMAL = 39  # seconds with six decimals
    PID = 40  # of the worker
    KEPT_ALIVE = 41  # requests of this connection before this one
    CONNECTION = 42  # X cut, + goes on, - closed
    LOCAL_PORT = 43
    REMOTE_PORT = 44


VALUES: Final = frozenset(range(Kind.CLIENT, Kind.HOST + 1))
TIMES: Final = frozenset((Kind.TIME, Kind.TIME_UTC))
NUMBER_BYTES: Final = 32  # the longest number that a part writes, with room
CLF_TIME: Final = "[%d/%b/%Y:%H:%M:%S %z]"


@dataclass(frozen=True)
class Part:
    """One step of a line. `text`: of TEXT the bytes, of fields the name in lower case, of times the strftime format;
    `ends`: the time when the line is made, not that when the request was whole."""

    kind: Kind
    text: bytes = b""
    ends: bool = False


@dataclass(frozen=True)
class Format:
    """A parsed format. `json`: values are JSON strings with their quotes, or null; `field_bytes`: the most that one
    value may take of a line."""

    parts: tuple[Part, ...]
    json: bool
    field_bytes: int


COMBINED: Final = '%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"'
NAMED: Final = {
    "common": '%h %l %u %t "%r" %>s %b',
    "combined": COMBINED,
    "json": '{"time":"%{utc}t","client":%h,"request":%r,"method":%m,"path":%U,"status":%s,"bytes":%B,'
            '"duration_us":%D,"host":%{Host}i,"referer":%{Referer}i,"user_agent":%{User-Agent}i,"pid":%P}',
}
"""The formats that have a name. The values of json bring their quotes."""

DASH: Final = Part(Kind.TEXT, b"-")
PLAIN: Final = {
    "a": Kind.CLIENT, "h": Kind.CLIENT, "A": Kind.LOCAL, "b": Kind.BYTES_OR_DASH, "B": Kind.BYTES,
    "D": Kind.DURATION_US, "H": Kind.PROTOCOL, "k": Kind.KEPT_ALIVE, "m": Kind.METHOD, "O": Kind.WIRE_BYTES,
    "p": Kind.LOCAL_PORT, "P": Kind.PID, "q": Kind.QUERY, "r": Kind.REQUEST, "s": Kind.STATUS, "T": Kind.DURATION_S,
    "U": Kind.PATH, "v": Kind.HOST, "V": Kind.HOST, "X": Kind.CONNECTION,
}
"""Apache's atoms of one letter, but `l` and `u`, which nobody can know here, `t`, and those with braces."""
GUNICORN: Final = {
    "h": Kind.CLIENT, "r": Kind.REQUEST, "m": Kind.METHOD, "U": Kind.PATH, "q": Kind.BARE_QUERY, "H": Kind.PROTOCOL,
    "s": Kind.STATUS, "B": Kind.BYTES, "b": Kind.BYTES_OR_DASH, "T": Kind.DURATION_S, "D": Kind.DURATION_US,
    "M": Kind.DURATION_MS, "L": Kind.DURATION_DECIMAL,
}
GUNICORN_FIELDS: Final = {"f": b"referer", "a": b"user-agent"}
DURATIONS: Final = {"us": Kind.DURATION_US, "ms": Kind.DURATION_MS, "s": Kind.DURATION_S}
PORTS: Final = {"canonical": Kind.LOCAL_PORT, "local": Kind.LOCAL_PORT, "remote": Kind.REMOTE_PORT}
CLOCKS: Final = {
    "sec": Kind.SECONDS, "msec": Kind.MILLISECONDS, "usec": Kind.MICROSECONDS, "msec_frac": Kind.MILLI_PART,
    "usec_frac": Kind.MICRO_PART,
}
ATOM: Final = re.compile(
    r"%(?:\((?P<gunicorn>\{[^}]*\}.|[^)]*)\)s|[<>]?(?:\{(?P<name>[^}]*)\})?(?P<letter>.))", re.DOTALL)
FIELD_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
BACKSLASHED: Final = {'\\"': '"', "\\\\": "\\", "\\t": "\t"}


def parse(text: str) -> Format:
    """Parse a format, or the name of one. Raises ValueError, which names what cannot be understood."""
    json = text == "json"
    text = NAMED.get(text, text)
    if not text or len(_bytes(text)) > limits.ACCESS_FORMAT_BYTES:
        raise ValueError(f"{', '.join(NAMED)} or a format of 1 to {limits.ACCESS_FORMAT_BYTES} bytes is needed")
    parts: list[Part] = []
    at = 0
    for match in re.finditer("%", text):
        if match.start() < at:
            continue
        _literal(parts, text[at : match.start()])
        atom = ATOM.match(text, match.start())
        if atom is None:
            raise ValueError("a lone % at the end; a percent sign is %%")
        for part in _json_time() if json and atom[0] == "%{utc}t" else _atom(atom):
            _add(parts, part)
        at = atom.end()
    _literal(parts, text[at:])
    _add(parts, Part(Kind.TEXT, b"\n"))
    return Format(tuple(parts), json, _bounds(parts))


def _bytes(text: str) -> bytes:
    """As the operator gave them: an argument that is no UTF-8 came to us with surrogates."""
    return text.encode(errors="surrogateescape")


def _add(parts: list[Part], part: Part) -> None:
    """Append, as a whole with the text before it if both are texts."""
    if parts and part.kind is Kind.TEXT and parts[-1].kind is Kind.TEXT:
        parts[-1] = Part(Kind.TEXT, parts[-1].text + part.text)
    else:
        parts.append(part)


def _literal(parts: list[Part], text: str) -> None:
    """Text between atoms; as in Apache's configuration a quote, a backslash and a tab may have a backslash before."""
    text = re.sub(r'\\["\\t]', lambda match: BACKSLASHED[match[0]], text)
    for character in text:
        if (character < " " and character != "\t") or character == "\x7f":
            raise ValueError(f"{character!r}: a line has no control characters but tabs")
    if text:
        _add(parts, Part(Kind.TEXT, _bytes(text)))


def _json_time() -> tuple[Part, ...]:
    """RFC 3339 with milliseconds, in UTC."""
    return (Part(Kind.TIME_UTC, b"%Y-%m-%dT%H:%M:%S"), Part(Kind.TEXT, b"."), Part(Kind.MILLI_PART),
            Part(Kind.TEXT, b"Z"))


def _atom(atom: re.Match[str]) -> tuple[Part, ...]:
    if atom["gunicorn"] is not None:
        return _gunicorn(atom[0], atom["gunicorn"])
    letter, name = atom["letter"], atom["name"]
    if atom[0] == "%%":
        return (Part(Kind.TEXT, b"%"),)
    if name is None:
        if letter in "lu":
            return (DASH,)
        if letter == "t":
            return (Part(Kind.TIME, CLF_TIME.encode()),)
        if letter in PLAIN:
            return (Part(PLAIN[letter]),)
    elif letter in "io" and FIELD_NAME.fullmatch(name):
        return (_field(letter, name),)
    elif letter == "t":
        return (_time(name),)
    elif letter == "T" and name in DURATIONS:
        return (Part(DURATIONS[name]),)
    elif letter == "p" and name in PORTS:
        return (Part(PORTS[name]),)
    raise ValueError(f"{atom[0]!r} is no atom that this server knows")


def _gunicorn(whole: str, name: str) -> tuple[Part, ...]:
    if name in ("l", "u"):
        return (DASH,)
    if name == "t":
        return (Part(Kind.TIME, CLF_TIME.encode()),)
    if name == "p":
        return Part(Kind.TEXT, b"<"), Part(Kind.PID), Part(Kind.TEXT, b">")
    if name in GUNICORN:
        return (Part(GUNICORN[name]),)
    if name in GUNICORN_FIELDS:
        return (Part(Kind.REQUEST_FIELD, GUNICORN_FIELDS[name]),)
    if name[-2:] in ("}i", "}o") and FIELD_NAME.fullmatch(name[1:-2]):
        return (_field(name[-1], name[1:-2]),)
    raise ValueError(f"{whole!r} is no atom that this server knows")


def _field(letter: str, name: str) -> Part:
    kind = Kind.REQUEST_FIELD if letter == "i" else Kind.RESPONSE_FIELD
    return Part(kind, name.lower().encode())


def _time(form: str) -> Part:
    """`%{form}t`: strftime's, or one of Apache's own words; of the start unless `end:` stands before."""
    ends = form.startswith("end:")
    form = form.removeprefix("end:") if ends else form.removeprefix("begin:")
    if form in CLOCKS:
        return Part(CLOCKS[form], ends=ends)
    return Part(Kind.TIME, _bytes(form or CLF_TIME), ends)


def _bounds(parts: list[Part]) -> int:
    """Check the bounds of a format; returns what one value may take, so that every line fits."""
    if len(parts) > limits.ACCESS_FORMAT_PARTS:
        raise ValueError(f"{len(parts)} atoms and texts between them; {limits.ACCESS_FORMAT_PARTS} are the most")
    for kinds in ({Kind.REQUEST_FIELD, Kind.HOST}, {Kind.RESPONSE_FIELD}):
        if len({part for part in parts if part.kind in kinds}) > limits.ACCESS_FORMAT_NAMES:
            raise ValueError(f"more than {limits.ACCESS_FORMAT_NAMES} different fields")
    if sum(part.kind in TIMES for part in parts) > limits.ACCESS_FORMAT_NAMES:  # each keeps its last text
        raise ValueError(f"more than {limits.ACCESS_FORMAT_NAMES} times")
    frame = values = 0
    for part in parts:
        if part.kind is Kind.TEXT:
            frame += len(part.text)
        elif part.kind in TIMES:
            frame += limits.ACCESS_TIME_BYTES
        elif part.kind in VALUES:
            values += 1
        else:
            frame += NUMBER_BYTES
    field_bytes = min(limits.ACCESS_FIELD_BYTES, (limits.ACCESS_LINE_BYTES - frame) // max(values, 1))
    if field_bytes < limits.ACCESS_FIELD_LEAST_BYTES:
        raise ValueError(f"a line of at most {limits.ACCESS_LINE_BYTES} bytes has no room for so many values")
    return field_bytes
