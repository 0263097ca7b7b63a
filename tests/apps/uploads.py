"""Takes bodies in every manner, as WSGI and as ASGI, and checks that they are `tests.support.bodies`.

    /upload?gate=&at=     reads it all; as ASGI, waits at the gate once `at` bytes have come (0: before it asks for any)
    /early?at=            answers once `at` bytes have come (0: asks for none), and reads no more
    /stream?at=&size=&ask=
                          as ASGI, answers with `size` bytes once `at` have come, then reads on; ask: asks for the next
                          before it answers
    /slow?pause=          as ASGI, takes its time before each receive()
    /held?gate=           as WSGI, waits at the gate before it reads
    /input                as WSGI, reads by every method that wsgi.input has
    anything else         answers at once

It answers with JSON: how much it read, in how many pieces, the longest of them. An http.disconnect, and each call of
the WSGI form, is noted in SEEN_PATH.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from tests.apps.reference import lifespan, note_seen, wait_at_gate, wait_at_gate_async
from tests.support.bodies import Check, body, pieces

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
READ_BYTES = 65536


def _answer(**report: object) -> tuple[bytes, list[tuple[str, str]]]:
    answer = json.dumps({"pid": os.getpid(), **report}).encode()
    return answer, [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))]


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The WSGI form."""
    path, query = environ["PATH_INFO"], parse_qs(environ["QUERY_STRING"])
    note_seen("CALLED", path)
    check, sizes, body_input = Check(), [], environ["wsgi.input"]
    if path == "/held":
        wait_at_gate(query["gate"][0])
    if path in ("/upload", "/held"):
        while piece := body_input.read(READ_BYTES):
            check.feed(piece)
            sizes.append(len(piece))
    elif path == "/input":
        _read_by_every_method(body_input, check, int(environ["CONTENT_LENGTH"]))
    answer, headers = _answer(total=check.taken, pieces=len(sizes), longest=max(sizes, default=0),
                              length=environ.get("CONTENT_LENGTH"))
    start_response("200 OK", headers)
    return [answer]


def _read_by_every_method(body_input: Any, check: Check, length: int) -> None:
    assert body(length).count(b"\n") > 100, "a body without lines shows nothing"
    first = body_input.read(10)
    line = body_input.readline()
    short = body_input.readline(5)
    some = body_input.readlines(100_000)
    iterated = next(iter(body_input))
    rest = body_input.read()
    assert len(short) <= 5
    assert len(some) > 1
    assert all(found.endswith(b"\n") for found in (line, iterated, *some))
    assert body_input.read() == body_input.readline() == body_input.read(5) == b""
    assert body_input.readlines() == list(body_input) == []
    check.feed(b"".join([first, line, short, *some, iterated, rest]))


async def asgi(scope: Message, receive: Receive, send: Send) -> None:
    """The ASGI form."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    path, query = scope["path"], parse_qs(scope["query_string"].decode("latin-1"))
    check, sizes, at = Check(), [], int(query.get("at", ["0"])[0])
    if path == "/stream":
        await _answer_early(receive, send, check, at, int(query["size"][0]), "ask" in query)
        return
    more, waited = path in ("/upload", "/early", "/slow"), "gate" not in query
    while more:
        if check.taken >= at:
            if path == "/early":
                break
            if not waited:
                waited = True
                await wait_at_gate_async(query["gate"][0])
        if path == "/slow":
            await asyncio.sleep(float(query["pause"][0]))
        message = await receive()
        if message["type"] == "http.disconnect":
            note_seen("DISCONNECT", f"{path}?{check.taken}")
            return
        check.feed(message.get("body", b""))
        sizes.append(len(message.get("body", b"")))
        more = message.get("more_body", False)
    answer, headers = _answer(total=check.taken, pieces=len(sizes), longest=max(sizes, default=0))
    fields = [(name.lower().encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": answer})


async def _answer_early(receive: Receive, send: Send, check: Check, at: int, size: int, ask: bool) -> None:
    while check.taken < at:
        check.feed((await receive())["body"])
    asked = asyncio.ensure_future(receive()) if ask else None
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for piece in pieces(size, READ_BYTES):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    while (message := await (asked or receive())).get("more_body", False):
        check.feed(message["body"])
        asked = None
    await send({"type": "http.response.body", "body": b""})
