"""Whether a server that has nothing to do does nothing: its idle CPU, told by the turns of its reactors."""

from __future__ import annotations

import time

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
