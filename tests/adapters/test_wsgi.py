"""PEP 3333 as an app sees it: environ, start_response, write, iterables, close; with one thread and with more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import processes
from tests.support.fleet import Start
from tests.support.server import Server

APPS = str(Path(__file__).parent / "apps")


@pytest.fixture(params=[1, 4])
def site(request: pytest.FixtureRequest, server: Start) -> Server:
    """The probes, in one worker with one thread or more."""
    return server("wsgi_probes:app", "--app-dir", APPS, "--workers", "1", "--reactors", "1",
                  "--threads", str(request.param))


def test_close_is_called_whatever_happens(site: Server) -> None:
    site.expect_log(".*")
    with site.connect() as client:
        answer = client.get("/counted")
        assert answer.body == b"ab"
        assert answer.framing == "chunked"
        client.send_request("GET", "/broken")
        client.expect_cut()
    with site.connect() as client:
        client.send_request("GET", "/endless")
        assert client.raw(200_000)
        client.reset()
    closed = ["counted", "broken", "endless"]
    processes.wait_until(lambda: site.get("/closed") == closed, "three times close()")


@pytest.mark.parametrize("threads", [1, 4])
def test_what_fails_is_answered_although_its_log_fails_as_well(server: Start, threads: int) -> None:
    """The worker is replaced then, rather than to lose a thread."""
    site = server("unloggable:wsgi", "--app-dir", APPS, "--workers", "1", "--reactors", "1", "--threads", str(threads))
    site.expect_log(".*")
    for _ in range(2):
        (worker,) = site.wait_for_workers(1)
        with site.connect() as client:
            assert client.get("/").status == 500
        processes.wait_until(lambda gone=worker: gone not in site.workers(), "the worker to be replaced")


def test_a_generator_that_starts_late(site: Server) -> None:
    with site.connect() as client:
        answer = client.get("/late")
        assert (answer.status, answer.reason, answer.body) == (201, "Made late", b"late")


def test_write(site: Server) -> None:
    with site.connect() as client:
        for _ in range(2):
            assert client.get("/writes").body == b"onetwoend"


def test_a_second_start_with_exc_info_counts(site: Server) -> None:
    with site.connect() as client:
        answer = client.get("/again")
        assert (answer.status, answer.reason, answer.body) == (503, "Second Thoughts", b"second")
        assert answer.header("x-first") is None


def test_a_second_start_after_the_head_is_out_raises(site: Server) -> None:
    site.expect_log(".*")
    with site.connect() as client:
        client.send_request("GET", "/too_late")
        client.expect_cut()
    site.wait_for_log("KeyError")


@pytest.mark.parametrize("path", ["/twice", "/never", "/text", "/leaves"])
def test_what_is_no_response_is_a_500(site: Server, path: str) -> None:
    site.expect_log(".*")
    with site.connect() as client:
        for _ in range(2):
            answer = client.get(path)
            assert (answer.status, answer.body) == (500, b"Internal Server Error")
        assert client.get("/late").status == 201


@pytest.mark.parametrize(
    "head",
    [
        ("200", "x"),
        ("OK", []),
        ("20 OK", []),
        ("200OK", []),
        ("200 O\rK", []),
        ("099 Low", []),
        (200, []),
        ("200 OK", [("x y", "1")]),
        ("200 OK", [("x", "1\r\ny: 2")]),
        ("200 OK", [("x", "€")]),
        ("200 OK", [("x", 1)]),
        ("200 OK", [["x", "1"]]),
        ("200 OK", [("content-length", "+4")]),
        ("200 OK", [("x", "y" * 20000)]),
    ],
    ids=lambda head: repr(head)[:40],
)
def test_a_bad_head_is_a_500(site: Server, head: Any) -> None:
    site.expect_log(".*")
    with site.connect() as client:
        assert client.request("POST", "/bad", body=ascii(head).encode()).status == 500


def test_heads_that_are_right_though_odd(site: Server) -> None:
    with site.connect() as client:
        for head, status, reason in ((("299", []), 299, ""), (("404 Não", [("X", "ã\t ")]), 404, "Não")):
            answer = client.request("POST", "/bad", body=ascii(head).encode())
            assert (answer.status, answer.reason, answer.body) == (status, reason, b"body")
            assert answer.all("content-length") == ["4"]


def test_subclasses_of_str_and_bytes_are_what_they_are(site: Server) -> None:
    with site.connect() as client:
        for target in ("/subclasses", "/subclasses?iterable"):
            answer = client.get(target)
            assert (answer.status, answer.reason, answer.header("x-kind")) == (200, "Fine", "of a str")
            assert answer.body == b"onetwo"


def test_the_input_is_a_file(site: Server) -> None:
    with site.connect() as client:
        body = client.request("POST", "/reads", body=b"one\ntwo\nthree\nfour").body.decode()
        expected = [b"one\n", b"two", [b"\n", b"three\n", b"four"], b"", b"", [], b"", 18, True, True, b"", False]
        assert body == repr(expected)
        nothing = [b"", b"", [], b"", b"", [], b"", 0, True, True, b"", False]
        for _ in range(2):
            assert client.get("/reads").body.decode() == repr(nothing)


def test_a_file_wrapper(site: Server) -> None:
    with site.connect() as client:
        assert client.get("/wrapped").body == b"file" * 10000


def test_the_environ(site: Server) -> None:
    with site.connect() as client:
        for _ in range(2):
            client.send_request(
                "PUT", "/shows/caf%C3%A9?q=%20", body=b"12", host="h",
                headers=[("X-A", "1"), ("x-a", "2"), ("Cookie", "a=1"), ("Cookie", "b=2"),
                         ("X_A", "twin"), ("Proxy", "http://evil"), ("Content-Type", "text/x"), ("X-L", "caf\xe9")])
            seen = json.loads(client.response().body)
            assert seen.pop("SERVER_SOFTWARE").startswith("swhttp/")
            assert seen.pop("REMOTE_PORT").isdigit()
            threads = seen.pop("wsgi.multithread")
            assert isinstance(threads, bool)
            assert seen == {
                "REQUEST_METHOD": "PUT",
                "SCRIPT_NAME": "",
                "PATH_INFO": "/shows/caf\xc3\xa9",
                "QUERY_STRING": "q=%20",
                "RAW_URI": "/shows/caf%C3%A9?q=%20",
                "REQUEST_URI": "/shows/caf%C3%A9?q=%20",
                "SERVER_PROTOCOL": "HTTP/1.1",
                "SERVER_NAME": "127.0.0.1",
                "SERVER_PORT": str(site.port),
                "REMOTE_ADDR": "127.0.0.1",
                "CONTENT_LENGTH": "2",
                "CONTENT_TYPE": "text/x",
                "HTTP_HOST": "h",
                "HTTP_X_A": "1,2",
                "HTTP_COOKIE": "a=1; b=2",
                "HTTP_X_L": "caf\xe9",
                "wsgi.version": [1, 0],
                "wsgi.url_scheme": "http",
                "wsgi.input": "BytesIO",
                "wsgi.input_terminated": True,
                "wsgi.errors": "TextIOWrapper",
                "wsgi.multiprocess": True,
                "wsgi.run_once": False,
                "wsgi.file_wrapper": "type",
            }


def test_a_chunked_body_has_its_length(site: Server) -> None:
    with site.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        seen = json.loads(client.response().body)
        assert seen["CONTENT_LENGTH"] == "5"
        assert "HTTP_TRANSFER_ENCODING" not in seen


def test_a_slow_request_stops_no_other_thread(server: Start) -> None:
    site = server("wsgi_probes:app", "--app-dir", APPS, "--workers", "1", "--reactors", "1", "--threads", "3")
    with site.gate() as gate:
        slow = [site.connect() for _ in range(2)]
        visitors = []
        for client in slow:
            client.send_request("GET", f"/hold?{gate.path}")
            visitors.append(gate.entered())
        with site.connect() as client:
            for _ in range(50):
                assert client.get("/late").status == 201
        for visitor in visitors:
            visitor.release()
        assert [client.response().body for client in slow] == [b"held", b"held"]


@pytest.mark.parametrize(("threads", "stalled"), [(2, 1), (4, 3)])
def test_clients_that_do_not_read_stop_no_other_thread(server: Start, threads: int, stalled: int) -> None:
    site = server("wsgi_probes:app", "--app-dir", APPS, "--workers", "1", "--reactors", "1", "--threads",
                  str(threads))
    slow = [site.connect() for _ in range(stalled)]
    for client in slow:
        client.send_request("GET", "/endless")
        client.raw(100)
    with site.connect() as client:
        for _ in range(50):
            assert client.get("/late").status == 201
    for client in slow:
        client.raw(3_000_000)
        client.reset()
    processes.wait_until(lambda: site.get("/closed") == ["endless"] * stalled, "the slow ones to be closed")
