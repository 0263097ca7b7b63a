"""What one WebSocket sends goes to all: 64 bytes of text, the next when all have got it."""

from __future__ import annotations

import importlib
from dataclasses import replace
from functools import cache
from typing import Any

from loadtest.scenario import WEBSOCKET_SERVERS, Messages
from loadtest.scenarios import raw_asgi, ws_echo_32
from loadtest.scenarios.asgi_64k import Message, Receive, Send

SCENARIO = replace(
    ws_echo_32.SCENARIO,
    name="ws-broadcast",
    about="WebSocket, 64 bytes of text from one to all, the next when all have got it",
    app="loadtest.scenarios.ws_broadcast:app",
    servers=WEBSOCKET_SERVERS,
    connections=(1_000, 10_000),
    messages=Messages("broadcast", 64),
    handler="",
)

GROUP = "all"
SESSION = "swhttp.session"

members: set[Send] = set()


@cache
def server() -> Any:
    """The module of swhttp; asked for in no other server."""
    return importlib.import_module("swhttp")


async def native(session_id: int, text: str, receive: Receive, send: Send) -> None:
    """Join the server's group, confirm that by what the client said first, and let the server send to all."""
    server().join(session_id, GROUP)
    await send({"type": "websocket.send", "text": text})
    while (message := await receive())["type"] == "websocket.receive":
        server().broadcast(GROUP, message["text"])


async def loop(text: str, receive: Receive, send: Send) -> None:
    """The same by a loop over everybody, which is what there is elsewhere."""
    members.add(send)
    try:
        await send({"type": "websocket.send", "text": text})
        while (message := await receive())["type"] == "websocket.receive":
            out = {"type": "websocket.send", "text": message["text"]}
            for member in tuple(members):
                await member(out)
    finally:
        members.discard(send)


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """What a client sends first makes it a member and is sent back to it; whatever it sends then goes to all."""
    if scope["type"] != "websocket":
        await raw_asgi.app(scope, receive, send)
        return
    await receive()
    await send(ws_echo_32.ACCEPT)
    first = await receive()
    if first["type"] != "websocket.receive":
        return
    session = scope.get(SESSION)
    if session is None:
        await loop(first["text"], receive, send)
    else:
        await native(session, first["text"], receive, send)
