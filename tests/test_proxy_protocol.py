"""Connections that begin with a PROXY header: whose they are then, what follows it, and who may say so."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support import proxying
from tests.support.accesslog import AccessLog
from tests.support.client import Connection, request_bytes
from tests.support.fleet import Start
from tests.support.forwarding import ends, own
from tests.support.proxying import SOURCE, TARGET, v1, v2, v2_raw
from tests.support.server import Server

STRANGER = "127.0.0.2"
HEADERS = {"v1": v1(), "v2": v2()}
BOTH = pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
REQUEST = request_bytes()


@pytest.fixture(scope="module", params=["wsgi", "asgi"])
def site(request: pytest.FixtureRequest, module_server: Start) -> Server:
    """The reference app behind a proxy that speaks either version, on TCP and on a unix socket."""
    return module_server(
        f"reference:{request.param}", "--workers", "1", "--proxy-protocol", "auto",
        binds=("127.0.0.1:0", "unix:{dir}/socket"))


def over_unix(site: Server) -> Connection:
    return site.connect(address=site.addresses[1].removeprefix("unix:"))


def named(source: Any = SOURCE, target: Any = TARGET, scheme: str = "http") -> dict[str, Any]:
    return {"client": source, "server": target, "scheme": scheme, "host": "test"}


@BOTH
@pytest.mark.parametrize("unix", [False, True])
def test_the_ends_of_the_connection_are_those_of_the_header(site: Server, header: bytes, unix: bool) -> None:
    with over_unix(site) if unix else site.connect() as client:
        client.send(header + REQUEST)
        assert ends(client.response()) == named()
        client.send(REQUEST)
        assert ends(client.response()) == named()


@BOTH
def test_the_header_may_come_in_pieces_and_with_requests_behind_it(site: Server, header: bytes) -> None:
    stream = header + REQUEST + REQUEST
    for cut in (*range(1, len(header) + 3), len(header + REQUEST) - 1, len(header + REQUEST)):
        with site.connect() as client:
            client.send(stream[:cut], stream[cut:])
            assert [ends(client.response()) for _ in range(2)] == [named(), named()]
    with site.connect() as client:
        client.send(*(stream[at : at + 1] for at in range(len(stream))))
        assert [ends(client.response()) for _ in range(2)] == [named(), named()]


def test_ipv6_ends(site: Server) -> None:
    source, target = ("2001:db8::7", 1), ("2001:db8::1", 8443)
    for header in (v1(source, target), v2(source, target)):
        with site.connect() as client:
            client.send(header + REQUEST)
            assert ends(client.response()) == named(source, target)


def test_a_client_that_came_by_tls_is_seen_as_such(site: Server) -> None:
    for client_flags, scheme in ((1, "https"), (7, "https"), (6, "http")):
        with site.connect() as client:
            client.send(proxying.with_checksum(v2(tlvs=proxying.tls(client_flags))) + REQUEST + REQUEST)
            assert ends(client.response()) == named(scheme=scheme)
            assert ends(client.response()) == named(scheme=scheme)


@pytest.mark.parametrize(
    "header",
    [b"PROXY UNKNOWN\r\n", v2_raw(proxying.LOCAL, 0, b""), v2_raw(proxying.PROXY, 0, b""),
     v2_raw(proxying.PROXY, proxying.UNIX, bytes(216))])
def test_a_header_without_addresses_leaves_the_real_ones(site: Server, header: bytes) -> None:
    with site.connect() as client:
        client.send(header + REQUEST)
        assert ends(client.response()) == own(client, site)
    with over_unix(site) as client:
        client.send(header + REQUEST)
        assert ends(client.response())["client"] is None


@pytest.mark.parametrize(
    "wrong",
    [REQUEST, b"PROXY TCP4 192.0.2.7\r\n" + REQUEST, b"\r\n" + v1() + REQUEST, v2(tlvs=b"\0") + REQUEST,
     proxying.with_checksum(v2(), wrong=1) + REQUEST, b"PROXY UNKNOWN " + b"x" * 200,
     v2_raw(proxying.PROXY, proxying.TCP4, bytes(60_000)), b"HEAD / HTTP/1.1\r\nHost: test\r\n\r\n"])
@pytest.mark.parametrize("unix", [False, True])
def test_what_is_no_header_is_refused_in_one_line(site: Server, wrong: bytes, unix: bool) -> None:
    mark = site.log.mark()
    with over_unix(site) if unix else site.connect() as client:
        client.send_while_open(wrong)
        response = client.response()
        assert (response.status, response.body) == (400, b"bad-proxy-header")
        client.expect_end()
        peer = "unix" if unix else "{}:{}".format(*client.socket.getsockname())
        site.wait_for_log(rf"400 reason=bad-proxy-header client={peer}$", since=mark)
    assert len(site.log.text(mark).splitlines()) == 1


def test_strangers_speak_http_and_their_header_is_a_bad_request(site: Server) -> None:
    with site.connect(source=STRANGER) as client:
        client.send(REQUEST)
        assert ends(client.response()) == own(client, site)
    for header in HEADERS.values():
        with site.connect(source=STRANGER) as client:
            client.send_while_open(header + REQUEST)
            response = client.response()
            assert (response.status, response.body) != (400, b"bad-proxy-header")
            assert response.status == 400
            client.expect_end()


def test_trust_in_fields_is_decided_by_the_address_in_the_header(site: Server) -> None:
    spoof = request_bytes(headers=[("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Proto", "https")])
    with site.connect() as client:
        client.send(v1() + spoof)
        assert ends(client.response()) == named()
    with site.connect() as client:  # a client that is a proxy of ours, behind the one that speaks PROXY
        client.send(v1(("127.0.0.1", 4)) + spoof)
        assert ends(client.response()) == named(("203.0.113.9", 0), scheme="https")
    with over_unix(site) as client:
        client.send(v2() + spoof)
        assert ends(client.response()) == named()


def test_a_field_may_say_http_of_a_client_that_came_by_tls(site: Server) -> None:
    with site.connect() as client:
        client.send(v2(("127.0.0.1", 4), tlvs=proxying.tls()) + request_bytes(headers=[("X-Forwarded-Proto", "http")]))
        assert ends(client.response())["scheme"] == "http"
        client.send(REQUEST)
        assert ends(client.response())["scheme"] == "https"


def test_logs_name_the_client_of_the_header(site: Server) -> None:
    mark = site.log.mark()
    with site.connect() as client:
        client.send(v1() + b"BAD\r\n\r\n")
        assert client.response().status == 400
        site.wait_for_log(r"400 reason=bad-request-line client=192\.0\.2\.7:51234$", since=mark)


@pytest.mark.parametrize(
    ("header", "believed"),
    [(b"PROXY UNKNOWN\r\n", False), (v2_raw(proxying.PROXY, proxying.UNSPEC, b""), False),
     (v2_raw(proxying.PROXY, proxying.UNIX, bytes(216)), False),
     (v2_raw(proxying.PROXY, proxying.UDP4, bytes(12)), False), (v2_raw(proxying.LOCAL, 0, b""), True)])
def test_who_cannot_be_named_is_not_believed_and_only_the_proxy_itself_is(
    site: Server, header: bytes, believed: bool
) -> None:
    for address in (None, site.addresses[1].removeprefix("unix:")):
        with site.connect(address=address) as client:
            client.send(header + request_bytes(headers=[("X-Forwarded-For", "192.0.2.66")]))
            assert (ends(client.response())["client"] == ("192.0.2.66", 0)) is believed


def test_a_health_check_that_says_nothing_else_is_no_alarm(site: Server) -> None:
    mark = site.log.mark()
    for header in (b"PROXY UNKNOWN\r\n", v2_raw(proxying.LOCAL, 0, b"")):
        with site.connect() as client:
            client.send(header)
            client.half_close()
            client.expect_end()
    assert site.log.text(mark) == ""


@pytest.mark.parametrize(("mode", "header"), [("v1", v2()), ("v2", v1())])
def test_the_other_version_is_refused(server: Start, mode: str, header: bytes) -> None:
    site = server("reference:wsgi", "--workers", "1", "--proxy-protocol", mode)
    with site.connect() as client:
        client.send(HEADERS[mode] + REQUEST)
        assert ends(client.response()) == named()
    with site.connect() as client:
        client.send_while_open(header + REQUEST)
        assert client.response().body == b"bad-proxy-header"


def test_without_the_option_a_header_is_a_bad_request(server: Start) -> None:
    site = server("reference:wsgi", "--workers", "1")
    for header in HEADERS.values():
        with site.connect() as client:
            client.send_while_open(header + REQUEST)
            assert client.response().status == 400


def test_the_deadline_of_the_first_head_begins_with_the_header(server: Start) -> None:
    """A header in pieces buys no time: a connection made when it is whole outlives it."""
    site = server("reference:wsgi", "--workers", "1", "--proxy-protocol", "auto", "--head-timeout", "2")
    silent, part, whole, slow = (site.connect() for _ in range(4))
    part.send(v1()[:20])
    whole.send(v1())
    slow.send(v1()[:20])
    with site.connect(source=STRANGER) as clock:
        clock.get("/sleep/1")
    late = site.connect()
    slow.send(v1()[20:], REQUEST[:5])
    assert part.response().status == 408
    assert slow.response().status == 408
    silent.expect_end()
    whole.expect_end()
    assert not late.wait_readable(0.2)


def test_dispatch_by_address_goes_by_the_header(server: Start) -> None:
    site = server(
        "reference:wsgi", "--workers", "3", "--reactors", "1", "--dispatch", "ip", "--proxy-protocol", "auto")
    chosen = Counter[int]()
    for last in range(1, 40):
        pids = set()
        for port in (1, 2, 3):
            with site.connect() as client:
                client.send(v2((f"192.0.2.{last}", port)) + REQUEST)
                pids.add(client.response().json()["pid"])
        assert len(pids) == 1
        chosen.update(pids)
    assert set(chosen) == set(site.workers())


def test_connections_that_are_handed_over_keep_their_header(server: Start) -> None:
    site = server("reference:asgi", "--workers", "2", "--reactors", "2", "--proxy-protocol", "auto")
    clients = [site.connect() for _ in range(20)]
    for number, client in enumerate(clients):
        client.send(v2((f"192.0.2.{number}", 7)) + REQUEST)
    for number, client in enumerate(clients):
        assert ends(client.response())["client"] == (f"192.0.2.{number}", 7)


def test_a_row_that_is_used_again_forgets_the_last_client(server: Start) -> None:
    site = server("reference:asgi", "--workers", "1", "--reactors", "1", "--proxy-protocol", "auto")
    for _ in range(5):
        with site.connect() as client:
            client.send(v2(tlvs=proxying.tls()) + REQUEST)
            assert ends(client.response()) == named(scheme="https")
        with site.connect(source=STRANGER) as client:
            client.send(REQUEST)
            assert ends(client.response()) == own(client, site)


def test_the_access_log_shows_what_was_asked_behind_the_header_and_when(server: Start, tmp_path: Path) -> None:
    site = server("reference:wsgi", "--workers", "1", "--proxy-protocol", "auto", "--access-log", str(tmp_path / "log"),
                  "--access-log-format", "%h %>s %{sec}t %r")
    bad = b"GET /a b HTTP/1.1\r\n\r\n"
    began_s = int(time.time())
    for pieces in ([b"GARBAGE\r\n\r\n"], [v1() + bad], [v1(), bad], [v1() + b"\r\n" + bad], [b"GARBAGE\r\n\r\n"]):
        with site.connect() as client:
            client.send(*pieces)
            assert client.response().status == 400
    asked = []
    for line in AccessLog(str(tmp_path / "log"), from_start=True).texts(5):
        address, status, when_s, request = line.split(" ", 3)
        assert status == "400"
        assert began_s <= int(when_s) <= time.time()
        asked.append((address, request))
    assert asked == [("127.0.0.1", "GARBAGE"), *[(SOURCE[0], "GET /a b HTTP/1.1")] * 3, ("127.0.0.1", "GARBAGE")]
