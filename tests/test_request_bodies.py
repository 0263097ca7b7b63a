"""Bodies of requests, by length and chunked, that fit in the request block; larger ones are refused readably."""

from __future__ import annotations

import pytest

from swhttp import limits
from tests.support.client import Connection, chunked, request_bytes
from tests.support.fleet import Start
from tests.support.server import Server

CHUNKED = [("Transfer-Encoding", "chunked")]
INLINE = limits.INLINE_BODY_BYTES


@pytest.fixture(scope="module", params=["wsgi", "asgi"])
def site(request: pytest.FixtureRequest, module_server: Start) -> Server:
    """The reference app with one worker, so that its survival shows; no body may be larger than a block holds."""
    return module_server(
        f"reference:{request.param}", "--workers", "1", "--reactors", "1", "--limit-request-body", str(INLINE)
    )


def pattern(size: int) -> bytes:
    """Bytes of which a lost, doubled or moved piece shows."""
    return bytes(number * 7 % 251 for number in range(size))


@pytest.mark.parametrize("size", [0, 1, 1000, 8192, 16 * 1024 + 1, 40_000, INLINE - 1, INLINE])
def test_a_body_by_length(site: Server, size: int) -> None:
    body = pattern(size)
    with site.connect() as client:
        for _ in range(3):
            answer = client.request("POST", "/", body=body)
            assert answer.status == 200
            assert answer.json()["body"].encode("latin-1") == body


@pytest.mark.parametrize("size", [1, 1000, 16 * 1024 + 1, INLINE])
def test_a_chunked_body(site: Server, size: int) -> None:
    body = pattern(size)
    step = max(1, size // 7)
    with site.connect() as client:
        for _ in range(3):
            data = chunked(*(body[at : at + step] for at in range(0, size, step)))
            client.send(request_bytes("POST", "/", CHUNKED) + data)
            answer = client.response()
            assert answer.status == 200
            assert answer.json()["body"].encode("latin-1") == body


def test_an_empty_chunked_body(site: Server) -> None:
    with site.connect() as client:
        client.send(request_bytes("POST", "/", CHUNKED) + chunked())
        assert client.response().json()["body"] == ""
        assert client.get("/next").status == 200


def test_a_body_of_thousands_of_one_byte_chunks(site: Server) -> None:
    body = pattern(5000)
    with site.connect() as client:
        client.send(request_bytes("POST", "/", CHUNKED) + chunked(*(body[at : at + 1] for at in range(5000))))
        answer = client.response()
        assert answer.status == 200
        assert answer.json()["body"].encode("latin-1") == body


def test_a_body_in_single_bytes(site: Server) -> None:
    body = pattern(600)
    for data in (
        request_bytes("POST", "/", body=body),
        request_bytes("POST", "/", CHUNKED) + chunked(body[:99], body[99:]),
    ):
        with site.connect() as client:
            client.send(*(data[at : at + 1] for at in range(len(data))))
            assert client.response().json()["body"].encode("latin-1") == body


def test_a_body_that_arrives_after_its_head(site: Server) -> None:
    body = pattern(30_000)
    data = request_bytes("POST", "/", body=body)
    with site.connect() as client, site.connect() as other:
        for at in range(0, len(data), 5000):
            client.send(data[at : at + 5000])
            # An exchange between the pieces, so that they stay pieces.
            assert other.get("/meanwhile").status == 200
        assert client.response().json()["body"].encode("latin-1") == body


def test_an_unread_body_does_not_become_the_next_request(site: Server) -> None:
    with site.connect() as client:
        client.send(request_bytes("POST", "/ignore-body", body=request_bytes(target="/smuggled")))
        assert client.response().json()["path"] == "/ignore-body"
        assert client.get("/next").json()["target"] == "/next"
    assert "/smuggled" not in site.seen()


def refused(client: Connection) -> None:
    """413, readable, and closed in order although nobody has read the whole body."""
    answer = client.response()
    assert answer.status == 413
    assert answer.header("connection") == "close"
    client.half_close()
    client.expect_end()


def test_a_larger_body_is_refused_before_it_is_sent(site: Server) -> None:
    with site.connect() as client:
        client.send(request_bytes("POST", "/too-large", [("Content-Length", str(INLINE + 1))]))
        refused(client)
    assert "/too-large" not in site.seen()


def test_a_larger_body_is_refused_while_it_is_sent(site: Server) -> None:
    with site.connect() as client:
        client.send(request_bytes("POST", "/too-large", body=pattern(INLINE * 4)))
        refused(client)
    assert "/too-large" not in site.seen()


def test_a_larger_chunked_body_is_refused_when_it_exceeds(site: Server) -> None:
    with site.connect() as client:
        piece = pattern(8000)
        client.send(request_bytes("POST", "/too-large", CHUNKED) + chunked(*[piece] * (INLINE // 8000 + 1)))
        refused(client)
    assert "/too-large" not in site.seen()


def test_a_larger_chunk_is_refused_when_it_is_announced_or_exceeds(site: Server) -> None:
    with site.connect() as client:
        client.send(
            request_bytes("POST", "/too-large", CHUNKED) + b"%x\r\n" % (INLINE + 1) + pattern(INLINE + 1)
        )
        refused(client)
    assert "/too-large" not in site.seen()


def test_expect_continue_is_answered_before_the_body(site: Server) -> None:
    with site.connect() as client:
        data = request_bytes("POST", "/", [("Expect", "100-continue")], b"hello")
        client.send(data[:-5])
        interim = client.raw(len(b"HTTP/1.1 100 Continue\r\n\r\n"))
        assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(data[-5:])
        answer = client.response()
        assert (answer.status, answer.interim) == (200, [])
        assert answer.json()["body"] == "hello"


def test_expect_continue_with_the_body_behind_it(site: Server) -> None:
    with site.connect() as client:
        client.send_request("POST", "/", [("Expect", "100-Continue")], b"hello")
        answer = client.response()
        assert answer.status == 200
        assert answer.interim in ([], [100])
        assert answer.json()["body"] == "hello"
        assert client.get("/next").status == 200


def test_expect_continue_of_a_body_that_is_too_large_is_refused_at_once(site: Server) -> None:
    with site.connect() as client:
        client.send(
            request_bytes("POST", "/", [("Expect", "100-continue"), ("Content-Length", str(INLINE + 1))])
        )
        answer = client.response()
        assert (answer.status, answer.interim) == (413, [])
        client.half_close()
        client.expect_end()


def test_an_unknown_expectation_is_417(site: Server) -> None:
    with site.connect() as client:
        client.send_request("POST", "/expecting", [("Expect", "200-ok")], b"hello")
        assert client.response().status == 417
    assert "/expecting" not in site.seen()


def test_http_1_0_is_never_sent_an_interim_response(site: Server) -> None:
    with site.connect() as client:
        client.send_request("POST", "/", [("Expect", "100-continue")], b"hello", version="HTTP/1.0")
        answer = client.response()
        assert (answer.status, answer.interim) == (200, [])
