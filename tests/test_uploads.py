"""Request bodies past the inline limit: streamed to ASGI as it asks for them, collected for WSGI before it is called.

Bodies are `tests.support.bodies`; the app compares them while it reads. A client that must not wait for the server
(`Upload`) sends from a thread of its own.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path

import pytest

from swhttp import limits
from tests.support import processes
from tests.support.bodies import body
from tests.support.client import Connection, chunked, request_bytes
from tests.support.counters import Since, gauge
from tests.support.fleet import Start
from tests.support.pace import Pace
from tests.support.server import Server
from tests.support.upload import SEND_BYTES, Upload, framed, gated, head, upload

KIBIBYTE = 1 << 10
MEBIBYTE = 1 << 20
INLINE = limits.INLINE_BODY_BYTES
MEMORY = limits.MEMORY_BODY_BYTES
LARGE_SIZES = [INLINE + 1, 100_000, MEMORY, MEMORY + 1, 10 * MEBIBYTE, 64 * MEBIBYTE]
CHUNK_BLOCK = 66_560  # of limits.BLOCK_CLASSES: a chunk of a streamed body has no more
EXPECT = ("Expect", "100-continue")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# How much later than its deadline a client on a busy machine may hear of it: bounds a hang, is no claim about speed.
PATIENCE_S = 10.0


@pytest.fixture(scope="module")
def asgi_site(module_server: Start) -> Server:
    """The ASGI app with one worker."""
    return module_server("uploads:asgi", "--workers", "1", "--reactors", "1")


@pytest.fixture(scope="module")
def wsgi_site(module_server: Start) -> Server:
    """The WSGI app with one worker and one thread."""
    return module_server("uploads:wsgi", "--workers", "1", "--reactors", "1")


@pytest.fixture(params=["asgi", "wsgi"])
def site(request: pytest.FixtureRequest) -> Server:
    """Each of the two."""
    found: Server = request.getfixturevalue(f"{request.param}_site")
    return found


def told(site: Server) -> list[str]:
    """What the app has noted: each call of the WSGI form, each http.disconnect of the ASGI form."""
    return [f"{what} {target}" for what, target in site.seen_requests()]


# Whole uploads


@pytest.mark.parametrize("chunk", [None, 1000, 100_000, 3 * MEBIBYTE])
@pytest.mark.parametrize("size", LARGE_SIZES)
def test_asgi_gets_a_large_body_in_pieces(asgi_site: Server, size: int, chunk: int | None) -> None:
    size = min(size, 1000 * chunk) if chunk else size
    with asgi_site.connect() as client:
        since = Since(asgi_site)
        report = upload(client, "/upload", size, chunk).json()
        assert report["total"] == size
        assert report["pieces"] >= size / CHUNK_BLOCK
        assert report["longest"] <= limits.CREDIT_WINDOW_BYTES
        assert client.get("/next").status == 200
        assert since["chunks"] >= max(1, size // CHUNK_BLOCK - 1)
        since.becomes(body_files=0)


@pytest.mark.parametrize("chunk", [None, 1000, 100_000, 3 * MEBIBYTE])
@pytest.mark.parametrize("size", LARGE_SIZES)
def test_wsgi_gets_a_large_body_whole(wsgi_site: Server, size: int, chunk: int | None) -> None:
    size = min(size, 1000 * chunk) if chunk else size
    with wsgi_site.connect() as client:
        since = Since(wsgi_site)
        report = upload(client, "/upload", size, chunk).json()
        assert (report["total"], report["length"]) == (size, str(size))
        assert client.get("/next").status == 200
        since.becomes(body_files=int(size > MEMORY), chunks=0)
    gauge(wsgi_site, "files")


@pytest.mark.parametrize("size", [1, INLINE - 1, INLINE])
def test_a_body_within_the_inline_limit_is_one_message(asgi_site: Server, size: int) -> None:
    with asgi_site.connect() as client:
        for chunk in (None, 5000):
            since = Since(asgi_site)
            report = upload(client, "/upload", size, chunk).json()
            assert (report["total"], report["pieces"]) == (size, 1)
            since.becomes(chunks=0)


def test_the_inline_limit_can_be_lower(server: Start) -> None:
    site = server("uploads:asgi", "--workers", "1", "--reactors", "1", "--inline-body", "1000")
    with site.connect() as client, site.connect() as other:
        for size, chunks in ((1000, 0), (1001, 1)):
            since = Since(site)
            client.send(head("/upload", size))
            assert other.get("/").status == 200  # what comes whole with its head is never streamed
            client.send(body(size))
            assert client.response().json()["total"] == size
            since.becomes(chunks=chunks)


@pytest.mark.parametrize("size", [MEMORY, 3 * MEBIBYTE])
def test_a_body_in_memory_and_one_in_a_file_are_read_alike(wsgi_site: Server, size: int) -> None:
    with wsgi_site.connect() as client:
        assert upload(client, "/input", size).json()["total"] == size


def test_a_body_in_pieces_with_others_between_them(site: Server) -> None:
    size = 300_000
    with site.connect() as client, site.connect() as other:
        client.send(head("/upload", size))
        for at in range(0, size, 10_000):
            client.send(body(10_000, at))
            assert other.get("/").status == 200
        assert client.response().json()["total"] == size


def test_a_request_behind_an_upload_is_served_after_it(site: Server) -> None:
    size = 2 * MEBIBYTE
    with site.connect() as client:
        data = head("/upload", size) + body(size) + request_bytes(target="/upload")
        with Upload(client, [data + head("/upload", None) + chunked(body(5))]):
            assert [client.response().json()["total"] for _ in range(3)] == [size, 0, 5]


def test_uploads_at_once(site: Server) -> None:
    size = MEBIBYTE + 1
    clients = [site.connect() for _ in range(16)]
    for client in clients:
        client.send(head("/upload", size))
    for at in range(0, size, SEND_BYTES):
        for client in clients:
            client.send(body(min(SEND_BYTES, size - at), at))
    for client in clients:
        assert client.response().json()["total"] == size
    gauge(site, "files")


def test_an_app_that_takes_its_time_gets_every_byte(asgi_site: Server) -> None:
    size = 4 * MEBIBYTE
    with asgi_site.connect() as client, Upload(client, [head("/slow?pause=0.002", size), *framed(size, None)]):
        assert client.response(timeout_s=30.0).json()["total"] == size


def test_a_slow_upload_occupies_no_wsgi_worker(wsgi_site: Server) -> None:
    size = 2 * MEBIBYTE
    with wsgi_site.connect() as client, wsgi_site.connect() as other:
        client.send(head("/upload", size), body(size - 1))
        for _ in range(20):
            assert other.get("/").status == 200
        client.send(body(1, size - 1))
        assert client.response().json()["total"] == size


# Backpressure


def test_what_asgi_does_not_ask_for_stays_with_the_client(asgi_site: Server) -> None:
    size = 64 * MEBIBYTE
    with asgi_site.gate() as gate, asgi_site.connect() as client, asgi_site.connect() as other:
        since = Since(asgi_site)
        with Upload(client, [head(gated(gate), size), *framed(size, None)]) as sending:
            visitor = gate.entered()
            assert sending.wait_stuck() < size
            # The rest of what was sent is the kernel's.
            assert since["received_bytes"] <= 2 * limits.CREDIT_WINDOW_BYTES
            assert other.get("/").status == 200
            visitor.release()
            assert client.response(timeout_s=30.0).json()["total"] == size


def test_an_app_that_stops_half_way_stops_its_client(asgi_site: Server) -> None:
    size = 64 * MEBIBYTE
    with asgi_site.gate() as gate, asgi_site.connect() as client:
        since = Since(asgi_site)
        with Upload(client, [head(gated(gate, at=MEBIBYTE), size), *framed(size, None)]) as sending:
            visitor = gate.entered()
            assert sending.wait_stuck() < size
            assert since["received_bytes"] <= MEBIBYTE + 3 * limits.CREDIT_WINDOW_BYTES
            visitor.release()
            assert client.response(timeout_s=30.0).json()["total"] == size


def test_an_app_that_does_not_ask_costs_its_client_no_deadline(server: Start) -> None:
    site = server("uploads:asgi", "--workers", "1", "--reactors", "1", "--body-timeout", "1")
    size = 16 * MEBIBYTE
    with site.gate() as gate, site.connect() as client, \
            Upload(client, [head(gated(gate), size), *framed(size, None)]) as sending:
        visitor = gate.entered()
        sending.wait_stuck()
        for _ in range(2):  # two deadlines pass, one after the other: these clients' own
            with site.connect() as late:
                late.send(head("/upload", 10) + body(5))
                assert late.response().status == 408
        visitor.release()
        assert client.response(timeout_s=30.0).json()["total"] == size


# Limits


@pytest.fixture(scope="module", params=["asgi", "wsgi"])
def narrow_site(request: pytest.FixtureRequest, module_server: Start) -> Server:
    """Takes bodies of up to 200,000 bytes."""
    options = ("--workers", "1", "--reactors", "1", "--limit-request-body", "200000")
    return module_server(f"uploads:{request.param}", *options)


@pytest.mark.parametrize("chunk", [None, 7000])
def test_a_body_at_the_limit_is_taken(narrow_site: Server, chunk: int | None) -> None:
    with narrow_site.connect() as client:
        assert upload(client, "/upload", 200_000, chunk).json()["total"] == 200_000
        assert client.get("/next").status == 200


def test_a_length_past_the_limit_is_413_before_the_body_comes(narrow_site: Server) -> None:
    seen = len(told(narrow_site))
    with narrow_site.connect() as client:
        client.send(head("/upload", 200_001))
        answer = client.response()
        assert (answer.status, answer.body.strip()) == (413, b"body-too-large")
        assert answer.header("connection") == "close"
        client.half_close()
        client.expect_end()
    assert told(narrow_site)[seen:] == []


def test_chunks_past_the_limit_are_413_in_the_midst_of_the_body(narrow_site: Server) -> None:
    seen = len(told(narrow_site))
    with narrow_site.connect() as client, Upload(client, [head("/upload", None), *framed(2 * MEBIBYTE, 7000)]):
        answer = client.response()
        assert (answer.status, answer.body.strip()) == (413, b"body-too-large")
        assert answer.header("connection") == "close"
        client.expect_end()
    # WSGI was not called, and ASGI has heard, or will, that no more comes.
    assert not [what for what in told(narrow_site)[seen:] if not what.startswith("DISCONNECT /upload?")]
    with narrow_site.connect() as other:
        assert other.get("/").status == 200


def test_without_a_limit_any_length_may_be_announced(server: Start) -> None:
    site = server("uploads:wsgi", "--workers", "1", "--reactors", "1", "--limit-request-body", "0")
    with site.connect() as client:
        client.send(head("/upload", 1 << 40, EXPECT))
        assert client.raw(len(CONTINUE)) == CONTINUE


# 100 Continue


@pytest.mark.parametrize("size", [5, INLINE, INLINE + 1, MEBIBYTE])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_asgi_sends_100_when_the_app_first_asks(asgi_site: Server, size: int, framing: str) -> None:
    with asgi_site.gate() as gate, asgi_site.connect() as client, asgi_site.connect() as other:
        client.send(head(gated(gate), size if framing == "length" else None, EXPECT))
        visitor = gate.entered()
        for _ in range(2):  # whatever was to be sent before these answers has been
            assert other.get("/").status == 200
        assert not client.take_in_now()
        visitor.release()
        assert client.raw(len(CONTINUE)) == CONTINUE
        client.send(*framed(size, None if framing == "length" else 9000))
        answer = client.response()
        assert (answer.interim, answer.json()["total"]) == ([], size)
        assert client.get("/next").status == 200


@pytest.mark.parametrize("size", [5, MEBIBYTE])
def test_an_asgi_app_that_never_asks_answers_and_closes(asgi_site: Server, size: int) -> None:
    with asgi_site.connect() as client:
        client.send(head("/early", size, EXPECT))
        answer = client.response()
        assert (answer.status, answer.interim, answer.keeps_open) == (200, [], False)
        client.expect_end()


@pytest.mark.parametrize("size", [5, INLINE + 1, MEMORY + 1])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_wsgi_clients_are_sent_100_before_the_app_is_called(wsgi_site: Server, size: int, framing: str) -> None:
    seen = len(told(wsgi_site))
    with wsgi_site.connect() as client:
        client.send(head("/upload", size if framing == "length" else None, EXPECT))
        assert client.raw(len(CONTINUE)) == CONTINUE
        assert told(wsgi_site)[seen:] == []
        client.send(*framed(size, None if framing == "length" else 9000))
        assert client.response().json()["total"] == size


def test_a_body_that_comes_without_waiting_is_taken(site: Server) -> None:
    size = MEBIBYTE
    with site.connect() as client, Upload(client, [head("/upload", size, EXPECT), *framed(size, None)]):
        answer = client.response()
        assert answer.json()["total"] == size
        assert answer.interim in ([], [100])


# Early answers


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_client_that_still_sends_gets_an_early_answer_and_no_reset(asgi_site: Server, framing: str) -> None:
    size = 8 * MEBIBYTE
    chunk = None if framing == "length" else 50_000
    with asgi_site.connect() as client:
        client.send(head("/early?at=100000", None if chunk else size))
        pace = Pace(size)  # for a second: half the time that a client is given
        for piece in framed(size, chunk):
            client.send_while_open(piece)
            pace.take(len(piece))
        answer = client.response()
        assert answer.status == 200
        if framing == "length":  # then it is known in time that the connection cannot go on
            assert not answer.keeps_open
        client.half_close()
        client.expect_end()
    with asgi_site.connect() as other:
        assert other.get("/").status == 200


def test_a_client_that_never_stops_sending_is_cut(asgi_site: Server) -> None:
    with asgi_site.connect() as client:
        endless = (b"x" * 1000 for _ in iter(int, 1))
        with Upload(client, [head("/early", 64 * MEBIBYTE)]) as beginning:
            assert client.response().status == 200
            beginning.join()
        with Upload(client, endless) as sending:
            sending.join()
        gauge(asgi_site, "open")


@pytest.mark.parametrize("rest", [0, 1, limits.DISCARD_BYTES])
def test_a_small_rest_that_the_app_did_not_want_costs_the_connection_nothing(asgi_site: Server, rest: int) -> None:
    size = INLINE + 1 + rest
    with asgi_site.connect() as client:
        # Streamed, because it is larger than what goes inline; the app answers when it has had all but the rest.
        client.send(head(f"/early?at={size - rest}", size), body(size - rest))
        answer = client.response()
        assert answer.status == 200
        assert answer.keeps_open
        client.send(body(rest, size - rest), request_bytes(target="/next"))
        assert client.response().json()["total"] == 0


def test_a_large_rest_that_the_app_did_not_want_ends_the_connection(asgi_site: Server) -> None:
    size = INLINE + limits.DISCARD_BYTES * 2
    with asgi_site.connect() as client:
        client.send(head("/early?at=1", size), body(1000))
        answer = client.response()
        assert answer.status == 200
        assert not answer.keeps_open
        client.half_close()
        client.expect_end()


def test_a_small_rest_that_does_not_come_ends_the_connection(asgi_site: Server) -> None:
    size = INLINE + 1000
    with asgi_site.connect() as client:
        client.send(head("/early?at=1", size), body(INLINE))
        assert client.response().status == 200
        client.expect_end(limits.DISCARD_TIMEOUT_S + limits.LINGER_TIMEOUT_S + PATIENCE_S)


def test_what_an_app_did_not_want_is_never_the_next_request(asgi_site: Server) -> None:
    smuggled = request_bytes(target="/smuggled")
    size = INLINE + 1 + len(smuggled)
    with asgi_site.connect() as client:
        client.send(head(f"/early?at={size - len(smuggled)}", size), body(size - len(smuggled)))
        assert client.response().status == 200
        client.send(smuggled, request_bytes(target="/next"))
        assert client.response().status == 200
        client.half_close()
        client.expect_end()


# Clients that go


@pytest.mark.parametrize("leave", [Connection.close, Connection.reset], ids=["close", "reset"])
@pytest.mark.parametrize("chunk", [None, 5000])
def test_asgi_hears_of_a_client_that_goes_in_the_midst_of_its_body(
    asgi_site: Server, leave: object, chunk: int | None
) -> None:
    size = 8 * INLINE
    with asgi_site.gate() as gate:
        seen = len(told(asgi_site))
        client = asgi_site.connect()
        client.send(head(gated(gate, at=1), size if chunk is None else None))
        # More than goes inline: without a length, the app is not called before.
        client.send(*itertools.islice(framed(size, chunk), 20 if chunk else 1))
        gate.entered().release()
        leave(client)  # type: ignore[operator]
        processes.wait_until(lambda: len(told(asgi_site)) > seen, "an http.disconnect")
        assert told(asgi_site)[-1].startswith("DISCONNECT /upload?")
    gauge(asgi_site, "in_flight")


@pytest.mark.parametrize("leave", [Connection.close, Connection.reset], ids=["close", "reset"])
@pytest.mark.parametrize("size", [INLINE + 1000, 3 * MEBIBYTE])
def test_wsgi_is_not_called_for_a_body_that_is_not_whole(wsgi_site: Server, leave: object, size: int) -> None:
    seen = len(told(wsgi_site))
    since = Since(wsgi_site)
    client = wsgi_site.connect()
    client.send(head("/aborted", size), body(size - 1))
    if size > MEMORY:
        since.passes("body_files")
    leave(client)  # type: ignore[operator]
    gauge(wsgi_site, "files")
    gauge(wsgi_site, "blocks")
    with wsgi_site.connect() as other:
        assert other.get("/after").status == 200
    assert told(wsgi_site)[seen:] == ["CALLED /after"]


def test_a_client_that_goes_before_its_app_has_asked(asgi_site: Server) -> None:
    size = 3 * INLINE
    with asgi_site.gate() as gate:
        seen = len(told(asgi_site))
        client = asgi_site.connect()
        client.send(head(gated(gate), size), body(1000))
        visitor = gate.entered()
        client.close()
        visitor.release()
        processes.wait_until(lambda: len(told(asgi_site)) > seen, "an http.disconnect")
    gauge(asgi_site, "in_flight")


# A disk that fails


def test_a_body_that_cannot_be_kept_costs_its_own_request_only(server: Start) -> None:
    with tempfile.TemporaryDirectory(prefix="swt-") as folder:
        spool = Path(folder, "spool")
        spool.mkdir()
        site = server("uploads:wsgi", "--workers", "1", "--reactors", "1", "--tmp-dir", str(spool))
        site.expect_log(r"\[ERROR\]")
        spool.rmdir()
        with site.connect() as client:
            size = 3 * MEBIBYTE
            with Upload(client, [head("/upload", size), *framed(size, None)]):
                answer = client.response()
                assert answer.status in (500, 503, 507)
                assert not answer.keeps_open
        with site.connect() as other:
            assert upload(other, "/upload", MEMORY).json()["total"] == MEMORY
    assert "CALLED /upload" in told(site)


def test_an_upload_is_never_seen_in_the_directory(wsgi_site: Server) -> None:
    size = 3 * MEBIBYTE
    with wsgi_site.connect() as client:
        since = Since(wsgi_site)
        client.send(head("/upload", size), body(size - 1))
        since.passes("body_files")
        assert os.listdir(wsgi_site.scratch) == []
        client.send(body(1, size - 1))
        assert client.response().json()["total"] == size

