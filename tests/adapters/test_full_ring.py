"""News for a worker whose request ring is full: the reactor drops it, the worker must find it out all the same."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

from swhttp import limits
from tests.support.fleet import Start
from tests.support.processes import wait_until, wait_until_stopped
from tests.support.server import Server

APPS = str(Path(__file__).parent / "apps")
HELD = 8
BATCH = 400


def wait_for_reactor(site: Server) -> None:
    """The reactor answers this itself, in its turn: what came before it has been seen."""
    with site.connect() as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")  # no Host
        assert client.response().status == 400


def test_clients_that_go_while_the_ring_is_full_are_missed(server: Start) -> None:
    site = server("waits:app", "--app-dir", APPS, "--workers", "1", "--reactors", "1")
    (worker,) = site.workers()
    held = [site.connect() for _ in range(HELD)]
    for client in held:
        client.send_request("GET", "/hold")
        assert client.raw(4)
    site.kill(signal.SIGSTOP, worker)
    wait_until_stopped(worker)
    # Requests that are taken back leave their descriptors in the ring.
    for _ in range(limits.REQUEST_RING_BYTES // 16 // BATCH + 2):
        with contextlib.ExitStack() as clients:
            for _ in range(BATCH):
                clients.enter_context(site.connect()).send_request("GET", "/")
            wait_for_reactor(site)
        wait_for_reactor(site)
    late = site.connect()
    late.send_request("GET", "/")
    wait_until(lambda: site.counters().reactors[0]["waiting"] == 1, "a request that finds the ring full")
    for client in held:
        client.close()
    late.close()
    wait_for_reactor(site)
    site.kill(signal.SIGCONT, worker)
    wait_until(lambda: int(site.get("/")) == HELD, "every held request to hear that its client is gone")
