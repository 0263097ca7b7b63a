"""A new server in the place of one that runs: no connection is refused, and no file is left or lost."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from swhttp.controlproto import encode
from swhttp.verbs import ask
from tests.support.activation import activated
from tests.support.client import Closed, Connection
from tests.support.fleet import Start
from tests.support.processes import MARKER, wait_until
from tests.support.release import Release
from tests.support.server import (
    APPS,
    EXIT_BOOT_FAILED,
    EXIT_CANNOT_BIND,
    EXIT_FILE,
    TESTS,
    Server,
    free_listening_socket,
)

EXIT_REFUSED = 12

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


# What goes wrong


@pytest.mark.parametrize(
    ("app", "options", "status"), [
        ("reference:wsgi", ("--bind", "127.0.0.1:{port}"), EXIT_CANNOT_BIND),
        ("reference:wsgi", ("--access-log", "/no/such/directory/log"), EXIT_FILE),
        ("broken_import:app", (), EXIT_BOOT_FAILED)])
def test_a_new_server_that_fails_removes_its_own_socket_and_no_other(
    server: Start, app: str, options: tuple[str, ...], status: int
) -> None:
    old = server("reference:wsgi", *OPTIONS, binds=("unix:{dir}/http.sock",))
    with free_listening_socket() as taken:
        given = [option.format(port=taken.getsockname()[1]) for option in options]
        new = server(app, "--bind", "unix:{dir}/own.sock", *given, heir_of=old, ready=False)
        new.expect_log("")
        new.finish(expect=status)  # which looks for sockets that are left
    old.wait_for_log("The takeover has failed: going on")
    assert old.get("/")["environ"]["PATH_INFO"] == "/"


def test_a_new_server_that_is_never_complete_serves_nobody_and_gives_up(server: Start, tmp_path: Path) -> None:
    (tmp_path / "half.py").write_text(
        "import os, time\n"
        "try: os.close(os.open(__file__ + '.once', os.O_CREAT | os.O_EXCL))\n"
        "except FileExistsError: time.sleep(100)\n"
        "def app(environ, start_response): raise AssertionError\n")
    old = server("reference:wsgi", *OPTIONS)
    new = server("half:app", "--app-dir", str(tmp_path), "--workers", "2", "--boot-timeout", "1", heir_of=old,
                 ready=False)
    new.expect_log("")
    new.wait_for_log("Worker booted")
    for number in range(20):
        assert old.get(f"/{number}")["target"] == f"/{number}"
    assert new.wait_exit() == EXIT_BOOT_FAILED
    assert "Not all workers get READY: the old server goes on" in new.log.text()
    old.wait_for_log("The takeover has failed: going on")
    new.finish(expect=EXIT_BOOT_FAILED)


def test_a_new_server_that_leaves_at_the_last_moment_has_the_sockets(server: Start) -> None:
    """The old one has handed over: it must not touch them any more, whoever hears that."""
    old = server("reference:wsgi", *OPTIONS, binds=("unix:{dir}/http.sock",))
    path = f"{old.directory}/http.sock"
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(f"{old.directory}/control")
        control.sendall(encode({"verb": "takeover"}))
        _, [fd], _, _ = socket.recv_fds(control, 65536, 1)
        control.sendall(encode({"verb": "took-over"}))
    with socket.socket(fileno=fd) as listener:
        assert old.wait_exit() == 0
        with Connection(path):
            listener.accept()[0].close()
    os.unlink(path)


def test_a_pid_file_that_is_not_free_keeps_nothing_else_from_the_new_server(server: Start, tmp_path: Path) -> None:
    old = server("reference:wsgi", *OPTIONS)
    pid_file = tmp_path / "pid"
    with open(pid_file, "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        new = heir(server, old, "reference:wsgi", "--pid", str(pid_file))
        new.expect_log("pid file")
        new.wait_for_log(r"The pid file .* is that of a server that runs: pid .*; trying again")
        assert ask(f"{old.directory}/control", {"verb": "status"}, 10.0)["ok"]
    assert old.wait_exit() == 0
    wait_until(lambda: pid_file.read_text() == f"{new.pid}\n", "the pid file to be claimed")
    new.remember()


def test_binds_of_one_text_stay_the_sockets_that_they_are(server: Start) -> None:
    old = server("reference:wsgi", *OPTIONS, binds=("127.0.0.1:0", "127.0.0.1:0"))
    assert heir(server, old).addresses == old.addresses
    assert old.wait_exit() == 0


def test_sockets_that_no_bind_names_are_not_dropped_in_silence(server: Start) -> None:
    with free_listening_socket() as passed:
        old = activated(server, [passed], "reference:wsgi", "--app-dir", str(APPS), *OPTIONS, listening=1)
        new = server("", heir_of=old, ready=False)
        new.expect_log("")
        new.finish(expect=2)
        assert "listens on fd://3, which its command line does not say" in new.log.text()
        old.binds = [f"unix:{old.directory}/s"]
        other = server("reference:wsgi", heir_of=old, ready=False)
        other.wait_for_log(r"\[WARNING\] The old server listens on fd://3, and this one does not")
        assert old.wait_exit() == 0
        other.wait_for_log("Listening at")
        other.stop()


def test_a_server_that_becomes_another_user_is_not_taken_over(server: Start) -> None:
    old = server("reference:wsgi", *OPTIONS, "--user", str(os.geteuid()), "--group", str(os.getegid()))
    new = server("", heir_of=old, ready=False)
    new.expect_log("")
    new.finish(expect=EXIT_REFUSED)
    assert "cannot be taken over: with --user, --group or --chroot" in new.log.text()
    assert old.get("/")["target"] == "/"


def test_a_daemon_has_all_when_its_command_ends(server: Start) -> None:
    old = server("reference:wsgi", *OPTIONS)
    with old.gate() as gate, subprocess.Popen(
        [sys.executable, "-m", "swhttp", "takeover", "--control", "control", "slow_import:wsgi", "--app-dir", str(APPS),
         "--bind", old.binds[0], "--pid", "pid", "--workers", "1", "--daemon", "--error-log", "log"],
        cwd=old.directory, env=os.environ | {
            "PYTHONPATH": str(TESTS.parent), "GATE_PATH": gate.path, MARKER: old.marker},
    ) as command:
        importing = gate.entered()
        old.kill(signal.SIGSTOP)
        importing.release()
        with pytest.raises(subprocess.TimeoutExpired):
            command.wait(0.5)
        old.kill(signal.SIGCONT)
        assert command.wait(30) == 0
        pid = int(Path(old.directory, "pid").read_text())
    assert pid != old.pid
    assert old.wait_exit() == 0
    os.kill(pid, signal.SIGTERM)
    assert os.waitpid(pid, 0)[1] == 0  # the tests adopt orphans
