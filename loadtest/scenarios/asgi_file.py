"""A file of 10 MiB, raw ASGI: by `http.response.pathsend` where the server has it, read in pieces where not.

The reading is the cheapest we know for the servers without it: in the event loop, from the page cache. An app
that may not block its loop on a disk reads in a thread, as Starlette does (starlette-file), for some times the
CPU. Of 64 KiB, 256 KiB, 1 MiB and the whole file at once, none was better for all than 256 KiB.
"""

from __future__ import annotations

import os
from dataclasses import replace

from loadtest.scenario import ASGI_SERVERS, FILE, FLOOR, HUGE_CONNECTIONS, KIB, MIB
from loadtest.scenarios import asgi_64k
from loadtest.scenarios.asgi_64k import Message, Receive, Send

# fastpysgi 0.6 serving ASGI never ends a body that comes in more than one message, on either loop.
SERVERS = tuple(name for name in ASGI_SERVERS if name != "fastpysgi")

SCENARIO = replace(
    asgi_64k.SCENARIO,
    name="asgi-file",
    about="raw ASGI app, file of 10 MiB",
    app="loadtest.scenarios.asgi_file:app",
    servers=SERVERS + FLOOR,
    body=b"",
    file_bytes=10 * MIB,
    connections=HUGE_CONNECTIONS,
)

PATH = os.environ.get(FILE, "")
PIECE = 256 * KIB
START = asgi_64k.start(SCENARIO.file_bytes)


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Answer every request with the file."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    await send(START)
    if "http.response.pathsend" in (scope.get("extensions") or ()):
        await send({"type": "http.response.pathsend", "path": PATH})
        return
    with open(PATH, "rb", buffering=0) as file:
        while piece := file.read(PIECE):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})
