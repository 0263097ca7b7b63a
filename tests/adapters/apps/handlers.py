"""Handlers of the callback API: what a message says is done."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from typing import Any

import swhttp


def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b"plain"]


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"plain"})


def told(session: Any) -> str:
    """What a handler sees."""
    return json.dumps([session.path, session.query_string, session.client, session.sequence, session.redelivered,
                       session.state.decode("latin-1")])


class Plain:
    """Plain functions."""

    def __init__(self) -> None:
        self.kept: Any = None

    def on_open(self, session: Any) -> Any:
        match session.path:
            case "/refused":
                return False
            case "/denied":
                session.deny(404)
            case "/denied-and-accepted":
                session.deny(404)
                session.accept()
            case "/raises":
                raise ValueError("this handler raises")
            case "/speaks":
                session.join("people")
                session.push("hello")
                session.overflow = "block"
            case "/speaks-and-refuses":
                session.push("hello")
                return False
            case "/accepts":
                session.state = b"opened"
                session.accept("chat", [("x-app", "yes"), (b"x-more", b"1")])
                session.push(json.dumps([session.headers["x-test"], session.subprotocols]))
            case "/splits":
                session.accept(headers=[("x", "a\r\nb")])
        return None

    def on_message(self, session: Any, data: str | bytes) -> None:
        if isinstance(data, bytes):
            session.push(data)
            return
        verb, _, rest = data.partition(" ")
        match verb:
            case "tell":
                session.push(told(session))
            case "state":
                session.state = b"s" * int(rest)
            case "raise":
                session.state = b"lost"
                raise ValueError("this handler raises")
            case "exit":
                sys.exit(3)
            case "close":
                session.close(int(rest), "enough")
            case "leave":
                session.leave(rest)
            case "broadcast":
                swhttp.broadcast("people", rest, but=session.id)
            case "keep":
                self.kept = session
            case "kept":
                try:
                    self.kept.state = b"late"
                except RuntimeError as error:
                    self.kept.push(str(error))
            case "thread":
                threading.Thread(target=session.push, args=(rest,)).start()

    def on_close(self, session: Any, code: int) -> None:
        swhttp.broadcast("people", f"{code} {told(session)}")


class Coroutines:
    """The same, as coroutine functions that suspend."""

    def __init__(self) -> None:
        self.plain = Plain()

    async def on_open(self, session: Any) -> Any:
        await asyncio.sleep(0)
        return self.plain.on_open(session)

    async def on_message(self, session: Any, data: str | bytes) -> None:
        await asyncio.sleep(0)
        if data == "await":
            await session.apush("awaited")
        self.plain.on_message(session, data)

    async def on_close(self, session: Any, code: int) -> None:
        await asyncio.sleep(0)
        self.plain.on_close(session, code)


class Misspelt:
    """One that is never called."""

    def on_mesage(self, session: Any, data: str | bytes) -> None:
        """Never."""


class Strict:
    """One that cannot be called."""

    def on_message(self, session: Any) -> None:
        """Never."""


class Pusher:
    """Messages are nobody's business."""

    def on_open(self, session: Any) -> None:
        """Accept."""
