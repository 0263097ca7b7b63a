"""An upload of 10 MiB, raw ASGI: each piece is counted and dropped, the answer is the number of bytes."""

from __future__ import annotations

from dataclasses import replace

from loadtest.scenario import HUGE_CONNECTIONS, MIB
from loadtest.scenarios import asgi_64k
from loadtest.scenarios.asgi_64k import Message, Receive, Send

SCENARIO = replace(
    asgi_64k.SCENARIO,
    name="asgi-upload",
    about="raw ASGI app, upload of 10 MiB",
    app="loadtest.scenarios.asgi_upload:app",
    body=b"%d" % (10 * MIB),
    post_bytes=10 * MIB,
    connections=HUGE_CONNECTIONS,
)


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Answer every request with the number of bytes in its body."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    count = 0
    more = True
    while more:
        message = await receive()
        count += len(message.get("body", b""))
        more = message.get("more_body", False)
    told = b"%d" % count
    await send(asgi_64k.start(len(told)))
    await send({"type": "http.response.body", "body": told})
