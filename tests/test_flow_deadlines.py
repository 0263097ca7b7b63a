"""Deadlines while bodies flow: they hold the client to its pace, never the app, and a cut always shows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from swhttp import limits
from tests.support.bodies import Check, body
from tests.support.client import Closed, Connection, Reset, chunked, request_bytes
from tests.support.counters import Since, gauge
from tests.support.fleet import Start
from tests.support.processes import wait_until
from tests.support.server import Server
from tests.support.upload import head

TIMEOUT_S = 2.0
FAR_OFF_S = 600.0  # no test waits that long: what is cut has met the other deadline
# A deadline strikes up to two ticks of 64 ms late, never early.
TOO_SOON_S = TIMEOUT_S - 0.1
# How much later than its deadline a client on a busy machine may hear of it: bounds a hang, is no claim about speed.
PATIENCE_S = 10.0
SMALL_BUFFER = 16 << 10
ANSWER = 10 << 20
UPLOAD = 3 * limits.INLINE_BODY_BYTES  # more than reaches an ASGI app whole
PIECE = 1000


def test_an_app_that_is_slow_to_read_costs_its_client_nothing(server: Start) -> None:
    site = server("reference:asgi", "--workers", "1", "--body-timeout", "0.5", "--inline-body", "0")
    with site.gate() as gate, site.connect() as client:
        head = request_bytes("POST", gate.target, [("Transfer-Encoding", "chunked")])
        client.send(head, *(b"1\r\n%d\r\n" % (number % 10) for number in range(50)))
        visitor = gate.entered()
        with site.connect() as other:  # time passes: a client that sends nothing is held to its own deadline
            other.send(b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n")
            assert other.response().status == 408
        visitor.release()
        client.send(chunked())
        assert client.response().json()["body"] == "0123456789" * 5


@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_a_response_that_ends_with_the_connection_is_reset_when_its_client_is_too_slow(
    server: Start, interface: str
) -> None:
    site = server(f"reference:{interface}", "--workers", "1", "--write-timeout", "0.3")
    with site.connect() as client:
        client.send_request(target="/stream?size=40000000&pieces=40&framing=none", version="HTTP/1.0")
        wait_until(lambda: site.counters().reactors[0]["cut"] == 1, "the response to be cut")
        with pytest.raises(Closed) as cut:
            client.response()
        assert isinstance(cut.value, Reset)


# A body that comes too slowly, or not at all


@pytest.fixture(scope="module", params=["asgi", "wsgi"])
def brief_site(request: pytest.FixtureRequest, module_server: Start) -> Server:
    """A second for a body, of either interface."""
    return module_server(f"uploads:{request.param}", "--workers", "1", "--reactors", "1", "--body-timeout", "1")


@pytest.mark.parametrize("sent", [0, 5, limits.INLINE_BODY_BYTES + 1])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_that_does_not_come_is_408(brief_site: Server, framing: str, sent: int) -> None:
    with brief_site.connect() as client:
        client.send(head("/upload", sent + 10 if framing == "length" else None))
        client.send(body(sent) if framing == "length" else b"%x\r\n%s" % (sent + 10, body(sent)))
        answer = client.response(timeout_s=1.0 + PATIENCE_S)
        assert (answer.status, answer.body.strip()) == (408, b"body-timeout")
        client.half_close()
        client.expect_end()
    with brief_site.connect() as other:
        assert other.get("/").status == 200


def test_a_drip_does_not_move_the_deadline(brief_site: Server) -> None:
    drips = 0
    with brief_site.connect() as client:
        client.send(head("/upload", 10_000))
        while not client.wait_readable(0.1):  # ten bytes a second
            client.send_while_open(b"x")
            drips += 1
            assert drips < 10 * PATIENCE_S
        assert client.response().status == 408
    assert drips >= 5, "too soon"


def test_a_steady_upload_may_take_longer_than_the_deadline(brief_site: Server) -> None:
    size = 60 << 10
    with brief_site.connect() as client:
        client.send(head("/upload", size))
        for at in range(0, size, 2 << 10):  # 20 KiB a second, for 3 s
            assert not client.wait_readable(0.1)
            client.send(body(2 << 10, at))
        assert client.response().json()["total"] == size


# Both at once: an upload that is open, and an answer that the client does not take


def begin_both_ways(site: Server, client: Connection, *, ask: bool) -> Since:
    """Send the beginning of an upload that the app answers early, and take nothing of the answer until it waits.

    ask: has the app asked for more of the body before? What it asks for later would set the deadlines right.
    """
    since = Since(site)
    target = f"/stream?at={PIECE}&size={ANSWER}" + ("&ask=1" if ask else "")
    client.send(request_bytes("POST", target, [("Content-Length", str(UPLOAD))]))
    client.send(body(PIECE))
    since.passes("clients_slow")
    return since


def take(client: Connection, check: Check) -> None:
    """Read a response to its end."""
    for piece in client.pieces(client.head()):
        check.feed(piece)


def with_deadlines(start: Start, app: str, *, write_s: float, body_s: float, **more: Any) -> Server:
    """One worker and one reactor that give a client so long to take its answer, and so long to send its body."""
    deadlines = ("--write-timeout", str(write_s), "--body-timeout", str(body_s))
    return start(app, "--workers", "1", "--reactors", "1", *deadlines, **more)


@pytest.fixture(scope="module")
def hasty_writes(module_server: Start) -> Server:
    """Two seconds for the client to take its answer, and minutes for its body."""
    return with_deadlines(module_server, "uploads:asgi", write_s=TIMEOUT_S, body_s=FAR_OFF_S)


@pytest.fixture(scope="module")
def hasty_bodies(module_server: Start) -> Server:
    """The other way round."""
    return with_deadlines(module_server, "uploads:asgi", write_s=FAR_OFF_S, body_s=TIMEOUT_S)


def test_a_client_that_goes_on_sending_is_cut_all_the_same_when_it_does_not_take_its_answer(
    hasty_writes: Server,
) -> None:
    with hasty_writes.connect(buffer_bytes=SMALL_BUFFER) as client:
        begun = time.monotonic()
        since = begin_both_ways(hasty_writes, client, ask=False)
        client.send(body(PIECE, PIECE))  # which puts its body's deadline off, and not the other
        since.becomes(timeouts=1, cut=1)
        assert time.monotonic() - begun >= TOO_SOON_S
        client.expect_cut()
    gauge(hasty_writes, "in_flight")


def test_a_client_that_sends_no_more_of_its_body_is_cut_though_its_answer_waits_for_it(hasty_bodies: Server) -> None:
    with hasty_bodies.connect(buffer_bytes=SMALL_BUFFER) as client:
        begun = time.monotonic()
        since = begin_both_ways(hasty_bodies, client, ask=True)
        since.becomes(timeouts=1, cut=1)
        assert time.monotonic() - begun >= TOO_SOON_S
        client.expect_cut()
    gauge(hasty_bodies, "in_flight")


def test_a_client_that_sends_no_more_of_its_body_is_cut_though_it_took_its_answer(hasty_bodies: Server) -> None:
    check = Check()
    with hasty_bodies.connect(buffer_bytes=SMALL_BUFFER) as client:
        begun = time.monotonic()
        begin_both_ways(hasty_bodies, client, ask=True)
        with pytest.raises(Closed):
            take(client, check)
        assert time.monotonic() - begun >= TOO_SOON_S
        assert check.taken == ANSWER
    gauge(hasty_bodies, "in_flight")


# A 100 Continue that has to wait: its deadline runs on while the body comes, and while the answer is made


FILL = 2000  # answers: more than a unix socket holds


@pytest.fixture(scope="module")
def unix_site(module_server: Start) -> Server:
    """Two seconds for the client to take what is sent, minutes for its body. Of a unix socket one can tell when it is
    full: it takes one send after another until their sum, which depends on nothing else, passes the limit."""
    return with_deadlines(module_server, "uploads:wsgi", write_s=TIMEOUT_S, body_s=FAR_OFF_S,
                          binds=("unix:{dir}/http",))  # fmt: skip


def answers(client: Connection) -> Iterator[bytes]:
    """The bodies of all answers until the server has cut the connection."""
    while True:
        try:
            response = client.response()
        except Closed:
            return
        assert response.status == 200
        yield response.body


@pytest.fixture(scope="module")
def fits(unix_site: Server) -> int:
    """How many answers the socket of a client holds that reads none."""
    with unix_site.connect() as client:
        since = Since(unix_site)
        client.send(request_bytes() * FILL)
        since.becomes(timeouts=1, cut=1)
        count = len(list(answers(client)))
    assert 1 < count < FILL
    return count


@pytest.mark.parametrize(
    ("framing", "content"),
    [(("Content-Length", "1"), body(1)),
     (("Transfer-Encoding", "chunked"), chunked(body(1))),
     (("Transfer-Encoding", "chunked"), b"no size\r\n")],
    ids=["length", "chunked", "refused"],
)  # fmt: skip
def test_a_client_that_does_not_take_its_100_is_cut_though_its_body_has_come(
    unix_site: Server, fits: int, framing: tuple[str, str], content: bytes
) -> None:
    with unix_site.connect() as client:
        since = Since(unix_site)
        client.send(request_bytes() * fits)
        since.becomes(responses=fits, clients_slow=0)
        begun = time.monotonic()
        client.send(request_bytes("POST", "/upload", [framing, ("Expect", "100-continue")]))
        since.passes("clients_slow")  # only the 100 can wait here: nothing else is to be sent
        client.send(content)
        since.becomes(responses=fits + 1)
        since.becomes(timeouts=1)
        assert time.monotonic() - begun >= TOO_SOON_S
        assert len(list(answers(client))) == fits
    gauge(unix_site, "in_flight")
