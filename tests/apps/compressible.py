"""Responses that may be compressed, once as WSGI and once as ASGI; in which way is the query's business.

    /body?size=N&pieces=P   N bytes of text in P pieces; `measured` announces them, `promised=M` announces M
    /gated?gate=PATH        three pieces; before the second and the third the request waits at that gate
    /head?gate=PATH         the same, but that the first is empty
    /file?file=F            that file: `wsgi.file_wrapper`, `http.response.pathsend`
    /piece-and-file?file=F  16 bytes, then that file
    /wrapped?size=N         WSGI: a file in memory in a `wsgi.file_wrapper`; ASGI: as /body
    /trailers?size=N        ASGI: the body in two pieces, then `x-sum: N`; WSGI: as /body
    /raises?size=N          as many bytes, then an exception
    /again?size=N           WSGI: start_response a second time, with exc_info; ASGI: as /body
    /written?size=N         WSGI: by write(); ASGI: as /body

`status=S` and `type=T` are those of the head; `h=NAME:VALUE`, more than once, its other fields.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from tests.apps import reference
from tests.apps.reference import wait_at_gate, wait_at_gate_async

Message = MutableMapping[str, Any]
WORDS = b"".join(b"%d bottles of beer on the wall; " % number for number in range(40_000))
FIRST = b"sixteen bytes...", b"and some more", b"and the end"


def text(size: int) -> bytes:
    """What /body answers."""
    return WORDS[:size]


class Query:
    def __init__(self, query: str) -> None:
        values = parse_qs(query, keep_blank_values=True)
        one = {key: value[0] for key, value in values.items()}
        self.status = int(one.get("status", "200"))
        self.gate = one.get("gate", "")
        self.file = one.get("file", "")
        self.size = int(one.get("size", "0"))
        self.count = int(one.get("pieces", "1"))
        self.fields = [("content-type", one["type"])] if one.get("type") else []
        self.fields += [(name, value) for name, _, value in (field.partition(":") for field in values.get("h", []))]
        if "promised" in one or "measured" in one:
            self.fields.append(("content-length", one.get("promised", str(self.size))))

    def pieces(self) -> list[bytes]:
        whole = text(self.size)
        step = max(1, -(-self.size // self.count))
        return [whole[start : start + step] for start in range(0, self.size, step)] or [b""]


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The app as WSGI."""
    path, query = environ["PATH_INFO"], Query(environ.get("QUERY_STRING", ""))
    status = f"{query.status} Whatever"
    if path == "/again":
        start_response("200 OK", [("content-type", "text/plain"), ("content-length", "5000")])
        try:
            raise KeyError("on purpose")
        except KeyError:
            start_response(status, query.fields, sys.exc_info())
        return query.pieces()
    write = start_response(status, query.fields)
    if path in ("/gated", "/head"):
        if path == "/head":
            write(b"")
        return _wait_between(query, path == "/gated")
    if path in ("/file", "/piece-and-file", "/wrapped"):
        if path == "/piece-and-file":
            write(FIRST[0])
        file = io.BytesIO(text(query.size)) if path == "/wrapped" else open(query.file, "rb")  # noqa: SIM115
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file)
        return wrapped
    if path == "/raises":
        return _raise_after(query)
    if path == "/written":
        for piece in query.pieces():
            write(piece)
        return []
    pieces = query.pieces()
    return pieces if len(pieces) == 1 else iter(pieces)


def _wait_between(query: Query, at_once: bool) -> Iterator[bytes]:
    for number, piece in enumerate(FIRST):
        if number or not at_once:
            wait_at_gate(query.gate)
        yield piece


def _raise_after(query: Query) -> Iterator[bytes]:
    yield from query.pieces()
    raise RuntimeError("on purpose")


async def asgi(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """The app as ASGI 3."""
    if scope["type"] != "http":
        await reference.asgi(scope, receive, send)
        return

    async def body(piece: bytes, more: bool = True) -> None:
        await send({"type": "http.response.body", "body": piece, "more_body": more})

    path, query = scope["path"], Query(scope["query_string"].decode("latin-1"))
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in query.fields]
    await send({"type": "http.response.start", "status": query.status, "headers": headers,
                "trailers": path == "/trailers"})
    if path in ("/gated", "/head"):
        if path == "/head":
            await body(b"")
        for number, piece in enumerate(FIRST):
            if number or path == "/head":
                await wait_at_gate_async(query.gate)
            await body(piece)
        await body(b"", more=False)
        return
    if path in ("/file", "/piece-and-file"):
        if path == "/piece-and-file":
            await body(FIRST[0])
        await send({"type": "http.response.pathsend", "path": query.file})
        return
    pieces = query.pieces()
    for number, piece in enumerate(pieces):
        await body(piece, more=number + 1 < len(pieces) or path == "/raises")
    if path == "/raises":
        raise RuntimeError("on purpose")
    if path == "/trailers":
        await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"%d" % query.size)]})
