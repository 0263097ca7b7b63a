"""What a reactor needs to know of the configuration: one immutable value."""

from __future__ import annotations

from dataclasses import dataclass

from swhttp import limits

DISPATCH_MODES = ("least", "round-robin", "fixed", "ip", "idle")
"""The values of --dispatch, in the order of the constants in state.pxd."""


@dataclass(frozen=True)
class ReactorSettings:
    """`threads`: of each WSGI worker; `keep_alive_s`: how long an idle connection stays open after a response."""

    dispatch: str = "least"
    threads: int = 1
    keep_alive_s: float = 5.0
    worker_concurrency: int = limits.WORKER_CONCURRENCY
    queue_size: int = limits.QUEUE_SIZE
    queue_timeout_s: float = limits.QUEUE_TIMEOUT_S
    server_header: bytes = b"swhttp"
