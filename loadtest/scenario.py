"""What a scenario is, and how one is found by its name.

Imported by every server that serves a scenario, so it must never import anything of weight: that would be
counted as the server's memory.
"""

from __future__ import annotations

import importlib
from array import array
from dataclasses import dataclass

from loadtest import scenarios

NAMES = (
    *("raw-asgi", "raw-wsgi", "raw-asgi-headers", "starlette", "fastapi", "flask", "django", "https", "idle"),
    *("asgi-64k", "asgi-10m", "asgi-file", "starlette-file", "asgi-echo", "asgi-upload"),
    *("wsgi-64k", "wsgi-10m", "wsgi-file", "wsgi-echo", "wsgi-upload", "static"),
    *("https-64k",),
    *("ws-echo-32", "ws-echo-1k", "ws-echo-64k", "ws-pipelined", "ws-broadcast", "ws-broadcast-16", "ws-idle"),
)

ASGI_SERVERS = ("swhttp", "uvicorn", "granian", "gunicorn-asgi", "hypercorn", "fastpysgi")
WSGI_SERVERS = ("swhttp", "granian", "gunicorn-sync", "gunicorn-gthread", "bjoern", "fastpysgi", "uwsgi")
FLOOR = ("nginx",)
TLS_SERVERS = ("swhttp", "uvicorn", "granian")
CALLBACKS = "swhttp-callbacks"
WEBSOCKET_FLOOR = ("wsfloor",)
WEBSOCKET_SERVERS = (
    *("swhttp", "uvicorn-websockets", "uvicorn-wsproto", "granian", "gunicorn-asgi", "hypercorn"), *WEBSOCKET_FLOOR)

KIB = 1024
MIB = 1024 * KIB
# Below this a scenario is about requests, from it on about bytes too.
BULK_BYTES = 64 * KIB
# A body of 10 MiB at 64 connections would be 640 MiB in flight for a server that buffers it, and the caches'
# misses most of the figure; 8 keep any server busy. 64 KiB at 64 connections is 4 MiB.
HUGE_CONNECTIONS = (8,)
LARGE_CONNECTIONS = (64,)

# The environment variable that tells an app where the file is that it shall answer with.
FILE = "LOADTEST_FILE"


def numbered(size: int) -> bytes:
    """Return `size` bytes, a multiple of 8, in which each 8 hold their own number: a piece that is lost, doubled
    or out of place shows."""
    return array("Q", range(size // 8)).tobytes()


@dataclass(frozen=True)
class Messages:
    """What WebSockets carry. mode: "echo" (what each sends comes back to it), "broadcast" (what the first sends goes to
    all) or "idle" (one message each, at the beginning, that comes back). size: bytes of a message. depth: how many are
    underway at once, of each socket that sends. binary: else they are text."""

    mode: str
    size: int
    depth: int = 1
    binary: bool = False


@dataclass(frozen=True)
class Scenario:
    """A load to compare servers under.

    name: as on the command line, `_` of the module written `-`.  about: one line for the report.
    app: import string of the app.  interface: "asgi" or "wsgi".  servers: names in `peers.PEERS`.
    body: what / must answer, checked before any load.  headers: sent with each request beside Host.
    idle_connections: 0 means load; above it, that many idle keep-alive connections, or WebSockets, and no load.
    file_bytes: above 0, the answer is, instead of `body`, a file of so many `numbered` bytes; the app finds its
    path in the environment as FILE.  post_bytes: above 0, each request is a POST of so many `numbered` bytes.
    static: the server answers with the file by itself, and the app is not asked.
    connections: what the bench loads it with, instead of its usual. secure: over TLS.
    messages: the connections are WebSockets, and carry these. handler: import string of swhttp's callbacks that do the
    same as the app, where there are some.
    """

    name: str
    about: str
    app: str
    interface: str
    servers: tuple[str, ...]
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    idle_connections: int = 0
    file_bytes: int = 0
    post_bytes: int = 0
    static: bool = False
    connections: tuple[int, ...] = ()
    secure: bool = False
    messages: Messages | None = None
    handler: str = ""

    @property
    def answer(self) -> bytes:
        """The right answer's content; made when asked for, as no server needs a file's in memory."""
        return numbered(self.file_bytes) if self.file_bytes else self.body

    @property
    def payload_bytes(self) -> int:
        """Bytes of content that a request moves, both ways together."""
        return (self.file_bytes or len(self.body)) + self.post_bytes

    @property
    def bulk(self) -> bool:
        """Whether bytes per CPU second say something here; of WebSockets, CPU per message does."""
        return self.messages is None and self.payload_bytes >= BULK_BYTES


def load(name: str) -> Scenario:
    """Return the scenario called `name`; KeyError when there is none."""
    if name not in NAMES:
        raise KeyError(name)
    module = importlib.import_module(f"{scenarios.__name__}.{name.replace('-', '_')}")
    found: Scenario = module.SCENARIO
    return found
