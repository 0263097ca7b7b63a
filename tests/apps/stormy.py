"""The raw app of tests/soak/storm.py, as ASGI and as WSGI: it notes what must not be done twice before it answers.

    POST /<id>          notes the id, then answers with it
    GET /<id>           answers with the id
    GET /stream/<id>    answers with STREAM_BYTES in two pieces

With an id that begins with slow/ the answer, or its second piece, comes after SLOW_S. The ids of POSTs are appended to
the file NOTED_PATH, a line each.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
STREAM_BYTES = 60_000
SLOW_S = 0.01
HALF = b"s" * (STREAM_BYTES // 2)
_noted = os.open(os.environ["NOTED_PATH"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


async def asgi(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """The app as ASGI."""
    if scope["type"] != "http":
        raise RuntimeError("http only")
    path: bytes = scope["raw_path"]
    if scope["method"] == "POST":
        os.write(_noted, path[1:] + b"\n")
        await receive()
    if path.startswith(b"/slow/"):
        await asyncio.sleep(SLOW_S)
    streamed = path.startswith(b"/stream/")
    length = STREAM_BYTES if streamed else len(path) - 1
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % length)]})
    if streamed:
        await send({"type": "http.response.body", "body": HALF, "more_body": True})
        await asyncio.sleep(SLOW_S if b"/slow/" in path else 0)
        await send({"type": "http.response.body", "body": HALF})
    else:
        await send({"type": "http.response.body", "body": path[1:]})


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The app as WSGI."""
    path = environ["PATH_INFO"].encode()
    if environ["REQUEST_METHOD"] == "POST":
        os.write(_noted, path[1:] + b"\n")
        environ["wsgi.input"].read()
    if path.startswith(b"/slow/"):
        time.sleep(SLOW_S)
    streamed = path.startswith(b"/stream/")
    start_response("200 OK", [("content-length", str(STREAM_BYTES if streamed else len(path) - 1))])
    return _halves(SLOW_S if b"/slow/" in path else 0) if streamed else [path[1:]]


def _halves(pause_s: float) -> Iterator[bytes]:
    yield HALF
    time.sleep(pause_s)
    yield HALF
