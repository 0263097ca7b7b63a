"""Request bodies that an ASGI app has not read when its response is out: read to their end if that is little, so that
the connection goes on, else the connection ends. Always after the response, and never at anybody else's cost."""

from __future__ import annotations

import pytest

from swhttp import limits
from tests.support.client import Connection, request_bytes
from tests.support.fleet import Start
from tests.support.server import Server

CHUNKED = [("Transfer-Encoding", "chunked")]
BEYOND_INLINE = b"%x\r\n%s\r\n" % (limits.INLINE_BODY_BYTES + 1, b"x" * (limits.INLINE_BODY_BYTES + 1))


@pytest.fixture(scope="module")
def site(module_server: Start) -> Server:
    """The reference app, whose /ignore-body answers without reading."""
    return module_server("reference:asgi", "--workers", "1", "--reactors", "1")


def begun(client: Connection, *headers: tuple[str, str]) -> None:
    """A request of which the app has answered, but whose body is not at its end."""
    client.send(request_bytes("POST", "/ignore-body", list(headers)))


def test_the_rest_of_a_chunked_body_comes_after_the_answer(site: Server) -> None:
    with site.connect() as client:
        begun(client, *CHUNKED)
        client.send(BEYOND_INLINE)
        assert client.response().json()["path"] == "/ignore-body"
        client.send(b"5\r\nhello\r\n")
        client.send(b"0\r\n\r\n" + request_bytes(target="/next"))
        assert client.response().json()["target"] == "/next"


def test_a_little_of_a_body_of_known_length_comes_after_the_answer(site: Server) -> None:
    size = limits.INLINE_BODY_BYTES + 1
    with site.connect() as client:
        begun(client, ("Content-Length", str(size)))
        assert client.response().status == 200
        # It was answered before a byte of the body came: more than DISCARD_BYTES were missing.
        client.expect_end()
    with site.connect() as client:
        client.send(request_bytes("POST", "/ignore-body", [("Content-Length", str(size))]) + b"x" * 1000)
        assert client.response().status == 200
        client.send(b"y" * (size - 1000) + request_bytes(target="/after-it"))
        assert client.response().json()["target"] == "/after-it"


def test_much_of_a_chunked_body_after_the_answer_ends_the_connection(site: Server) -> None:
    with site.connect() as client:
        begun(client, *CHUNKED)
        client.send(BEYOND_INLINE)
        assert client.response().status == 200
        for _ in range(3):
            client.send_while_open(b"%x\r\n%s\r\n" % (40_000, b"y" * 40_000))
        client.half_close()
        client.expect_end()


@pytest.mark.parametrize("wrong", [b"zz\r\n", b"5\r\nhelloX"])
def test_a_chunk_that_is_wrong_after_the_answer_ends_the_connection(site: Server, wrong: bytes) -> None:
    with site.connect() as client:
        begun(client, *CHUNKED)
        client.send(BEYOND_INLINE)
        assert client.response().status == 200
        client.send(wrong)
        client.half_close()
        client.expect_end()
    assert site.get("/alive")["target"] == "/alive"


def test_a_body_that_does_not_end_after_the_answer_has_a_second(site: Server) -> None:
    with site.connect() as client:
        begun(client, *CHUNKED)
        client.send(BEYOND_INLINE)
        assert client.response().status == 200
        client.expect_end()
