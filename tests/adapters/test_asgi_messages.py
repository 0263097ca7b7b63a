"""What an ASGI app may send, and what becomes of what it may not: a 500 or a cut, never bad bytes on the wire."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.client import Response
from tests.support.fleet import Start
from tests.support.server import Server

APPS = str(Path(__file__).parent / "apps")
START = "{'type': 'http.response.start', 'status': 200, 'headers': %s}"
BODY = "{'type': 'http.response.body', 'body': %s, 'more_body': %s}"


@pytest.fixture
def site(server: Start) -> Server:
    """An app that sends what it is told."""
    return server("asgi_probes:raw", "--app-dir", APPS, "--workers", "1", "--reactors", "1")


def send(site: Server, *messages: str, method: str = "POST") -> Response:
    with site.connect() as client:
        client.send_request(method, "/", body=("[" + ", ".join(messages) + "]").encode())
        return client.response(method)


@pytest.mark.parametrize(
    "headers",
    [
        "[(b'x y', b'v')]",
        "[(b'', b'v')]",
        "[(b'x', b'a\\r\\nset-cookie: b')]",
        "[(b'x', b'a\\0')]",
        "[(b'x:', b'v')]",
        "[('x', 'v')]",
        "[(b'content-length', b'-1')]",
        "[(b'content-length', b'1'), (b'content-length', b'2')]",
        "[(b'x', b'y' * 20000)]",
        "[b'x']",
    ],
)
def test_a_bad_head_is_a_500_and_a_line_in_the_log(site: Server, headers: str) -> None:
    site.expect_log("Traceback|exception in the ASGI app|Error|File|InvalidResponse|await |ValueError|raise |~|\\^")
    answer = send(site, START % headers, BODY % ("b''", False))
    assert (answer.status, answer.body) == (500, b"Internal Server Error")
    site.wait_for_log("exception in the ASGI app")


@pytest.mark.parametrize("status", ["99", "101", "1000", "'200'", "None"])
def test_a_bad_status_is_a_500(site: Server, status: str) -> None:
    site.expect_log(".*")
    start = f"{{'type': 'http.response.start', 'status': {status}}}"
    assert send(site, start, BODY % ("b''", False)).status == 500


@pytest.mark.parametrize(
    "messages",
    [
        ["{'type': 'http.response.body', 'body': b'x'}"],
        [START % "[]", START % "[]"],
        [START % "[]", BODY % ("'text'", False)],
        ["{'type': 'http.other'}"],
        [START % "[]"],
        [],
    ],
)
def test_what_is_no_response_is_a_500(site: Server, messages: list[str]) -> None:
    site.expect_log(".*")
    assert send(site, *messages).status == 500


def test_the_length_of_a_whole_body_is_added(site: Server) -> None:
    answer = send(site, START % "[]", BODY % ("b'12345'", False))
    assert answer.all("content-length") == ["5"]
    assert answer.body == b"12345"


def test_what_speaks_of_the_connection_is_left_out(site: Server) -> None:
    fields = "[(b'transfer-encoding', b'chunked'), (b'keep-alive', b'5'), (b'upgrade', b'h2c'), (b'x', b'\\xff\\t1')]"
    answer = send(site, START % fields, BODY % ("b'12345'", False))
    assert answer.header("transfer-encoding") is None
    assert answer.header("keep-alive") is None
    assert answer.header("upgrade") is None
    assert answer.header("x") == "\xff\t1"
    assert answer.body == b"12345"


def test_an_app_can_close_the_connection(site: Server) -> None:
    answer = send(site, START % "[(b'connection', b'close')]", BODY % ("b'12345'", False))
    assert answer.all("connection") == ["close"]
    assert answer.body == b"12345"


def test_date_and_server_of_the_app_are_its_own(site: Server) -> None:
    answer = send(site, START % "[(b'date', b'today'), (b'server', b'mine')]", BODY % ("b'1'", False))
    assert answer.all("date") == ["today"]
    assert answer.all("server") == ["mine"]


def test_a_body_longer_than_its_length_is_cut_there(site: Server) -> None:
    site.expect_log("longer than its Content-Length")
    with site.connect() as client:
        for _ in range(2):
            messages = [START % "[(b'content-length', b'3')]", BODY % ("b'12'", True), BODY % ("b'345'", False)]
            answer = client.request("POST", "/", body=("[" + ", ".join(messages) + "]").encode())
            assert answer.body == b"123"
    site.wait_for_log("longer than its Content-Length")


@pytest.mark.parametrize("more", [True, False])
def test_a_body_shorter_than_its_length_cuts_the_connection(site: Server, more: bool) -> None:
    site.expect_log("shorter than its Content-Length|returned without")
    messages = [START % "[(b'content-length', b'3')]", BODY % ("b'12'", more)]
    with site.connect() as client:
        client.send_request("POST", "/", body=("[" + ", ".join(messages) + "]").encode())
        client.expect_cut()


def test_pieces_of_any_kind_of_bytes(site: Server) -> None:
    pieces = [BODY % ("bytearray(b'ab')", True), BODY % ("memoryview(b'cd')", True), BODY % ("b''", True)]
    answer = send(site, START % "[]", *pieces, BODY % ("b'e'", False))
    assert answer.body == b"abcde"
    assert answer.framing == "chunked"


def test_an_empty_end_after_the_announced_length(site: Server) -> None:
    answer = send(site, START % "[(b'content-length', b'2')]", BODY % ("b'ab'", True), BODY % ("b''", False))
    assert answer.body == b"ab"


def test_a_head_request_keeps_its_length_and_has_no_body(site: Server) -> None:
    with site.connect() as client:
        messages = [START % "[(b'content-length', b'5')]", BODY % ("b'12345'", False)]
        client.send_request("HEAD", "/", body=("[" + ", ".join(messages) + "]").encode())
        answer = client.response("HEAD")
        assert answer.all("content-length") == ["5"]
        assert client.request("POST", "/", body=("[" + ", ".join(messages) + "]").encode()).body == b"12345"
