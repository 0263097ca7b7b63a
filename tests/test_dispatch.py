"""Which worker gets a request: the five modes, capacity, the queue, revocation from a stuck worker."""

from __future__ import annotations

import signal
from collections import Counter

import pytest

from tests.support.client import Connection, request_bytes
from tests.support.fleet import Start
from tests.support.processes import wait_until, wait_until_stopped
from tests.support.server import Server

MODES = ["least", "round-robin", "fixed", "ip", "idle"]
WORKERS = 3


def pid_of(client: Connection) -> int:
    """Pid of the worker that answers a request on this connection."""
    pid = client.get("/").json()["pid"]
    assert isinstance(pid, int)
    return pid


@pytest.fixture(scope="module")
def sites(module_server: Start) -> dict[str, Server]:
    """One server per mode, with three single-threaded WSGI workers and one reactor."""
    return {
        mode: module_server(
            "reference:wsgi", "--dispatch", mode, "--workers", str(WORKERS), "--reactors", "1"
        )
        for mode in MODES
    }


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_serves_many_connections(sites: dict[str, Server], mode: str) -> None:
    site = sites[mode]
    clients = [site.connect() for _ in range(40)]
    for client in clients:
        client.send(b"".join(request_bytes(target=f"/{number}") for number in range(5)))
    for client in clients:
        for number in range(5):
            assert client.response().json()["target"] == f"/{number}"


def test_round_robin_visits_all_workers_in_turn(sites: dict[str, Server]) -> None:
    site = sites["round-robin"]
    with site.connect() as client:
        pids = [pid_of(client) for _ in range(WORKERS * 5)]
    turn = pids[:WORKERS]
    assert sorted(turn) == sorted(site.workers())
    assert pids == turn * 5


def test_fixed_keeps_a_connection_with_one_worker_and_spreads_connections(sites: dict[str, Server]) -> None:
    site = sites["fixed"]
    chosen = Counter[int]()
    for _ in range(30):
        with site.connect() as client:
            pids = {pid_of(client) for _ in range(6)}
            assert len(pids) == 1
            chosen.update(pids)
    assert set(chosen) == set(site.workers())


def test_fixed_holds_for_connections_that_are_open_together(sites: dict[str, Server]) -> None:
    site = sites["fixed"]
    clients = [site.connect() for _ in range(12)]
    first = [pid_of(client) for client in clients]
    for _ in range(4):
        assert [pid_of(client) for client in clients] == first


def test_ip_keeps_an_address_with_one_worker_and_spreads_addresses(sites: dict[str, Server]) -> None:
    site = sites["ip"]
    chosen = Counter[int]()
    for last in range(2, 34):
        pids = set()
        for _ in range(3):
            with site.connect(source=f"127.0.0.{last}") as client:
                pids.add(pid_of(client))
        assert len(pids) == 1
        chosen.update(pids)
    assert set(chosen) == set(site.workers())


@pytest.mark.parametrize("mode", ["least", "idle"])
def test_least_and_idle_avoid_workers_that_are_busy(sites: dict[str, Server], mode: str) -> None:
    site = sites[mode]
    with site.gate() as gate, site.connect() as first, site.connect() as second, site.connect() as client:
        busy = []
        for blocked in (first, second):
            blocked.send_request(target=gate.target)
            busy.append(gate.entered())
        assert len({visitor.pid for visitor in busy}) == 2
        free = set(site.workers()) - {visitor.pid for visitor in busy}
        assert {pid_of(client) for _ in range(20)} == free
        for visitor in busy:
            visitor.release()
        assert first.response().status == second.response().status == 200


def test_idle_leaves_requests_in_the_queue_until_a_worker_is_idle(sites: dict[str, Server]) -> None:
    site = sites["idle"]
    with site.gate() as gate:
        blocked = [site.connect() for _ in range(WORKERS)]
        busy = []
        for client in blocked:
            client.send_request(target=gate.target)
            busy.append(gate.entered())
        assert {visitor.pid for visitor in busy} == set(site.workers())
        waiting = [site.connect() for _ in range(8)]
        for client in waiting:
            client.send_request()
        wait_until(lambda: site.counters().reactors[0]["waiting"] == len(waiting), "the requests to queue")
        busy[1].release()
        assert {client.response().json()["pid"] for client in waiting} == {busy[1].pid}
        busy[0].release()
        busy[2].release()
        for client in blocked:
            assert client.response().status == 200


