"""Deadlines while bodies flow: they hold the client to its pace, never the app, and a cut always shows."""

from __future__ import annotations

import pytest

from tests.support.client import Closed, Reset, chunked, request_bytes
from tests.support.fleet import Start
from tests.support.processes import wait_until


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
