"""64 KiB from memory, raw ASGI: one message with the whole body."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from loadtest.scenario import ASGI_SERVERS, KIB, LARGE_CONNECTIONS, Scenario, numbered

SCENARIO = Scenario(
    name="asgi-64k",
    about="raw ASGI app, 64 KiB from memory",
    app="loadtest.scenarios.asgi_64k:app",
    interface="asgi",
    servers=ASGI_SERVERS,
    body=numbered(64 * KIB),
    connections=LARGE_CONNECTIONS,
)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


def start(length: int) -> Message:
    """Return the message that opens an answer of `length` bytes."""
    headers = [(b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % length)]
    return {"type": "http.response.start", "status": 200, "headers": headers}


def answering(body: bytes) -> App:
    """Return an app that answers every request with `body`; lifespan is unsupported, as the spec lets an app say."""
    head = start(len(body))
    whole = {"type": "http.response.body", "body": body}

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        await send(head)
        await send(whole)

    return app


app = answering(SCENARIO.body)
