"""Whether a server that has nothing to do does nothing: told by its reactors' turns, and how often a process wakes."""

from __future__ import annotations

import time
from pathlib import Path

from tests.support import processes
from tests.support.counters import totals
from tests.support.server import Server

QUIET_S = 0.5
QUIET_TURNS = 2  # of all reactors in that time: a deadline that was put off may be looked at


def becomes_quiet(site: Server, turns: int = QUIET_TURNS) -> None:
    """Wait until the reactors hardly ever go round any more; `turns`: at most so many in half a second."""

    def went() -> int:
        before = totals(site)["turns"]
        time.sleep(QUIET_S)  # what is looked for is that nothing happens meanwhile
        return totals(site)["turns"] - before

    processes.wait_until(lambda: went() <= turns, "the reactors to sleep", 15.0)


def becomes_idle(pid: int) -> None:
    """Wait until a process does not wake up for twice QUIET_S."""

    def woke() -> int:
        before = _sleeps(pid)
        time.sleep(2 * QUIET_S)  # what is looked for is that nothing happens meanwhile
        return _sleeps(pid) - before

    processes.wait_until(lambda: woke() == 0, f"process {pid} to sleep", 15.0)


def _sleeps(pid: int) -> int:
    """How often its first thread has begun to wait."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
