"""Slow clients meet their deadlines: keep-alive, head, body.

The deadlines for head and body are constants of seconds to half a minute. Clients that stall are started by
the first test of the session and looked at by the last, so that waiting for them costs nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from swhttp import limits
from tests.support.client import Closed, Connection, Response, request_bytes
from tests.support.fleet import Start
from tests.support.server import Server

# How much later than its deadline a client on a busy machine may hear of it; bounds a hang, is no claim about
# speed.
PATIENCE_S = 30.0


@dataclass
class Stalled:
    """A client that sent `data` and waits: what it got, and when, in seconds after it connected."""

    name: str
    data: bytes
    deadline_s: float
    answers: list[Response] = field(default_factory=list)
    ended_s: float = 0.0
    failure: BaseException | None = None
    begun: threading.Event = field(default_factory=threading.Event)

    def run(self, server: Server) -> None:
        # Not server.connect(): what that opens is closed after every test.
        connection = Connection(server.tcp_addresses()[0])
        self.begun.set()
        try:
            begun = time.monotonic()
            connection.send(self.data)
            try:
                while True:
                    self.answers.append(connection.response(timeout_s=self.deadline_s + PATIENCE_S))
            except Closed as end:
                self.ended_s = time.monotonic() - begun
                if end.partial or connection.was_reset:
                    raise AssertionError(f"not closed in order: {end}") from end
        except BaseException as error:  # handed to the test that looks at it
            self.failure = error
        finally:
            connection.close()


HEAD = request_bytes()
STALLED = {
    "says nothing": Stalled("says nothing", b"", limits.HEAD_TIMEOUT_S),
    "half a head": Stalled("half a head", HEAD[:-2], limits.HEAD_TIMEOUT_S),
    "half a line after a request": Stalled(
        "half a line after a request", HEAD + b"GET /ha", limits.HEAD_TIMEOUT_S
    ),
    "half a body": Stalled("half a body", request_bytes("POST", body=b"x" * 99)[:-1], limits.BODY_TIMEOUT_S),
    "half a chunked body": Stalled(
        "half a chunked body",
        request_bytes("POST", headers=[("Transfer-Encoding", "chunked")]) + b"3\r\nabc\r\n",
        limits.BODY_TIMEOUT_S,
    ),
}


@pytest.fixture(scope="session")
def stalled_site(session_server: Start) -> Iterator[Server]:
    """A server with all of STALLED connected to it, each read by a thread of its own."""
    site = session_server("reference:wsgi", "--workers", "1", "--reactors", "1")
    threads = [threading.Thread(target=client.run, args=(site,), daemon=True) for client in STALLED.values()]
    for thread in threads:
        thread.start()
    for client in STALLED.values():  # or their sockets would look like a leak of whatever test runs meanwhile
        assert client.begun.wait(PATIENCE_S)
    yield site
    for thread in threads:
        thread.join(limits.BODY_TIMEOUT_S + PATIENCE_S)


@pytest.mark.runs_first
def test_stalled_clients_occupy_no_worker(stalled_site: Server) -> None:
    for number in range(20):
        assert stalled_site.get(f"/{number}")["target"] == f"/{number}"


@pytest.mark.runs_last
@pytest.mark.parametrize("name", STALLED)
def test_a_stalled_client_is_told_408_at_its_deadline_and_closed(stalled_site: Server, name: str) -> None:
    client = STALLED[name]
    # The end of the connection is the event; by now it has usually been.
    give_up = time.monotonic() + client.deadline_s + PATIENCE_S
    while not client.ended_s and client.failure is None and time.monotonic() < give_up:
        time.sleep(0.01)
    assert client.failure is None, client.failure
    expected = {"says nothing": [], "half a line after a request": [200, 408]}.get(name, [408])
    assert [answer.status for answer in client.answers] == expected
    # Not a claim about speed: a deadline that strikes early would cut clients that are merely slow.
    assert client.ended_s > client.deadline_s - 1.0
    assert stalled_site.get("/after")["target"] == "/after"


@pytest.fixture(scope="module")
def hasty_site(module_server: Start) -> Server:
    """A server that keeps idle connections for a second."""
    return module_server("reference:asgi", "--workers", "1", "--reactors", "1", "--keep-alive", "1")


def test_an_idle_connection_is_closed_without_a_word(hasty_site: Server) -> None:
    clients = [hasty_site.connect() for _ in range(20)]
    for client in clients:
        assert client.get("/").status == 200
    for client in clients:
        client.expect_end()


def test_keep_alive_ends_only_what_is_idle(hasty_site: Server) -> None:
    with hasty_site.gate() as gate, hasty_site.connect() as busy, hasty_site.connect() as idle:
        assert busy.get("/").status == 200
        busy.send_request(target=gate.target)
        visitor = gate.entered()
        assert idle.get("/").status == 200
        # The event that a keep-alive deadline later than the busy one's last response has struck.
        idle.expect_end()
        visitor.release()
        assert busy.response().status == 200
        assert busy.get("/again").status == 200
