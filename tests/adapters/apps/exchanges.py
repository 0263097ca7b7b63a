"""What an app can see of the objects that a request is made of: how many there are, and whether they come again."""

from __future__ import annotations

import asyncio
import gc
import json
import tracemalloc
import weakref
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

KEPT: list[Any] = []
WEAK: list[weakref.ref[Any]] = []
OPEN = asyncio.Event()
HELD: list[str] = []


async def app(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise RuntimeError("http only")
    how, mine = scope["path"][1:], (receive, send, send.__self__)  # type: ignore[attr-defined]
    seen: Any = None
    if how == "count":
        seen = sum(type(each) is type(mine[2]) for each in gc.get_objects())
    elif how == "memory":
        tracemalloc.start()
        seen = tracemalloc.get_traced_memory()[0]
    elif how == "spoil":
        seen = [dict(scope[name]) for name in ("asgi", "extensions", "state")]
        scope["asgi"]["version"] = None
        scope["extensions"]["mine"] = scope["state"]["mine"] = 1
    elif how == "spoil-later":
        KEPT.append(scope["extensions"])
        seen = scope["extensions"].setdefault("mine", 0)
        for kept in KEPT:
            kept["mine"] += 1
    elif how == "hold":
        HELD.append(how)
        await OPEN.wait()
    elif how == "release":
        seen = len(HELD)
        if seen == int(scope["query_string"]):
            OPEN.set()
    elif how == "known":
        seen = any(old is new for old in KEPT for new in mine) or any(old() is not None for old in WEAK)
    elif how.startswith("keep"):
        KEPT.append(mine[int(how[-1])])
    elif how.startswith("weak"):
        WEAK.append(weakref.ref(mine[int(how[-1])]))
    mine = None  # type: ignore[assignment]
    body = json.dumps(seen).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})
