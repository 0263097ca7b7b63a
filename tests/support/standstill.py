"""A master that does nothing for a while: what its workers say meanwhile is all under way when it goes on."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator

from tests.support.counters import totals
from tests.support.processes import wait_until_stopped
from tests.support.server import Server

QUIET_S = 0.2


@contextlib.contextmanager
def standstill(site: Server) -> Iterator[None]:
    """The master is stopped; at the end it goes on when its workers have published nothing more for a moment. Whoever
    has less under way by then than it could have had makes a test blunter, and never fail."""
    site.kill(signal.SIGSTOP)
    try:
        wait_until_stopped(site.pid)
        yield
        said = -1
        while said != (said := totals(site)["slot_frames"]):
            time.sleep(QUIET_S)
    finally:
        site.kill(signal.SIGCONT)
