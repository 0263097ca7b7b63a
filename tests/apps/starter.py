"""Starts a program, in its import and for each request, that says which of the signals meant for whole groups it
gets. (TTIN and TTOU are ignored for all.)

`/` answers with what the program said, `/import` with what the one in the import did.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
SIGNALS = ("HUP", "INT", "QUIT", "USR1", "USR2", "34")
# A shell cannot trap what it was started to ignore.
SCRIPT = "for one in " + " ".join(SIGNALS) + '; do trap "echo $one" $one; kill -$one $$; done'


def program() -> bytes:
    return subprocess.run(["sh", "-c", SCRIPT], stdout=subprocess.PIPE, check=False).stdout


in_import = program()


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [in_import if environ["PATH_INFO"] == "/import" else program()]


async def asgi(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": in_import if scope["path"] == "/import" else program()})


def process() -> None:
    """A user process. It must not end, whatever is sent to it."""
    from programs import waits

    os.write(2, b"program got " + b" ".join(program().split()) + b"\n")
    waits()
