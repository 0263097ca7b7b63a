"""Bodies of any size, in and out: what comes is byte n % 251, what was read is told as JSON."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from wsgiref.validate import validator

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
PATTERN = bytes(range(251)) * 20000
CLOSED: list[str] = []


async def answer(send: Send, body: bytes) -> None:
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": body})


async def size(scope: Message, receive: Receive, send: Send) -> None:
    """One send() with as many bytes as the query says."""
    await answer(send, PATTERN[: int(scope["query_string"])])


async def reads(scope: Message, receive: Receive, send: Send) -> None:
    """Read the whole body, then tell what came."""
    events, digest = [], hashlib.sha256()
    while True:
        event = await receive()
        events.append([event["type"], len(event.get("body", b"")), event.get("more_body")])
        digest.update(event.get("body", b""))
        if not event.get("more_body"):
            break
    await answer(send, json.dumps([events, digest.hexdigest()]).encode())


async def first(scope: Message, receive: Receive, send: Send) -> None:
    """Read the first piece only."""
    event = await receive()
    await answer(send, json.dumps([len(event["body"]), event["more_body"]]).encode())


async def unread(scope: Message, receive: Receive, send: Send) -> None:
    """Answer without a look at the body; then receive()."""
    await answer(send, b"unread")
    CLOSED.append((await receive())["type"])


async def raises(scope: Message, receive: Receive, send: Send) -> None:
    raise RuntimeError("on purpose")


async def early(scope: Message, receive: Receive, send: Send) -> None:
    """The head is given before the body is read."""
    await send({"type": "http.response.start", "status": 200})
    await receive()
    await send({"type": "http.response.body", "body": b"early"})


async def closed(scope: Message, receive: Receive, send: Send) -> None:
    await answer(send, json.dumps(CLOSED).encode())


ASGI = {function.__name__: function for function in (size, reads, first, unread, raises, early, closed)}


async def asgi(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise RuntimeError("http only")
    await ASGI[scope["path"].strip("/")](scope, receive, send)


class Secret(io.BufferedReader):
    """A file whose content is not what is read of it."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(size).upper()


class Wrapping:
    """As Django's File: it has what the file in it has."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def close(self) -> None:
        CLOSED.append("wrapping")
        self.file.close()


def opened(path: str, how: str) -> Any:
    if how == "raw":
        return open(path, "rb", buffering=0)
    if how == "half":
        file = open(path, "rb")  # noqa: SIM115
        assert len(file.read(1000)) == 1000
        return file
    if how == "wrapping":
        return Wrapping(open(path, "rb"))
    if how == "secret":
        return Secret(io.FileIO(path))
    if how == "bytes":
        with open(path, "rb") as file:
            return io.BytesIO(file.read())
    return open(path, "rb")


def wraps(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """?HOW&LENGTH&PATH: the file, opened in that way, in a file_wrapper."""
    how, length, path = environ["QUERY_STRING"].split("&")
    write = start("200 OK", [("Content-Length", length)] if length else [])
    if how == "written":
        write(b"first ")
    result = environ["wsgi.file_wrapper"](opened(path, how), 4096)
    return (piece for piece in result) if how == "iterated" else result  # type: ignore[no-any-return]


def sized(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """?SIZE: as many bytes, in one piece."""
    start("200 OK", [])
    return [PATTERN[: int(environ["QUERY_STRING"])]]


def pieces(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """?SIZE&STEP: as many bytes, in pieces."""
    size, step = (int(part) for part in environ["QUERY_STRING"].split("&"))
    start("200 OK", [])
    return (PATTERN[at : min(at + step, size)] for at in range(0, size, step))


def inputs(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """Use all that `wsgi.input` has."""
    file = environ["wsgi.input"]
    lines = [len(file.readline()), len(next(iter(file))), len(b"".join(file.readlines(600))), len(file.read(10))]
    digest = hashlib.sha256()
    buffer = bytearray(5)
    seen = [len(file.read1(7)), file.readinto(buffer)]
    for data in iter(lambda: file.read(65536), b""):
        digest.update(data)
    start("200 OK", [])
    told = [lines, seen, digest.hexdigest(), environ["CONTENT_LENGTH"], environ["wsgi.input_terminated"]]
    return [json.dumps(told).encode()]


def told(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    start("200 OK", [])
    return [json.dumps(CLOSED).encode()]


def strict(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """What a validator lets through: input, write() and a result of several pieces."""
    body = environ["wsgi.input"].read(100_000)
    environ["wsgi.errors"].flush()
    try:
        raise KeyError("on purpose")
    except KeyError:
        start("200 OK", [("Content-Type", "text/plain")])
        write = start("201 Created", [("Content-Type", "text/plain")], sys.exc_info())
    write(b"wrote ")
    return iter([b"%d" % len(body), b" bytes"])


WSGI = {function.__name__: function for function in (wraps, sized, pieces, inputs, told)}
WSGI["strict"] = validator(strict)  # type: ignore[assignment]


def wsgi(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    return WSGI[environ["PATH_INFO"].strip("/")](environ, start)
