"""Text bodies to be compressed: /random?SIZE&STEP, of which no coder makes much less, /zeros?SIZE&STEP, of which it
makes nothing, in pieces of STEP bytes; /waits, a piece and then nothing until the client has left. /counted?SIZE&STEP
as /zeros, and /turns how often another task had its turn meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
TURNS = [0]


def pieces(path: str, query: str) -> Iterator[bytes]:
    size, step = (int(part) for part in query.split("&"))
    data = random.Random(7).randbytes(size) if path == "/random" else bytes(size)
    return (data[at : at + step] for at in range(0, size, step))


async def asgi(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    if scope["type"] != "http":
        raise RuntimeError("http only")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    if scope["path"] == "/waits":
        await send({"type": "http.response.body", "body": b"some text", "more_body": True})
        await receive()
        await receive()
        return
    if scope["path"] == "/turns":
        await send({"type": "http.response.body", "body": b"%d" % TURNS[0]})
        return
    counter = asyncio.create_task(count()) if scope["path"] == "/counted" else None
    left = list(pieces(scope["path"], scope["query_string"].decode()))
    while left:
        await send({"type": "http.response.body", "body": left.pop(0), "more_body": bool(left)})
    if counter is not None:
        counter.cancel()


async def count() -> None:
    TURNS[0] = 0
    while True:
        await asyncio.sleep(0)
        TURNS[0] += 1


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    made = list(pieces(environ["PATH_INFO"], environ["QUERY_STRING"]))
    return made if len(made) == 1 else iter(made)
