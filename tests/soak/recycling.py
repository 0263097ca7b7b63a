"""Workers that are replaced all the time under full load: what it costs, and whether anybody notices.

    python -m tests.soak.recycling --seconds 60

Two servers with the same app, whose import takes 100 ms of CPU, one of them with --max-requests 10000 and
--max-requests-jitter 5000, take turns under wrk. It fails, with exit status 1, on an error, a closed connection, a
server that did not replace its workers, or less than 0.9 times the throughput.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import time
from dataclasses import dataclass, field

from tests.soak.load import load
from tests.support import processes
from tests.support.fleet import Start, starting
from tests.support.server import Server

CONNECTIONS = 64
OPTIONS = ("--workers", "4", "--reactors", "1")
WORN = ("--max-requests", "10000", "--max-requests-jitter", "5000")
LEAST_RATIO = 0.9
TURNS = 3


@dataclass
class Outcome:
    """What came of it. `plain`, `worn`: requests a second of each turn; `replaced`: workers that were."""

    plain: list[float] = field(default_factory=list)
    worn: list[float] = field(default_factory=list)
    replaced: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Throughput with recycling, of that without: medians."""
        return statistics.median(self.worn) / statistics.median(self.plain)

    def __str__(self) -> str:
        text = (f"{statistics.median(self.worn):.0f} requests/s with {self.replaced} workers replaced, "
                f"{statistics.median(self.plain):.0f} without: {self.ratio:.3f}")
        return "\n".join([text, *(f"  FAILED: {failure}" for failure in self.failures)])


def _turn(site: Server, seconds: float, outcome: Outcome) -> float:
    accepted = site.counters().reactors[0]["accepted"]
    with load(site.port, CONNECTIONS) as running:
        time.sleep(seconds)  # of load
    outcome.failures += running.seen.faults
    # One more: wrk tries the address first.
    made = site.counters().reactors[0]["accepted"] - accepted
    if made != CONNECTIONS + 1:
        outcome.failures.append(f"{made} connections were made by {CONNECTIONS} clients")
    return running.seen.per_second


def run(start: Start, seconds: float) -> Outcome:
    """Let both servers take turns, `seconds` of load each in all."""
    outcome = Outcome()
    plain, worn = start("heavy:app", *OPTIONS), start("heavy:app", *OPTIONS, *WORN)
    for _ in range(TURNS):
        outcome.plain.append(_turn(plain, seconds / TURNS, outcome))
        outcome.worn.append(_turn(worn, seconds / TURNS, outcome))
    outcome.replaced = worn.log.text().count("Worker is replaced, after")
    if outcome.replaced == 0:
        outcome.failures.append("no worker was replaced")
    if outcome.ratio < LEAST_RATIO:
        outcome.failures.append(f"less than {LEAST_RATIO} of the throughput")
    return outcome


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.recycling")
    parser.add_argument("--seconds", type=float, default=60.0, help="of load for each server")
    options = parser.parse_args()
    processes.become_subreaper()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # through `starting`, which stops the servers
    with starting(settled=False) as start:
        outcome = run(start, options.seconds)
    print(outcome)
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
