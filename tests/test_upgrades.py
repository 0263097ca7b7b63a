"""Requests for a WebSocket over a real connection: which are served, which are refused and end it, and which are plain.

What makes a handshake good or bad is in test_handshake; here it is what becomes of the connection.
"""

from __future__ import annotations

import pytest

from tests.support.client import Connection, Response
from tests.support.fleet import Start
from tests.support.server import Server

KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
VERSION = "Sec-WebSocket-Version: 13"
ASKS = ("Connection: Upgrade", "Upgrade: websocket")
PLAIN = b"GET /behind HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def site(module_server: Start) -> Server:
    """The reference app, which takes WebSockets."""
    return module_server("reference:asgi", "--workers", "1", "--reactors", "1")


def head(*lines: str, first: str = "GET /ws HTTP/1.1") -> bytes:
    return "\r\n".join([first, "Host: localhost", *lines, "", ""]).encode("latin-1")


def ask(client: Connection, *lines: str, first: str = "GET /ws HTTP/1.1", behind: bytes = b"") -> Response:
    client.send(head(*lines, first=first) + behind)
    return client.response()


@pytest.mark.parametrize(
    "asks",
    [
        ASKS, ("Connection: keep-alive, Upgrade", "Upgrade: websocket"), ("connection: UPGRADE", "upgrade: WebSocket"),
        ("Connection: Upgrade", "Upgrade: foo, websocket"), ("Connection: keep-alive", *ASKS),
        ("Connection: Upgrade", "Upgrade: foo", "Upgrade: websocket"),
    ],
)
def test_a_websocket_is_asked_for_in_several_ways(site: Server, asks: tuple[str, ...]) -> None:
    with site.connect() as client:
        accepted = ask(client, *asks, KEY, VERSION)
        assert accepted.status == 101
        assert accepted.header("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert [accepted.header(name) for name in ("connection", "upgrade")] == ["Upgrade", "websocket"]
        assert accepted.header("content-length") is None


@pytest.mark.parametrize(
    ("first", "lines", "reason"),
    [
        ("GET /ws HTTP/1.1", (*ASKS, VERSION), "ws-bad-key"),
        ("GET /ws HTTP/1.1", (*ASKS, KEY, KEY, VERSION), "ws-many-keys"),
        ("GET /ws HTTP/1.1", (*ASKS, KEY, VERSION, "Sec-WebSocket-Protocol: caf\xe9"), "ws-bad-subprotocol"),
        ("GET /ws HTTP/1.1", (*ASKS, KEY, VERSION, "Sec-WebSocket-Extensions: ;"), "ws-bad-extension"),
        ("POST /ws HTTP/1.1", (*ASKS, KEY, VERSION, "Content-Length: 0"), "ws-not-get"),
        ("HEAD /ws HTTP/1.1", (*ASKS, KEY, VERSION), "ws-not-get"),
        ("GET /ws HTTP/1.1", (*ASKS, KEY, VERSION, "Content-Length: 3"), "upgrade-with-body"),
        ("GET /ws HTTP/1.1", (*ASKS, KEY, VERSION, "Transfer-Encoding: chunked"), "upgrade-with-body"),
    ],
)
def test_a_bad_request_for_one_is_400_and_the_end(
    site: Server, first: str, lines: tuple[str, ...], reason: str
) -> None:
    before = site.seen()
    with site.connect() as client:
        client.send(head(*lines, first=first) + PLAIN)
        refused = client.response(first.split()[0])
        assert (refused.status, refused.body) == (400, b"" if first.startswith("HEAD") else reason.encode())
        assert not refused.keeps_open
        client.expect_end()
    assert site.seen() == before


@pytest.mark.parametrize("versions", [(), ("Sec-WebSocket-Version: 8",), ("Sec-WebSocket-Version: 13, 8",),
                                      (VERSION, VERSION)])
def test_another_version_is_426_which_says_what_is_spoken(site: Server, versions: tuple[str, ...]) -> None:
    before = site.seen()
    with site.connect() as client:
        refused = ask(client, *ASKS, KEY, *versions, behind=PLAIN)
        assert (refused.status, refused.body) == (426, b"ws-bad-version")
        assert (refused.header("sec-websocket-version"), refused.header("upgrade")) == ("13", "websocket")
        assert refused.all("connection") == ["upgrade", "close"]
        client.expect_end()
    assert site.seen() == before


@pytest.mark.parametrize(
    ("first", "lines"),
    [
        ("GET /plain HTTP/1.1", ("Upgrade: websocket", KEY, VERSION)),
        ("GET /plain HTTP/1.1", ("Connection: Upgrade", KEY, VERSION)),
        ("GET /plain HTTP/1.1", ("Connection: Upgrade", "Upgrade: websockets", KEY, VERSION)),
        ("GET /plain HTTP/1.1", ("Connection: Upgrade", "Upgrade: h2c")),
        ("GET /plain HTTP/1.0", ("Connection: Upgrade, keep-alive", "Upgrade: websocket", KEY, VERSION)),
    ],
)
def test_what_asks_for_no_websocket_is_plain_http(site: Server, first: str, lines: tuple[str, ...]) -> None:
    """RFC 9110 §7.8: Upgrade counts with Connection only, and never in HTTP/1.0."""
    with site.connect() as client:
        assert ask(client, *lines, first=first).json()["target"] == "/plain"
        client.send(PLAIN)
        assert client.response().json()["target"] == "/behind"


def test_who_expects_100_continue_gets_it_before_101(site: Server) -> None:
    """RFC 9110 §7.8."""
    with site.connect() as client:
        client.send(head(*ASKS, KEY, VERSION, "Expect: 100-continue"))
        assert client.raw(37) == b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101"


def test_without_websockets_a_request_for_one_is_plain_http(server: Start) -> None:
    site = server("reference:asgi", "--workers", "1", "--reactors", "1", "--ws", "none")
    with site.connect() as client:
        assert ask(client, *ASKS, KEY).json()["target"] == "/ws"
        client.send(PLAIN)
        assert client.response().json()["target"] == "/behind"


@pytest.mark.parametrize("compressed", [True, False])
def test_compression_is_agreed_upon_or_not(server: Start, compressed: bool) -> None:
    option = "--ws-per-message-deflate" if compressed else "--no-ws-per-message-deflate"
    site = server("reference:asgi", "--workers", "1", "--reactors", "1", option)
    with site.connect() as client:
        accepted = ask(client, *ASKS, KEY, VERSION, "Sec-WebSocket-Extensions: permessage-deflate")
        assert accepted.status == 101
        assert accepted.header("sec-websocket-extensions") == (
            "permessage-deflate; server_max_window_bits=12" if compressed else None)


def test_frames_may_come_right_behind_the_handshake(site: Server) -> None:
    hello = b"\x81\x85\0\0\0\0hello"
    with site.connect() as client:
        assert ask(client, *ASKS, KEY, VERSION, behind=hello).status == 101
        assert client.raw(7) == b"\x81\x05hello"
