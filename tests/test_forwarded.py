"""What apps see behind a proxy: from whom forwarding fields are taken, and that both interfaces are told the same."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from swhttp.config import Config
from swhttp.errors import ExitCode, ServerError
from tests.support.accesslog import AccessLog
from tests.support.client import request_bytes
from tests.support.fleet import Start
from tests.support.forwarding import Fields, ends, expected, own
from tests.support.server import Server

Headers = list[tuple[str, str]]

TRUSTED = "127.0.0.1,10.0.0.0/8"
STRANGER = "127.0.0.2"
SPOOF: Headers = [
    ("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Port", "444"), ("Forwarded", "for=192.0.2.2;proto=https;host=evil.example"),
]


@pytest.fixture(scope="module", params=["wsgi", "asgi"])
def site(request: pytest.FixtureRequest, module_server: Start) -> Server:
    """The reference app, on TCP and on a unix socket."""
    return module_server(
        f"reference:{request.param}", "--workers", "1", "--forwarded-allow-ips", TRUSTED,
        binds=("127.0.0.1:0", "unix:{dir}/socket"))


def told(headers: Headers, connection: dict[str, Any], mode: str = "auto") -> dict[str, Any]:
    """What the app must be told of a request with these fields from a trusted peer."""
    fields: Fields = [(name.lower().encode(), value.encode()) for name, value in headers]
    said = expected(fields, TRUSTED, mode)
    result = dict(connection)
    if said["client"]:
        result["client"] = said["client"]
    if said["scheme"]:
        result["scheme"] = said["scheme"]
    port = said["port"]
    if said["host"]:
        host = said["host"].decode()
        parts = re.fullmatch(r"\[?(.*?)\]?(?::([0-9]*))?", host)
        assert parts
        port = port or int(parts[2] or 0) or (443 if result["scheme"] == "https" else 80)
        result["host"] = host
        result["server"] = (parts[1], port)
    elif port:
        result["server"] = (result["server"][0], port)
    return result


FOR = [[], ["192.0.2.1"], ["198.51.100.9, 192.0.2.1:4711, 10.0.0.3"], ["10.0.0.1", "10.0.0.2"], ["unknown"],
       ["192.0.2.9, _hidden, [2001:db8::1]:9"]]
PROTO = [[], ["https"], ["http, https, http"], ["wss"], ["gopher"]]
HOST = [[], ["example.com"], ["[2001:db8::5]:8443"], ["a.example, b.example:81"], ["not a host"]]
PORT = [[], ["444"], ["0"]]
RFC = [[], ['for="[2001:db8::1]:4711";proto=https;host="example.org:444"'],
       ["for=192.0.2.5", "for=10.0.0.1;proto=https"], ["for=192.0.2.5;"],
       ["for=192.0.2.5;for=192.0.2.6"], ["host=example.org"]]


def grid() -> list[Headers]:
    """Sets of forwarding fields: each kind with each other."""
    names = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port")
    sets = [
        [(name, value) for name, values in zip(names, chosen, strict=True) for value in values]
        for chosen in itertools.product(FOR, PROTO, HOST, PORT)]
    return sets + [[("Forwarded", value) for value in values] + more for values in RFC for more in ([], *sets[1::97])]


def test_scope_and_environ_say_what_a_trusted_proxy_said(site: Server) -> None:
    sets = grid()
    with site.connect() as client:
        wrong = []
        for headers in sets:
            client.send_request(headers=headers)
            seen = ends(client.response())
            if seen != told(headers, own(client, site)):
                wrong.append((headers, seen, told(headers, own(client, site))))
    assert len(sets) > 400
    assert wrong == []


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_the_access_log_names_the_client_and_the_host_that_the_app_was_told(
    server: Start, tmp_path: Path, interface: str
) -> None:
    site = server(
        f"reference:{interface}", "--workers", "1", "--forwarded-allow-ips", TRUSTED,
        "--access-log", str(tmp_path / "log"), "--access-log-format", "%h %{remote}p %{Host}i")
    lines = []
    with site.connect() as client, site.connect(source=STRANGER) as stranger:
        for headers in grid():
            for asks in (client, stranger):
                seen = ends(asks.request(headers=headers))
                address, port = seen["client"]
                lines.append(f"{address} {port or '-'} {seen['host']}")
    assert AccessLog(str(tmp_path / "log"), from_start=True).texts(len(lines)) == lines


def test_the_logs_name_the_client_of_a_request_that_is_refused(server: Start, tmp_path: Path) -> None:
    site = server("reference:wsgi", "--workers", "1", "--access-log", str(tmp_path / "log"))
    with site.connect() as client:
        client.send_request(headers=[("X-Forwarded-For", "192.0.2.66:5"), ("Host", "another")])
        assert client.response().body == b"many-hosts"
    site.wait_for_log(r"400 reason=many-hosts client=192\.0\.2\.66:5$")
    assert AccessLog(str(tmp_path / "log"), from_start=True).lines(1)[0].client == "192.0.2.66"


def test_fields_of_strangers_change_nothing_and_reach_the_app(site: Server) -> None:
    with site.connect(source=STRANGER) as client:
        response = client.request(headers=SPOOF)
        assert ends(response) == own(client, site)
        assert {(name.lower(), value) for name, value in SPOOF} <= {tuple(pair) for pair in response.json()["headers"]}


def test_a_trusted_proxys_fields_reach_the_app_too(site: Server) -> None:
    with site.connect() as client:
        headers = dict(client.request(headers=SPOOF).json()["headers"])
        assert headers["host"] == "evil.example"
        assert {name: headers[name.lower()] for name, _ in SPOOF} == dict(SPOOF)


def test_what_was_said_holds_for_one_request_only(site: Server) -> None:
    with site.connect() as client:
        for headers in (SPOOF, [], SPOOF[:1], []):
            client.send_request(headers=headers)
            assert ends(client.response()) == told(headers, own(client, site))


def test_pipelined_requests_each_have_their_client(site: Server) -> None:
    clients = [f"192.0.2.{number}" for number in range(1, 30)]
    with site.connect() as client:
        client.send(b"".join(request_bytes(headers=[("X-Forwarded-For", address)]) for address in clients))
        assert [ends(client.response())["client"] for _ in clients] == [(address, 0) for address in clients]


def test_peers_on_unix_sockets_are_trusted(site: Server) -> None:
    with site.connect(address=site.addresses[1].removeprefix("unix:")) as client:
        before = ends(client.request())
        assert ends(client.request(headers=SPOOF)) == {
            "client": ("192.0.2.1", 0), "server": ("evil.example", 444), "scheme": "https", "host": "evil.example"}
        assert ends(client.request(headers=[("X-Forwarded-Port", "444")])) == before


def test_a_forwarded_host_replaces_the_authority_of_the_target(site: Server) -> None:
    with site.connect() as client:
        response = client.request(target="http://other.example/", headers=[("X-Forwarded-Host", "example.com")])
        assert ends(response)["host"] == "example.com"


def test_a_head_without_host_gets_the_forwarded_one(site: Server) -> None:
    with site.connect() as client:
        response = client.request(headers=[("X-Forwarded-Host", "example.com:81")], version="HTTP/1.0", host=None)
        assert ends(response)["host"] == "example.com:81"
        assert ends(response)["server"] == ("example.com", 81)


def test_a_bad_host_is_refused_even_if_another_is_forwarded(site: Server) -> None:
    with site.connect() as client:
        response = client.request(headers=[("X-Forwarded-Host", "example.com")], host="not a host")
        assert (response.status, response.body) == (400, b"bad-host")


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_heads_of_every_size_have_room_for_what_was_said(site: Server, framing: str) -> None:
    """Around the sizes of request blocks: the host may make the head longer than its block."""
    host = "h" * 250 + ".example"
    body = bytes(range(256))
    with site.connect() as client:
        for padding in (*range(0, 1000, 29), *range(7000, 7400, 23)):
            headers = [("Before", "b"), ("Padding", "p" * padding), *SPOOF[:2], ("X-Forwarded-Host", host),
                       ("After", "a")]
            if framing == "chunked":
                client.send_request("POST", headers=[*headers, ("Transfer-Encoding", "chunked")])
                client.send(b"100\r\n" + body + b"\r\n0\r\n\r\n")
            else:
                client.send_request("POST", headers=headers, body=body)
            response = client.response()
            seen = dict(response.json()["headers"])
            assert ends(response) == {
                "client": ("192.0.2.1", 0), "server": (host, 443), "scheme": "https", "host": host}
            assert (seen["before"], len(seen["padding"]), seen["after"]) == ("b", padding, "a")
            assert response.json()["body"] == body.decode("latin-1")


def test_what_was_said_of_one_request_does_not_reach_into_the_block_of_another(site: Server) -> None:
    """Requests that wait side by side in blocks, each of which has room for its head and little more."""
    host = "h" * 250 + ".example"
    with site.gate() as gate:
        clients = [site.connect() for _ in range(40)]
        for number, client in enumerate(clients):
            client.send_request(target=gate.target, headers=[
                ("Padding", "p" * 16 * number), ("X-Forwarded-For", f"192.0.2.{number}"), ("X-Forwarded-Host", host)])
        for _ in clients:
            gate.entered().release()
        for number, client in enumerate(clients):
            response = client.response()
            assert ends(response) == {
                "client": (f"192.0.2.{number}", 0), "server": (host, 80), "scheme": "http", "host": host}
            assert len(dict(response.json()["headers"]).get("padding", "")) == 16 * number


@pytest.mark.parametrize("size", [60_000, 200_000, 1_500_000])
def test_large_bodies_follow_what_was_said(site: Server, size: int) -> None:
    body = b"0123456789abcdef" * (size // 16)
    with site.connect() as client:
        client.send_request("POST", headers=SPOOF, body=body)
        response = client.response()
        assert ends(response)["client"] == ("192.0.2.1", 0)
        assert response.json()["body"] == body.decode()


@pytest.mark.parametrize(
    ("allowed", "env", "believed"),
    [
        (None, {}, {"127.0.0.1": True, STRANGER: False}),
        (None, {"FORWARDED_ALLOW_IPS": STRANGER}, {"127.0.0.1": False, STRANGER: True}),
        ("127.0.0.1", {"FORWARDED_ALLOW_IPS": STRANGER}, {"127.0.0.1": True, STRANGER: False}),
        ("*", {}, {"127.0.0.1": True, STRANGER: True}),
        ("", {}, {"127.0.0.1": False, STRANGER: False}),
        ("10.0.0.0/8, 127.0.0.0/30", {}, {"127.0.0.3": True, "127.0.0.4": False}),
    ],
)
def test_who_is_believed(
    server: Start, allowed: str | None, env: dict[str, str], believed: dict[str, bool]
) -> None:
    options = () if allowed is None else ("--forwarded-allow-ips", allowed)
    site = server("reference:asgi", "--workers", "1", *options, env=env)
    for source, wanted in believed.items():
        with site.connect(source=source) as client:
            response = client.request(headers=[("X-Forwarded-For", "192.0.2.9")])
            assert (ends(response)["client"][0] == "192.0.2.9") == wanted, source


@pytest.mark.parametrize("mode", ["x-forwarded", "forwarded"])
def test_only_the_fields_that_are_asked_for_are_read(server: Start, mode: str) -> None:
    site = server(
        "reference:wsgi", "--workers", "1", "--forwarded-allow-ips", TRUSTED, "--forwarded-headers", mode)
    with site.connect() as client:
        for headers in (SPOOF, SPOOF[:4], SPOOF[4:]):
            client.send_request(headers=headers)
            assert ends(client.response()) == told(headers, own(client, site), mode)


def test_with_everybody_trusted_the_client_is_the_first_entry(server: Start) -> None:
    site = server("reference:asgi", "--workers", "1", "--forwarded-allow-ips", "*")
    with site.connect() as client:
        response = client.request(headers=[("X-Forwarded-For", "192.0.2.1, 192.0.2.2, 2001:db8::1")])
        assert ends(response)["client"] == ("192.0.2.1", 0)


@pytest.mark.parametrize("text", ["localhost", "127.0.0.1,10.0.0.1/8", "127.0.0.1,,::1"])
def test_networks_that_are_none_end_the_start(text: str) -> None:
    with pytest.raises(ServerError, match="--forwarded-allow-ips: ") as failure:
        Config("a:b", forwarded_allow_ips=text)
    assert failure.value.exit_code is ExitCode.VALUE
