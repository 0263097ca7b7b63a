"""An app whose log cannot be written to: a filter of its own raises there. All that it does fails, and would be logged.

    /early, /late    fails; late: after it has waited for something. WSGI: all does
    /left            answers with what is left of that: tasks that have failed, and runners without a task
"""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
FAILED: list[weakref.ref[Any]] = []


def refuse(record: logging.LogRecord) -> bool:
    raise ValueError("a filter that fails")


logging.getLogger("swhttp.worker").addFilter(refuse)


async def fail(path: str) -> None:
    FAILED.append(weakref.ref(asyncio.current_task()))
    if path == "/late":
        await asyncio.sleep(0)
    raise RuntimeError("on purpose")


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    if scope["type"] == "lifespan":
        raise RuntimeError("none")
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
    if scope["path"] != "/left":
        await fail(scope["path"])
    gc.collect()
    left = [task for failed in FAILED if (task := failed()) is not None]
    left += [one for one in gc.get_objects() if type(one).__name__ == "Runner" and one.task is None]
    told = str(left).encode()
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": told})


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """As WSGI."""
    raise RuntimeError("on purpose")


class Handler:
    """Of the callback API."""

    async def on_open(self, session: Any) -> None:
        await fail(session.path)


handler = Handler()
