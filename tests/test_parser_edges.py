"""DESIGN section 3's list of what httptools does, each seen from outside."""

from __future__ import annotations

import pytest

from swhttp import limits
from tests.support.client import Closed, chunked, request_bytes
from tests.support.fleet import Start
from tests.support.server import Server

CHUNKED = [("Transfer-Encoding", "chunked")]
BAD = b"GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n"
SMUGGLED = request_bytes(target="/smuggled")


@pytest.fixture(scope="module", params=["wsgi", "asgi"])
def site(request: pytest.FixtureRequest, module_server: Start) -> Server:
    """The reference app with one worker."""
    return module_server(f"reference:{request.param}", "--workers", "1", "--reactors", "1")


@pytest.mark.parametrize("good", [1, 2, 30])
def test_requests_before_an_error_are_served_and_then_the_error_is_told(site: Server, good: int) -> None:
    with site.connect() as client:
        client.send(b"".join(request_bytes(target=f"/{number}") for number in range(good)) + BAD + SMUGGLED)
        for number in range(good):
            assert client.response().json()["target"] == f"/{number}"
        assert client.response().status == 400
        client.half_close()
        client.expect_end()
    assert "/smuggled" not in site.seen()


def test_the_error_of_a_pipelined_request_waits_for_the_slow_one_before_it(site: Server) -> None:
    with site.gate() as gate, site.connect() as client:
        client.send(request_bytes(target=gate.target) + BAD)
        visitor = gate.entered()
        visitor.release()
        assert client.response().json()["path"] == "/hold"
        assert client.response().status == 400
        client.half_close()
        client.expect_end()


def test_600_requests_in_one_write_are_all_answered_in_order(site: Server) -> None:
    with site.connect() as client:
        client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(600)))
        for number in range(600):
            assert client.response().json()["target"] == f"/{number}"
        assert client.get("/next").json()["target"] == "/next"


def test_a_client_that_pipelines_without_reading_is_bounded(site: Server) -> None:
    # While anything of a connection is queued the server does not read it, so the client's writes come to a
    # stop long before the server has taken a megabyte of requests.
    with site.gate() as gate, site.connect() as client:
        client.send_request(target=gate.target)
        visitor = gate.entered()
        client.socket.setblocking(False)
        one = b"GET /p HTTP/1.1\r\nHost: a\r\n\r\n"
        many = one * 1000
        sent = 0
        limit = 64 << 20
        try:
            while sent < limit:
                sent += client.socket.send(many[sent % len(one) :])
        except BlockingIOError:
            pass
        assert sent < limit
        visitor.release()
        assert client.response().json()["path"] == "/hold"
        assert client.response().json()["path"] == "/p"


def test_trailers_are_not_fields_of_the_request(site: Server) -> None:
    trailers = (b"X-Trailer: t", b"X-More: u")
    with site.connect() as client:
        client.send(
            request_bytes("POST", "/", [*CHUNKED, ("X-Field", "f")]) + chunked(b"hello", trailers=trailers)
        )
        answer = client.response().json()
        assert answer["body"] == "hello"
        assert ["x-field", "f"] in answer["headers"]
        assert not {"x-trailer", "x-more"} & {name for name, _ in answer["headers"]}
        assert client.get("/next").json()["target"] == "/next"


@pytest.mark.parametrize(
    "trailer", [b"Content-Length: 99", b"Transfer-Encoding: chunked", b"Host: evil", b"Authorization: x"]
)
def test_a_trailer_cannot_change_framing_or_routing(site: Server, trailer: bytes) -> None:
    with site.connect() as client:
        client.send(request_bytes("POST", "/", CHUNKED) + chunked(b"hello", trailers=(trailer,)))
        answer = client.response()
        if answer.status == 200:
            name = trailer.split(b":")[0].decode().lower()
            report = answer.json()
            assert report["body"] == "hello"
            assert report["host"] == "test"
            assert name in ("host", "transfer-encoding") or name not in {key for key, _ in report["headers"]}
            assert client.get("/next").status == 200
        else:
            assert answer.status == 400


