"""The options that bound a request, each at its border, and the deadlines, short enough to be waited for.

What the defaults do is in test_request_checks.py and test_deadlines.py; bodies are in test_uploads.py.
"""

from __future__ import annotations

import time

import pytest

from swhttp import limits
from tests.support.bodies import Check, body
from tests.support.client import Closed, Connection, Response, chunked, request_bytes
from tests.support.counters import Since, gauge
from tests.support.fleet import Start
from tests.support.pace import Pace
from tests.support.server import Server

LINE = 200
FIELDS = 10
FIELD = 300
BODY = 1000
TIMEOUT_S = 1.0
# A deadline strikes up to two ticks of 64 ms late, never early.
TOO_SOON_S = TIMEOUT_S - 0.1
# How much later a client on a busy machine may hear of it: bounds a hang, is no claim about speed.
PATIENCE_S = 10.0
LARGE = 10 << 20
SMALL_BUFFER = 16 << 10


@pytest.fixture(scope="module", params=["wsgi", "asgi"])
def site(request: pytest.FixtureRequest, module_server: Start) -> Server:
    """Limits far below the defaults."""
    return module_server(
        f"reference:{request.param}", "--workers", "1", "--reactors", "1",
        "--limit-request-line", str(LINE), "--limit-request-fields", str(FIELDS),
        "--limit-request-field-size", str(FIELD), "--limit-request-body", str(BODY),
    )  # fmt: skip


@pytest.fixture(scope="module")
def wide_site(module_server: Start) -> Server:
    """Limits far above the defaults."""
    return module_server(
        "reference:asgi", "--workers", "1", "--reactors", "1",
        "--limit-request-line", str(limits.MAX_HEAD_BYTES), "--limit-request-fields", str(limits.MOST_FIELDS),
        "--limit-request-field-size", str(limits.MAX_HEAD_BYTES),
    )  # fmt: skip


def refused(site: Server, data: bytes, status: int, reason: str) -> None:
    """Send bytes: one answer, of this status and reason, the end in order, and the app has seen nothing."""
    seen = len(site.seen())
    with site.connect() as client:
        client.send_while_open(data)
        answer = client.response()
        assert (answer.status, answer.body.decode().strip()) == (status, reason)
        assert answer.header("connection") == "close"
        client.half_close()
        client.expect_end()
    assert len(site.seen()) == seen
    assert site.get("/after")["target"] == "/after"


def target_for(line_bytes: int) -> str:
    """A target that makes the request line of a GET so long, its CRLF included."""
    return "/" + "a" * (line_bytes - len("GET / HTTP/1.1\r\n"))


def field_of(line_bytes: int) -> tuple[str, str]:
    """A field whose line is so long, its CRLF included."""
    return "X-Long", "v" * (line_bytes - len("X-Long: \r\n"))


# Sizes and counts


def test_a_request_line_at_its_limit_is_served_and_one_past_it_is_414(site: Server) -> None:
    assert site.get(target_for(LINE))["target"] == target_for(LINE)
    refused(site, request_bytes(target=target_for(LINE + 1)), 414, "request-line-too-long")


def test_a_request_line_past_its_limit_is_414_before_it_ends(site: Server) -> None:
    refused(site, b"GET /" + b"a" * (LINE + 1), 414, "request-line-too-long")


def test_as_many_fields_as_the_limit_are_served_and_one_more_is_431(site: Server) -> None:
    fields = [(f"x-{number}", "v") for number in range(FIELDS - 1)]  # and Host
    with site.connect() as client:
        assert client.request(headers=fields).status == 200
    refused(site, request_bytes(headers=[*fields, ("x-last", "v")]), 431, "too-many-fields")


def test_a_field_at_its_limit_is_served_and_one_past_it_is_431(site: Server) -> None:
    with site.connect() as client:
        answer = client.request(headers=[field_of(FIELD)])
        assert ["x-long", field_of(FIELD)[1]] in answer.json()["headers"]
    refused(site, request_bytes(headers=[field_of(FIELD + 1)]), 431, "field-too-long")


def test_a_field_past_its_limit_is_431_before_it_ends(site: Server) -> None:
    data = b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + b"v" * FIELD
    refused(site, data, 431, "field-too-long")


