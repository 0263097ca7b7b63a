"""Answers /SIZE/PIECES with that many bytes in that many pieces: byte n is n % 251."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
PATTERN = bytes(range(251)) * 5000


def pieces_of(path: str) -> Iterator[bytes]:
    size, count = (int(part) for part in path.strip("/").split("/"))
    step = -(-size // count)
    for start in range(0, size, step):
        shift = start % 251
        yield PATTERN[shift : shift + min(step, size - start)]


async def asgi(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    if scope["type"] != "http":
        raise RuntimeError("http only")
    await send({"type": "http.response.start", "status": 200})
    for piece in pieces_of(scope["path"]):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [])
    return pieces_of(environ["PATH_INFO"])
