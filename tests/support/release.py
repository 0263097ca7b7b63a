"""An application that is deployed anew: a module in a directory of its own, rewritten by the test.

Every answer says which version gave it and in which process: `<version> <pid>`. `/hold?gate=<path>` waits at a test's
gate first (tests.support.gate).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from types import TracebackType

HEAD = """
import os, socket, sys
from urllib.parse import parse_qs

VERSION = "{version}"


def answer(path, query):
    if path == "/hold":
        with socket.socket(socket.AF_UNIX) as gate:
            gate.connect(parse_qs(query)["gate"][0])
            gate.sendall(b"%d\\n" % os.getpid())
            gate.recv(1)
    return f"{{VERSION}} {{os.getpid()}}".encode()
"""
WSGI = """

def app(environ, start_response):
    body = answer(environ["PATH_INFO"], environ["QUERY_STRING"])
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""
ASGI = """

import asyncio


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup." + LIFESPAN})
        if LIFESPAN == "failed":
            return
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/hold":
        body = await asyncio.to_thread(answer, scope["path"], scope["query_string"].decode())
    else:
        body = answer(scope["path"], "")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


LIFESPAN = "complete"
"""
FORMS = {"wsgi": WSGI, "asgi": ASGI}
BROKEN = {
    "syntax": "def app(:\n",
    "import": "raise RuntimeError('this release is broken')\n",
    "hang": "import time\nwhile True:\n    time.sleep(0.01)\n",
    "lifespan": "LIFESPAN = 'failed'\n",
}
"""What is put behind a version to break it."""


class Release:
    """The directory with `released.py`; use as a context manager. `interface`: "wsgi" or "asgi"."""

    def __init__(self, interface: str) -> None:
        self._interface = interface
        self._directory = tempfile.TemporaryDirectory(prefix="rel-")
        self.path = self._directory.name
        self.deploy("1")

    @property
    def options(self) -> tuple[str, ...]:
        """The app and where it is, for a server's command line."""
        return ("released:app", "--app-dir", self.path)

    def deploy(self, version: str, broken: str = "") -> None:
        """Put a version in place, whole. `broken`: how, a key of BROKEN."""
        passing = Path(self.path, "passing")
        text = HEAD.format(version=version) + FORMS[self._interface]
        passing.write_text(text + (BROKEN[broken] if broken else ""))
        os.replace(passing, Path(self.path, "released.py"))

    def __enter__(self) -> Release:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._directory.cleanup()
