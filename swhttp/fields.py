"""The field lines that every response gets from the configuration: `--header`, and who the server says it is.

It owns what such a field may be. What it makes is put on the wire as it is, so nothing gets through here that could
end a line or change the framing of a message (RFC 9110 §5.5, RFC 9112 §6).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from swhttp import limits

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
OURS: Final = frozenset({
    "connection", "content-length", "date", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding",
    "upgrade"})
"""Names that are the server's alone: what they say differs from response to response."""
SERVER: Final = "swhttp"
_DATE_LINE_BYTES: Final = 37


def parse(text: str) -> tuple[str, str]:
    """Name and value of a field written "Name: value". Raises ValueError: what is wrong with it."""
    name, colon, value = text.partition(":")
    if not colon:
        raise ValueError(f'{text!r} is not of the form "Name: value"')
    value = value.strip(" \t")
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} cannot be the name of a field")
    if not _VALUE.fullmatch(value):
        raise ValueError(f"the value of {name} holds a character that a field cannot have")
    if name.lower() in OURS:
        raise ValueError(f"{name} is the server's to set, for each response")
    return name, value


def check(texts: Iterable[str]) -> None:
    """Raises ValueError when one of them cannot be a field, or all of them together are too much."""
    names = [parse(text)[0].lower() for text in texts]
    if names.count("server") > 1:
        raise ValueError("there can be one Server only")
    server, others = lines(texts, True)
    if _DATE_LINE_BYTES + len(b"server: \r\n") + len(server) + len(others) > limits.MAX_DEFAULT_FIELDS_BYTES:
        raise ValueError(f"with Date and Server they take more than {limits.MAX_DEFAULT_FIELDS_BYTES} bytes")


def lines(texts: Iterable[str], name_server: bool) -> tuple[bytes, bytes]:
    """The value of Server, empty for none, and the lines of all other fields.

    `texts`: fields that `check` has let pass; one that is a Server takes the place of ours. `name_server`: whether
    there is one of ours.
    """
    server = SERVER if name_server else ""
    others = []
    for name, value in map(parse, texts):
        if name.lower() == "server":
            server = value
        else:
            others.append(f"{name}: {value}\r\n")
    return server.encode("latin-1"), "".join(others).encode("latin-1")
