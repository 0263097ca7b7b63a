"""What hooks are told: one immutable value each. This module is for those who write hooks; docs/hooks.md explains.

    from swhttp import hooks

    def on_worker_error(worker: hooks.WorkerError) -> None:
        ...
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class Server:
    """The server, for on_start, on_manager_start, on_manager_stop, on_shutdown and on_before_reload."""

    pid: int
    """The master's, which gets the signals."""
    manager_pid: int
    app: Any
    """As it was given: an import string, or the application itself."""
    workers: int
    """How many it was started with."""
    binds: tuple[str, ...]
    """Where it listens: "127.0.0.1:8000", "unix:/path"."""


@dataclass(frozen=True)
class Worker:
    """A worker, in its own process, for on_worker_start, on_worker_exit and on_worker_stop."""

    slot: int
    """Its place. A worker that takes the place of another may have another slot."""
    generation: int
    """How many processes have been in this slot, with this one."""
    pid: int
    interface: str
    """asgi or wsgi."""
    app: Any
    """The application that it serves."""


@dataclass(frozen=True)
class WorkerError:
    """A worker that has ended unasked, for on_worker_error. Either `exit_code` or `signal` is None."""

    slot: int
    generation: int
    pid: int
    exit_code: int | None
    signal: int | None
    requests: tuple[str, ...]
    """What it was on: method, target and client of requests that it had begun, as in "GET /a (127.0.0.1:50312)"; the
    latest, if there are many."""


@dataclass(frozen=True)
class Reload:
    """A reload that has ended, for on_after_reload."""

    ok: bool
    """Whether the new code serves; if not, the old one does."""
    text: str
    """Why it does not: a message or a traceback."""


ARGUMENTS: Final[dict[str, type]] = {
    "on_start": Server,
    "on_manager_start": Server,
    "on_worker_start": Worker,
    "on_worker_exit": Worker,
    "on_worker_stop": Worker,
    "on_worker_error": WorkerError,
    "on_before_reload": Server,
    "on_after_reload": Reload,
    "on_manager_stop": Server,
    "on_shutdown": Server,
}
"""Every hook, and what it is told."""
