"""Options act in the running server: each is seen from outside, by what it changes."""

from __future__ import annotations

import signal
import socket
import struct

import pytest

from tests.support import processes
from tests.support.client import Closed, Connection, Response
from tests.support.fleet import Start
from tests.support.server import EXIT_BOOT_FAILED, Server, free_listening_socket

OPTIONS = ("--workers", "1", "--reactors", "1")
INTERFACES = pytest.mark.parametrize("interface", ["wsgi", "asgi"])


def answer(site: Server, target: str = "/") -> Response:
    """Of GET, on a connection of its own."""
    with site.connect() as client:
        return client.get(target)


def listens(site: Server) -> Server:
    """Waits for a server whose address was not said by --bind."""
    site.binds.append("by another option")
    site.wait_ready()
    return site


# Where to listen


def test_host_and_port(server: Start) -> None:
    site = listens(server("reference:wsgi", *OPTIONS, "--host", "127.0.0.1", "--port", "0", binds=(), ready=False))
    assert site.tcp_addresses()[0][0] == "127.0.0.1"
    assert answer(site).status == 200


def test_uds(server: Start) -> None:
    site = listens(server("reference:wsgi", *OPTIONS, "--uds", "s", binds=(), ready=False))
    with site.connect(address=f"{site.directory}/s") as client:
        assert client.get("/").status == 200


def test_fd(server: Start) -> None:
    with free_listening_socket() as listener:
        fd = listener.fileno()
        site = listens(server("reference:wsgi", *OPTIONS, "--fd", str(fd), binds=(), pass_fds=(fd,), ready=False))
        with site.connect(address=listener.getsockname()) as client:
            assert client.get("/").status == 200
        site.stop()


def test_port_of_the_environment_means_every_ipv4_address(server: Start) -> None:
    with socket.socket() as probe:  # bound without listening it keeps others away, but not one with SO_REUSEPORT
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        probe.bind(("0.0.0.0", 0))
        port = probe.getsockname()[1]
        environment = {"PORT": str(port)}
        site = listens(
            server("reference:wsgi", *OPTIONS, "--reuse-port", binds=(), env=environment, ready=False))
        assert site.tcp_addresses() == [("0.0.0.0", port)]
        assert answer(site).status == 200


def test_servers_share_a_port_if_both_say_so(server: Start) -> None:
    first = server("reference:wsgi", *OPTIONS, "--reuse-port")
    second = server("reference:wsgi", *OPTIONS, "--reuse-port", binds=(f"127.0.0.1:{first.port}",))
    assert second.port == first.port
    first.stop()
    assert answer(second).status == 200
    refused = server("reference:wsgi", *OPTIONS, binds=(f"127.0.0.1:{second.port}",), ready=False)
    refused.expect_log("Cannot listen")
    refused.finish(expect=4)


def test_the_backlog_is_what_the_kernel_was_told(server: Start) -> None:
    with open("/proc/sys/net/core/somaxconn") as file:
        most = int(file.read())
    assert most > 3
    assert queue_bound(server("reference:wsgi", *OPTIONS, "--backlog", "3").port) == 3