def test_trailers_are_limited(site: Server) -> None:
    trailers = tuple(
        b"X-%d: %s" % (number, b"v" * 1000) for number in range(limits.MAX_TRAILER_BYTES // 1000 + 2)
    )
    with site.connect() as client:
        client.send(request_bytes("POST", "/too-long", CHUNKED) + chunked(b"hello", trailers=trailers))
        assert client.response().status in (400, 431)
        client.half_close()
        client.expect_end()
    assert "/too-long" not in site.seen()


def test_chunk_extensions_are_read_over(site: Server) -> None:
    with site.connect() as client:
        client.send(
            request_bytes("POST", "/", CHUNKED)
            + chunked(b"hel", b"lo", extension=b';name=value;quoted="a b"')
        )
        assert client.response().json()["body"] == "hello"


@pytest.mark.parametrize("ends", [True, False])
def test_a_chunk_extension_is_capped(site: Server, ends: bool) -> None:
    line = b"5;x=" + b"y" * (limits.MAX_CHUNK_LINE_BYTES + 100)
    with site.connect() as client:
        client.send(
            request_bytes("POST", "/too-long", CHUNKED) + line + (b"\r\nhello\r\n0\r\n\r\n" if ends else b"")
        )
        assert client.response().status in (400, 413, 431)
        client.half_close()
        client.expect_end()
    assert "/too-long" not in site.seen()


def test_many_small_extensions_do_not_carry_a_flood(site: Server) -> None:
    # 2 MB of extensions around 4,000 bytes of body, each line within its own cap.
    data = request_bytes("POST", "/too-long", CHUNKED) + chunked(
        *[b"x"] * 4000, extension=b";e=" + b"y" * 500
    )
    with site.connect() as client:
        client.send_while_open(data)
        assert client.response().status in (400, 413, 431)
    assert "/too-long" not in site.seen()


def test_extensions_in_proportion_to_their_chunks_are_read_over(site: Server) -> None:
    # As signed uploads have them: together past the cap on what is out of proportion.
    pieces = [b"x" * 200] * 200
    data = request_bytes("POST", "/signed", CHUNKED) + chunked(*pieces, extension=b";s=" + b"y" * 190)
    with site.connect() as client:
        client.send(data)
        assert client.response().json()["body"] == "x" * 40_000


def test_fields_in_single_bytes_are_joined_and_capped(site: Server) -> None:
    with site.connect() as client:
        data = b"GET / HTTP/1.1\r\nHost: a\r\nX-Joined: " + b"0123456789" * 150 + b"\r\n\r\n"
        client.send(*(data[at : at + 1] for at in range(len(data))))
        assert ["x-joined", "0123456789" * 150] in client.response().json()["headers"]
    with site.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Joined: ")
        client.send_while_open(*[b"v"] * (limits.MAX_FIELD_BYTES + 10))
        assert client.response().status == 431


def test_an_error_costs_its_own_connection_only(site: Server) -> None:
    with site.connect() as half, site.connect() as whole:
        half.send(request_bytes("POST", "/half", body=b"hello")[:-3])
        for _ in range(20):
            with site.connect() as bad:
                bad.send(BAD)
                assert bad.response().status == 400
            assert whole.get("/whole").status == 200
        half.send(b"llo")
        assert half.response().json()["body"] == "hello"


@pytest.mark.parametrize("upgrade", ["h2c", "websocket", "TLS/1.0"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_the_body_of_a_refused_upgrade_is_never_a_request(site: Server, upgrade: str, framing: str) -> None:
    fields = [("Connection", "Upgrade"), ("Upgrade", upgrade)]
    if framing == "length":
        data = request_bytes("POST", "/upgrade", fields, SMUGGLED)
    else:
        data = request_bytes("POST", "/upgrade", fields + CHUNKED) + chunked(SMUGGLED)
    for pieces in (1, 2, len(data)):
        step = -(-len(data) // pieces)
        with site.connect() as client:
            client.send_while_open(*(data[at : at + step] for at in range(0, len(data), step)))
            answer = client.response()
            if answer.status == 200:
                assert answer.json()["body"].encode() == SMUGGLED
            else:
                assert answer.status in (400, 426, 501)
                client.half_close()
                client.expect_end()
    assert "/smuggled" not in site.seen()


@pytest.mark.parametrize("upgrade", ["h2c", "websockets", "TLS/1.0"])
def test_a_get_with_an_upgrade_that_is_not_honoured_is_an_ordinary_request(
    site: Server, upgrade: str
) -> None:
    data = request_bytes(
        target="/upgrade", headers=[("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", upgrade)]
    )
    with site.connect() as client:
        for _ in range(3):
            client.send(data + request_bytes(target="/next"))
            assert client.response().json()["target"] == "/upgrade"
            assert client.response().json()["target"] == "/next"
        client.send(data)
        assert client.response().json()["target"] == "/upgrade"
        assert client.get("/last").json()["target"] == "/last"


@pytest.mark.parametrize(
    "ending",
    [
        request_bytes(target="/end", headers=[("Connection", "close")]),
        request_bytes(target="/end", version="HTTP/1.0"),
        request_bytes(target="/end", headers=[("Connection", "close")]) + SMUGGLED,
        request_bytes("POST", "/end", [("Connection", "close")], b"hello"),
        request_bytes("POST", "/end", [("Connection", "close"), *CHUNKED]) + chunked(b"hello"),
        request_bytes(target="/end", version="HTTP/1.0") + b"garbage",
        request_bytes(target="/end", headers=[("Connection", "Upgrade"), ("Upgrade", "h2c")]),
    ],
    ids=["close", "1.0", "close-and-more", "post", "chunked", "1.0-and-garbage", "upgrade"],
)
def test_a_parser_that_ended_a_connection_serves_no_other(site: Server, ending: bytes) -> None:
    for number in range(20):
        with site.connect() as client:
            client.send(ending)
            assert client.response().json()["target"] == "/end"
        assert site.get(f"/{number}")["target"] == f"/{number}"
    assert "/smuggled" not in site.seen()


def test_connections_with_half_a_message_each_have_a_parser_of_their_own(site: Server) -> None:
    clients = [site.connect() for _ in range(60)]
    parts = [request_bytes("POST", f"/c{number}", body=b"body of %d" % number) for number in range(60)]
    for at in range(0, 90, 9):
        for client, data in zip(clients, parts, strict=True):
            client.send(data[at : at + 9 if at < 81 else None])
    for number, client in enumerate(clients):
        answer = client.response().json()
        assert (answer["target"], answer["body"]) == (f"/c{number}", f"body of {number}")


def test_nothing_that_follows_an_error_is_read(site: Server) -> None:
    with site.connect() as client:
        client.send(BAD)
        assert client.response().status == 400
        client.send_while_open(SMUGGLED * 100)
        with pytest.raises(Closed):
            client.response()
    assert "/smuggled" not in site.seen()