@pytest.mark.parametrize("pieces", [1, 7])
def test_a_body_at_its_limit_is_served_and_one_past_it_is_413(site: Server, pieces: int) -> None:
    step = -(-BODY // pieces)
    parts = [b"x" * min(step, BODY - at) for at in range(0, BODY, step)]
    chunks = request_bytes("POST", "/", [("Transfer-Encoding", "chunked")])
    with site.connect() as client:
        assert client.request("POST", body=b"x" * BODY).json()["body"] == "x" * BODY
        client.send(chunks + chunked(*parts))
        assert client.response().json()["body"] == "x" * BODY
    refused(site, request_bytes("POST", body=b"x" * (BODY + 1)), 413, "body-too-large")
    refused(site, chunks + chunked(*parts, b"x"), 413, "body-too-large")


def test_a_chunk_past_the_limit_is_413_when_it_is_announced(site: Server) -> None:
    data = request_bytes("POST", "/", [("Transfer-Encoding", "chunked")]) + b"%x\r\n" % (BODY + 1)
    refused(site, data, 413, "body-too-large")


def test_limits_can_be_higher_than_the_defaults(wide_site: Server) -> None:
    target = target_for(4 * limits.MAX_REQUEST_LINE_BYTES)
    assert wide_site.get(target)["target"] == target
    with wide_site.connect() as client:
        answer = client.request(headers=[field_of(2 * limits.MAX_FIELD_BYTES)])
        assert answer.status == 200
        fields = [(f"x-{number}", "v") for number in range(20 * limits.MAX_FIELDS)]
        assert len(client.request(headers=fields).json()["headers"]) == len(fields) + 1


def test_whatever_the_limits_a_head_has_its_own(wide_site: Server) -> None:
    fields = [field_of(30_000)] * 3
    refused(wide_site, request_bytes(headers=fields), 431, "head-too-large")


# Deadlines


@pytest.fixture(scope="module")
def hasty_site(module_server: Start) -> Server:
    """A second for each thing that a client may be slow at."""
    return module_server(
        "paths:wsgi", "--workers", "1", "--reactors", "1", "--head-timeout", str(TIMEOUT_S),
        "--body-timeout", str(TIMEOUT_S), "--write-timeout", str(TIMEOUT_S),
    )  # fmt: skip


def wait_out(client: Connection, begun: float) -> Response:
    """The answer that a deadline brings: not before it."""
    answer = client.response(timeout_s=TIMEOUT_S + PATIENCE_S)
    assert time.monotonic() - begun >= TOO_SOON_S
    return answer


@pytest.mark.parametrize("beginning", [b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nX: "], ids=repr)
def test_a_head_that_does_not_end_is_408(hasty_site: Server, beginning: bytes) -> None:
    with hasty_site.connect() as client:
        begun = time.monotonic()
        client.send(beginning)
        answer = wait_out(client, begun)
        assert (answer.status, answer.body.strip()) == (408, b"head-timeout")
        client.half_close()
        client.expect_end()


def test_a_client_that_says_nothing_is_closed_without_a_word(hasty_site: Server) -> None:
    with hasty_site.connect() as client:
        begun = time.monotonic()
        client.expect_end(TIMEOUT_S + PATIENCE_S)
        assert time.monotonic() - begun >= TOO_SOON_S


def test_a_head_that_drips_is_408_all_the_same(hasty_site: Server) -> None:
    head = request_bytes(headers=[("X-Long", "v" * 1000)])
    with hasty_site.connect() as client:
        begun = time.monotonic()
        for at in range(len(head)):
            client.send_while_open(head[at : at + 1])
            if client.wait_readable(0.05):
                break
        assert wait_out(client, begun).status == 408


def test_the_second_head_has_a_deadline_of_its_own(hasty_site: Server) -> None:
    with hasty_site.connect() as client:
        for _ in range(3):  # longer than one deadline, all in all
            client.send(b"GET / HT")
            assert not client.wait_readable(TIMEOUT_S / 2)
            client.send(b"TP/1.1\r\nHost: a\r\n\r\n")
            assert client.response().status == 200
        begun = time.monotonic()
        client.send(b"GET /")
        assert wait_out(client, begun).status == 408


@pytest.mark.parametrize("framing", [("Content-Length", "9"), ("Transfer-Encoding", "chunked")], ids=str)
def test_a_body_that_does_not_end_is_408(hasty_site: Server, framing: tuple[str, str]) -> None:
    with hasty_site.connect() as client:
        begun = time.monotonic()
        client.send(request_bytes("POST", headers=[framing]) + b"5")
        answer = wait_out(client, begun)
        assert (answer.status, answer.body.strip()) == (408, b"body-timeout")
        client.half_close()
        client.expect_end()


def test_a_client_that_takes_nothing_of_its_answer_is_cut(hasty_site: Server) -> None:
    with hasty_site.connect(buffer_bytes=SMALL_BUFFER) as client:
        since = Since(hasty_site)
        begun = time.monotonic()
        client.send_request(target=f"/memory?size={LARGE}")
        since.passes("timeouts")
        assert time.monotonic() - begun >= TOO_SOON_S
        client.expect_cut()
    with hasty_site.connect() as other:
        assert other.get("/").status == 200
    gauge(hasty_site, "files")


def test_a_client_that_takes_a_byte_now_and_then_is_cut_too(hasty_site: Server) -> None:
    with hasty_site.connect(buffer_bytes=SMALL_BUFFER) as client:
        since = Since(hasty_site)
        client.send_request(target=f"/memory?size={LARGE}")
        client.receive_bytes = 1
        pace = Pace(10)  # bytes a second: below the least rate
        give_up = time.monotonic() + TIMEOUT_S + PATIENCE_S
        while since["timeouts"] == 0:
            assert time.monotonic() < give_up
            client.raw(1)
            pace.take(1)
        client.receive_bytes = SMALL_BUFFER
        with pytest.raises(Closed):
            client.raw(LARGE)


def test_a_client_that_takes_its_answer_slowly_but_steadily_gets_it_all(hasty_site: Server) -> None:
    size = LARGE // 2
    check = Check()
    with hasty_site.connect(buffer_bytes=SMALL_BUFFER) as client:
        client.send_request(target=f"/memory?size={size}")
        pace = Pace(size / TIMEOUT_S / 3)
        for piece in client.pieces(client.head()):
            check.feed(piece)
            pace.take(len(piece))
    assert check.taken == size


def test_a_client_that_leaves_its_answer_to_its_kernel_is_not_late(hasty_site: Server) -> None:
    # What the kernel has taken is sent: nothing waits for the client any more.
    with hasty_site.connect() as client:
        client.send_request(target="/memory?size=1000")
        for _ in range(2):  # two deadlines pass: these clients' own
            with hasty_site.connect() as late:
                late.send(b"GET /")
                assert late.response().status == 408
        assert client.response().body == body(1000)
        assert client.get("/next").status == 200
