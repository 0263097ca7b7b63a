"""/hold answers a piece and waits until its client is gone; everything else says how many of those have gone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
gone = 0


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    global gone
    if scope["type"] != "http":
        raise RuntimeError("http only")
    await send({"type": "http.response.start", "status": 200})
    if scope["path"] == "/hold":
        try:
            await send({"type": "http.response.body", "body": b"held", "more_body": True})
            while (await receive())["type"] != "http.disconnect":
                pass
        except OSError:  # stopped after its piece was out and before send() returned: send() is where it hears it
            pass
        gone += 1
    else:
        await send({"type": "http.response.body", "body": b"%d" % gone})
