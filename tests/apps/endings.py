"""Apps whose worker dies at a chosen moment of a response."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]


async def dies_after_answering(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """ASGI: the whole answer is sent, then the worker is gone before anything else can run."""
    if scope["type"] != "http":
        raise RuntimeError("http only")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"done"})
    if scope["path"] == "/die":
        os.kill(os.getpid(), signal.SIGKILL)


def exits(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """WSGI: /exit ends the process from inside a request, as a crash in a C library would; /exit?0 by that status."""
    if environ["PATH_INFO"] == "/exit":
        os._exit(int(environ["QUERY_STRING"] or 7))
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
