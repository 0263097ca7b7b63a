"""A handler of the callback API whose state counts, and applications that push beside it."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from typing import Any

import swhttp


class Handler:
    """It counts its messages in the session's state, and says what it knows."""

    def on_open(self, session: Any) -> Any:
        if session.path == "/refused":
            return False
        session.state = b"0"
        session.join("all")
        session.push(json.dumps({"id": session.id}))
        return None

    def on_message(self, session: Any, data: str) -> None:
        count = int(session.state) + 1
        if data == "die" and not session.redelivered:
            os.kill(os.getpid(), 9)
        if data == "close":
            session.close(4000, "enough")
            return
        if data in ("drop", "close session", "block"):
            session.overflow = data.partition(" ")[0]
        if data == "thread":
            threading.Thread(target=session.push, args=("from a thread",)).start()
        session.state = str(count).encode()
        session.push(json.dumps({"data": data, "sequence": session.sequence, "count": count, "pid": os.getpid(),
                                 "again": session.redelivered, "overflow": session.overflow}))

    def on_close(self, session: Any, code: int) -> None:
        swhttp.broadcast("all", json.dumps({"closed": code, "count": session.state.decode()}))


handler = Handler()


class Coroutines(Handler):
    """The same where there is a loop."""

    async def on_message(self, session: Any, data: str) -> None:
        await asyncio.sleep(0)
        super().on_message(session, data)


coroutines = Coroutines()


def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    swhttp.broadcast("all", environ["QUERY_STRING"])
    start_response("200 OK", [])
    return [b"0"]


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    await swhttp.abroadcast("all", scope["query_string"].decode())
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"0"})


def speaks() -> None:
    """A user process: nonsense first, which must hurt nobody, then a small and a large message for all."""
    import socket
    import stat

    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        if fd > 2 and os.path.exists(f"/proc/self/fd/{fd}") and stat.S_ISSOCK(os.fstat(fd).st_mode):
            with socket.socket(fileno=os.dup(fd)) as way:
                for packet in (b"", b"x", b"\xff" * 64, bytes(32), b"x" * 40000):
                    way.send(packet)
    while True:
        swhttp.broadcast("all", "from a process")
        swhttp.broadcast("all", "L" * 300000)
        time.sleep(0.1)
