"""What a scenario is, and how one is found by its name.

Imported by every server that serves a scenario, so it must never import anything of weight: that would be
counted as the server's memory.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from loadtest import scenarios

NAMES = ("raw-asgi", "raw-wsgi", "raw-asgi-headers", "starlette", "fastapi", "flask", "django", "idle")

ASGI_SERVERS = ("swhttp", "uvicorn", "granian", "gunicorn-asgi", "hypercorn", "fastpysgi")
WSGI_SERVERS = ("swhttp", "granian", "gunicorn-sync", "gunicorn-gthread", "bjoern", "fastpysgi", "uwsgi")
FLOOR = ("nginx",)


@dataclass(frozen=True)
class Scenario:
    """A load to compare servers under.

    name: as on the command line, `_` of the module written `-`.  about: one line for the report.
    app: import string of the app.  interface: "asgi" or "wsgi".  servers: names in `peers.PEERS`.
    body: what a GET / must answer, checked before any load.  headers: sent with each request beside Host.
    idle_connections: 0 means load by wrk; above it, that many idle keep-alive connections and no load.
    """

    name: str
    about: str
    app: str
    interface: str
    servers: tuple[str, ...]
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    idle_connections: int = 0


def load(name: str) -> Scenario:
    """Return the scenario called `name`; KeyError when there is none."""
    if name not in NAMES:
        raise KeyError(name)
    module = importlib.import_module(f"{scenarios.__name__}.{name.replace('-', '_')}")
    found: Scenario = module.SCENARIO
    return found
