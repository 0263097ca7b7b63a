"""Where the server listens: TCP on IPv4 and IPv6, unix sockets, inherited sockets, several at once."""

from __future__ import annotations

import os
import socket
import stat
import tempfile

import pytest

from tests.support.fleet import Start
from tests.support.gate import Gate
from tests.support.processes import wait_until
from tests.support.server import EXIT_CANNOT_BIND, free_listening_socket

OPTIONS = ("--workers", "1", "--reactors", "1")


def has_ipv6() -> bool:
    """Whether ::1 can be bound here."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    "bind", ["127.0.0.1:0", "localhost:0", "0.0.0.0:0", *(["[::1]:0"] if has_ipv6() else [])]
)
def test_tcp(server: Start, bind: str) -> None:
    site = server("reference:asgi", *OPTIONS, binds=(bind,))
    port = site.port
    host = "::1" if ":" in bind.rpartition(":")[0] else "127.0.0.1"
    with site.connect(address=(host, port)) as client:
        answer = client.get("/").json()
        assert answer["client"] == list(client.socket.getsockname()[:2])
        assert answer["server"][1] == port


def test_a_unix_socket(server: Start) -> None:
    site = server("reference:asgi", *OPTIONS, binds=("unix:{dir}/http.sock",))
    assert site.addresses == [f"unix:{site.directory}/http.sock"]
    with site.connect() as client:
        for number in range(10):
            assert client.get(f"/{number}").json()["target"] == f"/{number}"


def test_a_unix_socket_serves_wsgi(server: Start) -> None:
    site = server("reference:wsgi", *OPTIONS, binds=("unix:{dir}/http.sock",))
    answer = site.get("/")
    assert answer["environ"]["REQUEST_METHOD"] == "GET"
    assert "SERVER_NAME" in answer["environ"]
    assert "SERVER_PORT" in answer["environ"]


@pytest.mark.parametrize("reactors", ["1", "2"])
def test_an_inherited_socket(server: Start, reactors: str) -> None:
    with free_listening_socket() as listener:
        options = ("--workers", "1", "--reactors", reactors)
        site = server(
            "reference:wsgi", *options, binds=(f"fd://{listener.fileno()}",), pass_fds=(listener.fileno(),)
        )
        for number in range(10):
            with site.connect(address=listener.getsockname()) as client:
                assert client.get(f"/{number}").json()["target"] == f"/{number}"
        site.stop()


def test_an_inherited_unix_socket(server: Start, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = str(tmp_path_factory.mktemp("u") / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        site = server(
            "reference:wsgi", *OPTIONS, binds=(f"fd://{listener.fileno()}",), pass_fds=(listener.fileno(),)
        )
        with site.connect(address=path) as client:
            assert client.get("/").status == 200
        site.stop()
    # It was not ours to make, so it is not ours to remove.
    assert stat.S_ISSOCK(os.stat(path).st_mode)


def test_two_binds_at_once(server: Start) -> None:
    site = server("reference:wsgi", *OPTIONS, binds=("127.0.0.1:0", "unix:{dir}/http.sock", "127.0.0.1:0"))
    (first, second), path = site.tcp_addresses(), site.binds[1].removeprefix("unix:")
    assert first != second
    for address in (first, path, second):
        with site.connect(address=address) as client:
            assert client.get("/").status == 200


def test_a_taken_port_is_said_and_has_its_exit_code(server: Start) -> None:
    with free_listening_socket() as listener:
        port = listener.getsockname()[1]
        site = server("reference:wsgi", *OPTIONS, binds=(f"127.0.0.1:{port}",), ready=False)
        site.expect_log(rf"{port}")
        assert site.wait_exit() == EXIT_CANNOT_BIND
        assert str(port) in site.log.text()
        assert "Traceback" not in site.log.text()
        site.finish(expect=EXIT_CANNOT_BIND)


def test_connections_made_while_workers_boot_wait_and_are_answered(server: Start) -> None:
    with tempfile.TemporaryDirectory(prefix="swt-") as directory, Gate(directory) as gate:
        environment = {"GATE_PATH": gate.path}
        site = server(
            "slow_import:wsgi", *OPTIONS, binds=("unix:{dir}/http.sock",), env=environment, ready=False
        )
        importing = gate.entered()
        with site.connect(address=site.binds[0].removeprefix("unix:")) as early:
            early.send_request(target="/early")
            assert "Listening at" not in site.log.text()
            importing.release()
            assert early.response().json()["target"] == "/early"
        # What there is when it is ready is what must be left at the end.
        wait_until(lambda: not any(reactor["open"] for reactor in site.counters().reactors), "the early one's end")
        site.wait_ready()
