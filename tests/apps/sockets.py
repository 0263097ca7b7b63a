"""WebSockets by their path: what a client asks for in the target, it gets. Plain requests are answered "plain".

    /echo                     what was sent comes back
    /choose                   accepts the last of the subprotocols that the client names
    /fields                   accepts with two fields of its own; the first message is what the client's x-said says
    /bye?CODE-REASON          accepts, sends one message, closes
    /no                       refuses before it accepts
    /no/page                  refuses with a page of its own, in two pieces
    /raise, /raise/later      fails, before and after it has accepted

How a WebSocket has ended is noted (site_parts.note) as "PATH CODE REASON", where it was the client who closed it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

from site_parts import note

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
PAGE = [b"<p>You must ", b"log in."]


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """The application."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"plain"})
        return
    if scope["type"] != "websocket":
        raise RuntimeError("no lifespan")
    message = await receive()
    assert message["type"] == "websocket.connect", message
    path = scope["path"]
    if path == "/no":
        await send({"type": "websocket.close"})
    elif path == "/no/page":
        await send({"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-realm", b"here")]})
        await send({"type": "websocket.http.response.body", "body": PAGE[0], "more_body": True})
        await send({"type": "websocket.http.response.body", "body": PAGE[1]})
    elif path == "/raise":
        raise RuntimeError("before it has accepted")
    elif path == "/raise/later":
        await send({"type": "websocket.accept"})
        raise RuntimeError("after it has accepted")
    elif path == "/bye":
        code, _, reason = unquote(scope["query_string"].decode()).partition("-")
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "one"})
        await send({"type": "websocket.close", "code": int(code), "reason": reason})
    else:
        await send({"type": "websocket.accept", **accepting(scope)})
        if path == "/fields":
            await send({"type": "websocket.send", "text": dict(scope["headers"])[b"x-said"].decode()})
        await echo(path, receive, send)


def accepting(scope: Message) -> Message:
    """What goes with the acceptance."""
    if scope["path"] == "/choose":
        return {"subprotocol": scope["subprotocols"][-1]}
    if scope["path"] == "/fields":
        return {"headers": [(b"x-one", b"1"), (b"set-cookie", b"seen=yes")]}
    return {}


async def echo(path: str, receive: Receive, send: Send) -> None:
    """Until the client closes."""
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") is not None:
            await send({"type": "websocket.send", "text": message["text"]})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})
    assert message["type"] == "websocket.disconnect", message
    note(f"{path} {message['code']} {message.get('reason')}")
