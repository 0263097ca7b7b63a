"""A WebSocket message of 32 bytes of text, sent back: the least an app can do."""

from __future__ import annotations

from typing import Any

from loadtest.scenario import CALLBACKS, WEBSOCKET_SERVERS, Messages, Scenario
from loadtest.scenarios import raw_asgi
from loadtest.scenarios.asgi_64k import Message, Receive, Send

SCENARIO = Scenario(
    name="ws-echo-32",
    about="WebSocket, 32 bytes of text sent back",
    app="loadtest.scenarios.ws_echo_32:app",
    interface="asgi",
    servers=(*WEBSOCKET_SERVERS, CALLBACKS),
    body=raw_asgi.SCENARIO.body,
    connections=(64,),
    messages=Messages("echo", 32),
    handler="loadtest.scenarios.ws_echo_32:handler",
)

ACCEPT = {"type": "websocket.accept"}


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Send back whatever comes; a GET is answered as ever, which tells that the server is there."""
    if scope["type"] != "websocket":
        await raw_asgi.app(scope, receive, send)
        return
    await receive()
    await send(ACCEPT)
    while (message := await receive())["type"] == "websocket.receive":
        text = message.get("text")
        if text is not None:
            await send({"type": "websocket.send", "text": text})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})


class Echo:
    """The same by swhttp's callbacks."""

    def on_open(self, session: Any) -> None:
        """Take everybody."""

    def on_message(self, session: Any, data: str | bytes) -> None:
        """Send it back."""
        session.push(data)

    def on_close(self, session: Any, code: int) -> None:
        """Nothing is kept."""


handler = Echo()
