"""What the sites in this directory share: templates, static files, and what leaves a trace that a test can see.

Every `*_site` is one small project in one framework, written as its documentation teaches it. All keep the same
contract, so that the tests in tests/frameworks can ask any of them:

    GET  /                   a page from a template, which greets who is logged in
    GET  /items/<int>        JSON: the number, the query (name to list of values), the worker's pid
    GET  /pages/<path>       JSON: the path, decoded
    GET  /links              JSON: the absolute URL of item 7, as the framework builds it
    GET  /old                a redirect to item 1
    POST /form               JSON: the fields of a urlencoded form
    POST /json               JSON: what was sent as JSON
    POST /files              multipart with `title` and `file`; JSON: its name, size and SHA-256
    PUT  /uploads/<name>     any body, read piece by piece; JSON: its size and SHA-256
    GET  /lines              1,000 lines as a stream
    GET  /events/<name>      server-sent events without end; the note `gone NAME` when the client has left
    POST /later/<name>       202, then work: waits at the gate that the query names, then the note `later NAME`
    GET, POST /login         a form, then a session in a signed cookie and a second cookie; 401 at /me without it
    GET  /me, POST /logout
    GET  /text               a long text, compressed where the framework can
    GET  /static/site.css    by the framework's own static files
    GET  /download           a file of some hundred KiB by the framework's own way to send one
    GET  /started            JSON: what the framework's startup hook has left, if it has one
    GET  /broken             an exception: the site's page for it, or the framework's debug page with SITE_DEBUG

Pages that do not exist are answered with the site's own page.
"""

from __future__ import annotations

import hashlib
import os
import pydoc_data.topics
import socket
from pathlib import Path
from typing import IO, Final

PLACE: Final = Path(__file__).resolve().parent
TEMPLATES: Final = PLACE / "templates"
STATIC: Final = PLACE / "static"
BOOK: Final = Path(pydoc_data.topics.__file__)
"""A large text that every Python has."""
DEBUG: Final = bool(os.environ.get("SITE_DEBUG"))
SECRET: Final = "not a secret: tests"  # 19 characters; only tests talk to these sites
LINES: Final = 1_000
LONG_TEXT: Final = "".join(f"line {number} of a long text\n" for number in range(LINES))
PIECE_BYTES: Final = 64 * 1024


def note(line: str) -> None:
    """Leave a line where the test looks for it."""
    with open(os.environ["SEEN_PATH"], "a", encoding="utf-8") as file:
        file.write(line + "\n")


def wait_at(gate: str) -> None:
    """Wait at a gate of the test's (tests/support/gate.py) until it lets us go."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(gate)
        connection.sendall(b"%d\n" % os.getpid())
        connection.recv(1)


def work(name: str, gate: str) -> None:
    """What the sites do after their answer."""
    wait_at(gate)
    note(f"later {name}")


def pause_s(number: int) -> float:
    """Seconds between an event and the next one.

    The first come quickly. Then so slowly that a buffer of some KiB, with the first in it, would take longer to fill
    than a client waits: who holds events back is found out.
    """
    return 0.01 if number < 5 else 0.2


def event(number: int) -> str:
    """One server-sent event."""
    return f'event: tick\ndata: {{"number": {number}}}\n\n'


class Digest:
    """Counts and hashes a body that comes in pieces."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._count_bytes = 0

    def update(self, piece: bytes) -> None:
        """Take the next piece."""
        self._hash.update(piece)
        self._count_bytes += len(piece)

    def read(self, file: IO[bytes]) -> Digest:
        """Take all that is left of a file."""
        while piece := file.read(PIECE_BYTES):
            self.update(piece)
        return self

    def report(self) -> dict[str, object]:
        """Size and SHA-256."""
        return {"bytes": self._count_bytes, "sha256": self._hash.hexdigest()}
