"""What a worker had begun when it died: tried once more where that does no harm, never a third time, and named."""

from __future__ import annotations

import re
import signal
from urllib.parse import quote

import pytest

from tests.apps.bodies import content, report_of
from tests.support.client import Response
from tests.support.counters import Since, totals
from tests.support.fleet import Start
from tests.support.gate import Gate
from tests.support.processes import wait_until
from tests.support.server import Server

KIBIBYTE = 1 << 10
MEBIBYTE = 1 << 20
ONE = ("--workers", "1", "--reactors", "1")


@pytest.fixture(scope="module")
def asgi(module_server: Start) -> Server:
    """One worker that serves ASGI."""
    return module_server("lost:asgi", *ONE)


@pytest.fixture(scope="module")
def wsgi(module_server: Start) -> Server:
    """One worker that serves WSGI."""
    return module_server("lost:wsgi", *ONE, "--threads", "4")


def upload(gate: Gate, at: int = 1) -> str:
    """A target that waits at the gate once so much of its body has been read, even when it has none as ASGI."""
    return f"/upload?gate={quote(gate.path)}&at={at}"


def die_at(site: Server, gate: Gate) -> int:
    """Let a worker die on the request that has come to the gate; its pid."""
    victim = gate.entered()
    site.kill(signal.SIGKILL, victim.pid)
    victim.left()
    return victim.pid


def was_on(site: Server, pid: int) -> str:
    """What the log says of what a dead worker was on."""
    (match,) = site.wait_for_log(rf"\[WARNING\] Worker was on: slot \d+, pid {pid}: (.*)")
    return match[1]


def seen(site: Server, method: str, path: str) -> int:
    """How often the app has begun such a request."""
    return site.seen_requests().count((method, path))


# ---- once more


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE"])
def test_a_safe_request_is_tried_once_more(server: Start, method: str) -> None:
    site = server(f"reference:{'wsgi' if method in ('GET', 'TRACE') else 'asgi'}", *ONE)
    with site.gate() as gate, site.connect() as client:
        client.send_request(method, gate.target)
        victim = die_at(site, gate)
        successor = gate.entered()
        assert successor.pid != victim
        successor.release()
        answer = client.response(method)
        assert (answer.status, answer.keeps_open) == (200, True)
        assert method == "HEAD" or answer.json()["pid"] == successor.pid
        assert client.get("/next").status == 200
        assert re.fullmatch(rf"{method} /hold\?gate=\S+ \(127\.0\.0\.1:\d+\)", was_on(site, victim))
    assert totals(site)["replayed"] == 1
    assert seen(site, method, gate.target) == 2


def test_other_methods_are_502_and_begun_once(wsgi: Server) -> None:
    methods = ["POST", "PUT", "PATCH", "DELETE"]
    since, before = Since(wsgi), len(wsgi.seen())
    with wsgi.gate() as gate:
        clients = [wsgi.connect() for _ in methods]
        for client, method in zip(clients, methods, strict=True):
            client.send_request(method, upload(gate), body=b"x")
        visitors = [gate.entered() for _ in methods]
        (pid,) = {visitor.pid for visitor in visitors}
        wsgi.kill(signal.SIGKILL, pid)
        for client in clients:
            answer = client.response()
            assert (answer.status, answer.body, answer.keeps_open) == (502, b"worker-lost", True)
        wsgi.wait_for_workers(1, other_than={pid})
        assert all(f"{method} /upload?" in was_on(wsgi, pid) for method in methods)
    assert sorted(method for method, _ in wsgi.seen_requests()[before:]) == sorted(methods)
    since.becomes(replayed=0, worker_lost=4)


def test_never_is_502_for_all_but_what_no_worker_had_begun(server: Start) -> None:
    site = server("reference:wsgi", *ONE, "--replay", "never")
    with site.gate() as gate, site.connect() as lost, site.connect() as untaken:
        lost.send_request("GET", gate.target)
        victim = gate.entered()
        untaken.send_request("POST", "/untaken")
        wait_until(lambda: totals(site)["requests"] == 2, "both to be there")
        site.kill(signal.SIGKILL, victim.pid)
        answer = lost.response()
        assert (answer.status, answer.body) == (502, b"worker-lost")
        assert untaken.response().status == 200
        site.wait_for_log(rf'502 reason=worker-lost client=127.0.0.1:\d+ request="GET {re.escape(gate.target)}')
    assert seen(site, "GET", gate.target) == 1
    assert totals(site)["replayed"] == 0


