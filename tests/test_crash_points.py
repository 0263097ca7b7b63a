"""A worker is killed between two steps of its dealings with shared memory, whichever: the master lives, the requests of
others all succeed, its own are answered as the design says, and nothing is left of it.

Each case arms one of two workers while a request waits in the other one, and then asks until it is dead.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.apps.bodies import content, report_of
from tests.support import crashing
from tests.support.client import Connection
from tests.support.fleet import Start
from tests.support.server import Server
from tests.support.survivors import Bystander

FILE = Path(__file__)
UPLOAD = bytes(range(256)) * 6000  # a WSGI worker gets it in a file
STREAMED = bytes(range(256)) * 1200  # an ASGI worker in chunks
SMALL_BYTES, BIG_BYTES, HUGE_BYTES = 12_000, 100_000, 8_000_000
ROUNDS = 60
number = itertools.count()

Ask = Callable[[Connection, str], None]


Sites = dict[str, Server]


@pytest.fixture(scope="module")
def sites(module_server: Start, tmp_path_factory: pytest.TempPathFactory) -> Sites:
    """Two workers that can be armed, and one reactor; by interface."""
    environment = crashing.build(tmp_path_factory.mktemp("crashing"))
    return {interface: module_server(f"crashing:{interface}", "--workers", "2", "--reactors", "1", env=environment)
            for interface in ("wsgi", "asgi")}


def pid(client: Connection, more: str = "") -> None:
    answer = client.get(f"/pid?{more}")
    assert (answer.status, list(answer.json())) == (200, ["pid", "length", "sha256"])


def sized(size: int) -> Ask:
    def ask(client: Connection, more: str = "") -> None:
        seed = next(number)
        answer = client.get(f"/big?seed={seed}&size={size}&{more}")
        assert (answer.status, answer.body) == (200, content(seed, size))

    return ask


small, big = sized(SMALL_BYTES), sized(BIG_BYTES)


def file(client: Connection, more: str = "") -> None:
    answer = client.get(f"/file?path={FILE}&{more}")
    assert (answer.status, answer.body) == (200, FILE.read_bytes())


def upload(client: Connection, more: str = "") -> None:
    answer = client.request("GET", f"/upload?{more}", body=UPLOAD)
    assert answer.status == 200
    assert {**answer.json(), "pid": 0} == {**report_of(UPLOAD), "pid": 0}


# point, the nth time, how it is asked, how many requests are tried once more, interfaces
CASES: list[tuple[str, int, Ask, int, tuple[str, ...]]] = [
    ("frame-read", 1, pid, 0, ("wsgi", "asgi")),  # a descriptor
    ("frame-released", 2, pid, 0, ("wsgi",)),
    ("request-found", 1, pid, 0, ("wsgi",)),
    ("request-found", 3, pid, 0, ("asgi",)),
    ("request-taken", 1, pid, 1, ("wsgi", "asgi")),
    ("frame-reserved", 1, pid, 1, ("wsgi", "asgi")),
    ("ring-wrapped", 1, small, 1, ("asgi",)),
    ("frame-written", 1, pid, 1, ("wsgi", "asgi")),
    ("frame-published", 1, pid, 0, ("wsgi", "asgi")),
    ("frame-published", 1, big, 0, ("asgi",)),
    ("frame-published", 1, file, 0, ("wsgi",)),
    ("wake-claimed", 1, pid, 0, ("wsgi", "asgi")),
    ("sleep-announced", 1, pid, 0, ("wsgi", "asgi")),
    ("block-taken", 1, big, 1, ("wsgi", "asgi")),
    ("blocks-fetched", 1, big, 1, ("asgi",)),
    ("file-to-send", 1, file, 1, ("asgi",)),
    ("file-sent", 1, file, 1, ("wsgi", "asgi")),
    ("file-received", 1, upload, 0, ("wsgi",)),
]


def figures(site: Server) -> dict[str, int]:
    reactor: dict[str, Any] = site.counters().reactors[0]
    return {name: int(reactor[name]) for name in ("replayed", "worker_lost", "cut", "bad_frames")}


def armed(site: Server, point: str, nth: int) -> str:
    return f"crash={point}={nth}&once={site.directory}/armed-{next(number)}"


@pytest.mark.parametrize(
    ("interface", "point", "nth", "ask", "replayed"),
    [pytest.param(interface, point, nth, ask, replayed, id=f"{interface}-{point}-{nth}-{ask.__name__}")
     for point, nth, ask, replayed, interfaces in CASES for interface in interfaces])
def test_a_worker_that_is_killed_there_costs_no_request(
    sites: Sites, interface: str, point: str, nth: int, ask: Ask, replayed: int
) -> None:
    site = sites[interface]
    bystander, before = Bystander(site), figures(site)
    clients = [site.connect() for _ in range(4)]
    ask(clients[0], armed(site, point, nth))
    for _ in range(ROUNDS):
        if bystander.victim not in site.workers():
            break
        for client in clients:
            ask(client, "")
    bystander.wait_for_death()
    bystander.end()
    assert figures(site) == {**before, "replayed": before["replayed"] + replayed}


LOST: dict[str, tuple[str, str, int, bytes]] = {
    "taken": ("wsgi", "frame-reserved", 1, b"x"),
    "a credit": ("asgi", "frame-published", 1, STREAMED),
    "a body's file": ("wsgi", "frame-written", 1, UPLOAD),
}


@pytest.mark.parametrize("case", LOST)
def test_what_must_not_run_twice_is_502(sites: Sites, case: str) -> None:
    interface, point, nth, body = LOST[case]
    site = sites[interface]
    bystander, before = Bystander(site), figures(site)
    answer = site.connect().request("POST", f"/upload?{armed(site, point, nth)}", body=body)
    assert answer.status == 502
    bystander.wait_for_death()
    bystander.end()
    assert figures(site) == {**before, "worker_lost": before["worker_lost"] + 1}


@pytest.mark.parametrize(("interface", "point", "nth"), [
    ("asgi", "frame-published", 2), ("wsgi", "frame-written", 2), ("asgi", "ack-wanted", 1), ("wsgi", "ack-wanted", 1),
])
def test_what_was_begun_is_cut(sites: Sites, interface: str, point: str, nth: int) -> None:
    site = sites[interface]
    bystander, before = Bystander(site), figures(site)
    client = site.connect(buffer_bytes=4096)
    client.send_request(target=f"/big?seed=1&size={HUGE_BYTES}&pieces=16&{armed(site, point, nth)}")
    bystander.wait_for_death()
    partial = client.expect_cut().partial.partition(b"\r\n\r\n")[2]
    assert content(1, HUGE_BYTES).startswith(partial)
    bystander.end()
    assert figures(site) == {**before, "cut": before["cut"] + 1}
