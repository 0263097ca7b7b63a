"""Many reloads under load: does anybody notice?

    python -m tests.soak.reloads --reloads 100 --app flask --app starlette [--nginx]

For each app a server with four workers, 64 keep-alive connections of wrk and two careful clients; each reload deploys a
new version. It fails, with exit status 1, on any answer but 2xx, any socket error, any connection that was closed (all
of them are those that were accepted at first; through nginx: nginx's log), a pid that stayed, an old answer after a new
one, and when fds, threads or memory have grown. It also tells p99 with and without reloads; that is judged at the end
of 100, by `--p99-ratio`. `make soak` runs it whole, `tests/test_reload_load.py` for seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from loadtest.wrk import Load
from tests.soak.load import load
from tests.support import processes
from tests.support.client import Connection
from tests.support.fleet import Start, starting
from tests.support.memory import MEBIBYTE, pss_bytes
from tests.support.nginx import NGINX_CONF, Nginx
from tests.support.server import Server

CONNECTIONS = 64
WORKERS = 4
REACTORS = 2  # so that the switch is one of several threads
CAREFUL = 2
GROWN_BYTES = 16 * MEBIBYTE
RELOAD_WAIT_S = 60.0
APPS = {
    "flask": """
from flask import Flask
app = Flask(__name__)

@app.get("/")
def index():
    return "VERSION"
""",
    "starlette": """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

async def index(request):
    return PlainTextResponse("VERSION")

app = Starlette(routes=[Route("/", index)])
""",
}


@dataclass
class Outcome:
    """What came of one run; `failures` is empty when nobody has noticed."""

    app: str
    through: str
    reloads: int = 0
    seconds: float = 0.0
    calm: Load | None = None
    busy: Load | None = None
    careful_answers: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def p99_ratio(self) -> float:
        """p99 with reloads over p99 without."""
        assert self.busy is not None
        assert self.calm is not None
        return self.busy.p99_us / self.calm.p99_us

    def __str__(self) -> str:
        assert self.busy is not None
        assert self.calm is not None
        text = (f"{self.app}, {self.through}: {self.reloads} reloads in {self.seconds:.0f} s; {self.busy.requests} "
                f"requests ({self.busy.per_second:.0f}/s; without {self.calm.per_second:.0f}/s); p99 "
                f"{self.busy.p99_us / 1000:.1f} ms, without {self.calm.p99_us / 1000:.1f} ms: {self.p99_ratio:.2f}; "
                f"{self.careful_answers} careful answers")
        return "\n".join([text, *(f"  FAILED: {failure}" for failure in self.failures)])


class Careful:
    """Clients that each ask, look at the version of the answer, and ask again on the same connection."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self.newest = 0
        self.answers = 0
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(CAREFUL)]

    def _ask(self) -> None:
        try:
            with Connection(self._address) as client:
                while not self._stop.is_set():
                    known = self.newest
                    answer = client.request("GET", "/", host="localhost")
                    assert answer.status == 200, answer
                    version = int(answer.body)
                    assert version >= known, f"version {version} after {known} had been seen"
                    self.newest = max(self.newest, version)
                    self.answers += 1
                    if not answer.keeps_open:  # nginx ends a connection after 1,000 requests, and says so
                        client.close()
                        client = Connection(self._address)
        except BaseException as error:
            self.failures.append(f"a careful client: {type(error).__name__}: {error}")

    def __enter__(self) -> Careful:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def _deploy(directory: str, app: str, version: int) -> None:
    passing = Path(directory, "passing")
    passing.write_text(APPS[app].replace("VERSION", str(version)))
    os.replace(passing, Path(directory, "released.py"))


def _figures(site: Server) -> dict[str, int]:
    """What must not grow: fds and threads of master and manager."""
    figures = {}
    for name, pid in (("master", site.pid), ("manager", site.manager())):
        figures[f"{name} fds"] = len(processes.fds_of(pid))
        figures[f"{name} threads"] = len(os.listdir(f"/proc/{pid}/task"))
    return figures


def _accepted(site: Server) -> int:
    return int(sum(reactor["accepted"] for reactor in site.counters().reactors))


