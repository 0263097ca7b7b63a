"""A HEAD request that is refused gets no body either (RFC 9110 section 9.3.2), however little of it has been read.

A client would take a body there for the beginning of another answer. The size is told, as a GET would be.
"""

from __future__ import annotations

import pytest

from tests.support.client import Connection, request_bytes
from tests.support.fleet import Start
from tests.support.server import Server

LINE = 200
FIELDS = 5
FIELD = 300
HOST = b"Host: test\r\n"
BEGUN = b"HEAD / HTTP/1.1\r\n" + HOST
REFUSED = {
    "a line too long": (b"HEAD /%s HTTP/1.1\r\n" % (b"a" * LINE), 414, "request-line-too-long"),
    "a line too long before it ends": (b"HEAD /%s" % (b"a" * LINE), 414, "request-line-too-long"),
    "an empty line before": (b"\r\nHEAD /%s" % (b"a" * LINE), 414, "request-line-too-long"),
    "a field too long": (BEGUN + b"X: %s\r\n" % (b"v" * FIELD), 431, "field-too-long"),
    "a field too long before it ends": (BEGUN + b"X: %s" % (b"v" * FIELD), 431, "field-too-long"),
    "too many fields": (BEGUN + b"X: v\r\n" * FIELDS, 431, "too-many-fields"),
    "a folded field": (BEGUN + b" more\r\n", 400, "folded-field"),
    "two spaces": (b"HEAD  / HTTP/1.1\r\n", 400, "bad-request-line"),
    "another version": (b"HEAD / HTTP/2.0\r\n", 505, "unsupported-version"),
    "no Host": (b"HEAD / HTTP/1.1\r\n\r\n", 400, "missing-host"),
}


@pytest.fixture(scope="module")
def site(module_server: Start) -> Server:
    """Low limits, and a second for a head."""
    return module_server(
        "reference:wsgi", "--workers", "1", "--reactors", "1", "--head-timeout", "1", "--limit-request-line", str(LINE),
        "--limit-request-fields", str(FIELDS), "--limit-request-field-size", str(FIELD),
    )  # fmt: skip


def expect_refusal(client: Connection, status: int, reason: str) -> None:
    """The head of a refusal, and the end in order behind it."""
    answer = client.response("HEAD")
    assert (answer.status, answer.header("content-length")) == (status, str(len(reason)))
    assert answer.header("connection") == "close"
    client.half_close()
    client.expect_end()


@pytest.mark.parametrize("deliver", ["whole", "single bytes"])
@pytest.mark.parametrize("case", REFUSED)
def test_a_head_that_is_refused_gets_no_body(site: Server, case: str, deliver: str) -> None:
    data, status, reason = REFUSED[case]
    since = site.log.mark()
    with site.connect() as client:
        client.send_while_open(*([data] if deliver == "whole" else (data[at : at + 1] for at in range(len(data)))))
        expect_refusal(client, status, reason)
    site.wait_for_log(rf"{status} reason={reason} ", since=since)


@pytest.mark.parametrize("beginning", [b"HEAD ", b"HEAD / HTTP/1.1\r\nHo"], ids=repr)
def test_a_head_that_does_not_end_gets_no_body(site: Server, beginning: bytes) -> None:
    with site.connect() as client:
        client.send(beginning[:3], beginning[3:])
        expect_refusal(client, 408, "head-timeout")


def test_each_request_of_a_connection_is_answered_by_its_own_method(site: Server) -> None:
    data, status, reason = REFUSED["a line too long before it ends"]
    with site.connect() as client:
        assert client.get("/").status == 200
        client.send(data)
        expect_refusal(client, status, reason)
    with site.connect() as client:
        assert client.request("HEAD", "/").status == 200
        client.send(data.replace(b"HEAD", b"GET"), b"a")
        answer = client.response()
        assert (answer.status, answer.body) == (status, reason.encode())


@pytest.mark.parametrize("method", ["HEADER", "XHEAD", "head"])
def test_a_method_that_only_looks_like_head_gets_a_body(site: Server, method: str) -> None:
    with site.connect() as client:
        client.send_while_open(request_bytes(method, "/" + "a" * LINE))
        answer = client.response()
        assert (answer.status, answer.body) == (414, b"request-line-too-long")
