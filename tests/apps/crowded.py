"""What slow clients ask for, made with as little work as possible, as WSGI and as ASGI.

    /large?size=   so many bytes, from memory, in pieces of 64 KiB
    /upload        reads a body to its end, and answers with its length
    /kept          (ASGI) how many objects there are for requests: tasks' coroutines and exchanges
    anything else  a short answer at once
"""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from tests.apps.reference import lifespan

PIECE = bytes(65536)

Message = MutableMapping[str, Any]


def pieces(query: str) -> tuple[int, list[bytes]]:
    """Of `size=`: how many bytes, and the bytes."""
    size = int(query.removeprefix("size="))
    return size, [PIECE] * (size // len(PIECE)) + [PIECE[: size % len(PIECE)]]


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The WSGI form."""
    path = environ["PATH_INFO"]
    if path == "/large":
        size, answer = pieces(environ["QUERY_STRING"])
    else:
        taken = 0
        while path == "/upload" and (piece := environ["wsgi.input"].read(len(PIECE))):
            taken += len(piece)
        answer = [b"%d" % taken]
        size = len(answer[0])
    start_response("200 OK", [("Content-Length", str(size))])
    return answer


async def asgi(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """The ASGI form."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    if scope["path"] == "/large":
        size, answer = pieces(scope["query_string"].decode())
    else:
        taken, more = 0, scope["path"] == "/upload"
        while more:
            message = await receive()
            taken += len(message.get("body", b""))
            more = message.get("more_body", False)
        if scope["path"] == "/kept":
            taken = sum(type(one).__name__ in ("Runner", "AsgiExchange") for one in gc.get_objects())
        answer = [b"%d" % taken]
        size = len(answer[0])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]})
    for number, piece in enumerate(answer, 1):
        await send({"type": "http.response.body", "body": piece, "more_body": number < len(answer)})
