"""`paths` and `uploads` under one roof, for tests/soak: /upload takes a body, everything else is an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tests.apps import paths, uploads


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The WSGI form."""
    app = uploads.wsgi if environ["PATH_INFO"] == "/upload" else paths.wsgi
    return app(environ, start_response)


async def asgi(scope: paths.Message, receive: paths.Receive, send: paths.Send) -> None:
    """The ASGI form."""
    app = uploads.asgi if scope.get("path") == "/upload" else paths.asgi
    await app(scope, receive, send)
