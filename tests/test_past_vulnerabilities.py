"""What has once been reported against servers of this kind, tried on this one: each must fail here.

Only what no other test holds yet. docs/security.md lists the reports, and which test answers each: most are cases of
tests/conformance, by their `cve`.
"""

from __future__ import annotations

import re
import socket
import struct
from dataclasses import dataclass

import pytest

from tests.support.client import Closed, Connection, Response, request_bytes
from tests.support.counters import Since
from tests.support.fleet import Start
from tests.support.server import Server

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
HOST = b"Host: localhost\r\n"


@dataclass(frozen=True)
class Past:
    """Bytes that made another server see /smuggled, or something else that was not there.

    id: the number of the report, or what the trick is called; status: of the only answer, after which the connection
    ends; 200: it is served, with `body` as its body and nothing else behind it.
    """

    id: str
    data: bytes
    status: int
    body: bytes = b""

    def __str__(self) -> str:
        return self.id


def post(fields: bytes, body: bytes, line: bytes = b"POST / HTTP/1.1\r\n") -> bytes:
    return line + HOST + fields + b"\r\n" + body


def chunk(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


LENGTH = b"Content-Length: %d\r\n" % len(SMUGGLED)
CHUNKED = b"Transfer-Encoding: chunked\r\n"

PAST = [
    # Framing that one of two servers overlooks
    Past("CVE-2018-7159", post(b"Content-Length: 4 3\r\n", SMUGGLED), 400),
    Past("CVE-2020-8287", post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked-false\r\n",
                               b"0\r\n\r\n" + SMUGGLED), 400),
    Past("CVE-2021-22959", post(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n" + SMUGGLED), 400),
    Past("CVE-2021-32715", post(b"Content-Length: +43\r\n", SMUGGLED), 400),
    Past("CVE-2022-32213", post(b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n" + SMUGGLED), 400),
    Past("CVE-2022-32215", post(b"Transfer-Encoding: chunked\r\n , identity\r\n", b"0\r\n\r\n" + SMUGGLED), 400),
    Past("CVE-2023-38697-length", post(b"Content-Length: 0x2b\r\n", SMUGGLED), 400),
    Past("CVE-2023-41419", post(CHUNKED, b"0\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"), 400),
    Past("CVE-2024-27982", post(b" " + LENGTH, SMUGGLED), 400),
    # A length that no field of so many bits holds
    Past("long-name", post(b"Content-Length0" + b"a" * 255 + b":\r\n" + LENGTH, SMUGGLED), 200, SMUGGLED),
    # A value that is no text
    Past("CVE-2026-42544", b"GET / HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
         b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
         b"Sec-WebSocket-Protocol: \x80\xff\r\n\r\n", 400),
    # Tricks without a number
    Past("underscored-encoding", post(b"Transfer_Encoding: chunked\r\n" + LENGTH, SMUGGLED), 200, SMUGGLED),
    Past("hop-by-hop-length", post(b"Connection: close, Content-Length\r\n" + LENGTH, SMUGGLED), 200, SMUGGLED),
    Past("body-of-get", post(LENGTH, SMUGGLED, b"GET / HTTP/1.1\r\n"), 200, SMUGGLED),
    Past("chunks-of-options", post(CHUNKED, chunk(SMUGGLED), b"OPTIONS / HTTP/1.1\r\n"), 200, SMUGGLED),
    Past("h2c", post(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"
                     b"\r\n" + LENGTH, SMUGGLED), 400),
    Past("expect-disguised", post(b"Expect: y 100-continue\r\n" + LENGTH, SMUGGLED), 417),
    Past("expect-list", post(b"Expect: 100-continue, 100-continue\r\n" + LENGTH, SMUGGLED), 417),
    Past("expect-twice", post(b"Expect: 100-continue\r\nExpect: 100-continue\r\n" + LENGTH, SMUGGLED), 200, SMUGGLED),
    Past("quoted-extension", post(CHUNKED, b'5;a="\r\nhello\r\n0\r\n\r\n' + SMUGGLED), 400),
    Past("proxy-header", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 80\r\n" + SMUGGLED, 400),
]  # fmt: skip


@pytest.fixture(scope="module", params=["wsgi", "asgi"])
def site(request: pytest.FixtureRequest, module_server: Start) -> Server:
    """The reference app with one worker, which one request at a time can occupy when it is WSGI."""
    return module_server(f"reference:{request.param}", "--workers", "1", "--reactors", "1")


def answers(client: Connection) -> list[Response]:
    """All responses until the connection ends."""
    found: list[Response] = []
    partial = None
    while partial is None:
        try:
            found.append(client.response())
        except Closed as end:
            partial = end.partial
    assert partial == b""
    return found


@pytest.mark.parametrize("case", PAST, ids=str)
def test_what_fooled_others_does_not_fool_us(site: Server, case: Past) -> None:
    # What is served is followed by one that says it is the last, so that every answer is seen.
    last = request_bytes(target="/last", headers=[("Connection", "close")])
    data = case.data + (last if case.status == 200 else b"")
    for pieces in ([data], re.findall(rb"(?s).*?\r\n|.+", data)):
        with site.connect() as client:
            client.send_while_open(*pieces)
            found = answers(client)
        assert found[0].status == case.status
        if case.status == 200:
            assert found[0].json()["body"].encode() == case.body
            rest = [] if b"Connection: close" in case.data else ["/last"]
            assert [answer.json()["target"] for answer in found[1:]] == rest
        else:
            assert len(found) == 1
    assert "/smuggled" not in site.seen()
    assert site.get("/after")["target"] == "/after"


@pytest.mark.parametrize(("interface", "paths"), [
    ("wsgi", ["/value", "/name", "/status"]), ("asgi", ["/value", "/name", "/hint", "/trailer"])])
def test_an_app_cannot_be_made_to_split_its_response(server: Start, interface: str, paths: list[str]) -> None:
    site = server(f"echoing:{interface}", "--workers", "1", "--reactors", "1")
    site.expect_log(".*")
    for path in paths:
        for text in ("a%0D%0ASet-Cookie:%20x=y", "a%0Ab", "a%0Db", "%0D%0A%0D%0AHTTP/1.1%20200%20OK", "a%0B", "a%7F"):
            with site.connect() as client:
                client.send(request_bytes(target=f"{path}?{text}"))
                if path == "/trailer":  # all else is out: what is left is to cut it
                    with pytest.raises(Closed) as end:
                        client.response()
                    assert end.value.partial.endswith(b"\r\n\r\n5\r\nplain\r\n")
                    continue
                assert client.response().status == 500, (path, text)
                assert client.get("/after").body == b"plain"


def test_fields_that_an_app_may_not_tell_apart_are_those_of_the_proxy(site: Server) -> None:
    with site.connect() as client:
        client.send(request_bytes(headers=[
            ("X_Forwarded_For", "192.0.2.66"), ("X-Forwarded-For", "192.0.2.1"), ("X_Forwarded-For", "192.0.2.67"),
            ("Api_Key", "k"), ("Content_Type", "a/b"), ("Script_Name", "/admin"), ("Proxy", "http://evil/")]))
        report = client.response().json()
        client.send(request_bytes(headers=[("X_Forwarded_For", "192.0.2.66")]))
        alone = client.response().json()["headers"]
    headers = [pair for pair in report["headers"] if pair[0] != "host"]
    if report["interface"] == "asgi":  # which has names, and not variables: all are there that have no twin
        assert headers == [["x-forwarded-for", "192.0.2.1"], ["api_key", "k"], ["content_type", "a/b"],
                           ["script_name", "/admin"], ["proxy", "http://evil/"]]
        assert ["x_forwarded_for", "192.0.2.66"] in alone
    else:
        assert headers == [["x-forwarded-for", "192.0.2.1"]]
        assert report["environ"]["REMOTE_ADDR"] == "192.0.2.1"
        assert report["environ"]["SCRIPT_NAME"] == ""
        assert "CONTENT_TYPE" not in report["environ"]
        assert len(alone) == 1


def test_idle_connections_occupy_no_worker(site: Server) -> None:
    idle = [site.connect() for _ in range(100)]
    for client in idle:
        assert client.get("/idle").status == 200
    assert site.get("/new")["target"] == "/new"
    assert all(client.get("/again").status == 200 for client in idle)


def test_clients_that_are_gone_before_they_are_accepted_leave_nothing_behind(site: Server) -> None:
    counted = Since(site)
    for number in range(200):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close with a reset
            client.connect(("127.0.0.1", site.port))
            if number % 2:
                client.sendall(SMUGGLED[: number // 5])
    assert site.get("/after")["target"] == "/after"
    counted.becomes(open=0)
    assert "/smuggled" not in site.seen()
