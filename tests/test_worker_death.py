"""What clients notice when a worker dies, drains or is replaced: as little as possible, and never a hang."""

from __future__ import annotations

import signal

import pytest

from tests.support.client import Closed
from tests.support.fleet import Start
from tests.support.processes import wait_until

INTERFACES = ["wsgi", "asgi"]


@pytest.mark.parametrize("interface", INTERFACES)
def test_a_request_in_flight_is_502_at_once_and_others_are_served(server: Start, interface: str) -> None:
    site = server(f"reference:{interface}", "--workers", "2", "--reactors", "1")
    before = set(site.workers())
    with site.gate() as gate, site.connect() as lost, site.connect() as kept, site.connect() as other:
        lost.send_request("POST", gate.target, body=b"x")
        victim = gate.entered()
        # The other worker must hold its request through its neighbour's death.
        kept.send_request("POST", gate.target, body=b"x")
        survivor = gate.entered()
        if survivor.pid == victim.pid:  # one ASGI worker may well take both
            assert interface == "asgi"
        site.kill(signal.SIGKILL, victim.pid)
        victim.left()
        assert lost.response().status == 502
        assert other.get("/other").status == 200
        if survivor.pid != victim.pid:
            survivor.release()
            assert kept.response().status == 200
        else:
            assert kept.response().status == 502
        site.wait_for_log(rf"\[WARNING\] Worker died: slot \d+, pid {victim.pid}, signal 9")
        site.wait_for_workers(1, other_than=before)
        assert len(site.workers()) == 2
        assert other.get("/again").status == 200


def test_requests_that_were_not_taken_go_to_the_next_worker(server: Start) -> None:
    site = server("reference:wsgi", "--workers", "1", "--reactors", "1")
    with site.gate() as gate, site.connect() as lost:
        lost.send_request("POST", gate.target)
        victim = gate.entered()
        clients = [site.connect() for _ in range(25)]
        for client in clients:
            client.send_request("POST", "/untaken", body=b"hello")
        wait_until(lambda: site.counters().reactors[0]["requests"] == 26, "the requests to arrive")
        site.kill(signal.SIGKILL, victim.pid)
        assert lost.response().status == 502
        [successor] = site.wait_for_workers(1, other_than={victim.pid})
        for client in clients:
            answer = client.response()
            assert answer.status == 200
            assert answer.json()["pid"] == successor
            assert answer.json()["body"] == "hello"
    assert site.seen().count("/untaken") == 25


@pytest.mark.parametrize("framing", ["length", "none"])
@pytest.mark.parametrize("interface", INTERFACES)
def test_a_response_that_was_partly_sent_is_cut(server: Start, interface: str, framing: str) -> None:
    site = server(f"reference:{interface}", "--workers", "1", "--reactors", "1")
    with site.gate() as gate, site.connect() as client:
        client.send_request(target=f"/stream?size=100000&pieces=10&framing={framing}&gate={gate.path}")
        victim = gate.entered()
        beginning = client.raw(200)
        site.kill(signal.SIGKILL, victim.pid)
        client.buffer = beginning + client.buffer
        cut = client.expect_cut()
        assert cut.partial.startswith(b"HTTP/1.1 200")
        assert not cut.partial.endswith(b"0\r\n\r\n")
        site.wait_for_workers(1, other_than={victim.pid})
        assert site.get("/after")["target"] == "/after"


def test_what_was_published_before_the_death_is_delivered(server: Start) -> None:
    site = server("endings:dies_after_answering", "--workers", "1", "--reactors", "1")
    for _ in range(3):
        before = set(site.workers())
        with site.connect() as client:
            answer = client.get("/die")
            assert (answer.status, answer.body) == (200, b"done")
        site.wait_for_workers(1, other_than=before)


def test_a_worker_that_exits_by_itself_is_a_502_and_replaced(server: Start) -> None:
    site = server("endings:exits", "--workers", "1", "--reactors", "1")
    [before] = site.workers()
    with site.connect() as client:
        assert client.request("POST", "/exit").status == 502
    site.wait_for_log(rf"\[WARNING\] Worker died: slot \d+, pid {before}, exit code 7")
    site.wait_for_workers(1, other_than={before})
    with site.connect() as client:
        assert client.get("/").status == 200


def test_all_workers_dead_at_once_is_a_pause(server: Start) -> None:
    site = server("reference:asgi", "--workers", "3", "--reactors", "2")
    before = set(site.workers())
    with site.connect() as client:
        for pid in before:
            site.kill(signal.SIGKILL, pid)
        assert client.get("/").json()["pid"] not in before
    site.wait_for_workers(3, other_than=before)


def test_a_connection_outlives_the_worker_that_served_it(server: Start) -> None:
    site = server("reference:wsgi", "--workers", "1", "--reactors", "1")
    with site.connect() as client:
        for _ in range(3):
            pid = client.get("/").json()["pid"]
            site.kill(signal.SIGKILL, pid)
            site.wait_for_workers(1, other_than={pid})
            assert client.get("/").json()["pid"] != pid


@pytest.mark.parametrize("interface", INTERFACES)
def test_a_worker_that_is_sent_term_drains_and_is_replaced(server: Start, interface: str) -> None:
    site = server(f"reference:{interface}", "--workers", "2", "--reactors", "1")
    before = set(site.workers())
    with site.gate() as gate, site.connect() as busy:
        busy.send_request("POST", gate.target)
        visitor = gate.entered()
        site.kill(signal.SIGTERM, visitor.pid)
        for _ in range(10):
            assert site.get("/")["target"] == "/"
        visitor.release()
        answer = busy.response()
        assert (answer.status, answer.json()["pid"]) == (200, visitor.pid)
        site.wait_for_workers(1, other_than=before)
    wait_until(lambda: visitor.pid not in site.workers(), "the old worker to end")
    assert "signal 9" not in site.log.text()


def test_children_ignore_an_interrupt(server: Start) -> None:
    site = server("reference:wsgi", "--workers", "2", "--reactors", "1")
    before = site.workers()
    for pid in [site.manager(), *before]:
        site.kill(signal.SIGINT, pid)
    for _ in range(20):
        assert site.get("/")["pid"] in before
    assert site.workers() == before


def test_a_death_shows_no_partial_answer_of_another_request(server: Start) -> None:
    # One connection sees 502, then its next request is answered whole: nothing of the first may follow late.
    site = server("reference:asgi", "--workers", "1", "--reactors", "1")
    with site.gate() as gate, site.connect() as client:
        client.send_request("POST", gate.target)
        victim = gate.entered()
        site.kill(signal.SIGKILL, victim.pid)
        answer = client.response()
        assert answer.status == 502
        site.wait_for_workers(1, other_than={victim.pid})
        if answer.keeps_open:
            assert client.get("/next").json()["target"] == "/next"
        else:
            with pytest.raises(Closed):
                client.response()
