"""What Starlette's documentation shows of WebSockets: the loop over texts, JSON, the endpoint class, a refusal."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.responses import PlainTextResponse
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from site_parts import note


async def hello(websocket: WebSocket) -> None:
    """Accept, send, close."""
    await websocket.accept()
    await websocket.send_text(f"Hello, {websocket.path_params['name']}, at {websocket.url.path}!")
    await websocket.close()


async def texts(websocket: WebSocket) -> None:
    """The loop ends when the client has left."""
    await websocket.accept()
    count = 0
    async for text in websocket.iter_text():
        count += 1
        await websocket.send_text(f"{count}: {text}")
    note(f"{count} texts")


async def json(websocket: WebSocket) -> None:
    """JSON in text frames, and back in binary ones."""
    await websocket.accept()
    async for data in websocket.iter_json():
        await websocket.send_json(data, mode="binary")


class Sums(WebSocketEndpoint):
    """The endpoint class, whose instance lives as long as the WebSocket. It closes what it cannot decode (1003)."""

    encoding = "json"
    total = 0

    async def on_connect(self, websocket: WebSocket) -> None:
        await websocket.accept(subprotocol="sums", headers=[(b"x-total", b"0")])

    async def on_receive(self, websocket: WebSocket, data: Any) -> None:
        self.total += data["add"]
        await websocket.send_json({"total": self.total})

    async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
        note(f"total {self.total} code {close_code}")


async def members(websocket: WebSocket) -> None:
    """An answer of its own instead of the 403."""
    await websocket.send_denial_response(PlainTextResponse("members only", 402, {"x-price": "3"}))


app = Starlette(routes=[
    WebSocketRoute("/hello/{name}", hello),
    WebSocketRoute("/texts", texts),
    WebSocketRoute("/json", json),
    WebSocketRoute("/sums", Sums),
    WebSocketRoute("/members", members),
])
