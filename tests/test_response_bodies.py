"""Bodies of responses: any size, by length, chunked or until the close; none where there must be none."""

from __future__ import annotations

import pytest

from tests.support.client import Closed, Response
from tests.support.fleet import Start
from tests.support.server import Server

MEBIBYTE = 1 << 20
SIZES = [0, 1, 100, 16_000, 16_383, 16_384, 16_385, 65_536, 262_144, 262_145, MEBIBYTE, 10 * MEBIBYTE]


@pytest.fixture(scope="module", params=["wsgi", "asgi"])
def site(request: pytest.FixtureRequest, module_server: Start) -> Server:
    """The reference app with one worker."""
    return module_server(f"reference:{request.param}", "--workers", "1", "--reactors", "1")


def pattern(size: int) -> bytes:
    """What /stream sends: byte n is n % 256."""
    return (bytes(range(256)) * (size // 256 + 1))[:size]


def check(answer: Response, size: int, framing: str) -> None:
    assert answer.status == 200
    assert answer.framing == framing
    assert len(answer.body) == size
    assert answer.body == pattern(size)


@pytest.mark.parametrize("pieces", [1, 7])
@pytest.mark.parametrize("size", SIZES)
def test_a_response_by_length(site: Server, size: int, pieces: int) -> None:
    with site.connect() as client:
        for _ in range(2):
            check(client.get(f"/stream?size={size}&pieces={pieces}"), size, "length")
        assert client.get("/next").status == 200


@pytest.mark.parametrize("pieces", [2, 7, 300])
@pytest.mark.parametrize("size", SIZES[1:])
def test_a_response_of_unknown_length_is_chunked(site: Server, size: int, pieces: int) -> None:
    with site.connect() as client:
        check(client.get(f"/stream?size={size}&pieces={pieces}&framing=none"), size, "chunked")
        assert client.get("/next").status == 200


@pytest.mark.parametrize("size", [1, 65_536, 10 * MEBIBYTE])
def test_a_response_of_unknown_length_to_http_1_0_ends_with_the_connection(site: Server, size: int) -> None:
    with site.connect() as client:
        client.send_request(target=f"/stream?size={size}&pieces=5&framing=none", version="HTTP/1.0")
        check(client.response(), size, "close")


def test_a_whole_response_without_a_length_is_framed(site: Server) -> None:
    with site.connect() as client:
        answer = client.get("/stream?size=5000&framing=none")
        assert answer.framing in ("length", "chunked")
        assert answer.body == pattern(5000)
        assert client.get("/next").status == 200


def test_large_responses_to_many_clients_at_once(site: Server) -> None:
    clients = [site.connect() for _ in range(12)]
    for client in clients:
        client.send_request(target="/stream?size=2000000&pieces=9")
    for client in clients:
        check(client.response(), 2_000_000, "length")


def test_a_client_that_does_not_read_holds_up_nobody_else(server: Start) -> None:
    # Two workers: until spooling comes, a worker may have to wait for the client that its answer is for.
    site = server("reference:wsgi", "--workers", "2", "--reactors", "1")
    size = 10 * MEBIBYTE
    with site.connect() as slow, site.connect() as other:
        slow.send_request(target=f"/stream?size={size}&pieces=40")
        beginning = slow.raw(1000)
        for number in range(20):
            assert other.get(f"/{number}").status == 200
        slow.buffer = beginning + slow.buffer
        check(slow.response(), size, "length")


@pytest.mark.parametrize("target", ["/", "/stream?size=100000", "/stream?size=100000&pieces=9&framing=none"])
def test_head_has_the_fields_of_get_and_no_body(site: Server, target: str) -> None:
    with site.connect() as client:
        for _ in range(3):
            head = client.request("HEAD", target)
            assert head.status == 200
            assert head.body == b""
        if target.startswith("/stream?size=100000&"):
            assert head.header("content-length") is None
        elif target != "/":
            assert head.header("content-length") == "100000"
        check(client.get("/stream?size=10"), 10, "length")


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("framing", ["length", "none"])
def test_statuses_that_have_no_body_get_none(site: Server, status: int, framing: str) -> None:
    # An app that sends a body all the same is cut to what HTTP allows; the next response must not be shifted
    # by it.
    site.expect_log(r"\[ERROR\]")
    for size in (0, 50):
        with site.connect() as client:
            answer = client.get(f"/stream?status={status}&size={size}&framing={framing}")
            assert answer.status == status
            if answer.keeps_open:
                assert client.get("/next").json()["target"] == "/next"
            else:
                client.expect_end()


@pytest.mark.parametrize("status", [200, 201, 299, 400, 404, 418, 500, 503])
def test_other_statuses_have_their_body(site: Server, status: int) -> None:
    with site.connect() as client:
        for framing in ("length", "none"):
            answer = client.get(f"/stream?status={status}&size=100&pieces=2&framing={framing}")
            assert answer.status == status
            assert answer.body == pattern(100)


def test_pipelined_large_and_small_responses_keep_their_order(site: Server) -> None:
    with site.connect() as client:
        sizes = [300_000, 1, 70_000, 0, 20_000, 5]
        for size in sizes:
            client.send_request(target=f"/stream?size={size}&pieces=3")
        for size in sizes:
            check(client.response(), size, "length")


def test_an_app_that_raises_first_is_a_500(site: Server) -> None:
    site.expect_log(r"Traceback|\[ERROR\]")
    since = site.log.mark()
    with site.connect() as client:
        assert client.get("/raise-first").status == 500
        site.wait_for_log("Broken: before the response", since=since)
    assert site.get("/after")["target"] == "/after"


@pytest.mark.parametrize("framing", ["length", "none"])
def test_an_app_that_raises_later_is_cut_so_that_it_shows(site: Server, framing: str) -> None:
    site.expect_log(r"Traceback|\[ERROR\]")
    since = site.log.mark()
    with site.connect() as client:
        client.send_request(target=f"/raise-later?size=100000&pieces=4&framing={framing}")
        with pytest.raises(Closed):
            client.response()
        site.wait_for_log("Broken: after the first piece", since=since)
    assert site.get("/after")["target"] == "/after"
