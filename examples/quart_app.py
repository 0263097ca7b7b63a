"""A clock in the browser with Quart: `swhttp quart_app:app --app-dir examples`.

Shows server-sent events: one connection for each browser, and none of them takes a worker away from the others.

    curl http://127.0.0.1:8000/
    curl --no-buffer --max-time 3 http://127.0.0.1:8000/clock
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator

from quart import Quart, Response

app = Quart(__name__)

PAGE = """<!doctype html>
<title>swhttp and Quart</title>
<h1 id="time"></h1>
<script>
new EventSource("/clock").onmessage = message => document.getElementById("time").textContent = message.data
</script>
"""


@app.get("/")
async def index() -> str:
    """A page that shows the clock."""
    return PAGE


@app.get("/clock")
async def clock() -> Response:
    """The time, each second, for as long as the browser listens."""

    async def ticks() -> AsyncIterator[str]:
        while True:  # it ends here, by a cancellation, when the browser has left
            yield f"data: {datetime.datetime.now():%H:%M:%S}\n\n"
            await asyncio.sleep(1)

    # X-Accel-Buffering: nginx passes on what comes at once.
    answer = Response(ticks(), headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
    answer.content_type = "text/event-stream"
    answer.timeout = None
    return answer
