"""What FastAPI's documentation shows of WebSockets: dependencies that refuse, parameters, a manager of connections."""

from __future__ import annotations

from typing import Annotated

from fastapi import Cookie, Depends, FastAPI, Query, WebSocket, WebSocketDisconnect, WebSocketException, status

app = FastAPI()


class Manager:
    """Those who are connected to this worker."""

    def __init__(self) -> None:
        self.connected: list[WebSocket] = []

    async def tell_all(self, text: str) -> None:
        for websocket in self.connected:
            await websocket.send_text(text)


manager = Manager()


async def who(
    session: Annotated[str | None, Cookie()] = None, token: Annotated[str | None, Query()] = None
) -> str:
    """The name in the cookie or the query; nobody without one gets past this."""
    if session is None and token is None:
        raise WebSocketException(code=status.WS_1008_POLICY_VIOLATION)
    return session or token or ""


@app.websocket("/items/{item}/ws")
async def item(
    websocket: WebSocket, item: str, name: Annotated[str, Depends(who)], size: int | None = None
) -> None:
    await websocket.accept()
    while True:
        text = await websocket.receive_text()
        await websocket.send_json({"name": name, "item": item, "size": size, "text": text})


@app.websocket("/chat/{client}")
async def chat(websocket: WebSocket, client: int) -> None:
    await websocket.accept()
    manager.connected.append(websocket)
    try:
        while True:
            text = await websocket.receive_text()
            await manager.tell_all(f"client {client}: {text}")
    except WebSocketDisconnect:
        manager.connected.remove(websocket)
        await manager.tell_all(f"client {client} has left")