@pytest.mark.parametrize("reactors", ["1", "2"])
@pytest.mark.parametrize("mode", ["least", "round-robin"])
def test_requests_prefetched_by_a_stuck_worker_are_answered_by_the_other(
    server: Start, mode: str, reactors: str
) -> None:
    site = server("reference:wsgi", "--workers", "2", "--reactors", reactors, "--dispatch", mode)
    # Many short requests teach the server that this app is fast, so that it prefetches.
    warm = [site.connect() for _ in range(16)]
    for client in warm:
        client.send(request_bytes() * 100)
    for client in warm:
        for _ in range(100):
            assert client.response().status == 200
    with site.gate() as gate, site.connect() as stuck, site.connect() as other:
        stuck.send_request(target=gate.target)
        kept = gate.entered()
        other.send_request(target=gate.target)
        freed = gate.entered()
        assert kept.pid != freed.pid
        # Both are occupied: these are prefetched by both of them or wait in the queue.
        clients = [site.connect() for _ in range(30)]
        for client in clients:
            client.send_request()
        freed.release()
        assert {client.response().json()["pid"] for client in clients} == {freed.pid}
        kept.release()
        assert stuck.response().json()["pid"] == kept.pid
        assert other.response().json()["pid"] == freed.pid


def test_a_stuck_worker_is_avoided_by_requests_that_come_later(server: Start) -> None:
    site = server("reference:wsgi", "--workers", "2", "--reactors", "1", "--dispatch", "round-robin")
    with site.gate() as gate, site.connect() as stuck:
        stuck.send_request(target=gate.target)
        visitor = gate.entered()
        for _ in range(20):
            assert site.get("/")["pid"] != visitor.pid
        visitor.release()
        assert stuck.response().status == 200


def test_a_worker_that_never_wakes_loses_even_its_only_request(server: Start) -> None:
    site = server("reference:wsgi", "--workers", "2", "--reactors", "1", "--dispatch", "round-robin")
    frozen, other = site.workers()
    site.kill(signal.SIGSTOP, frozen)
    wait_until_stopped(frozen)
    with site.connect() as client:
        assert {pid_of(client) for _ in range(4)} == {other}
        assert site.counters().reactors[0]["revoked"] > 0
        site.kill(signal.SIGCONT, frozen)
        # It passes over what it has lost and serves again.
        wait_until(lambda: pid_of(client) == frozen, "the worker to serve again")


def test_threads_of_a_wsgi_worker_run_at_once(server: Start) -> None:
    site = server("reference:wsgi", "--workers", "1", "--reactors", "1", "--threads", "8")
    with site.gate() as gate:
        clients = [site.connect() for _ in range(8)]
        for client in clients:
            client.send_request(target=gate.target)
        visitors = [gate.entered() for _ in clients]
        for visitor in visitors:
            visitor.release()
        for client in clients:
            assert client.response().status == 200


def test_a_free_thread_takes_what_was_prefetched_behind_a_blocked_one(server: Start) -> None:
    site = server("reference:wsgi", "--workers", "1", "--reactors", "1", "--threads", "2")
    with site.gate() as gate, site.connect() as stuck:
        stuck.send_request(target=gate.target)
        visitor = gate.entered()
        clients = [site.connect() for _ in range(10)]
        for client in clients:
            client.send_request()
        for client in clients:
            assert client.response().status == 200
        visitor.release()
        assert stuck.response().status == 200


def test_an_asgi_worker_runs_many_requests_at_once(server: Start) -> None:
    site = server("reference:asgi", "--workers", "1", "--reactors", "1")
    with site.gate() as gate:
        clients = [site.connect() for _ in range(100)]
        for client in clients:
            client.send_request(target=gate.target)
        visitors = [gate.entered() for _ in clients]
        assert site.get("/meanwhile")["target"] == "/meanwhile"
        for visitor in visitors:
            visitor.release()
        for client in clients:
            assert client.response().status == 200


def test_both_reactors_take_connections(server: Start) -> None:
    site = server("reference:asgi", "--workers", "1", "--reactors", "2")
    clients = [site.connect() for _ in range(40)]
    for client in clients:
        assert client.get("/").status == 200
    # Handed to the reactor with the fewest connections: neither has nearly all of them.
    assert all(reactor["open"] >= 10 for reactor in site.counters().reactors)


@pytest.mark.parametrize("mode", ["ip", "fixed", "least"])
def test_what_waited_while_no_worker_was_up_is_served_in_its_order(server: Start, mode: str) -> None:
    site = server("reference:wsgi", "--workers", "1", "--reactors", "1", "--dispatch", mode)
    site.kill(signal.SIGSTOP, site.manager())  # or another would be there at once
    site.kill(signal.SIGKILL, site.workers()[0])
    clients = [site.connect() for _ in range(8)]
    for number, client in enumerate(clients, 1):
        client.send_request(target=f"/{number}")
        wait_until(lambda number=number: site.counters().reactors[0]["requests"] == number, "it to arrive")
    site.kill(signal.SIGCONT, site.manager())
    assert [client.response().status for client in clients] == [200] * 8
    assert site.seen() == [f"/{number}" for number in range(1, 9)]
