"""Thousands of clients that move a byte a second: does anybody else notice, are they cut, is their memory given back?

    python -m tests.soak.slowloris --clients 5000 --rounds 3 --seconds 20 --interface wsgi --interface asgi

For each interface one server with two workers. A third of the clients never ends its head, a third its body, a third
takes an answer a byte at a time; who is cut comes again. 32 ordinary clients (wrk) are measured without them and beside
them, in turns. It fails, with exit status 1, when one of the slow ones was not cut at its deadline or not for it, when
an ordinary request failed, when p99 beside them was more than `--p99-ratio` times what it was without, and when the
processes have not given back their memory to within a tenth of what they had after ordinary requests: by themselves,
or, when they are within a fifth by themselves, after as many ordinary requests as before. The apps are sites in Flask
and Starlette; with `--app raw` there is no framework. `tests/test_slow_crowds.py` runs it for seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from loadtest.wrk import Load
from tests.soak.crowd import Crowd, Seen
from tests.soak.load import load
from tests.support import processes
from tests.support.counters import Since, totals
from tests.support.downloads import SMALL_BUFFER, begin
from tests.support.fleet import Start, starting
from tests.support.memory import MEBIBYTE, all_pss_bytes
from tests.support.server import Server

CONNECTIONS = 32
BODY_BYTES = 60_000
ANSWER_BYTES = 1 << 20
KINDS: dict[str, dict[str, Any]] = {
    "head": {},
    "body": {"size": BODY_BYTES, "target": "/upload"},
    "read": {"size": ANSWER_BYTES, "target": f"/large?size={ANSWER_BYTES}"},
}
# Of each kind: what it is told when it is cut. An answer that was begun can only be cut.
TOLD = {"head": {"408"}, "body": {"408"}, "read": {"reset"}}
TICKS_S = 0.2  # deadlines strike up to two ticks late
GROWN = 1.1
GROWN_IDLE = 1.2  # what an app keeps it may have made last beside the crowd, where that lay, and makes anew in use
APPS = {
    "framework": {"wsgi": "crowded_flask:app", "asgi": "crowded_starlette:app"},
    "raw": {"wsgi": "crowded:wsgi", "asgi": "crowded:asgi"},
}
WARM = 5000  # requests, before memory is first looked at
ORDINARY = 64  # downloads and uploads, before memory is first looked at
AT_ONCE = 16
GIVEN_BACK_S = 10.0  # memory that is free goes back when there is nothing else to do


@dataclass
class Outcome:
    """What came of one run; `failures` is empty when all was well."""

    interface: str
    clients: int
    calm: list[Load] = field(default_factory=list)
    busy: list[Load] = field(default_factory=list)
    seen: dict[str, list[Seen]] = field(default_factory=dict)
    before_mib: dict[str, float] = field(default_factory=dict)
    most_mib: float = 0.0
    idle_mib: dict[str, float] = field(default_factory=dict)  # when the crowd has gone and nothing else has come
    after_mib: dict[str, float] = field(default_factory=dict)  # the same, or when ordinary requests have come again
    failures: list[str] = field(default_factory=list)

    @property
    def p99_ratio(self) -> float:
        """p99 beside the slow ones over p99 without."""
        return median(run.p99_us for run in self.busy) / median(run.p99_us for run in self.calm)

    def __str__(self) -> str:
        cut = {kind: sum(seen.ended.total() for seen in rounds) for kind, rounds in self.seen.items()}
        lives = ", ".join(
            f"{kind} {cut[kind]} after {min(seen.shortest_s for seen in rounds):.1f} to "
            f"{max(seen.longest_s for seen in rounds):.1f} s" for kind, rounds in self.seen.items() if cut[kind])
        text = (f"{self.interface}, {self.clients} slow clients: p99 {figures(self.busy, 'p99_us', 1e3)} ms, without "
                f"{figures(self.calm, 'p99_us', 1e3)} ms, ratio {self.p99_ratio:.2f}; requests a second "
                f"{figures(self.busy, 'per_second', 1)}, without {figures(self.calm, 'per_second', 1)}; cut: {lives}; "
                f"MiB at most {self.most_mib:.1f}, before, idle after and after: " + ", ".join(
                    f"{kind} {before:.1f}, {self.idle_mib.get(kind, 0.0):.1f}, {self.after_mib.get(kind, 0.0):.1f}"
                    for kind, before in self.before_mib.items()))
        return "\n".join([text, *(f"  FAILED: {failure}" for failure in self.failures)])


def figures(runs: list[Load], name: str, unit: float) -> str:
    """One figure of all runs."""
    return " / ".join(f"{getattr(run, name) / unit:.1f}" for run in runs)


def memory_mib(site: Server) -> dict[str, float]:
    """Of each kind of process of the server, and of all."""
    found: dict[str, float] = {}
    for name, taken in all_pss_bytes(site).items():
        kind = name.split()[0]
        found[kind] = found.get(kind, 0.0) + taken / MEBIBYTE
    return found | {"all": sum(found.values())}


def given_back(site: Server, most_mib: float) -> dict[str, float]:
    """Wait until the memory is back, or it is too late; what it is then."""
    with contextlib.suppress(AssertionError):
        processes.wait_until(lambda: memory_mib(site)["all"] <= most_mib, "the memory to be back", GIVEN_BACK_S)
    return memory_mib(site)


def ordinary(site: Server) -> None:
    """Downloads and uploads of clients that are not slow, and of some that leave in the middle: an app keeps what it
    makes when it first meets that, wherever it lies."""
    def both(_: int) -> None:
        with site.connect() as client:
            assert len(client.request("GET", KINDS["read"]["target"]).body) == ANSWER_BYTES
            client.request("POST", KINDS["body"]["target"], body=bytes(BODY_BYTES))

    def half(_: int) -> None:
        with site.connect(buffer_bytes=SMALL_BUFFER) as client:
            begin(client, f"/large?size={16 * ANSWER_BYTES}")  # more than the kernel takes
            client.reset()

    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(both, range(ORDINARY)))
        list(threads.map(half, range(ORDINARY)))


def _judge(outcome: Outcome, kind: str, seen: Seen, deadline_s: float, patience_s: float) -> None:
    """All were cut for the right reason, not before their deadline, and not long after it."""
    strange = {what: count for what, count in seen.ended.items() if what not in TOLD[kind]}
    if strange or not seen.ended:
        outcome.failures.append(f"{kind}: ended as {dict(seen.ended)}")
    elif seen.shortest_s < deadline_s - TICKS_S or seen.longest_s > deadline_s + patience_s:
        outcome.failures.append(f"{kind}: cut after {seen.shortest_s:.2f} to {seen.longest_s:.2f} s")


def run(start: Start, interface: str, clients: int, rounds: int, seconds: float, deadlines_s: dict[str, float],
        patience_s: float = 3.0, kept_mib: float = 0.0, app: str = "raw") -> Outcome:
    """Start a server, and let the crowd come and go `rounds` times. `patience_s`: how late a cut may be heard of;
    `kept_mib`: what may stay of their memory for the first time, beside the tenth; `app`: of APPS."""
    outcome = Outcome(interface, clients)
    options = ("--workers", "2", "--reactors", "1", "--head-timeout", str(deadlines_s["head"]),
               "--body-timeout", str(deadlines_s["body"]), "--write-timeout", str(deadlines_s["read"]))
    site = start(APPS[app][interface], *options)
    address = site.tcp_addresses()[0]
    with load(address[1], CONNECTIONS):
        ordinary(site)
        Since(site).passes("requests", WARM)
    outcome.before_mib = memory_mib(site)  # what ordinary clients need is had
    before = totals(site)
    for _ in range(rounds):
        with load(address[1], CONNECTIONS) as calm:
            time.sleep(seconds)
        outcome.calm.append(calm.seen)
        with contextlib.ExitStack() as stack:
            crowds = [stack.enter_context(Crowd(address, kind, clients // 3, ramp_s=deadlines_s[kind], **KINDS[kind]))
                      for kind in KINDS]
            for crowd in crowds:
                crowd.wait_full()
            with load(address[1], CONNECTIONS) as busy:
                time.sleep(seconds)
            outcome.busy.append(busy.seen)
            for crowd in crowds:  # the shortest deadline may not be over yet
                crowd.wait_ended(1 if clients > 1000 else crowd.count, deadlines_s[crowd.kind] + patience_s)
            outcome.most_mib = max(outcome.most_mib, memory_mib(site)["all"])
            for crowd in crowds:
                outcome.seen.setdefault(crowd.kind, []).append(seen := crowd.leave())
                _judge(outcome, crowd.kind, seen, deadlines_s[crowd.kind], patience_s)
        processes.wait_until(lambda: totals(site)["open"] == 0, "all connections to be closed", 10.0)
    before_mib = outcome.before_mib["all"]
    outcome.idle_mib = given_back(site, most_mib := before_mib * GROWN + kept_mib)
    outcome.after_mib = outcome.idle_mib
    if most_mib < outcome.idle_mib["all"] <= before_mib * GROWN_IDLE + kept_mib:
        with load(address[1], CONNECTIONS):
            Since(site).passes("requests", WARM)
        outcome.after_mib = given_back(site, most_mib)
    if outcome.after_mib["all"] > most_mib:
        outcome.failures.append(f"{outcome.after_mib['all'] - before_mib:.1f} MiB have not been given back")
    faults = [fault for run in outcome.calm + outcome.busy for fault in run.faults]
    lost = totals(site) - before
    faults += [f"{lost[name]} {name}" for name in ("worker_lost", "bad_frames") if lost[name]]
    outcome.failures += faults
    return outcome


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.slowloris")
    parser.add_argument("--clients", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument("--interface", action="append", choices=["asgi", "wsgi"], help="repeatable; default: both")
    parser.add_argument("--app", choices=APPS, default="framework", help="default: framework")
    parser.add_argument("--p99-ratio", type=float, default=2.0, help="what p99 may be beside them, times without")
    parser.add_argument("--deadlines", default="10,15,15", metavar="S,S,S", help="for a head, a body, and what is sent")
    options = parser.parse_args()
    deadlines_s = dict(zip(KINDS, map(float, options.deadlines.split(",")), strict=True))
    processes.become_subreaper()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # through `starting`, which stops the servers
    failed = False
    for interface in options.interface or ["wsgi", "asgi"]:
        with starting(settled=False) as start:
            outcome = run(start, interface, options.clients, options.rounds, options.seconds, deadlines_s,
                          app=options.app)
        if outcome.p99_ratio > options.p99_ratio:
            outcome.failures.append(f"p99 is {outcome.p99_ratio:.2f} times what it is without them")
        print(outcome, flush=True)
        failed = failed or bool(outcome.failures)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
