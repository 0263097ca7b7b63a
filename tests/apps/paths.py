"""Answers by every response path, as WSGI and as ASGI; what is sent is `tests.support.bodies`.

Routes, the same in both forms unless it says otherwise. size: bytes; framing: length or none.

    /memory?size=&piece=&first=&framing=   from memory; in pieces of `piece` bytes (default: one), before them one of
                                           `first` bytes
    /write?size=&piece=                    the same by write() (WSGI)
    /file?path=&announce=&framing=         a file; announce: the Content-Length, if not the file's own size
    /open?path=&from=                      a file that has been read up to `from` (WSGI)
    /trailers?size=&framing=               with the trailers X-Checksum and X-Last in two messages (ASGI)
    /hints                                 two early hints before the answer (ASGI)
    /hints-at-once?size=&piece=            all at once: hints of `piece` bytes, `size` in all, and the beginning of the
                                           answer; its end once all of them have been sent (ASGI)
    /hold?gate=                            waits at that gate, then answers (ASGI)
    anything else                          JSON: the worker's pid
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from tests.apps.reference import gate_path, lifespan, wait_at_gate_async
from tests.support.bodies import body, pieces

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
HINTS = [[b"</style.css>; rel=preload; as=style"], [b"</a.js>; rel=preload", b"</b.js>; rel=preload"]]


@dataclass
class Plan:
    """What a query asks for."""

    size: int = 0
    piece: int = 0
    first: int = 0
    framing: str = "length"
    path: str = ""
    announce: int = -1
    start: int = 0

    @classmethod
    def of(cls, query: str) -> Plan:
        values = {key: value[0] for key, value in parse_qs(query).items()}
        plan = cls(
            size=int(values.get("size", 0)),
            piece=int(values.get("piece", 0)),
            first=int(values.get("first", 0)),
            framing=values.get("framing", "length"),
            path=values.get("path", ""),
            start=int(values.get("from", 0)),
        )
        plan.announce = int(values.get("announce", os.path.getsize(plan.path) if plan.path else plan.size))
        return plan

    def headers(self) -> list[tuple[str, str]]:
        fields = [("Content-Type", "application/octet-stream")]
        if self.framing == "length":
            fields.append(("Content-Length", str(self.announce)))
        return fields

    def parts(self) -> Iterator[bytes]:
        """The body in the pieces asked for."""
        if self.first:
            yield body(self.first)
        for at in range(self.first, self.size, self.piece or max(1, self.size - self.first)):
            yield body(min(self.piece or self.size, self.size - at), at)


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The WSGI form."""
    path, plan = environ["PATH_INFO"], Plan.of(environ["QUERY_STRING"])
    if path == "/memory":
        start_response("200 OK", plan.headers())
        return plan.parts() if plan.piece or plan.first else [body(plan.size)]
    if path == "/write":
        write = start_response("200 OK", plan.headers())
        for part in pieces(plan.size, plan.piece):
            write(part)
        return []
    if path in ("/file", "/open"):
        file = open(plan.path, "rb")  # noqa: SIM115  the server closes it
        file.seek(plan.start)
        plan.announce -= plan.start
        start_response("200 OK", plan.headers())
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file)
        return wrapped
    answer = json.dumps({"pid": os.getpid()}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
    return [answer]


async def asgi(scope: Message, receive: Receive, send: Send) -> None:
    """The ASGI form."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    path, plan = scope["path"], Plan.of(scope["query_string"].decode("latin-1"))
    if path == "/hints":
        for links in HINTS:
            await send({"type": "http.response.early_hint", "links": links})
    elif path == "/hold":
        await wait_at_gate_async(gate_path(scope["query_string"].decode("latin-1")))
    if path == "/memory":
        await _start(send, plan)
        sent = 0
        for part in plan.parts():
            sent += len(part)
            await send({"type": "http.response.body", "body": part, "more_body": sent < plan.size})
        if not sent:
            await send({"type": "http.response.body"})
    elif path == "/file":
        await _start(send, plan)
        await send({"type": "http.response.pathsend", "path": plan.path})
    elif path == "/hints-at-once":
        link = b"</a>; rel=" + b"x" * plan.piece
        hints = [send({"type": "http.response.early_hint", "links": [link]}) for _ in range(plan.size // plan.piece)]
        # Which of the hints come before the head is the server's affair.
        await asyncio.gather(*hints, _begin(send), return_exceptions=True)
        await send({"type": "http.response.body", "body": b"end"})
    elif path == "/trailers":
        await _start(send, plan, trailers=True)
        await send({"type": "http.response.body", "body": body(plan.size)})
        for headers, more in (([(b"x-checksum", b"abc")], True), ([(b"X-Last", b"yes")], False)):
            await send({"type": "http.response.trailers", "headers": headers, "more_trailers": more})
    else:
        answer = json.dumps({"pid": os.getpid(), "extensions": sorted(scope["extensions"])}).encode()
        fields = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": answer})


async def _begin(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"beginning, ", "more_body": True})


async def _start(send: Send, plan: Plan, trailers: bool = False) -> None:
    fields = [(name.lower().encode(), value.encode()) for name, value in plan.headers()]
    await send({"type": "http.response.start", "status": 200, "headers": fields, "trailers": trailers})
