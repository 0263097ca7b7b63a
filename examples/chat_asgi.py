"""A chat in Starlette: `swhttp chat_asgi:app --websocket-drain 5 --app-dir examples`.

Shows a WebSocket as ASGI has it, one coroutine for as long as it is open, and `abroadcast`, which reaches the clients
of all workers. A coroutine cannot move to another process: on a reload its worker stays until the client has left, or
for --websocket-drain seconds. Then it is closed with 1012, and the page connects again. chat_sessions.py need not.

    curl http://127.0.0.1:8000/
"""

from __future__ import annotations

import json
from pathlib import Path

from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

import swhttp

ROOM = "room"


async def page(request: Request) -> Response:
    """The page."""
    return FileResponse(Path(__file__).with_name("chat.html").resolve())


async def say(text: str, who: str = "") -> None:
    """To all in the room, whichever worker they are with."""
    await swhttp.abroadcast(ROOM, json.dumps({"who": who, "text": text}))


class Chat(WebSocketEndpoint):
    """One client. The first message is a name, whatever follows is said under it."""

    encoding = "text"
    name = ""

    async def on_connect(self, websocket: WebSocket) -> None:
        """Somebody has opened the page."""
        await websocket.accept()
        swhttp.join(websocket.scope["swhttp.session"], ROOM)

    async def on_receive(self, websocket: WebSocket, data: str) -> None:
        """Somebody has said something."""
        if self.name:
            await say(data, who=self.name)
        else:
            self.name = data[:40]
            await say(f"{self.name} has come")

    async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
        """The page is closed, or the server has closed the connection."""
        if self.name:
            await say(f"{self.name} has left")


app = Starlette(routes=[Route("/", page), WebSocketRoute("/chat", Chat)])
