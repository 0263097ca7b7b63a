"""Connections carry one request after another, in order, for as long as both sides agree."""

from __future__ import annotations

import socket

import pytest

from tests.support.client import Closed, request_bytes
from tests.support.counters import Since, gauge
from tests.support.fleet import Start
from tests.support.server import Server


@pytest.fixture(scope="module", params=["wsgi", "asgi"])
def site(request: pytest.FixtureRequest, module_server: Start) -> Server:
    """The reference app with two workers."""
    return module_server(f"reference:{request.param}", "--workers", "2", "--reactors", "1")


def test_one_connection_carries_many_requests(site: Server) -> None:
    with site.connect() as client:
        for number in range(200):
            answer = client.get(f"/{number}")
            assert answer.status == 200
            assert answer.keeps_open
            assert answer.json()["target"] == f"/{number}"


def test_what_is_sent_behind_the_last_answer_does_not_reset_the_connection(site: Server) -> None:
    with site.connect() as client:
        client.send_request(target="/last", headers=[("Connection", "close")])
        assert client.response().json()["target"] == "/last"
        client.expect_end()
        client.send(request_bytes(target="/behind"))
        client.send(request_bytes(target="/behind"))  # a reset would have come by now
        assert client.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    assert "/behind" not in site.seen()


def test_what_was_sent_before_the_clients_end_does_not_reset_the_connection(site: Server) -> None:
    """It takes more than one turn to read that, both sides have ended, and most of the answer is still on its way."""
    with site.gate() as gate, site.connect(buffer_bytes=4096) as client:
        client.send_request(target=f"/stream?size=1000000&pieces=2&gate={gate.path}", headers=[("Connection", "close")])
        holding = gate.entered()
        client.send(bytes(50_000))
        client.half_close()
        holding.release()
        gauge(site, "open", 0)
        assert len(client.response().body) == 1000000
        client.expect_end()


def test_every_response_carries_a_date_and_no_field_twice(site: Server) -> None:
    with site.connect() as client:
        answer = client.get("/")
        assert answer.header("date")
        names = [name.lower() for name, _ in answer.headers]
        assert len(names) == len(set(names))


def test_connection_close_is_honoured_and_announced(site: Server) -> None:
    with site.connect() as client:
        answer = client.get("/", Connection="close")
        assert answer.status == 200
        assert answer.header("connection") == "close"
        client.expect_end()


def test_close_wins_in_a_list_of_connection_options(site: Server) -> None:
    with site.connect() as client:
        client.send_request(headers=[("Connection", "keep-alive, Close")])
        assert client.response().status == 200
        client.expect_end()


def test_pipelined_requests_are_answered_in_order(site: Server) -> None:
    with site.connect() as client:
        client.send(b"".join(request_bytes(target=f"/{number}") for number in range(50)))
        for number in range(50):
            assert client.response().json()["target"] == f"/{number}"


def test_a_slow_request_holds_back_the_pipelined_ones_behind_it(site: Server) -> None:
    with site.gate() as gate, site.connect() as client, site.connect() as other:
        client.send(
            request_bytes(target=gate.target)
            + request_bytes(target="/second")
            + request_bytes(target="/third")
        )
        visitor = gate.entered()
        assert other.get("/other").status == 200
        assert not {"/second", "/third"} & set(site.seen())
        visitor.release()
        assert [client.response().json()["path"] for _ in range(3)] == ["/hold", "/second", "/third"]


def test_requests_sent_one_after_another_without_waiting(site: Server) -> None:
    with site.connect() as client:
        for number in range(100):
            client.send_request(target=f"/{number}")
        for number in range(100):
            assert client.response().json()["target"] == f"/{number}"


def test_bodies_between_pipelined_requests_are_not_requests(site: Server) -> None:
    inner = request_bytes(target="/smuggled")
    with site.connect() as client:
        client.send(
            request_bytes("POST", "/a", body=inner)
            + request_bytes("GET", "/b")
            + request_bytes("PUT", "/c", body=inner)
        )
        answers = [client.response().json() for _ in range(3)]
        assert [(answer["target"], answer["body"].encode()) for answer in answers] == [
            ("/a", inner),
            ("/b", b""),
            ("/c", inner),
        ]
    assert "/smuggled" not in site.seen()


def test_a_request_in_single_bytes(site: Server) -> None:
    with site.connect() as client:
        data = request_bytes("POST", "/bytes", [("X-Long", "v" * 1000)], b"hello")
        client.send(*(data[at : at + 1] for at in range(len(data))))
        answer = client.response().json()
        assert (answer["target"], answer["body"]) == ("/bytes", "hello")
        assert ["x-long", "v" * 1000] in answer["headers"]


