"""WebSockets for clients that press hard. Plain requests are answered with the worker's pid.

    /echo          what was sent comes back
    /lengths       the length of each message comes back, as a text
    /stuck?GATE    says "in" when it has accepted; then its worker stands at the gate, with all of its event loop; then
                   as /lengths
    /hashes        the SHA-256 of each message comes back, as a text; "no memory" when there was none for one
    /deaf?GATE     the same, but that only this one waits, in a thread
    /rest?GATE     the same, and what it reads then it only counts
    /pour?COUNT    so many messages of 64 KiB, then "poured"
    /push?POLICY   pushes 64 messages of 64 KiB to itself, with this policy, then "pushed"; then as /echo. With `&GATE`
                   it waits there before, and they are 192
    /torn          one message of 16 MiB; while that goes out it pushes "pushed" to itself, and closes itself with 4000
    /groups?COUNT  is in so many groups, "0" and on; broadcasts to each its name; then as /echo
    /close?CODE    closes with this code
    /late?GATE     its worker stands at the gate, with all of its event loop, before it is accepted, and once more when
                   it has been, and "accepted" has been broadcast to group 0

How a WebSocket ended is noted as "PATH CODE", a send() that failed as "PATH cut", in `SEEN_PATH`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import swhttp
from site_parts import note, wait_at

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
PIECE = bytes(65536)
PUSHES, MANY_PUSHES = 64, 192
TORN_BYTES = 1 << 24


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """The application."""
    if scope["type"] == "http":
        body = json.dumps({"pid": os.getpid()}).encode()
        length = str(len(body)).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        await send({"type": "http.response.body", "body": body})
        return
    if scope["type"] != "websocket":
        raise RuntimeError("no lifespan")
    path, query = scope["path"], scope["query_string"].decode()
    assert (await receive())["type"] == "websocket.connect"
    if path == "/late":
        wait_at(query)
    await send({"type": "websocket.accept"})
    if path == "/close":
        await send({"type": "websocket.close", "code": int(query)})
        return
    try:
        await begin(path, query, scope, receive, send)
        await answer(path, receive, send)
    except OSError:
        note(f"{path} cut")


async def begin(path: str, query: str, scope: Message, receive: Receive, send: Send) -> None:
    """What comes before its messages are read."""
    if path in ("/stuck", "/deaf", "/rest"):
        await send({"type": "websocket.send", "text": "in"})
        if path == "/stuck":
            wait_at(query)
        else:
            await asyncio.to_thread(wait_at, query)
    elif path == "/late":
        swhttp.broadcast("0", "accepted")
        wait_at(query)
    elif path == "/pour":
        for _ in range(int(query)):
            await send({"type": "websocket.send", "bytes": PIECE})
        await send({"type": "websocket.send", "text": "poured"})
    elif path == "/torn":
        sending = asyncio.ensure_future(send({"type": "websocket.send", "bytes": bytes(TORN_BYTES)}))
        await asyncio.wait([sending], timeout=0.2)
        assert not sending.done()
        swhttp.push(scope["swhttp.session"], "pushed", overflow="block")
        swhttp.close_session(scope["swhttp.session"], 4000, "enough")
        note("torn")
        await sending
    elif path == "/groups":
        for nth in range(int(query)):
            swhttp.join(scope["swhttp.session"], str(nth))
        for nth in range(int(query)):
            await swhttp.abroadcast(str(nth), str(nth))
    elif path == "/push":
        policy, _, gate = query.partition("&")
        if gate:
            await asyncio.to_thread(wait_at, gate)
        for _ in range(MANY_PUSHES if gate else PUSHES):
            await swhttp.apush(scope["swhttp.session"], PIECE, overflow=policy)
        note("pushed")
        await swhttp.apush(scope["swhttp.session"], "pushed", overflow="block")


async def read(path: str, receive: Receive, send: Send) -> Message:
    """What comes next."""
    while path == "/hashes":
        try:
            return await receive()
        except MemoryError:
            await send({"type": "websocket.send", "text": "no memory"})
    return await receive()


async def answer(path: str, receive: Receive, send: Send) -> None:
    """Until the client closes."""
    heard = 0
    while (message := await read(path, receive, send))["type"] == "websocket.receive":
        heard += 1
        if path == "/rest":
            continue
        text, data = message.get("text"), message.get("bytes")
        if path == "/hashes":
            whole = text.encode() if data is None else data
            await send({"type": "websocket.send", "text": hashlib.sha256(whole).hexdigest()})
        elif path in ("/stuck", "/deaf", "/lengths"):
            await send({"type": "websocket.send", "text": str(len(data if text is None else text))})
        elif text is not None:
            await send({"type": "websocket.send", "text": text})
        else:
            await send({"type": "websocket.send", "bytes": data})
    note(f"{path} {message['code']}" + (f" {heard}" if path == "/rest" else ""))