@pytest.mark.parametrize("size", [100 * KIBIBYTE, 3 * MEBIBYTE], ids=["in the block", "in a file"])
def test_a_body_that_is_here_whole_is_read_again_from_its_start(wsgi: Server, size: int) -> None:
    body = content(11, size)
    with wsgi.gate() as gate, wsgi.connect() as client:
        client.send_request("GET", upload(gate, at=size // 2), body=body)
        victim = die_at(wsgi, gate)  # with one half of the body read
        gate.entered().release()
        answer = client.response()
        assert answer.status == 200
        assert {**answer.json(), "pid": 0} == {"pid": 0, **report_of(body)}
        assert answer.json()["pid"] != victim


def test_a_body_that_was_streamed_cannot_be_replayed(asgi: Server) -> None:
    body = content(12, 300 * KIBIBYTE)
    with asgi.gate() as gate, asgi.connect() as client:
        client.send_request("GET", upload(gate, at=len(body)), body=body)
        victim = die_at(asgi, gate)
        answer = client.response()
        assert (answer.status, answer.body) == (502, b"worker-lost")
        asgi.wait_for_workers(1, other_than={victim})


def test_an_interim_response_does_not_stand_in_the_way(asgi: Server) -> None:
    with asgi.gate() as gate, asgi.connect() as client:
        client.send_request("GET", f"/hints?gate={quote(gate.path)}")
        gate.entered()
        hint = client.raw(len(b"HTTP/1.1 103 "))
        assert hint == b"HTTP/1.1 103 "
        client.buffer = hint + client.buffer
        asgi.kill(signal.SIGKILL, asgi.workers()[0])
        successor = gate.entered()
        successor.release()
        assert client.response().json() == {"pid": successor.pid}


def test_time_with_the_dead_worker_is_not_time_in_the_queue(server: Start) -> None:
    site = server("reference:wsgi", "--workers", "2", "--reactors", "1", "--dispatch", "idle", "--queue-timeout", "1")
    with site.gate() as gate, site.connect() as long, site.connect() as other:
        other.send_request("POST", gate.target)
        busy = gate.entered()
        long.send_request("GET", gate.target)
        victim = gate.entered()
        assert not other.wait_readable(1.2)  # so old is the long one now
        site.kill(signal.SIGKILL, victim.pid)
        wait_until(lambda: totals(site)["replayed"] == 1, "the replay")
        busy.release()
        gate.entered().release()
        assert long.response().status == 200
        assert other.response().status == 200


# ---- never a third time


def test_what_two_workers_have_died_on_is_quarantined_and_the_next_request_is_not(asgi: Server) -> None:
    since, before = Since(asgi), seen(asgi, "GET", "/hints")
    target = "/hints?gate={}&poison=%22" + "x" * 300
    with asgi.gate() as gate, asgi.connect() as client:
        target = target.format(quote(gate.path))
        client.send_request("GET", target)
        first, second = die_at(asgi, gate), die_at(asgi, gate)
        answer = client.response()
        assert (answer.status, answer.body, answer.keeps_open) == (502, b"quarantined", True)
        (match,) = asgi.wait_for_log(
            r'\[WARNING\] 502 reason=quarantined client=127\.0\.0\.1:(\d+) request="GET (/hints\?\S*)\.\.\."')
        assert int(match[1]) == client.socket.getsockname()[1]
        assert target.startswith(match[2])
        assert len(match[2]) > 100
        assert first != second
        since.becomes(replayed=1, quarantined=1, worker_lost=0)
        assert seen(asgi, "GET", "/hints") == before + 2
        # Deaths are the request's, not the connection's.
        client.send_request("GET", f"/hints?gate={quote(gate.path)}")
        die_at(asgi, gate)
        gate.entered().release()
        assert client.response().status == 200


# ---- what it was on


def test_the_log_names_the_latest_of_many_and_counts_the_rest(asgi: Server) -> None:
    with asgi.gate() as gate:
        clients = [asgi.connect() for _ in range(11)]
        for number, client in enumerate(clients):
            client.send_request("POST", f"/upload?nr={number}&gate={quote(gate.path)}", body=b"x")
            pid = gate.entered().pid
        clients[10].close()  # whoever has left may have been what killed it
        wait_until(lambda: totals(asgi)["open"] == 10, "the client's leaving to be seen")
        asgi.kill(signal.SIGKILL, pid)
        for client in clients[:10]:
            assert client.response().status == 502
        text = was_on(asgi, pid)
        assert [int(nr) for nr in re.findall(r"POST /upload\?nr=(\d+)&gate=\S+ \(127\.0\.0\.1:\d+\)", text)] == [
            10, 9, 8, 7, 6, 5, 4, 3]
        assert text.endswith(" and 3 more")
        asgi.wait_for_workers(1, other_than={pid})


def test_a_worker_that_dies_idle_was_on_nothing(asgi: Server) -> None:
    (pid,) = asgi.workers()
    asgi.kill(signal.SIGKILL, pid)
    asgi.wait_for_workers(1, other_than={pid})
    asgi.wait_for_log(rf"Worker died: slot \d+, pid {pid}, signal 9")
    assert not re.search(rf"Worker was on: slot \d+, pid {pid}\b", asgi.log.text())


# ---- its arena


def test_blocks_that_a_dead_worker_had_taken_are_there_for_the_next(asgi: Server) -> None:
    used: set[int] = set()
    size = 100 * KIBIBYTE
    while True:  # through both slots, and back to one where a worker has died with the whole arena
        with asgi.connect() as client:
            since = Since(asgi)
            answer: Response = client.get(f"/big?seed=1&size={size}")
            assert answer.body == content(1, size)
            assert since["slot_arena_full"] == 0
            assert since["shm_frames"] == 1
            (pid,) = asgi.workers()
            slot = [line["pid"] for line in asgi.counters().slots].index(pid)
            if slot in used:
                break
            used.add(slot)
            assert client.request("POST", "/hoard").status == 502
        asgi.wait_for_workers(1, other_than={pid})
