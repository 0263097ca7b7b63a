"""WSGI probes: each path does one thing that PEP 3333 lets an app do. Closed iterables are counted."""

from __future__ import annotations

import io
import json
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Start = Callable[..., Any]
CLOSED: list[str] = []
TEXT = [("Content-Type", "text/plain")]


class Result:
    """An iterable that counts its close()."""

    def __init__(self, name: str, parts: Iterable[bytes]) -> None:
        self._name = name
        self._parts = parts

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._parts)

    def close(self) -> None:
        CLOSED.append(self._name)


def breaks() -> Iterator[bytes]:
    yield b"first"
    raise RuntimeError("on purpose")


def closed(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    start("200 OK", TEXT)
    return [json.dumps(CLOSED).encode()]


def counted(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    start("200 OK", TEXT)
    return Result("counted", [b"a", b"", b"b"])


def broken(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    start("200 OK", TEXT)
    return Result("broken", breaks())


def endless(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    start("200 OK", TEXT)
    return Result("endless", iter(lambda: bytes(8192), None))


def late(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    start("201 Made late", TEXT)
    yield b"late"


def writes(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    write = start("200 OK", [("Content-Length", "9")])
    write(b"one")
    write(b"two")
    return [b"end"]


def again(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    start("200 OK", [*TEXT, ("X-First", "1")])
    try:
        raise KeyError("on purpose")
    except KeyError:
        start("503 Second Thoughts", TEXT, sys.exc_info())
    return [b"second"]


def too_late(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    start("200 OK", TEXT)(b"out")
    try:
        raise KeyError("on purpose")
    except KeyError:
        start("500 No", TEXT, sys.exc_info())
    return []


def twice(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    start("200 OK", TEXT)
    start("200 OK", TEXT)
    return []


def never(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    return [b"no head"]


def text(environ: dict[str, Any], start: Start) -> Iterable[Any]:
    start("200 OK", TEXT)
    return ["text"]


class Str(str):
    """As frameworks mark strings that are safe in HTML."""


class Bytes(bytes):
    """Bytes with a class of their own."""


def subclasses(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    write = start(Str("200 Fine"), [(Str("X-Kind"), Str("of a str"))])
    write(Bytes(b"one"))
    return Result("subclasses", [Bytes(b"two")]) if environ["QUERY_STRING"] else [Bytes(b"two")]


def leaves(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    sys.exit(3)


def bad(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    status, headers = eval(environ["wsgi.input"].read().decode(), {})
    start(status, headers)
    return [b"body"]


def reads(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    file = environ["wsgi.input"]
    seen = [file.readline(), file.read(3), file.readlines(), file.read(), file.read(5), list(file), file.readline()]
    reader = io.BufferedReader(file)
    seen += [file.tell(), file.seekable(), file.readable(), reader.read(), file.closed]
    reader.detach()
    start("200 OK", TEXT)
    return [repr(seen).encode()]


def shows(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    start("200 OK", TEXT)
    shown = {key: value if isinstance(value, (str, bool, tuple)) else type(value).__name__
             for key, value in environ.items()}
    environ["HTTP_LEFT_BEHIND"] = "1"
    return [json.dumps(shown).encode()]


def hold(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(environ["QUERY_STRING"])
        connection.sendall(b"%d\n" % 1)
        connection.recv(1)
    start("200 OK", TEXT)
    return [b"held"]


def wrapped(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    start("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](io.BytesIO(b"file" * 10000), 4096)


PROBES = {
    function.__name__: function
    for function in (closed, counted, broken, endless, late, writes, again, too_late, twice, never, text, leaves,
                     bad, reads, hold, wrapped, subclasses)
}


def app(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    """Run the probe that the path names."""
    return PROBES.get(environ["PATH_INFO"].strip("/"), shows)(environ, start)
