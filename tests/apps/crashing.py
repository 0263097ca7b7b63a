"""bodies.py in workers that can be killed at a named step: see tests/support/crashing.py.

`crash=<point>=<nth>&once=<path>` arms the worker that runs the request, if nobody has done so for that path before: a
request that is tried again in another worker leaves that alone.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from tests.apps import bodies
from tests.support.crashing import VARIABLE

Message = MutableMapping[str, Any]


def arm(query: str) -> None:
    """What the query asks for."""
    values = {key: value[0] for key, value in parse_qs(query).items()}
    if "crash" not in values:
        return
    try:
        os.close(os.open(values["once"], os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return
    os.environ[VARIABLE] = values["crash"]


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The app as WSGI."""
    arm(environ.get("QUERY_STRING", ""))
    return bodies.wsgi(environ, start_response)


async def asgi(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """The app as ASGI 3."""
    if scope["type"] == "http":
        arm(scope["query_string"].decode("latin-1"))
    await bodies.asgi(scope, receive, send)
