"""An upload and a download at a throttled client's pace, while others are served: how much memory does it take?

    python -m tests.soak.flow --mib 1024 --rate-mib 1 --interface wsgi --interface asgi

For each interface one server with one worker (WSGI: one thread) uploads and downloads at the same time, each `--mib`
long and at `--rate-mib` a second (0: unthrottled); meanwhile another client asks for small answers. Every byte is
compared. It fails, with exit status 1, when a process was ever more than 32 MiB above its idle figure, or when the
others were not served all the while. `tests/test_memory_bounds.py` runs it for seconds, `make soak` for 17 minutes.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.support import processes
from tests.support.bodies import Check, pieces
from tests.support.client import Connection, request_bytes
from tests.support.fleet import Start, starting
from tests.support.memory import MEBIBYTE, Growth
from tests.support.pace import Pace
from tests.support.server import Server

LIMIT_BYTES = 32 * MEBIBYTE
PIECE_BYTES = 64 * 1024
WAIT_S = 60.0  # for one piece
OTHERS_INTERVAL_S = 0.1
# Longer than a small answer may take while a worker hands over a large one: bounds a wait, is no claim about speed.
OTHERS_WAIT_S = 30.0
OPTIONS = ("--workers", "1", "--reactors", "1", "--limit-request-body", "0")


@dataclass
class Flow:
    """What came of one run. grown: MiB above the idle figure, at most, by process; others: answers to other clients."""

    interface: str
    seconds: float = 0.0
    grown: dict[str, float] = field(default_factory=dict)
    others: int = 0
    slowest_other_s: float = 0.0
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        grown = ", ".join(f"{name} {most:.1f}" for name, most in self.grown.items())
        text = (f"{self.interface}: {self.seconds:.0f} s; MiB above idle: {grown}; {self.others} other answers, the "
                f"slowest after {self.slowest_other_s:.2f} s")
        return "\n".join([text, *(f"  FAILED: {failure}" for failure in self.failures)])


def download(site: Server, size: int, rate_bytes_s: float) -> None:
    """A streamed response of unknown length, at a pace, compared."""
    check, pace = Check(), Pace(rate_bytes_s)
    with Connection(site.tcp_addresses()[0]) as client:
        client.send_request(target=f"/memory?size={size}&piece={PIECE_BYTES}&framing=none")
        response = client.head()
        assert response.status == 200, response
        for piece in client.pieces(response, WAIT_S):
            check.feed(piece)
            pace.take(len(piece))
    assert check.taken == size, f"{check.taken} bytes of {size}"


def upload(site: Server, size: int, rate_bytes_s: float) -> None:
    """A body by length, at a pace, compared by the app."""
    pace = Pace(rate_bytes_s)
    with Connection(site.tcp_addresses()[0]) as client:
        client.send(request_bytes("POST", "/upload", [("Content-Length", str(size))]))
        client.socket.settimeout(WAIT_S)
        for piece in pieces(size, PIECE_BYTES):
            client.send(piece)
            pace.take(len(piece))
        report = client.response(timeout_s=WAIT_S).json()
    assert report["total"] == size, report


def run(start: Start, interface: str, size: int, rate_bytes_s: float,
        ways: tuple[Callable[[Server, int, float], None], ...] = (download, upload)) -> Flow:
    """Start a server, let `ways` go on at once beside small requests, and see what it took."""
    site = start(f"flow:{interface}", *OPTIONS)
    flow = Flow(interface)
    site.get("/")
    threads = [
        threading.Thread(target=_noting, args=(flow, way, site, size, rate_bytes_s), daemon=True) for way in ways
    ]
    begun = time.monotonic()
    with Growth(site) as growth:
        for thread in threads:
            thread.start()
        while going := [thread for thread in threads if thread.is_alive()]:
            asked = time.monotonic()
            with Connection(site.tcp_addresses()[0]) as other:
                other.send_request()
                if other.response(timeout_s=OTHERS_WAIT_S).status != 200:
                    flow.failures.append("another client was not served")
            if any(thread.is_alive() for thread in threads):
                flow.others += 1
                flow.slowest_other_s = max(flow.slowest_other_s, time.monotonic() - asked)
            going[0].join(OTHERS_INTERVAL_S)
        for thread in threads:
            thread.join()
    flow.seconds = time.monotonic() - begun
    flow.grown = {name: most / MEBIBYTE for name, most in growth.most_bytes.items()}
    if rate_bytes_s and flow.others < 3:
        flow.failures.append(f"only {flow.others} other answers while it went on")
    try:
        growth.within(LIMIT_BYTES)
    except AssertionError as error:
        flow.failures.append(str(error))
    return flow


def _noting(flow: Flow, way: Callable[[Server, int, float], None], site: Server, size: int, rate: float) -> None:
    try:
        way(site, size, rate)
    except BaseException as error:  # handed to the run's report
        flow.failures.append(f"{way.__name__}: {type(error).__name__}: {error}")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.flow")
    parser.add_argument("--mib", type=int, default=1024, help="length of each body")
    parser.add_argument("--rate-mib", type=float, default=1.0, help="MiB a second, 0: as fast as it goes")
    parser.add_argument("--interface", action="append", choices=["asgi", "wsgi"], help="repeatable; default: both")
    options = parser.parse_args()
    processes.become_subreaper()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # through `starting`, which stops the servers
    failed = False
    with starting() as start:
        flows: list[Flow] = []
        threads = [
            threading.Thread(daemon=True, target=lambda name=name: flows.append(
                run(start, name, options.mib * MEBIBYTE, options.rate_mib * MEBIBYTE)))
            for name in options.interface or ["asgi", "wsgi"]
        ]  # fmt: skip
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for flow in flows:
        print(flow)
        failed = failed or bool(flow.failures)
    return 1 if failed or len(flows) < len(threads) else 0


if __name__ == "__main__":
    sys.exit(main())
