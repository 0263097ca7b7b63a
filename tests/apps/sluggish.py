"""An app that takes too long, in every way that stacks are to tell apart, as WSGI and as ASGI.

    /spin?<file>     a loop in Python until the file is there
    /block?<file>    a call of C that does not come back until the file is there, without the GIL
    /await?<file>    ASGI: a coroutine awaits in another one, in a helper, until the file is there
    /close-fds       closes every fd above 2 that is a memfd of stacks, and opens files in their place
    /unregister      takes back what the server has registered for its signal
    /events?<file>   a first piece at once, the rest when the file is there
    /upload?<file>   reads its body to the end, then waits for the file; answers with the number of bytes
    /pid             answers with its pid, as all that end do
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]


def a_python_loop(path: str) -> None:
    """Holds the GIL nearly always."""
    while not os.path.exists(path):
        for _ in range(20000):
            pass


def a_call_of_c(path: str) -> None:
    """Never holds the GIL, and runs no bytecode meanwhile: it opens a FIFO that nobody writes to."""
    os.close(os.open(path, os.O_RDONLY))


async def the_innermost(path: str) -> None:
    while not os.path.exists(path):
        await asyncio.sleep(0.01)


async def a_helper(path: str) -> None:
    await the_innermost(path)


def steal_the_file() -> None:
    """What is written to the stacks' fd by mistake would be in `stolen`."""
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if "swhttp-stacks" in target:
            fd = os.open("stolen", os.O_WRONLY | os.O_CREAT)
            os.dup2(fd, int(name))
            os.close(fd)


def common(path: str, query: str) -> None:
    """What WSGI and ASGI do alike."""
    if path == "/spin":
        a_python_loop(query)
    elif path == "/block":
        a_call_of_c(query)
    elif path == "/close-fds":
        steal_the_file()
    elif path == "/unregister":
        faulthandler.unregister(signal.SIGRTMIN + 1)


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
    common(path, query)
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/events":
        return events(query)
    if path == "/upload":
        length = len(environ["wsgi.input"].read())
        a_python_loop(query)
        return [str(length).encode()]
    return [str(os.getpid()).encode()]


def events(path: str) -> Iterable[bytes]:
    yield b"first\n"
    while not os.path.exists(path):
        time.sleep(0.01)
    yield b"last\n"


async def asgi(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    if scope["type"] != "http":
        raise NotImplementedError
    path, query = scope["path"], scope["query_string"].decode()
    common(path, query)
    answer = str(os.getpid()).encode()
    if path == "/await":
        await a_helper(query)
    if path == "/upload":
        length, more = 0, True
        while more:
            message = await receive()
            length += len(message["body"])
            more = message["more_body"]
        await a_helper(query)
        answer = str(length).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    if path == "/events":
        await send({"type": "http.response.body", "body": b"first\n", "more_body": True})
        await the_innermost(query)
        answer = b"last\n"
    await send({"type": "http.response.body", "body": answer})