def test_http_1_0_closes_after_its_response(site: Server) -> None:
    with site.connect() as client:
        answer = client.request(version="HTTP/1.0")
        assert answer.status == 200
        assert not answer.keeps_open
        client.expect_end()


def test_http_1_0_needs_no_host(site: Server) -> None:
    with site.connect() as client:
        answer = client.request(version="HTTP/1.0", host=None)
        assert answer.status == 200
        assert answer.json()["host"] is None
        client.expect_end()


def test_http_1_0_with_keep_alive_stays_open(site: Server) -> None:
    with site.connect() as client:
        for number in range(3):
            answer = client.request(
                target=f"/{number}", version="HTTP/1.0", headers=[("Connection", "keep-alive")]
            )
            assert answer.status == 200
            assert answer.json()["target"] == f"/{number}"
            assert (answer.header("connection") or "").lower() == "keep-alive"


def test_http_1_0_keep_alive_closes_when_the_length_is_unknown(site: Server) -> None:
    with site.connect() as client:
        client.send_request(
            target="/stream?size=5000&pieces=5&framing=none",
            version="HTTP/1.0",
            headers=[("Connection", "keep-alive")],
        )
        answer = client.response()
        assert answer.framing == "close"
        assert len(answer.body) == 5000


def test_a_client_that_half_closes_while_it_waits_is_ended_in_order(site: Server) -> None:
    # The end of its stream may mean that it is gone (DESIGN section 6), so it may be answered or not; but the
    # connection ends, without a reset, and whatever arrives is whole.
    with site.gate() as gate, site.connect() as client:
        client.send_request(target=gate.target)
        visitor = gate.entered()
        client.half_close()
        visitor.release()
        try:
            assert client.response().json()["path"] == "/hold"
            client.expect_end()
        except Closed as end:
            if end.partial or client.was_reset:
                raise
    assert site.get("/after")["target"] == "/after"


def test_pipelined_requests_survive_the_end_of_a_slow_client_before_them(server: Start) -> None:
    """They came with a request whose answer is a little more than the socket takes. The event by which the rest of it
    leaves tells once more that the client has ended its input."""
    site = server("reference:wsgi", "--workers", "1", "--reactors", "1")
    since = Since(site)
    with site.connect(buffer_bytes=4096) as client:
        client.send_request(target="/stream?size=30000000")
        since.becomes(responses=1)  # all of it is out of the worker's hands
        size = since["sent_bytes"] + 100_000
    since = Since(site)
    with site.connect(buffer_bytes=4096) as client:
        client.send(b"".join(request_bytes(target=target) for target in (f"/stream?size={size}", "/one", "/two")))
        since.becomes(responses=1)
        client.half_close()
        assert len(client.response().body) == size
        assert client.response().json()["target"] == "/one"
        assert client.response().json()["target"] == "/two"
        client.expect_end()


def test_a_client_that_says_nothing_and_closes_is_no_event(site: Server) -> None:
    since = site.log.mark()
    for _ in range(5):
        with site.connect() as client:
            client.half_close()
            client.expect_end()
    assert "[WARNING]" not in site.log.text(since)


def test_clients_that_vanish_in_the_middle_leave_the_others_alone(site: Server) -> None:
    with site.gate() as gate:
        for beginning in (
            b"GE",
            b"GET / HTTP/1.1\r\nHost: te",
            request_bytes("POST", "/", body=b"x" * 99)[:-50],
        ):
            client = site.connect()
            client.send(beginning)
            client.reset()
        waiting = site.connect()
        waiting.send_request(target=gate.target)
        visitor = gate.entered()
        waiting.reset()
        assert site.get("/still")["target"] == "/still"
        visitor.release()
    assert site.get("/after")["target"] == "/after"


def test_a_client_that_vanishes_mid_response_leaves_the_others_alone(site: Server) -> None:
    with site.connect() as client:
        client.send_request(target="/stream?size=8000000&pieces=50")
        client.raw(100_000)
        client.reset()
    assert site.get("/after")["target"] == "/after"


def test_no_response_after_the_close_that_was_announced(site: Server) -> None:
    with site.connect() as client:
        client.send(
            request_bytes(target="/first", headers=[("Connection", "close")])
            + request_bytes(target="/after-close")
        )
        assert client.response().json()["target"] == "/first"
        with pytest.raises(Closed):
            client.response()
    assert "/after-close" not in site.seen()