@contextlib.contextmanager
def _served(start: Start, directory: str, nginx: bool) -> Iterator[tuple[Server, tuple[str, int]]]:
    """The server, and where it is to be asked."""
    options = ("--app-dir", directory, "--workers", str(WORKERS), "--reactors", str(REACTORS))
    if not nginx:
        site = start("released:app", *options)
        yield site, site.tcp_addresses()[0]
        return
    site = start("released:app", *options, "--keep-alive", "75", binds=("unix:{dir}/http.sock",))
    front = Nginx(NGINX_CONF, {"unix:/run/swhttp/http.sock": site.addresses[0], "example.org": "localhost"})
    try:
        yield site, front.address
    finally:
        front.stop()


def _reload(site: Server) -> None:
    """One reload, and the end of the old workers."""
    before = set(site.workers())
    mark = site.log.mark()
    site.kill(signal.SIGUSR1)
    site.wait_for_log(r"Reloaded in", RELOAD_WAIT_S, since=mark)
    site.wait_for_log(r"Worker left", RELOAD_WAIT_S, since=mark, count=WORKERS)
    after = set(site.workers())
    if len(after) != WORKERS or after & before:
        raise AssertionError(f"workers {sorted(before)} became {sorted(after)}")


def run(start: Start, app: str, reloads: int, nginx: bool = False, calm_s: float = 5.0) -> Outcome:
    """Start a server with `app`, reload it so often under load, and see what anybody noticed."""
    outcome = Outcome(app, "nginx" if nginx else "direct", reloads)
    with tempfile.TemporaryDirectory(prefix="rel-") as directory:
        _deploy(directory, app, 0)
        with _served(start, directory, nginx) as (site, address):
            with load(address[1], CONNECTIONS) as calm, Careful(address):
                time.sleep(calm_s)  # the figure to compare with
            outcome.calm = calm.seen
            _reload(site)  # each slot has had a worker from now on
            settled, memory = _figures(site), pss_bytes(site.pid) + pss_bytes(site.manager())
            accepted = _accepted(site)
            began = time.monotonic()
            try:
                with load(address[1], CONNECTIONS) as busy, Careful(address) as careful:
                    for version in range(1, reloads + 1):
                        _deploy(directory, app, version)
                        _reload(site)
                        processes.wait_until(
                            lambda version=version: careful.newest == version or careful.failures,  # type: ignore[misc]
                            "the new version to be seen")
                    # One more: wrk tries the address first.
                    if not nginx and _accepted(site) != accepted + CONNECTIONS + CAREFUL + 1:
                        outcome.failures.append(
                            f"{_accepted(site) - accepted} connections were made by {CONNECTIONS + CAREFUL} clients")
            except AssertionError as error:
                outcome.failures.append(str(error))
            outcome.seconds = time.monotonic() - began
            outcome.busy = busy.load or outcome.calm
            outcome.careful_answers = careful.answers
            outcome.failures += [*careful.failures, *outcome.busy.faults]
            processes.wait_until(
                lambda: sum(reactor["open"] for reactor in site.counters().reactors) == 0 or nginx, "all to leave")
            grown = pss_bytes(site.pid) + pss_bytes(site.manager()) - memory
            if grown > GROWN_BYTES:
                outcome.failures.append(f"master and manager have grown by {grown / MEBIBYTE:.1f} MiB")
            if not nginx and _figures(site) != settled:
                outcome.failures.append(f"{settled} became {_figures(site)}")
    return outcome


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.reloads")
    parser.add_argument("--reloads", type=int, default=100)
    parser.add_argument("--app", action="append", choices=sorted(APPS), help="repeatable; default: all")
    parser.add_argument("--nginx", action="store_true", help="through nginx as well")
    parser.add_argument("--p99-ratio", type=float, default=3.0, help="how much longer p99 may be with reloads")
    options = parser.parse_args()
    processes.become_subreaper()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # through `starting`, which stops the servers
    failed = False
    with starting(settled=False) as start:
        for app in options.app or sorted(APPS):
            for nginx in (False, True) if options.nginx else (False,):
                outcome = run(start, app, options.reloads, nginx)
                if outcome.p99_ratio > options.p99_ratio:
                    outcome.failures.append(f"p99 is {outcome.p99_ratio:.2f} times as long with reloads")
                print(outcome, flush=True)
                failed = failed or bool(outcome.failures)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
