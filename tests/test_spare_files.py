"""Temporary files that have served a slow client: kept, empty, for the next."""

from __future__ import annotations

from swhttp import limits
from tests.support import processes
from tests.support.bodies import Check
from tests.support.counters import Since, gauge
from tests.support.downloads import SMALL_BUFFER, memory, resume, stall
from tests.support.fleet import Start

MEBIBYTE = 1 << 20


def test_a_file_that_has_served_a_slow_client_serves_the_next_one(server: Start) -> None:
    site = server("paths:asgi", "--workers", "1", "--reactors", "1")
    seen: set[str] = set()
    for size, piece in ((10 * MEBIBYTE, 65_536), (5 * MEBIBYTE, 50_000), (10 * MEBIBYTE, 70_000)):
        with site.connect(buffer_bytes=SMALL_BUFFER) as client:
            since, check = Since(site), Check()
            pieces = stall(client, memory(size, piece=piece), check)
            since.passes("moved_bytes")
            seen.update(processes.nameless_files(site.pid).values())
            resume(pieces, check, size)
        gauge(site, "files")
    assert len(seen) == 1
    assert seen == set(processes.nameless_files(site.pid, empty=True).values())


def test_of_files_that_have_served_slow_clients_some_are_kept(server: Start) -> None:
    site = server("paths:asgi", "--workers", "1", "--reactors", "1")
    clients = [site.connect(buffer_bytes=SMALL_BUFFER) for _ in range(limits.SPARE_FILES + 4)]
    _stalled = [stall(client, memory(4 * MEBIBYTE), Check()) for client in clients]
    processes.wait_until(lambda: len(processes.nameless_files(site.pid)) >= len(clients), "each client to have a file")
    for client in clients:
        client.reset()
    gauge(site, "files")
    assert len(processes.nameless_files(site.pid)) == limits.SPARE_FILES
