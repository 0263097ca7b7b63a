"""ASGI apps that differ in how they treat lifespan, and boots that go wrong.

Startup and shutdown are noted in the file SEEN_PATH, one line each.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def note(line: str) -> None:
    with open(os.environ["SEEN_PATH"], "a", encoding="ascii") as file:
        file.write(line + "\n")


async def answer(scope: Message, send: Send, report: Any) -> None:
    body = json.dumps(report).encode()
    fields = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})


async def unsupported(scope: Message, receive: Receive, send: Send) -> None:
    """Knows only http: raises before the first receive(), which means "no lifespan here"."""
    if scope["type"] != "http":
        raise RuntimeError(f"unknown scope {scope['type']}")
    await answer(scope, send, {"state": "state" in scope})


async def with_state(scope: Message, receive: Receive, send: Send) -> None:
    """Fills the state at startup; each request counts in its own copy and in a shared object."""
    if scope["type"] == "lifespan":
        await receive()
        scope["state"].update(plain=0, shared=[])
        note("startup")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        note("shutdown")
        await send({"type": "lifespan.shutdown.complete"})
        return
    scope["state"]["plain"] += 1
    scope["state"]["shared"].append(1)
    await answer(scope, send, {"plain": scope["state"]["plain"], "shared": len(scope["state"]["shared"])})


async def startup_failed(scope: Message, receive: Receive, send: Send) -> None:
    """Says that its startup failed."""
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "the database is not there"})


async def startup_failed_and_waits(scope: Message, receive: Receive, send: Send) -> None:
    """Says that its startup failed, and does not end."""
    await startup_failed(scope, receive, send)
    await receive()


async def cancelled_in_startup(scope: Message, receive: Receive, send: Send) -> None:
    """Lets a CancelledError out, as a timeout around the wrong thing does."""
    await receive()
    raise asyncio.CancelledError("startup took too long")


async def raises_in_startup(scope: Message, receive: Receive, send: Send) -> None:
    """Raises after its first receive(): a failure, not a lack of support."""
    await receive()
    raise RuntimeError("startup broke in the middle")


async def until_shutdown(scope: Message, receive: Receive, send: Send) -> bool:
    """Answers a request: False; or starts, and waits until it is to shut down: True."""
    if scope["type"] == "http":
        await answer(scope, send, {})
        return False
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    return True


async def raises_in_shutdown(scope: Message, receive: Receive, send: Send) -> None:
    """Starts well and breaks at the end."""
    if await until_shutdown(scope, receive, send):
        raise RuntimeError("shutdown broke")


async def goes_on_after_shutdown(scope: Message, receive: Receive, send: Send) -> None:
    """Says that it has shut down, and does not end."""
    if await until_shutdown(scope, receive, send):
        await send({"type": "lifespan.shutdown.complete"})
        await receive()


async def stubborn() -> None:
    """Does not end when cancelled."""
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)


async def leaves_a_stubborn_task(scope: Message, receive: Receive, send: Send) -> None:
    """Shuts down well, but for a task that it has started."""
    task = asyncio.create_task(stubborn())
    if await until_shutdown(scope, receive, send):
        await send({"type": "lifespan.shutdown.complete"})
    else:
        task.cancel()
