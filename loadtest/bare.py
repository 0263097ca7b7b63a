"""What an app itself takes in memory for each WebSocket, whatever serves it.

`python -m loadtest.bare module:app COUNT` makes COUNT scopes, coroutines of the app and tasks that run them, as every
ASGI server must, lets each accept and answer one message, and prints how many KiB of memory one of them takes. There is
no server: all of them wait for the same future, and what they send goes nowhere. What is less than here in a server is
not possible with asyncio's tasks; what is more is the server's own.

The strings and objects that a server can have once for all connections are shared here, too: names of fields, keys,
constants. Values of fields are each connection's own, as they came over its wire.
"""

from __future__ import annotations

import asyncio
import importlib
import itertools
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from loadtest import proctree

WARM = 64  # tasks before the first look
TIMEOUT_S = 60
ASGI = {"version": "3.0", "spec_version": "2.5"}
MESSAGES = ({"type": "websocket.connect"}, {"type": "websocket.receive", "text": "0" * 32})

App = Callable[[dict[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]],
               Coroutine[Any, Any, None]]


class BareError(Exception):
    """It could not be measured."""


def scope(number: int) -> dict[str, Any]:
    """Return the scope of the connection of this number, as of the handshake that `wsload.c` sends."""
    values = f"127.0.0.1:{20_000 + number}", "Upgrade", "websocket", "13", f"dGhlIHNhbXBsZSBub25jZ{number:05}="
    names = b"host", b"connection", b"upgrade", b"sec-websocket-version", b"sec-websocket-key"
    return {
        "type": "websocket",
        "asgi": ASGI,
        "http_version": "1.1",
        "scheme": "ws",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "root_path": "",
        "headers": [(name, value.encode()) for name, value in zip(names, values, strict=True)],
        "client": (f"127.0.0.{2 + number // 5_000}", 30_000 + number),
        "server": ("127.0.0.1", 8000),
        "subprotocols": [],
        "state": {},
        "extensions": {},
    }


async def kept(app: App, count: int) -> float:
    """Return the KiB that one of `count` waiting tasks of `app` takes."""
    loop = asyncio.get_running_loop()
    never: asyncio.Future[Any] = loop.create_future()
    at_once = [loop.create_future() for _ in MESSAGES]
    for future, message in zip(at_once, MESSAGES, strict=True):
        future.set_result(message)
    # Each task runs up to its third receive() before the next begins: so one line of answers serves them all.
    answers = itertools.cycle([*at_once, never])
    nothing = loop.create_future()
    nothing.set_result(None)

    def receive() -> Awaitable[Any]:
        return next(answers)

    def send(message: Any) -> Awaitable[None]:
        return nothing

    tasks = [loop.create_task(app(scope(number), receive, send)) for number in range(WARM)]
    await asyncio.sleep(0)
    myself = [found for found in [proctree.read_stat(os.getpid())] if found]
    empty = proctree.pss_kib(myself)
    for number in range(WARM, WARM + count):
        tasks.append(loop.create_task(app(scope(number), receive, send)))
        await asyncio.sleep(0)
    full = proctree.pss_kib(myself)
    if any(task.done() for task in tasks):
        raise BareError("the app did not wait for a second message")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return (full - empty) / count


def kib(app: str, count: int) -> float:
    """Return the KiB of one of `count` waiting tasks of the app that this import string names, in a new process."""
    line = [sys.executable, "-m", "loadtest.bare", app, str(count)]
    try:
        done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=TIMEOUT_S)
        return float(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise BareError(f"what {app} itself takes cannot be measured: {error}") from None


if __name__ == "__main__":
    target, count_text = sys.argv[1:]
    module, _, attribute = target.partition(":")
    found_app: App = getattr(importlib.import_module(module), attribute)
    uvloop = importlib.import_module("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(runner.run(kept(found_app, int(count_text))))
