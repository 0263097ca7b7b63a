"""A raw ASGI app whose import takes a tenth of a second of CPU, as that of a small framework does."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
IMPORT_S = 0.1

_until = time.process_time() + IMPORT_S
while time.process_time() < _until:
    pass

START = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
BODY = {"type": "http.response.body", "body": b"ok"}


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    if scope["type"] == "lifespan":
        raise RuntimeError("no lifespan")
    await send(START)
    await send(BODY)
