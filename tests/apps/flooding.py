"""Pushes to a WebSocket by all that there are, more than may wait for one, with "block".

    a WebSocket            is told its session's id, as a text, and what it sends comes back
    /flood?ID&TAG&COUNT&GATE  waits at the gate, then pushes so many pieces, `TAG NUMBER` and blanks, and answers when
                           all are on their way; of ASGI in the event loop, or with `&thread` in a thread
    "flood COUNT GATE"     said to a session of the callback API: it waits at the gate, then its handler says that the
                           session blocks, and pushes so many pieces to it with the tag "handler"
    "COUNT"                said to one of `awaiting`: its handler awaits that it can push so many pieces
    `process`              is told `ID COUNT GATE` by the file that TARGET_PATH names, waits there, and pushes so many
                           pieces from a thread with the tag "process", and as many small ones from an event loop with
                           the tag "loop"
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import swhttp
from site_parts import wait_at

Message = MutableMapping[str, Any]
PIECE_BYTES = 65536
SMALL_BYTES = 1024


def piece(tag: str, number: int, size: int = PIECE_BYTES) -> bytes:
    return f"{tag} {number}".encode().ljust(size)


def flood(session: int, tag: str, count: int) -> None:
    for number in range(count):
        swhttp.push(session, piece(tag, number), overflow="block")


async def aflood(session: int, tag: str, count: int, size: int = PIECE_BYTES) -> None:
    for number in range(count):
        await swhttp.apush(session, piece(tag, number, size), overflow="block")


async def asgi(scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]],
               ) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": str(scope["swhttp.session"])})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        return
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    if scope["query_string"]:
        session, tag, count, gate, *how = scope["query_string"].decode().split("&")
        await asyncio.to_thread(wait_at, gate)
        if how:
            await asyncio.to_thread(flood, int(session), tag, int(count))
        else:
            await aflood(int(session), tag, int(count))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%d" % os.getpid()})


def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    if environ["QUERY_STRING"]:
        session, tag, count, gate = environ["QUERY_STRING"].split("&")
        wait_at(gate)
        flood(int(session), tag, int(count))
    start_response("200 OK", [])
    return [b"%d" % os.getpid()]


class Handler:
    """Of the callback API."""

    def on_open(self, session: Any) -> None:
        session.push(str(session.id))

    def on_message(self, session: Any, data: str) -> None:
        if not data.startswith("flood"):
            session.push(data, overflow="block")
            return
        _, count, gate = data.split(" ")
        wait_at(gate)
        session.overflow = "block"
        for number in range(int(count)):
            session.push(piece("handler", number))


handler = Handler()


class Awaiting(Handler):
    """The same on an event loop."""

    async def on_message(self, session: Any, data: str) -> None:
        await aflood(session.id, "handler", int(data))


awaiting = Awaiting()


def process() -> None:
    """A user process."""
    while not os.path.exists(os.environ["TARGET_PATH"]):
        time.sleep(0.02)
    with open(os.environ["TARGET_PATH"], encoding="utf-8") as file:
        session, count, gate = file.read().split()
    wait_at(gate)
    thread = threading.Thread(target=flood, args=(int(session), "process", int(count)))
    thread.start()
    asyncio.run(aflood(int(session), "loop", int(count), SMALL_BYTES))
    thread.join()
    threading.Event().wait()
