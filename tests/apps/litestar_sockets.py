"""What Litestar's documentation shows of WebSockets: listeners, a stream, a handler with the socket itself."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from litestar import Litestar, WebSocket, websocket, websocket_listener
from litestar.exceptions import NotAuthorizedException
from litestar.handlers import WebsocketListener, websocket_stream

from site_parts import note


@websocket_listener("/texts")
async def texts(data: str) -> str:
    return data.upper()


@websocket_listener("/json", send_mode="binary")
async def json(data: dict[str, int]) -> dict[str, int]:
    return {name: value + 1 for name, value in data.items()}


class Listener(WebsocketListener):
    """With something to do at both ends."""

    path = "/listener"

    async def on_accept(self, socket: WebSocket) -> None:  # type: ignore[override]
        await socket.send_text("come in")

    async def on_disconnect(self, socket: WebSocket) -> None:  # type: ignore[override]
        note("listener left")

    async def on_receive(self, data: bytes) -> bytes:  # type: ignore[override]
        return data[::-1]


@websocket_stream("/count")
async def count() -> AsyncGenerator[str, None]:
    for number in range(3):
        yield str(number)


@websocket("/socket/{name:str}")
async def socket(socket: WebSocket, name: str) -> None:
    if name == "nobody":
        raise NotAuthorizedException
    await socket.accept(headers={"x-name": name})
    await socket.send_json({"got": await socket.receive_json()})
    await socket.close(4001, "enough")


app = Litestar([texts, json, Listener, count, socket])
