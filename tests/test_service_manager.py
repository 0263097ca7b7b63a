"""What systemd is told (sd_notify(3)), and the sockets that it passes (sd_listen_fds(3)): over the real protocols."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from swhttp import activation, limits, notify
from swhttp.errors import BadValue
from tests.support.activation import activated
from tests.support.fleet import Start
from tests.support.server import EXIT_CANNOT_BIND, free_listening_socket

OPTIONS = ("--workers", "1", "--reactors", "1")
TIMEOUT_S = 10.0


class Manager:
    """A service manager's end of sd_notify: a datagram socket at `address`, as NOTIFY_SOCKET has it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address[0] == "@" else address)
        self._socket.settimeout(TIMEOUT_S)

    def hear(self) -> dict[str, str]:
        """The next message."""
        return dict(line.split("=", 1) for line in self._socket.recv(4096).decode().splitlines())

    def hear_until(self, key: str) -> dict[str, str]:
        """The next message that says something of `key`."""
        while key not in (said := self.hear()):
            pass
        return said

    def hears_of(self, key: str) -> bool:
        """Whether one of the messages that have come says something of `key`; they are taken."""
        self._socket.setblocking(False)
        found = False
        try:
            while True:
                found |= key in self.hear()
        except BlockingIOError:
            return found
        finally:
            self._socket.settimeout(TIMEOUT_S)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    made = Manager(str(tmp_path / "notify") if request.param == "path" else f"@swhttp-test-{os.getpid()}")
    yield made
    made.close()


def test_systemd_hears_when_the_server_listens_and_when_it_stops(server: Start, manager: Manager) -> None:
    site = server("regain", *OPTIONS, env={"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "60000000"})
    assert manager.hear_until("READY") == {"READY": "1", "MAINPID": str(site.pid)}
    assert manager.hear_until("STATUS") == {"STATUS": f"Listening at {site.addresses[0]}"}
    assert set(site.get("/")["variables"]).isdisjoint({*notify.VARIABLES})
    site.kill(signal.SIGUSR1)
    assert manager.hear_until("RELOADING")["RELOADING"] == "1"
    assert manager.hear()["READY"] == "1"
    site.kill(signal.SIGTERM)
    assert manager.hear_until("STOPPING") == {"STOPPING": "1"}
    site.finish()


def test_systemd_hears_nothing_of_the_end_of_a_server_that_was_taken_over(server: Start, tmp_path: Path) -> None:
    """The service goes on."""
    manager = Manager(str(tmp_path / "notify"))
    old = server("regain", *OPTIONS, "--control", "{dir}/control", env={"NOTIFY_SOCKET": manager.address})
    server("", heir_of=old)
    assert old.wait_exit() == 0
    assert not manager.hears_of("STOPPING")
    manager.close()


def test_systemd_hears_nothing_of_a_server_that_does_not_start(server: Start, tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    site = server("broken_import:app", *OPTIONS, env={"NOTIFY_SOCKET": manager.address}, ready=False)
    site.expect_log("")
    assert site.wait_exit() != 0
    assert not manager.hears_of("READY")
    manager.close()


def test_the_watchdog_is_fed_while_the_main_loop_turns(server: Start, tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    server("regain", *OPTIONS, env={"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "100000"})
    for _ in range(3):
        assert manager.hear_until("WATCHDOG") == {"WATCHDOG": "1"}
    manager.close()


def test_a_manager_that_is_not_there_keeps_no_server_from_its_work(server: Start, tmp_path: Path) -> None:
    site = server("regain", *OPTIONS, env={"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    site.wait_for_log(r"\[WARNING\] NOTIFY_SOCKET .*: No such file or directory")
    assert site.get("/")


def test_a_reload_is_told_with_the_time_of_its_beginning(tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    variables = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "1", "OTHER": "1"}
    notify.connect(variables, os.getpid())
    try:
        assert variables == {"OTHER": "1"}
        before = time.monotonic_ns() // 1000
        notify.reloading()
        notify.status("two\nlines")
        notify.ready()
        said = manager.hear()
        assert said.pop("RELOADING") == "1"
        assert before <= int(said.pop("MONOTONIC_USEC")) <= time.monotonic_ns() // 1000
        assert said == {}
        assert manager.hear() == {"STATUS": "two lines"}
        assert manager.hear() == {"READY": "1", "MAINPID": str(os.getpid())}
        assert notify.tick(1.0) == float("inf")  # it is another process's
    finally:
        notify.close()
        manager.close()


def test_what_a_full_queue_does_not_take_is_told_later(tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    other = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    other.connect(manager.address)
    notify.connect({"NOTIFY_SOCKET": manager.address}, os.getpid())
    try:
        others = 0
        with contextlib.suppress(BlockingIOError):
            while other.send(b"OTHER=1"):
                others += 1
        notify.reloading()
        notify.status("first")
        notify.ready()
        notify.status("second")
        assert notify.tick(5.0) == 5.0 + limits.NOTIFY_RETRY_S
        assert [manager.hear() for _ in range(others)] == [{"OTHER": "1"}] * others
        assert notify.tick(6.0) == float("inf")
        assert [next(iter(manager.hear().items())) for _ in range(3)] == [
            ("RELOADING", "1"), ("READY", "1"), ("STATUS", "second")]
        assert not manager.hears_of("STATUS")
    finally:
        notify.close()
        other.close()
        manager.close()


# Sockets


def test_the_server_listens_on_the_sockets_that_it_was_passed(server: Start, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with free_listening_socket() as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(path)
        unix.listen()
        site = activated(server, [tcp, unix], "regain", *OPTIONS, listening=2)
        assert site.addresses == [f"http://127.0.0.1:{tcp.getsockname()[1]}", f"unix:{path}"]
        with site.connect() as one, site.connect(address=path) as other:
            seen = one.get("/").json()
            assert other.get("/").status == 200
        assert set(seen["variables"]).isdisjoint({*activation.VARIABLES})
        site.stop()
        assert os.path.exists(path)  # it is systemd's


def test_a_bind_that_is_given_counts_and_what_is_not_served_is_told(server: Start) -> None:
    with free_listening_socket() as first, free_listening_socket() as second:
        site = activated(
            server, [first, second], "regain", *OPTIONS, "--bind", "fd://3", names="web:other", listening=1)
        [match] = site.wait_for_log(r"\[WARNING\] (systemd listens on .*)")
        assert match[1] == ("systemd listens on a socket for this server, fd://4 (other), that it does not serve: "
                            "another bind is given")
        assert site.addresses == [f"http://127.0.0.1:{first.getsockname()[1]}"]


def test_a_socket_that_cannot_be_served_is_said(server: Start) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        site = activated(server, [datagrams], "regain", *OPTIONS, listening=0)
        site.expect_log("Cannot listen")
        site.finish(expect=EXIT_CANNOT_BIND)
        [line] = site.log.lines
        assert line.endswith("Cannot listen on fd://3: the file descriptor is not a listening stream socket")


def test_sockets_of_another_process_are_left_and_their_variables_go() -> None:
    variables = {"LISTEN_FDS": "2", "LISTEN_PID": "1", "LISTEN_FDNAMES": "a:b", "OTHER": "1"}
    assert activation.take(variables, 2) == ()
    assert variables == {"OTHER": "1"}


@pytest.mark.parametrize("text", ["", "-1", "x", "1000", "9" * 30])
def test_a_count_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadValue, match=r"^LISTEN_FDS: a number from 0 to 64 is needed"):
        activation.take({"LISTEN_FDS": text, "LISTEN_PID": "2"}, 2)