def queue_bound(port: int) -> int:
    """How many connections the kernel lets wait for who listens on 127.0.0.1:`port`, by sock_diag(7)."""
    listening = 10
    family = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0, 1 << listening)
    request = family + bytes(48)
    header = struct.pack("=IHHII", 16 + len(request), 20, 0x301, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as diagnosis:
        diagnosis.sendto(header + request, (0, 0))
        while True:
            data = diagnosis.recv(1 << 16)
            while data:
                length, kind = struct.unpack_from("=IH", data)
                assert kind == 20, f"no answer about port {port}"
                (local,) = struct.unpack_from("!H", data, 16 + 4)
                if local == port:
                    return int(struct.unpack_from("=I", data, 16 + 60)[0])
                data = data[(length + 3) & ~3:]


# Requests in a worker and before it


def test_a_worker_has_no_more_requests_at_once_than_it_may(server: Start) -> None:
    site = server("reference:asgi", *OPTIONS, "--worker-concurrency", "2")
    gate = site.gate()
    with site.connect() as one, site.connect() as two, site.connect() as three:
        for client in (one, two):
            client.send_request(target=gate.target)
        first, second = gate.entered(), gate.entered()
        three.send_request(target="/third")
        waiting(site, 1)
        assert "/third" not in site.seen()
        first.release()
        assert three.response().status == 200
        second.release()
        assert [client.response().status for client in (one, two)] == [200, 200]


def test_a_full_queue_is_answered_503(server: Start) -> None:
    site = server("reference:wsgi", *OPTIONS, "--dispatch", "idle", "--queue-size", "1")
    gate = site.gate()
    with site.connect() as one, site.connect() as two, site.connect() as three:
        one.send_request(target=gate.target)
        visitor = gate.entered()
        two.send_request(target="/second")
        waiting(site, 1)
        refused = three.get("/third")
        assert (refused.status, refused.body) == (503, b"queue-full")
        visitor.release()
        assert [client.response().status for client in (one, two)] == [200, 200]


def test_no_request_waits_longer_than_it_may(server: Start) -> None:
    site = server("reference:wsgi", *OPTIONS, "--dispatch", "idle", "--queue-timeout", "0.2")
    gate = site.gate()
    with site.connect() as one, site.connect() as two:
        one.send_request(target=gate.target)
        visitor = gate.entered()
        refused = two.get("/second")
        assert (refused.status, refused.body) == (503, b"queue-timeout")
        visitor.release()
        assert one.response().status == 200


def waiting(site: Server, count: int) -> None:
    """Wait until `count` requests wait in the master."""
    processes.wait_until(
        lambda: sum(reactor["waiting"] for reactor in site.counters().reactors) == count, f"{count} waiting requests")


# The application


ROOTED = [
    # target, ASGI path, raw path, PATH_INFO
    ("/", "/my shop/", "/my%20shop/", "/"),
    ("/a?b=c", "/my shop/a", "/my%20shop/a", "/a"),
    ("/my%20shop/a", "/my shop/a", "/my%20shop/a", "/a"),
    ("/my%20shop", "/my shop", "/my%20shop", ""),
    ("/my%20shop/", "/my shop/", "/my%20shop/", "/"),
    ("/my%20shopping", "/my shop/my shopping", "/my%20shop/my%20shopping", "/my shopping"),
    ("/%6dy%20shop/a", "/my shop/a", "/%6dy%20shop/a", "/a"),
    ("/a/my%20shop", "/my shop/a/my shop", "/my%20shop/a/my%20shop", "/a/my shop"),
]


def test_an_asgi_app_below_a_root_path(server: Start) -> None:
    site = server("reference:asgi", *OPTIONS, "--root-path", "/my shop/")
    for _ in range(2):  # the second time from what is remembered
        for target, path, raw_path, _ in ROOTED:
            seen = site.get(target)
            assert (seen["root_path"], seen["path"], seen["target"].partition("?")[0]) == ("/my shop", path, raw_path)


def test_a_wsgi_app_below_a_root_path(server: Start) -> None:
    site = server("reference:wsgi", *OPTIONS, "--root-path", "/my shop")
    for _ in range(2):
        for target, _, _, path_info in ROOTED:
            environ = site.get(target)["environ"]
            assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/my shop", path_info)
            assert environ["REQUEST_URI"] == target


def test_a_root_path_beyond_ascii_is_utf_8(server: Start) -> None:
    site = server("reference:wsgi", *OPTIONS, "--root-path", "/lådå")
    assert site.get("/a")["environ"]["SCRIPT_NAME"].encode("latin-1").decode() == "/lådå"
    site = server("reference:asgi", *OPTIONS, "--root-path", "/lådå")
    seen = site.get("/a")
    assert (seen["root_path"], seen["path"], seen["target"]) == ("/lådå", "/lådå/a", "/l%C3%A5d%C3%A5/a")


@INTERFACES
def test_asterisk_form_has_no_root_path(server: Start, interface: str) -> None:
    site = server(f"reference:{interface}", *OPTIONS, "--root-path", "/shop")
    with site.connect() as client:
        seen = client.request(method="OPTIONS", target="*").json()
    assert (seen["path"] if interface == "asgi" else seen["environ"]["PATH_INFO"]) == "*"


def test_without_lifespan_the_app_is_not_asked(server: Start) -> None:
    site = server("lifespans:with_state", *OPTIONS, "--lifespan", "off")
    assert site.seen() == []


def test_an_app_that_must_have_a_lifespan_and_has_none_does_not_boot(server: Start) -> None:
    site = server("lifespans:unsupported", *OPTIONS, "--lifespan", "on", ready=False)
    site.expect_log("")
    site.finish(expect=EXIT_BOOT_FAILED)


@pytest.mark.parametrize("names", [("app",), ("application",), ("app", "application")])
def test_a_module_alone_means_its_application_or_app(
    server: Start, tmp_path_factory: pytest.TempPathFactory, names: tuple[str, ...]
) -> None:
    directory = tmp_path_factory.mktemp("m")
    (directory / "usual.py").write_text("".join(
        f"def {name}(environ, start_response):\n    start_response('200 OK', [])\n    return [b'{name}']\n"
        for name in names))
    assert answer(server("usual", *OPTIONS, "--app-dir", str(directory))).body == names[-1].encode()


# WebSockets


def websocket(client: Connection) -> None:
    """Make the connection a WebSocket."""
    client.send(b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    assert client.response().status == 101


def test_a_longer_message_than_may_be_is_the_end(server: Start) -> None:
    site = server("reference:asgi", *OPTIONS, "--ws-max-size", "5")
    with site.connect() as client:
        websocket(client)
        client.send(b"\x81\x85\0\0\0\0hello")
        assert client.raw(7) == b"\x81\x05hello"
        client.send(b"\x81\x86\0\0\0\0longer")
        close = client.raw(4)
        assert (close[0], int.from_bytes(close[2:], "big")) == (0x88, 1009)


def test_pings_come_as_often_as_is_said(server: Start) -> None:
    site = server("reference:asgi", *OPTIONS, "--ws-ping-interval", "0.05", "--ws-ping-timeout", "0")
    with site.connect() as client:
        websocket(client)
        for _ in range(2):  # an unanswered one is no reason to end it
            opcode, length = client.raw(2)
            assert opcode == 0x89
            client.raw(length)


def test_who_answers_no_ping_is_cut_off(server: Start) -> None:
    site = server("reference:asgi", *OPTIONS, "--ws-ping-interval", "0.05", "--ws-ping-timeout", "0.05")
    with site.connect() as client:
        websocket(client)
        assert client.raw(1) == b"\x89"
        with pytest.raises(Closed):
            client.raw(1 << 20)


# Fields of responses


@INTERFACES
def test_responses_have_date_and_server(server: Start, interface: str) -> None:
    response = answer(server(f"reference:{interface}", *OPTIONS))
    assert response.header("server") == "swhttp"
    assert (response.header("date") or "").endswith(" GMT")


@pytest.mark.parametrize(
    ("options", "date", "server_field"),
    [
        (("--no-server-header",), True, None), (("--no-date-header",), False, "swhttp"),
        (("--no-date-header", "--no-server-header"), False, None),
        (("--header", "Server: mine"), True, "mine"),
        (("--no-server-header", "--header", "Server: mine"), True, "mine"),
        (("--no-date-header", "--header", "X-A: 1", "--no-server-header"), False, None),
    ],
)
def test_date_and_server_can_be_left_out_or_replaced(
    server: Start, options: tuple[str, ...], date: bool, server_field: str | None
) -> None:
    site = server("reference:asgi", *OPTIONS, *options)
    own = server_answer(site)
    for response in (answer(site), own):
        assert (response.header("date") is not None, response.header("server")) == (date, server_field)
        assert response.all("x-a") == (["1"] if "X-A: 1" in options else [])


def server_answer(site: Server) -> Response:
    """One that is the server's own: a request without Host."""
    with site.connect() as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        response = client.response()
        assert response.status == 400
        return response


HEADERS = ("--header", "X-One: 1", "--header", "X-One:  two words\t", "--header", "Content-Language: de")


@INTERFACES
@pytest.mark.parametrize("target", ["/", "/stream?size=100000&pieces=3&framing=chunked", "/stream?status=304"])
def test_fields_for_every_response(server: Start, interface: str, target: str) -> None:
    site = server(f"reference:{interface}", *OPTIONS, *HEADERS)
    for response in (answer(site, target), server_answer(site)):
        assert response.all("x-one") == ["1", "two words"]
        assert response.header("content-language") == "de"
        assert response.header("server") == "swhttp"


@pytest.mark.parametrize("target", ["/?server=app", "/?date=app", "/?server=app&date=app"])
def test_an_apps_own_server_and_date_count_and_other_fields_are_added(server: Start, target: str) -> None:
    site = server("naming:wsgi", *OPTIONS, "--header", "Server: ours", "--header", "X-One: ours")
    response = answer(site, target)
    assert response.header("server") == ("app" if "server" in target else "ours")
    assert (response.header("date") == "app") == ("date" in target)
    assert response.all("x-one") == ["app", "ours"]


def test_many_fields_and_a_large_head_of_the_app_fit_together(server: Start) -> None:
    texts = [f"X-Field-{number}: {'v' * 180}" for number in range(20)]
    options = [part for text in texts for part in ("--header", text)]
    site = server("naming:wsgi", *OPTIONS, *options)
    response = answer(site, "/?bulk=15000")
    assert response.status == 200
    assert len(response.header("x-bulk") or "") == 15000
    assert [response.header(f"x-field-{number}") for number in range(20)] == ["v" * 180] * 20


# From files and variables


def test_a_file_that_names_the_app_is_all_that_is_needed(
    server: Start, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("c") / "swhttp.toml"
    path.write_text('app = "reference:wsgi"\nworkers = 1\nreactors = 1\nbind = "127.0.0.1:0"\nheader = "X-From: it"\n')
    site = listens(server("", "--config", str(path), binds=(), ready=False))
    assert answer(site).header("x-from") == "it"


def test_variables_of_an_env_file_reach_the_server_and_the_app(
    server: Start, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("c") / "env"
    path.write_text("SWHTTP_HEADER=X-From: env file\nNAMING=from the file\n")
    site = server("naming:wsgi", *OPTIONS, "--env-file", str(path))
    response = answer(site)
    assert (response.header("x-from"), response.body) == ("env file", b"from the file")


def test_the_directory_is_that_of_chdir(server: Start, tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("d")
    (directory / "placed.py").write_text(
        "import os\n\ndef app(environ, start_response):\n"
        "    start_response('200 OK', [])\n    return [os.getcwd().encode()]\n")
    site = server("placed", *OPTIONS, "--chdir", str(directory), "--app-dir", ".")
    assert answer(site).body == str(directory).encode()


def test_a_variable_with_a_mistake_in_its_name_is_warned_of(server: Start) -> None:
    site = server("reference:wsgi", *OPTIONS, env={"SWHTTP_THREDS": "3"})
    site.wait_for_log(r"\[WARNING\] SWHTTP_THREDS is no option; did you mean SWHTTP_THREADS\?")
    site.kill(signal.SIGTERM)
    site.finish()
