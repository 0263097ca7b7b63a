"""A new server in the place of one that runs: no connection is refused, and no file is left or lost."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from tests.support.client import Closed, Connection
from tests.support.fleet import Start
from tests.support.processes import wait_until
from tests.support.release import Release
from tests.support.server import EXIT_BOOT_FAILED, Server

OPTIONS = ("--workers", "2", "--control", "{dir}/control", "--pid", "{dir}/pid")


def heir(start: Start, old: Server, *arguments: str) -> Server:
    """A server that has taken over `old`; `arguments`: an app and options."""
    return start(*(arguments or ("",)), heir_of=old)


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "unix:{dir}/http.sock"])
def test_the_new_server_has_sockets_and_files_and_the_old_one_drains(server: Start, bind: str) -> None:
    with Release("wsgi") as release:
        old = server(*release.options, *OPTIONS, binds=(bind,))
        with old.gate() as gate, old.connect() as busy, old.connect() as idle:
            assert idle.get("/").keeps_open
            busy.send_request(target=gate.target)
            visitor = gate.entered()
            release.deploy("2")
            new = heir(server, old)
            idle.expect_end()
            with new.connect() as client:
                assert client.get("/").body.startswith(b"2 ")
            assert Path(old.directory, "pid").read_text() == f"{new.pid}\n"
            visitor.release()
            assert busy.response().body.startswith(b"1 ")
        assert old.wait_exit() == 0
        with new.connect() as client:  # its socket is not removed by the old one's end
            assert client.get("/").body.startswith(b"2 ")
        again = heir(server, old)
        assert new.wait_exit() == 0
        again.stop()
        assert sorted(set(os.listdir(old.directory)) - {"tmp"}) == []


def test_nobody_is_refused_during_takeovers(server: Start) -> None:
    site = server("reference:asgi", *OPTIONS)
    stop, failures, answers = threading.Event(), [], [0]

    def ask() -> None:
        while not stop.is_set():
            try:
                with Connection(site.tcp_addresses()[0]) as client:
                    assert client.request("GET", "/", [("Connection", "close")]).status == 200
                    answers[0] += 1
            except (AssertionError, OSError, Closed) as error:
                failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        now = site
        for _ in range(3):
            following = heir(server, site)
            assert now.wait_exit() == 0
            now = following
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    now.remember()
    assert failures == []
    assert answers[0] > 0


def test_a_new_server_that_does_not_boot_changes_nothing(server: Start) -> None:
    with Release("wsgi") as release:
        old = server(*release.options, *OPTIONS)
        release.deploy("2", "import")
        new = server("", heir_of=old, ready=False)
        new.expect_log("")
        new.finish(expect=EXIT_BOOT_FAILED)
        old.wait_for_log("The takeover has failed: going on")
        assert Path(old.directory, "pid").read_text() == f"{old.pid}\n"
        with old.connect() as client:
            assert client.get("/").body.startswith(b"1 ")
        old.stop()
        with pytest.raises(ConnectionRefusedError):
            old.connect()


def test_an_app_and_options_take_the_place_of_the_old_command_line(server: Start) -> None:
    old = server("reference:wsgi", *OPTIONS)
    new = heir(server, old, "reference:asgi", "--workers", "1")
    assert old.wait_exit() == 0
    assert len(new.workers()) == 1
    assert new.get("/")["target"] == "/"
    new.kill(signal.SIGTERM)
    assert new.wait_exit() == 0
    wait_until(lambda: not os.path.exists(os.path.join(old.directory, "control")), "the socket to go")
