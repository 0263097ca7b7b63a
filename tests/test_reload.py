"""Reloads: new code without a trace on any connection, and old code that serves on when the new one is broken."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import Connection
from tests.support.fleet import Start
from tests.support.processes import wait_until
from tests.support.release import Release
from tests.support.server import Server

INTERFACES = ["wsgi", "asgi"]
OPTIONS = ("--workers", "2", "--reactors", "2")
EXIT_REFUSED = 12


@pytest.fixture(params=INTERFACES)
def release(request: pytest.FixtureRequest) -> Iterator[Release]:
    with Release(request.param) as one:
        yield one


@pytest.fixture
def wsgi_release() -> Iterator[Release]:
    with Release("wsgi") as one:
        yield one


def said(client: Connection) -> tuple[str, int]:
    """Version and pid of the next answer."""
    answer = client.get("/")
    assert answer.status == 200
    assert answer.keeps_open
    version, pid = answer.body.decode().split()
    return version, int(pid)


def reload(site: Server, signum: int = signal.SIGUSR1, outcome: str = "Reloaded in") -> None:
    """Signal the master and wait for the end of the reload."""
    mark = site.log.mark()
    site.kill(signum)
    site.wait_for_log(outcome, timeout_s=20.0, since=mark)


@pytest.mark.parametrize("signum", [signal.SIGUSR1, signal.SIGHUP])
def test_a_reload_serves_new_code_from_new_processes_on_the_same_connections(
    server: Start, release: Release, signum: int
) -> None:
    site = server(*release.options, *OPTIONS)
    clients = [site.connect() for _ in range(8)]
    before = set(site.workers())
    assert {said(client)[0] for client in clients} == {"1"}
    release.deploy("2")
    reload(site, signum)
    answers = [said(client) for client in clients]
    assert {version for version, _ in answers} == {"2"}
    assert not {pid for _, pid in answers} & before
    wait_until(lambda: len(site.workers()) == 2 and not set(site.workers()) & before, "the old workers to leave")


def test_a_request_in_flight_is_finished_by_the_process_that_has_it(server: Start, release: Release) -> None:
    site = server(*release.options, *OPTIONS)
    with site.gate() as gate, site.connect() as busy, site.connect() as other:
        busy.send_request(target=gate.target)
        visitor = gate.entered()
        release.deploy("2")
        reload(site)
        assert said(other)[0] == "2"
        assert visitor.pid in site.workers(), "it drains"
        visitor.release()
        answer = busy.response()
        assert answer.body.decode().split() == ["1", str(visitor.pid)]
        assert answer.keeps_open
        assert said(busy)[0] == "2", "on the same connection"
    wait_until(lambda: visitor.pid not in site.workers(), "the old worker to leave")


def test_no_answer_of_the_old_code_follows_one_of_the_new(server: Start, wsgi_release: Release) -> None:
    # Each client asks only after it has its answer; what any has seen of the new code all must see from then on.
    site = server(*wsgi_release.options, "--workers", "3", "--reactors", "2", "--queue-size", "0")
    newest, late, failures = [0], [0], []
    stop = threading.Event()

    def ask() -> None:
        try:
            with Connection(site.tcp_addresses()[0]) as client:
                while not stop.is_set():
                    known = newest[0]
                    version = int(said(client)[0])
                    late[0] += version < known
                    newest[0] = max(newest[0], version)
        except BaseException as error:
            failures.append(error)

    # No more than there are workers: whether one takes a second request ahead depends on how quick it has been.
    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for version in range(2, 6):
            wsgi_release.deploy(str(version))
            reload(site)
            wait_until(lambda version=version: newest[0] == version, "the new version to be seen")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert late == [0]


@pytest.mark.parametrize(
    ("interface", "broken", "trace"),
    [("wsgi", "syntax", "SyntaxError"), ("wsgi", "import", "RuntimeError: this release is broken"),
     ("wsgi", "hang", "not ready within 1 s"), ("asgi", "lifespan", "lifespan startup failed")])
def test_a_release_that_does_not_boot_changes_nothing(
    server: Start, interface: str, broken: str, trace: str
) -> None:
    with Release(interface) as release:
        site = server(*release.options, *OPTIONS, "--boot-timeout", "1", "--control", "{dir}/control")
        site.expect_log("")
        before = set(site.workers())
        with site.connect() as client:
            release.deploy("2", broken)
            mark = site.log.mark()
            asked = subprocess.Popen(
                [sys.executable, "-m", "swhttp", "reload", "--wait", "--control", f"{site.directory}/control"],
                stderr=subprocess.PIPE, text=True)
            while asked.poll() is None:
                assert said(client)[0] == "1"
            _, why = asked.communicate()
            assert asked.returncode == EXIT_REFUSED
            assert trace in why
            site.wait_for_log("The reload failed", since=mark)
            assert trace in site.log.text(mark)
            wait_until(lambda: set(site.workers()) == before, "the new workers to go")
            release.deploy("3")
            reload(site)
            assert said(client)[0] == "3"


@pytest.mark.parametrize("mode", ["rolling", "sync"])
def test_workers_can_be_replaced_one_by_one(server: Start, wsgi_release: Release, mode: str) -> None:
    site = server(*wsgi_release.options, *OPTIONS, "--reload-mode", mode)
    before = set(site.workers())
    with site.connect() as client:
        wsgi_release.deploy("2")
        mark = site.log.mark()
        site.kill(signal.SIGUSR1)
        while "Reloaded in" not in site.log.text(mark):
            assert said(client)[0] in "12"
        assert said(client)[0] == "2"
        wait_until(lambda: len(site.workers()) == 2 and not set(site.workers()) & before, "the old workers to leave")
        lines = [line for line in site.log.lines[mark:] if "Worker booted" in line or "Worker left" in line]
        first = "Worker booted" if mode == "rolling" else "Worker left"
        assert first in lines[0]
        # Broken code stops at the first worker.
        wsgi_release.deploy("3", "import")
        site.expect_log("")
        mark = site.log.mark()
        reload(site, outcome="The reload failed")
        assert said(client)[0] == "2"
        wsgi_release.deploy("4")
        if mode == "sync":  # the one that left is made up for
            site.wait_for_log("Worker booted", since=mark)
        reload(site)
        assert said(client)[0] == "4"


def test_reloads_asked_for_during_one_become_one_more(server: Start, wsgi_release: Release) -> None:
    site = server(*wsgi_release.options, *OPTIONS)
    mark = site.log.mark()
    for _ in range(5):
        site.kill(signal.SIGUSR1)
        site.wait_for_log("SIGUSR1: reloading", since=mark, count=_ + 1)
    site.wait_for_log("Reloaded in", since=mark, count=2)
    with site.connect() as client:
        said(client)
    assert site.log.text(mark).count("Reloading, atomic") == 2


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGQUIT])
def test_a_server_can_be_stopped_during_a_reload(server: Start, wsgi_release: Release, signum: int) -> None:
    site = server(*wsgi_release.options, *OPTIONS)
    wsgi_release.deploy("2", "hang")
    mark = site.log.mark()
    site.kill(signal.SIGUSR1)
    site.wait_for_log("Reloading, atomic", since=mark)
    site.stop(signum)


def test_an_old_worker_that_dies_during_a_reload_is_made_up_for(server: Start, wsgi_release: Release) -> None:
    site = server(*wsgi_release.options, "--workers", "1", "--reactors", "1", "--boot-timeout", "2")
    (old,) = site.workers()
    site.expect_log("")
    wsgi_release.deploy("2", "hang")
    mark = site.log.mark()
    site.kill(signal.SIGUSR1)
    site.wait_for_log("Reloading, atomic", since=mark)
    site.kill(signal.SIGKILL, old)
    site.wait_for_log(f"Worker died: slot 0, pid {old}", since=mark)
    wsgi_release.deploy("3")
    with site.connect() as client:
        client.send_request()  # waits for the boot that hangs to be over, and for the one after it
        assert client.response(timeout_s=20.0).body.startswith(b"3 ")


def test_a_reload_cannot_change_the_interface(server: Start, wsgi_release: Release) -> None:
    site = server(*wsgi_release.options, *OPTIONS)
    site.expect_log("")
    with Release("asgi") as other, site.connect() as client:
        Path(wsgi_release.path, "released.py").write_text(Path(other.path, "released.py").read_text())
        reload(site, outcome="The reload failed.*asgi now, and was wsgi")
        assert said(client)[0] == "1"


@pytest.mark.parametrize("mode", ["fixed", "ip"])
def test_keyed_requests_go_to_the_new_workers(server: Start, wsgi_release: Release, mode: str) -> None:
    site = server(*wsgi_release.options, *OPTIONS, "--dispatch", mode)
    clients = [site.connect() for _ in range(6)]
    assert {said(client)[0] for client in clients} == {"1"}
    wsgi_release.deploy("2")
    reload(site)
    assert {said(client)[0] for client in clients} == {"2"}
