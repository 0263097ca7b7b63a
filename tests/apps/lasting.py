"""What tests/soak/sockets.py talks to: a handler of the callback API for each interface, and an ASGI echo.

Handlers answer ASKED (client, number) with ANSWERED; the state of a session is the last sequence that was handled.
Every other message of the first SLOW clients takes a while, before it is answered or after: workers die on both. A text
goes to everybody. The echo says its pid before each message. How each WebSocket has ended is appended to the
file NOTED_PATH, a line each: "CODE SEQUENCE TARGET", or "CODE" of the echo.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import swhttp

Message = MutableMapping[str, Any]
ASKED = struct.Struct("!QQ")  # client, number
ANSWERED = struct.Struct("!QQQQB")  # client, number, sequence, state, redelivered
GROUP = "everybody"
SLOW = 50
AWAITED_S = 0.05
SLEPT_S = 0.005
_noted = os.open(os.environ["NOTED_PATH"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def _pause_of(data: bytes) -> int:
    """1: before the answer; 2: after it; 0: none."""
    client, number = ASKED.unpack(data)
    return number % 4 if client < SLOW and number % 4 < 3 else 0


def _answer(session: Any, data: bytes) -> None:
    client, number = ASKED.unpack(data)
    state = int.from_bytes(session.state, "big")
    session.push(ANSWERED.pack(client, number, session.sequence, state, session.redelivered))
    session.state = session.sequence.to_bytes(8, "big")


class Plain:
    """Plain functions."""

    def on_open(self, session: Any) -> None:
        session.join(GROUP)

    def on_message(self, session: Any, data: str | bytes) -> None:
        if isinstance(data, str):
            swhttp.broadcast(GROUP, data)
            return
        pause = _pause_of(data)
        if pause == 1:
            time.sleep(SLEPT_S)
        _answer(session, data)
        if pause == 2:
            time.sleep(SLEPT_S)

    def on_close(self, session: Any, code: int) -> None:
        state = int.from_bytes(session.state, "big")
        os.write(_noted, f"{code} {state} {session.path}?{session.query_string}\n".encode())


class Coroutines:
    """A coroutine function among them."""

    on_open = Plain.on_open
    on_close = Plain.on_close

    async def on_message(self, session: Any, data: str | bytes) -> None:
        if isinstance(data, str):
            await swhttp.abroadcast(GROUP, data)
            return
        pause = _pause_of(data)
        if pause == 1:
            await asyncio.sleep(AWAITED_S)
        _answer(session, data)
        if pause == 2:
            await asyncio.sleep(AWAITED_S)


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Beside the handler."""
    start_response("404 Not Found", [("content-length", "0")])
    return []


async def asgi(scope: Message, receive: Callable[[], Awaitable[Message]],
               send: Callable[[Message], Awaitable[None]]) -> None:
    """Beside the handler, or the echo."""
    if scope["type"] != "websocket":
        raise RuntimeError("WebSockets only")
    await receive()
    await send({"type": "websocket.accept"})
    pid = b"%d " % os.getpid()
    while (message := await receive())["type"] == "websocket.receive":
        with contextlib.suppress(OSError):  # it is closed, and this came before
            await send({"type": "websocket.send", "bytes": pid + message["bytes"]})
    os.write(_noted, b"%d\n" % message["code"])
