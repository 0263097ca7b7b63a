"""Large bodies in both directions, once as WSGI and once as ASGI, with gates on the way.

    /big?seed=S&size=N&pieces=P   N bytes that only S tells of, in P pieces; framing=length announces them
    /file?path=F                  that file: `wsgi.file_wrapper`, `http.response.pathsend`
    /upload                       JSON: pid, and length and SHA-256 of the request's body
    /pid                          JSON: pid

`gate=<path>`: after the first piece, or the first part of the request's body, the request waits at that gate; after
so many bytes of its body with `at=<bytes>`, which may be given more than once.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from tests.apps import reference
from tests.apps.reference import note_seen, wait_at_gate, wait_at_gate_async

Message = MutableMapping[str, Any]
READ_BYTES = 65536


def content(seed: int, size: int) -> bytes:
    """What /big answers."""
    return random.Random(seed).randbytes(size)


def report_of(body: bytes) -> dict[str, Any]:
    """What /upload says of a body, less the pid."""
    return {"length": len(body), "sha256": hashlib.sha256(body).hexdigest()}


class Query:
    """The query's fields."""

    def __init__(self, text: str) -> None:
        values = {key: value[0] for key, value in parse_qs(text).items()}
        self.gate = values.get("gate", "")
        self._stops = [int(value) for value in parse_qs(text).get("at", ["1"])] if self.gate else []
        self.path = values.get("path", "")
        self.size = int(values.get("size", 0))
        self.seed = int(values.get("seed", 0))
        self.count = int(values.get("pieces", 1))
        self.measured = values.get("framing", "length") == "length"

    def stops_at(self, length: int) -> bool:
        """Is this the place for a wait at the gate? `length`: body bytes so far."""
        if not self._stops or length < self._stops[0]:
            return False
        del self._stops[0]
        return True

    def pieces(self) -> list[bytes]:
        whole = content(self.seed, self.size)
        step = -(-self.size // self.count)
        return [whole[start : start + step] for start in range(0, self.size, step)]

    def headers(self) -> list[tuple[str, str]]:
        return [("content-length", str(self.size))] if self.measured else []


class Digest:
    """Of a body in parts."""

    def __init__(self) -> None:
        self.length, self._hash = 0, hashlib.sha256()

    def add(self, part: bytes) -> None:
        self.length += len(part)
        self._hash.update(part)

    def report(self) -> bytes:
        found = {"pid": os.getpid(), "length": self.length, "sha256": self._hash.hexdigest()}
        return json.dumps(found).encode()


# WSGI


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The app as WSGI."""
    path, query = environ["PATH_INFO"], Query(environ.get("QUERY_STRING", ""))
    note_seen(environ["REQUEST_METHOD"], path)
    if path == "/big":
        start_response("200 OK", query.headers())
        return query.pieces() if query.count == 1 and not query.gate else _wsgi_pieces(query)
    if path == "/file":
        file = open(query.path, "rb")  # noqa: SIM115 - the wrapper closes it
        start_response("200 OK", [("content-length", str(os.fstat(file.fileno()).st_size))])
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file)
        return wrapped
    digest = Digest()
    if path == "/upload":
        while part := environ["wsgi.input"].read(READ_BYTES):
            digest.add(part)
            if query.stops_at(digest.length):
                wait_at_gate(query.gate)
    answer = digest.report()
    start_response("200 OK", [("content-length", str(len(answer)))])
    return [answer]


def _wsgi_pieces(query: Query) -> Iterator[bytes]:
    for number, piece in enumerate(query.pieces()):
        if number == 1 and query.gate:
            wait_at_gate(query.gate)
        yield piece


# ASGI


async def asgi(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """The app as ASGI 3."""
    if scope["type"] != "http":
        await reference.asgi(scope, receive, send)
        return
    path, query = scope["path"], Query(scope["query_string"].decode("latin-1"))
    note_seen(scope["method"], path)
    start: Message = {"type": "http.response.start", "status": 200, "headers": []}
    if path == "/big":
        start["headers"] = [(name.encode(), value.encode()) for name, value in query.headers()]
        await send(start)
        await _asgi_pieces(query, send)
        return
    if path == "/file":
        start["headers"] = [(b"content-length", b"%d" % os.stat(query.path).st_size)]
        await send(start)
        await send({"type": "http.response.pathsend", "path": query.path})
        return
    digest = Digest()
    if path == "/upload":
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            digest.add(message.get("body", b""))
            more = message.get("more_body", False)
            if query.stops_at(digest.length):
                await wait_at_gate_async(query.gate)
    answer = digest.report()
    start["headers"] = [(b"content-length", b"%d" % len(answer))]
    await send(start)
    await send({"type": "http.response.body", "body": answer})


async def _asgi_pieces(query: Query, send: Callable[[Message], Awaitable[None]]) -> None:
    pieces = query.pieces()
    for number, piece in enumerate(pieces):
        if number == 1 and query.gate:
            await wait_at_gate_async(query.gate)
        await send({"type": "http.response.body", "body": piece, "more_body": number + 1 < len(pieces)})
