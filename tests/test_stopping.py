"""How a server ends: graceful on TERM and INT, quick on QUIT, without orphans when one is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import Connection
from tests.support.counters import Since
from tests.support.fleet import Start
from tests.support.gate import Gate
from tests.support.processes import wait_until
from tests.support.server import EXIT_MANAGER_DIED, Server

INTERFACES = ["wsgi", "asgi"]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("interface", INTERFACES)
def test_a_graceful_stop_finishes_what_is_in_flight(server: Start, interface: str, signum: int) -> None:
    site = server(f"reference:{interface}", "--workers", "2", "--reactors", "2")
    with site.gate() as gate:
        busy, idle = site.connect(), site.connect()
        # So many that every reactor has one: when all have ended, all reactors know of the stop.
        fresh = [site.connect() for _ in range(8)]
        assert idle.get("/").status == 200
        busy.send_request(target=gate.target)
        visitor = gate.entered()
        wait_until(
            lambda: all(reactor["open"] > 2 for reactor in site.counters().reactors), "connections everywhere"
        )
        site.kill(signum)
        for client in (idle, *fresh):
            client.expect_end()
        visitor.release()
        answer = busy.response()
        assert answer.status == 200
        assert not answer.keeps_open
        busy.expect_end()
    site.finish()


@contextlib.contextmanager
def backlog_at(site: Server, signum: int) -> Iterator[list[Connection]]:
    """Clients with a request each, in the backlog when the server gets the signal."""
    with contextlib.ExitStack() as clients:
        site.kill(signal.SIGSTOP)
        # More than are accepted in the turns until the main thread hears of the signal.
        waiting = [clients.enter_context(site.connect()) for _ in range(1500)]
        for client in waiting:
            client.send_request()
        site.kill(signum)
        site.kill(signal.SIGCONT)
        yield waiting


@pytest.mark.parametrize("reactors", ["1", "2"])
def test_a_graceful_stop_answers_what_is_in_the_backlog(server: Start, reactors: str) -> None:
    site = server("reference:asgi", "--workers", "2", "--reactors", reactors)
    with backlog_at(site, signal.SIGTERM) as clients:
        assert {client.response().status for client in clients} == {200}
    site.finish()


def test_a_graceful_stop_answers_the_backlog_while_the_only_worker_is_being_replaced(server: Start) -> None:
    with tempfile.TemporaryDirectory(prefix="swt-") as directory, Gate(directory) as gate:
        environment = {"GATE_PATH": gate.path}
        site = server("slow_import:wsgi", "--workers", "1", "--reactors", "1", env=environment, ready=False)
        gate.entered().release()
        site.wait_ready()
        (worker,) = site.workers()
        site.kill(signal.SIGKILL, worker)
        importing = gate.entered()
        with backlog_at(site, signal.SIGTERM) as clients:
            importing.release()
            assert {client.response().status for client in clients} == {200}
        site.finish()


def wait_deaf(site: Server, address: tuple[str, int]) -> None:
    """Until nobody listens there any more, so all reactors know of the stop."""

    def is_refused() -> bool:
        try:
            site.connect(address=address).close()
        except ConnectionRefusedError:
            return True
        return False

    wait_until(is_refused, "the listening socket to close")


def test_a_graceful_stop_takes_no_new_connection(server: Start) -> None:
    site = server("reference:wsgi", "--workers", "1", "--reactors", "1")
    address = site.tcp_addresses()[0]
    with site.gate() as gate:
        busy = site.connect()
        busy.send_request(target=gate.target)
        visitor = gate.entered()
        site.kill(signal.SIGTERM)
        wait_deaf(site, address)
        visitor.release()
        assert busy.response().status == 200
    site.finish()


def test_a_client_between_two_requests_is_told_with_the_next_answer(server: Start) -> None:
    site = server("reference:wsgi", "--workers", "2", "--reactors", "1")
    address = site.tcp_addresses()[0]
    with site.gate() as gate, site.connect() as client, site.connect() as busy:
        busy.send_request(target=gate.target)  # so that the server is there for as long as this takes
        visitor = gate.entered()
        client.send_request("POST", "/")
        assert client.response().keeps_open
        site.kill(signal.SIGTERM)
        wait_deaf(site, address)
        client.send_request("POST", "/")
        visitor.release()
        answer = client.response()
        assert answer.status == 200
        assert not answer.keeps_open
        client.expect_end()
    site.finish()


def test_a_graceful_stop_delivers_a_large_response_to_its_end(server: Start) -> None:
    site = server("reference:wsgi", "--workers", "1", "--reactors", "1")
    client = site.connect()
    client.send_request(target="/stream?size=10485760&pieces=20")
    beginning = client.raw(1000)
    site.kill(signal.SIGTERM)
    client.buffer = beginning + client.buffer
    assert len(client.response().body) == 10 << 20
    client.expect_end()
    site.finish()


def test_a_graceful_stop_answers_what_waits_behind_the_busy(server: Start) -> None:
    site = server("reference:wsgi", "--workers", "1", "--reactors", "1")
    with site.gate() as gate:
        busy, waiting = site.connect(), [site.connect() for _ in range(5)]
        busy.send_request(target=gate.target)
        visitor = gate.entered()
        for client in waiting:
            client.send_request()
        wait_until(lambda: site.counters().reactors[0]["requests"] == 6, "the requests to arrive")
        site.kill(signal.SIGTERM)
        visitor.release()
        assert busy.response().status == 200
        for client in waiting:
            assert client.response().status == 200
    site.finish()


def test_a_terminals_interrupt_to_the_whole_group_is_one_graceful_stop(server: Start) -> None:
    site = server("reference:wsgi", "--workers", "2", "--reactors", "1")
    with site.gate() as gate:
        busy = site.connect()
        busy.send_request(target=gate.target)
        visitor = gate.entered()
        site.kill(signal.SIGSTOP)  # so that it sees both at once
        os.killpg(site.pid, signal.SIGINT)
        site.kill(signal.SIGTERM)  # as from timeout(1), which signals the process and then its group
        site.kill(signal.SIGCONT)
        site.wait_for_log("SIGINT|SIGTERM")
        visitor.release()
        assert busy.response().status == 200
    site.finish()


@pytest.mark.parametrize("interface", INTERFACES)
def test_the_graceful_timeout_ends_what_does_not_end(server: Start, interface: str) -> None:
    site = server(f"reference:{interface}", "--workers", "1", "--reactors", "1", "--graceful-timeout", "0.5")
    with site.gate() as gate:
        busy = site.connect()
        busy.send_request("POST", gate.target)
        visitor = gate.entered()
        site.kill(signal.SIGTERM)
        visitor.left()
    site.finish()


@pytest.mark.parametrize("interface", INTERFACES)
def test_a_quick_stop_waits_for_nobody(server: Start, interface: str) -> None:
    site = server(f"reference:{interface}", "--workers", "2", "--reactors", "1")
    with site.gate() as gate:
        busy, idle = site.connect(), site.connect()
        assert idle.get("/").status == 200
        busy.send_request("POST", gate.target)
        gate.entered()
        site.kill(signal.SIGQUIT)
        site.finish()


def test_a_quick_stop_does_not_wait_for_a_client_that_takes_nothing_of_its_answer(server: Start) -> None:
    site = server("paths:asgi", "--workers", "1", "--reactors", "1", "--write-timeout", "3600")
    since = Since(site)
    with site.connect(buffer_bytes=16 << 10) as client:
        client.send_request(target=f"/memory?size={20 << 20}")
        since.passes("clients_slow")
        site.kill(signal.SIGQUIT)
        site.finish()


def test_a_quick_stop_tells_the_busy_and_the_waiting_502(server: Start) -> None:
    site = server("reference:wsgi", "--workers", "1", "--reactors", "1")
    with site.gate() as gate:
        busy, waiting = site.connect(), [site.connect() for _ in range(5)]
        busy.send_request("POST", gate.target)
        gate.entered()
        for client in waiting:
            client.send_request()
        wait_until(lambda: site.counters().reactors[0]["requests"] == 6, "the requests to arrive")
        site.kill(signal.SIGQUIT)
        for client in (busy, *waiting):
            answer = client.response()
            assert answer.status == 502
            assert not answer.keeps_open
            client.close()
    site.finish()


def test_a_quick_stop_answers_what_is_in_the_backlog(server: Start) -> None:
    site = server("reference:asgi", "--workers", "1", "--reactors", "2")
    with backlog_at(site, signal.SIGQUIT) as clients:
        assert {client.response().status for client in clients} <= {200, 502}
    site.finish()


def test_a_quick_stop_interrupts_a_graceful_one(server: Start) -> None:
    site = server("reference:wsgi", "--workers", "1", "--reactors", "1")
    with site.gate() as gate:
        busy, idle = site.connect(), site.connect()
        assert idle.get("/").status == 200
        busy.send_request("POST", gate.target)
        gate.entered()
        site.kill(signal.SIGTERM)
        idle.expect_end()
        site.kill(signal.SIGQUIT)
        site.finish()


def test_an_idle_server_stops(server: Start) -> None:
    site = server("reference:asgi", "--workers", "4", "--reactors", "2")
    site.stop()


@pytest.mark.parametrize("interface", INTERFACES)
def test_a_killed_master_leaves_no_orphan(server: Start, interface: str) -> None:
    site = server(f"reference:{interface}", "--workers", "3", "--reactors", "1")
    with site.gate() as gate:
        busy = site.connect()
        busy.send_request("POST", gate.target)
        visitor = gate.entered()
        site.kill(signal.SIGKILL)
        visitor.left()
    site.finish(expect=-signal.SIGKILL, killed=True)


def test_after_a_kill_a_server_starts_in_the_same_place_without_cleaning_up(server: Start, tmp_path: Path) -> None:
    # Not in the servers' own directories, which are gone with them.
    options = ("--workers", "2", "--pid", str(tmp_path / "pid"), "--control", str(tmp_path / "control"))
    for _ in range(2):
        site = server("reference:wsgi", *options, binds=(f"unix:{tmp_path}/http.sock",))
        assert site.get("/")["target"] == "/"
        site.kill(signal.SIGKILL)
        site.finish(expect=-signal.SIGKILL, killed=True)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["control", "http.sock", "pid"]
    site = server("reference:wsgi", *options, binds=(f"unix:{tmp_path}/http.sock",))
    assert site.get("/")["target"] == "/"
    site.stop()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("interface", INTERFACES)
def test_a_killed_manager_ends_all_and_what_is_in_flight_is_told_502(server: Start, interface: str) -> None:
    site = server(f"reference:{interface}", "--workers", "3", "--reactors", "1")
    site.expect_log(r"\[(ERROR|CRITICAL)\]")
    with site.gate() as gate:
        busy = site.connect()
        busy.send_request("POST", gate.target)
        visitor = gate.entered()
        site.kill(signal.SIGKILL, site.manager())
        visitor.left()
        assert busy.response().status == 502
    site.finish(expect=EXIT_MANAGER_DIED, killed=True)


def test_a_unix_socket_is_removed_at_the_end(server: Start) -> None:
    site = server("reference:wsgi", "--workers", "1", binds=("unix:{dir}/http.sock",))
    assert os.path.exists(os.path.join(site.directory, "http.sock"))
    assert site.get("/")["target"] == "/"
    site.stop()  # which checks that no unix socket is left
