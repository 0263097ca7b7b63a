"""A POST of 64 KiB, raw ASGI: the whole body is read, then sent back."""

from __future__ import annotations

from dataclasses import replace

from loadtest.scenario import KIB
from loadtest.scenarios import asgi_64k
from loadtest.scenarios.asgi_64k import Message, Receive, Send

SCENARIO = replace(
    asgi_64k.SCENARIO,
    name="asgi-echo",
    about="raw ASGI app, POST of 64 KiB sent back",
    app="loadtest.scenarios.asgi_echo:app",
    post_bytes=64 * KIB,
)


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Answer every request with its body."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    pieces = []
    more = True
    while more:
        message = await receive()
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    body = b"".join(pieces)
    await send(asgi_64k.start(len(body)))
    await send({"type": "http.response.body", "body": body})
