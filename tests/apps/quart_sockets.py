"""What Quart's documentation shows of WebSockets: both directions at once, a broker, acceptance by hand, a refusal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from quart import Quart, abort, websocket

app = Quart(__name__)


class Broker:
    """Those who are connected to this worker, each with a queue."""

    def __init__(self) -> None:
        self.queues: set[asyncio.Queue[str]] = set()

    async def publish(self, text: str) -> None:
        for queue in self.queues:
            await queue.put(text)

    async def subscribe(self) -> AsyncIterator[str]:
        queue: asyncio.Queue[str] = asyncio.Queue()
        self.queues.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self.queues.remove(queue)


broker = Broker()


async def listen() -> None:
    while True:
        await broker.publish(await websocket.receive())


@app.websocket("/ws")
async def ws() -> None:
    listening = asyncio.ensure_future(listen())
    try:
        async for text in broker.subscribe():
            await websocket.send(text)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


@app.websocket("/json")
async def json() -> None:
    await websocket.accept(headers={"x-quart": "yes"}, subprotocol="json")
    while True:
        await websocket.send_json({"you sent": await websocket.receive_json()})


@app.websocket("/private")
async def private() -> None:
    if websocket.authorization is None or websocket.authorization.password != "open sesame":
        abort(401)
    await websocket.send("welcome")
    await websocket.close(4000, "that is all")
