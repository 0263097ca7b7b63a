"""The same answers from a server whose rings, tables, pools and arenas are as small as they can be.

Here are a seventh of the conformance cases, bodies of all paths, and many clients at once. `make soak` runs all
conformance cases and all tests of the frameworks over such a server.
"""

from __future__ import annotations

import threading

import pytest

from swhttp.ipc.geometry import Geometry
from tests.conformance.checker import MODES, Case, judge, load_cases, load_deferred, observe
from tests.support import tight
from tests.support.bodies import Check, body
from tests.support.counters import Since, gauge
from tests.support.fleet import Start
from tests.support.quiet import becomes_quiet
from tests.support.server import Server
from tests.support.upload import upload

EVERY = 7
CASES = [case for case in load_cases() if case.id not in load_deferred()][::EVERY]
MIB = 1 << 20


@pytest.fixture(scope="module", params=["wsgi-1", "asgi-2"])
def reference(request: pytest.FixtureRequest, module_server: Start) -> Server:
    """The reference app, with one reactor or two."""
    interface, _, reactors = request.param.partition("-")
    return module_server(f"reference:{interface}", "--workers", "1", "--reactors", reactors, module=tight.__name__)


@pytest.fixture(scope="module", params=["wsgi", "asgi"])
def site(request: pytest.FixtureRequest, module_server: Start) -> Server:
    """The app that sends bodies."""
    return module_server(
        f"paths:{request.param}", "--workers", "2", "--threads", "2", "--reactors", "2", module=tight.__name__)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_case_of_conformance(reference: Server, case: Case) -> None:
    mode = MODES[CASES.index(case) % len(MODES)]
    assert judge(case, observe(case, reference, mode, 1, reference.workers())) == []


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_bodies_of_every_size_arrive_whole(server: Start, interface: str) -> None:
    site = server(f"uploads:{interface}", "--workers", "1", "--reactors", "1", module=tight.__name__)
    with site.connect() as client:
        for size in (0, 1, 100_000, 300_000, 3 * MIB):
            for chunk in (None, 7000):
                assert upload(client, "/upload", size, chunk).json()["total"] == size  # the app checks every byte


@pytest.mark.parametrize("framing", ["length", "none"])
def test_responses_of_every_size_arrive_whole(site: Server, framing: str) -> None:
    with site.connect() as client:
        for size in (0, 1, 1000, 2000, 5000, 70_000, 3 * MIB):
            client.send_request(target=f"/memory?size={size}&piece=50000&framing={framing}")
            assert client.response().body == body(size)


def test_slow_readers_and_quick_ones_each_get_their_own(site: Server) -> None:
    # A slow client of ASGI keeps its place in the request table, and each reactor has two.
    slow = [site.connect(buffer_bytes=4096) for _ in range(3)]
    for client in slow:
        client.send_request(target=f"/memory?size={8 * MIB}&piece=100000")
    with site.connect() as quick:
        for _ in range(20):
            assert quick.get("/memory?size=20000").body == body(20_000)
    for client in slow:
        check = Check()
        for piece in client.pieces(client.head()):
            check.feed(piece)
        assert check.taken == 8 * MIB
    becomes_quiet(site)


def test_many_clients_at_once_wait_for_their_turn(site: Server) -> None:
    """There are 8 rows for connections and 2 places for requests in each reactor."""
    clients = [site.connect() for _ in range(100)]
    for client in clients:
        client.send_request(target="/memory?size=30000")
    whole: list[bool] = []
    threads = [threading.Thread(target=lambda one=client: whole.append(one.response().body == body(30_000)))
               for client in clients]
    # Who has been answered makes room by leaving: each reads in a thread of its own.
    for client, thread in zip(clients, threads, strict=True):
        thread.start()
        thread.join()
        client.close()
    assert whole == [True] * len(clients)
    becomes_quiet(site)


def test_without_a_block_for_its_head_a_request_is_503_and_the_next_one_is_served(server: Start) -> None:
    site = server("reference:wsgi", "--workers", "1", "--reactors", "1", module="tests.support.tight_blocks")
    since, mark = Since(site), site.log.mark()
    with site.connect() as first, site.connect() as second:
        first.send(b"POST /first HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
        gauge(site, "blocks", 1)
        refused = second.get("/second")
        assert (refused.status, refused.body) == (503, b"request-blocks-full")
        first.send(b"12345")
        assert first.response().json()["body"] == "12345"
        assert first.get("/third").status == 200
    since.becomes(blocks_full=1)
    site.wait_for_log("503 reason=request-blocks-full client=", since=mark)


@pytest.mark.parametrize("sizes", [
    {"request_ring_bytes": 64}, {"request_ring_bytes": 192}, {"response_ring_bytes": 64}, {"table_entries": 0},
    {"table_entries": 65536}, {"sessions": 0}, {"block_classes": ()}, {"block_classes": ((1024, 0),)},
    {"block_classes": tuple((1024 * n, 1) for n in range(1, 10))}, {"block_classes": ((1000, 1),)},
    {"block_classes": ((1 << 30, 1 << 12),)}, {"arena_classes": ()}, {"arena_classes": ((4096, 0),)},
    {"arena_classes": ((1000, 1),)}, {"slots": 0}, {"reactors": 65}], ids=str)  # fmt: skip
def test_sizes_that_cannot_work_are_refused(sizes: dict[str, object]) -> None:
    Geometry(**tight.SIZES)
    with pytest.raises(ValueError, match=r"^\S"):
        Geometry(**{**tight.SIZES, **sizes})
