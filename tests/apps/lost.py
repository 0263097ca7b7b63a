"""What a worker may have done before it dies, besides what bodies.py does, which serves all other paths.

    /hints?gate=<path>    ASGI: an interim response, then the gate, then JSON with the pid
    /hoard                ASGI: takes every block of its arena, publishes none, and dies
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from swhttp.ipc import ring
from tests.apps import bodies, reference
from tests.apps.hostile import our_context

Message = MutableMapping[str, Any]

wsgi = bodies.wsgi


async def asgi(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """The app as ASGI."""
    if scope["type"] != "http" or scope["path"] not in ("/hints", "/hoard"):
        await bodies.asgi(scope, receive, send)
        return
    reference.note_seen(scope["method"], scope["path"])
    if scope["path"] == "/hoard":
        context = our_context()
        arena = ring.Arena(context.memory, context.slot)
        while arena.take(1) is not None:
            pass
        os.kill(os.getpid(), signal.SIGKILL)
    await send({"type": "http.response.early_hint", "links": [b"</style.css>; rel=preload"]})
    await reference.wait_at_gate_async(reference.gate_path(scope["query_string"].decode()))
    answer = json.dumps({"pid": os.getpid()}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(answer))]})
    await send({"type": "http.response.body", "body": answer})
