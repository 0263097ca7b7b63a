"""Hundreds of clients that download and upload at a slow pace: do two sync WSGI workers serve the others as before?

    python -m tests.soak.slowclients --readers 200 --writers 200 --mib 20 --rate-kib 100 --rounds 3 --seconds 15

One server with two WSGI workers of one thread. Half of the crowd reads an answer at that rate, half uploads at it. 32
clients of a fast endpoint (wrk) are measured without them and beside them, in turns. It fails, with exit status 1, when
they are served less than `--least` times what they were, when a request failed, and when a slow client did not get
on at its pace. `tests/test_slow_crowds.py` runs it for seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import time
from dataclasses import dataclass, field
from statistics import median

from loadtest.wrk import Load
from tests.soak.crowd import Crowd
from tests.soak.load import load
from tests.soak.slowloris import WARM, figures, memory_mib
from tests.support import processes
from tests.support.counters import Since, totals
from tests.support.fleet import Start, starting

CONNECTIONS = 32
OF_PACE = 0.8  # of what they were to move, at least


@dataclass
class Outcome:
    """What came of one run; `failures` is empty when all was well. moved: of the rate at which the crowds were to go"""

    calm: list[Load] = field(default_factory=list)
    busy: list[Load] = field(default_factory=list)
    moved: dict[str, list[float]] = field(default_factory=dict)
    client_cpus: float = 0.0
    before_mib: float = 0.0
    most_mib: float = 0.0
    after_mib: float = 0.0
    failures: list[str] = field(default_factory=list)

    @property
    def kept(self) -> float:
        """Throughput beside the slow ones over throughput without."""
        return median(run.per_second for run in self.busy) / median(run.per_second for run in self.calm)

    def __str__(self) -> str:
        moved = ", ".join(f"{kind} {' / '.join(f'{part:.2f}' for part in parts)}" for kind, parts in self.moved.items())
        text = (f"requests a second {figures(self.busy, 'per_second', 1)}, without "
                f"{figures(self.calm, 'per_second', 1)}: {self.kept:.2f}; p99 {figures(self.busy, 'p99_us', 1e3)} ms, "
                f"without {figures(self.calm, 'p99_us', 1e3)} ms; of their pace: {moved}; the crowds took "
                f"{self.client_cpus:.2f} CPUs; MiB before {self.before_mib:.1f}, at most {self.most_mib:.1f}, after "
                f"{self.after_mib:.1f}")
        return "\n".join([text, *(f"  FAILED: {failure}" for failure in self.failures)])


def run(start: Start, readers: int, writers: int, size: int, rate_bytes_s: float, rounds: int,
        seconds: float, of_pace: float = OF_PACE) -> Outcome:
    """Start a server, and let the crowds come and go."""
    outcome = Outcome()
    site = start("crowded:wsgi", "--workers", "2", "--reactors", "1")
    address = site.tcp_addresses()[0]
    with load(address[1], CONNECTIONS):
        Since(site).passes("requests", WARM)  # what ordinary clients need is had from now on
    outcome.before_mib, before = memory_mib(site)["all"], totals(site)
    for _ in range(rounds):
        with load(address[1], CONNECTIONS) as calm:
            time.sleep(seconds)
        outcome.calm.append(calm.seen)
        with contextlib.ExitStack() as stack:
            crowds = [
                stack.enter_context(Crowd(address, "download", readers, rate=rate_bytes_s, size=size,
                                          target=f"/large?size={size}")),
                stack.enter_context(Crowd(address, "body", writers, rate=rate_bytes_s, size=size, target="/upload")),
            ]  # fmt: skip
            for crowd in crowds:
                crowd.wait_full()
            processes.wait_until(lambda: totals(site)["waiting"] == 0, "all answers to be begun", 60.0)
            begun = [(crowd.look(), time.monotonic()) for crowd in crowds]
            with load(address[1], CONNECTIONS) as busy:
                time.sleep(seconds)
            outcome.busy.append(busy.seen)
            outcome.most_mib = max(outcome.most_mib, memory_mib(site)["all"])
            for crowd, (first, since) in zip(crowds, begun, strict=True):
                seen = crowd.leave()
                passed_s = time.monotonic() - since
                outcome.client_cpus += (seen.cpu_s - first.cpu_s) / passed_s / rounds
                part = (seen.moved_bytes - first.moved_bytes) / (crowd.count * rate_bytes_s * passed_s)
                outcome.moved.setdefault(crowd.kind, []).append(part)
                if strange := {what: count for what, count in seen.ended.items() if what != "whole"}:
                    outcome.failures.append(f"{crowd.kind}: ended as {strange}")
                if part < of_pace:
                    outcome.failures.append(f"{crowd.kind}: only {part:.2f} of its pace")
        processes.wait_until(lambda: totals(site)["open"] == 0, "all connections to be closed", 10.0)
    outcome.after_mib = memory_mib(site)["all"]
    outcome.failures += [fault for run in outcome.calm + outcome.busy for fault in run.faults]
    lost = totals(site) - before
    outcome.failures += [f"{lost[name]} {name}" for name in ("worker_lost", "bad_frames") if lost[name]]
    return outcome


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.slowclients")
    parser.add_argument("--readers", type=int, default=200)
    parser.add_argument("--writers", type=int, default=200)
    parser.add_argument("--mib", type=int, default=20, help="length of each body")
    parser.add_argument("--rate-kib", type=float, default=100, help="KiB a second of each")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each measurement")
    parser.add_argument("--least", type=float, default=0.8, help="throughput beside them, times without")
    options = parser.parse_args()
    processes.become_subreaper()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # through `starting`, which stops the servers
    with starting(settled=False) as start:
        outcome = run(start, options.readers, options.writers, options.mib << 20, options.rate_kib * 1024,
                      options.rounds, options.seconds)
    if outcome.kept < options.least:
        outcome.failures.append(f"the others were served {outcome.kept:.2f} times what they were")
    print(outcome)
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
