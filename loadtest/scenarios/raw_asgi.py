"""The least an ASGI app can do: 13 bytes, two headers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from loadtest.scenario import ASGI_SERVERS, FLOOR, Scenario

SCENARIO = Scenario(
    name="raw-asgi",
    about="raw ASGI app, 13-byte body",
    app="loadtest.scenarios.raw_asgi:app",
    interface="asgi",
    servers=(*ASGI_SERVERS, "swhttp-access-log", *FLOOR),
    body=b"Hello, World!",
)

Message = MutableMapping[str, Any]

START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"13")],
}
BODY = {"type": "http.response.body", "body": SCENARIO.body}


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Answer every request with 13 bytes; lifespan is unsupported, as the ASGI spec lets an app say."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    await send(START)
    await send(BODY)
