"""Which way a response's body takes, proven by counters: inline, through the arena, in a file, spilled or moved.

Every body is compared while it is read (`tests.support.bodies`). A slow client is one with a small buffer that stops
reading until the server has noticed, or that reads at a pace of its own.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from swhttp import limits
from tests.support import processes
from tests.support.bodies import RANDOM, ZEROS, Check, body, write_sparse
from tests.support.client import Closed, Connection, Response
from tests.support.counters import Since, gauge
from tests.support.downloads import SMALL_BUFFER, begin, memory, resume, stall
from tests.support.fleet import Start
from tests.support.pace import Pace
from tests.support.server import Server

KIBIBYTE = 1 << 10
MEBIBYTE = 1 << 20
GIBIBYTE = 1 << 30
FRAME = limits.MAX_SMALL_FRAME_BYTES
INLINE_SIZES = [0, 1, FRAME - KIBIBYTE]
BORDER_SIZES = [FRAME - 1, FRAME, FRAME + 1]
BLOCK_SIZES = [64 * KIBIBYTE, MEBIBYTE]
LARGEST_BLOCK = limits.ARENA_CLASSES[-1][0]
SIZES = [*INLINE_SIZES, *BORDER_SIZES, *BLOCK_SIZES, 10 * MEBIBYTE]
LARGE = 10 * MEBIBYTE
SPOOL = 4 * MEBIBYTE
SILENCE_S = 0.3  # how long a worker that waits is seen to wait
HINT = 15_000  # bytes of an early hint: nearly a frame
SPARE_FDS = 3
FAR_OFF_S = "600"  # no test waits that long


@pytest.fixture(scope="module", params=["wsgi", "asgi"])
def site(request: pytest.FixtureRequest, module_server: Start) -> Server:
    """The app with one worker, as WSGI with one thread: what holds it up holds up everybody."""
    return module_server(f"paths:{request.param}", "--workers", "1", "--reactors", "1")


@pytest.fixture(scope="module")
def wsgi_site(module_server: Start) -> Server:
    """The WSGI app with one worker and one thread."""
    return module_server("paths:wsgi", "--workers", "1", "--reactors", "1")


@pytest.fixture(scope="module")
def asgi_site(module_server: Start) -> Server:
    """The ASGI app with one worker."""
    return module_server("paths:asgi", "--workers", "1", "--reactors", "1")


@pytest.fixture
def folder() -> Iterator[str]:
    """Where a test puts the files that are served."""
    with tempfile.TemporaryDirectory(prefix="swt-files-") as path:
        yield path


def file(folder: str, size: int, **query: object) -> str:
    """Target of a file of this size, which is written."""
    path = os.path.join(folder, f"file-{size}")
    if size >= GIBIBYTE:
        write_sparse(path, size)
    else:
        Path(path).write_bytes(body(size))
    return f"/file?path={quote(path)}" + "".join(f"&{name}={value}" for name, value in query.items())


def download(client: Connection, target: str, size: int, filling: bytes = RANDOM, rate_bytes_s: float = 0) -> Response:
    """Read a response to its end, comparing, at a pace."""
    response = begin(client, target)
    check, pace = Check(filling), Pace(rate_bytes_s)
    for piece in client.pieces(response):
        check.feed(piece)
        pace.take(len(piece))
    assert check.taken == size
    return response


# From memory


@pytest.mark.parametrize("size", INLINE_SIZES)
def test_what_fits_a_frame_goes_inline(site: Server, size: int) -> None:
    with site.connect() as client:
        since = Since(site)
        download(client, memory(size), size)
        since.becomes(small_frames=1, shm_frames=0, file_frames=0, slot_shm_frames=0, slot_file_frames=0)


@pytest.mark.parametrize("size", [*BORDER_SIZES, *BLOCK_SIZES])
def test_what_does_not_fit_a_frame_with_its_head_goes_through_the_arena(site: Server, size: int) -> None:
    blocks = -(-size // LARGEST_BLOCK)
    with site.connect() as client:
        since = Since(site)
        download(client, memory(size), size)
        since.becomes(small_frames=0, shm_frames=blocks, file_frames=0, slot_shm_frames=blocks, sendfile_bytes=0)
    gauge(site, "arena_held")


@pytest.mark.parametrize(("piece", "inline", "blocks"), [(FRAME - 1, 2, 0), (FRAME, 2, 0), (FRAME + 1, 1, 1)])
def test_behind_the_head_a_piece_of_16_kib_still_fits_a_frame(
    site: Server, piece: int, inline: int, blocks: int
) -> None:
    with site.connect() as client:
        since = Since(site)
        download(client, memory(piece + 1, first=1), piece + 1)
        since.becomes(small_frames=inline, shm_frames=blocks, file_frames=0)


def test_10_mib_go_through_the_arena_in_large_blocks(site: Server) -> None:
    with site.connect() as client:
        since = Since(site)
        download(client, memory(LARGE), LARGE)
        blocks = since["shm_frames"]
        # A busy machine makes its clients slow: as WSGI the end may have gone to a file.
        since.passes("slot_spilled_bytes", LARGE - blocks * LARGEST_BLOCK)
        since.becomes(slot_shm_frames=blocks)
        assert 1 <= blocks <= 2 * LARGE // LARGEST_BLOCK
    gauge(site, "arena_held")
    gauge(site, "files")


@pytest.mark.parametrize("framing", ["length", "none"])
@pytest.mark.parametrize("piece", [1000, FRAME, 65_536, 300_000, 2 * MEBIBYTE])
def test_pieces_of_any_size_become_one_body(site: Server, piece: int, framing: str) -> None:
    size = min(1000 * piece, LARGE) + 7
    with site.connect() as client:
        response = download(client, memory(size, piece=piece, framing=framing), size)
        assert response.framing == ("length" if framing == "length" else "chunked")
        assert client.get("/next").status == 200


@pytest.mark.parametrize("size", SIZES)
def test_a_slow_client_gets_every_byte(site: Server, size: int) -> None:
    with site.connect(buffer_bytes=SMALL_BUFFER) as client, site.connect() as other:
        since = Since(site)
        download(client, memory(size), size, rate_bytes_s=max(64 * KIBIBYTE, size * 3))
        assert since["small_frames"] + since["shm_frames"] + since["file_frames"] >= 1
        assert other.get("/").status == 200
        assert client.get("/next").status == 200
    gauge(site, "arena_held")
    gauge(site, "files")


# To a client that stands still


@pytest.mark.parametrize(
    "target",
    [memory(LARGE), memory(LARGE, piece=50_000), memory(LARGE, piece=50_000, framing="none"),
     f"/write?size={LARGE}&piece=70000"],
    ids=["whole", "pieces", "chunked", "write"],
)  # fmt: skip
def test_what_a_slow_client_leaves_of_a_wsgi_response_is_spilled_and_the_worker_is_free(
    wsgi_site: Server, target: str
) -> None:
    with wsgi_site.connect(buffer_bytes=SMALL_BUFFER) as client, wsgi_site.connect() as other:
        since, check = Since(wsgi_site), Check()
        pieces = stall(client, target, check)
        since.passes("slot_spilled_bytes", LARGE // 2)
        since.passes("clients_slow")
        for _ in range(20):
            assert other.get("/").status == 200
        assert check.taken < LARGE
        resume(pieces, check, LARGE)
        since.passes("sendfile_bytes", since["slot_spilled_bytes"])
        since.becomes(slot_file_frames=since["file_frames"])
        assert client.get("/next").status == 200
    gauge(wsgi_site, "files")
    gauge(wsgi_site, "arena_held")


def test_a_spool_that_is_full_makes_the_worker_wait(server: Start) -> None:
    site = server("paths:wsgi", "--workers", "1", "--reactors", "1", "--response-spool-max", str(SPOOL))
    with site.connect(buffer_bytes=SMALL_BUFFER) as client, site.connect() as other:
        since, check = Since(site), Check()
        pieces = stall(client, memory(2 * LARGE), check)
        since.passes("slot_spilled_bytes", SPOOL // 4)
        other.send_request()
        assert not other.wait_readable(SILENCE_S)
        assert since["slot_spilled_bytes"] <= SPOOL
        resume(pieces, check, 2 * LARGE)
        assert other.response().status == 200
    gauge(site, "files")


def test_without_a_spool_the_worker_waits_for_its_client(server: Start) -> None:
    site = server("paths:wsgi", "--workers", "1", "--reactors", "1", "--response-spool-max", "0")
    with site.connect(buffer_bytes=SMALL_BUFFER) as client, site.connect() as other:
        since, check = Since(site), Check()
        pieces = stall(client, memory(LARGE), check)
        since.passes("moved_bytes")
        other.send_request()
        assert not other.wait_readable(SILENCE_S)
        resume(pieces, check, LARGE)
        assert other.response().status == 200
        assert since["slot_spilled_bytes"] == since["slot_file_frames"] == 0


def test_a_spool_that_cannot_be_written_costs_speed_and_nothing_else(server: Start, folder: str) -> None:
    spool = os.path.join(folder, "spool")
    os.mkdir(spool)
    site = server("paths:wsgi", "--workers", "1", "--reactors", "1", "--tmp-dir", spool)
    os.rmdir(spool)
    with site.connect(buffer_bytes=SMALL_BUFFER) as client:
        check, since = Check(), site.log.mark()
        pieces = stall(client, memory(LARGE), check)
        site.wait_for_log(
            r"reason=spool-failed client=.* directory=\S+: No such file or directory$", since=since)
        resume(pieces, check, LARGE)
    assert site.get("/")["pid"] in site.workers()


def test_what_an_asgi_client_leaves_in_the_arena_is_moved_off_it(asgi_site: Server) -> None:
    with asgi_site.connect(buffer_bytes=SMALL_BUFFER) as client, asgi_site.connect() as other:
        since, check = Since(asgi_site), Check()
        pieces = stall(client, memory(LARGE, piece=64 * KIBIBYTE), check)
        since.passes("moved_bytes")
        gauge(asgi_site, "arena_held")
        # send() has stopped where the high-water mark is, and what the kernel holds.
        frames = since["shm_frames"]
        for _ in range(20):
            assert other.get("/").status == 200
        assert since["shm_frames"] == frames < LARGE // (64 * KIBIBYTE)
        resume(pieces, check, LARGE)
        since.becomes(shm_frames=LARGE // (64 * KIBIBYTE), slot_spilled_bytes=0, slot_file_frames=0)
        assert since["sendfile_bytes"] > 0
        assert client.get("/next").status == 200
    gauge(asgi_site, "files")


def test_many_clients_that_stand_still_pin_no_block_and_lose_no_byte(site: Server) -> None:
    size = 4 * MEBIBYTE
    clients = [site.connect(buffer_bytes=SMALL_BUFFER) for _ in range(24)]
    stalled = []
    for client in clients:
        check = Check()
        stalled.append((check, stall(client, memory(size), check)))
    gauge(site, "arena_held")
    with site.connect() as other:
        assert other.get("/").status == 200
    for check, pieces in stalled:
        resume(pieces, check, size)
    gauge(site, "files")


@pytest.mark.parametrize("target", [memory(LARGE), memory(LARGE, piece=50_000)], ids=["whole", "pieces"])
def test_a_client_that_goes_away_leaves_nothing(site: Server, target: str) -> None:
    for leave in (Connection.close, Connection.reset):
        client = site.connect(buffer_bytes=SMALL_BUFFER)
        since = Since(site)
        stall(client, target, Check())
        since.passes("clients_slow")
        leave(client)
        gauge(site, "arena_held")
        gauge(site, "files")
        gauge(site, "in_flight")
    with site.connect() as other:
        assert other.get("/").status == 200


# Files


@pytest.mark.parametrize("size", SIZES[1:])
def test_a_file_is_sent_by_sendfile_from_the_file_itself(site: Server, folder: str, size: int) -> None:
    target = file(folder, size)
    with site.connect() as client:
        since = Since(site)
        download(client, target, size)
        since.becomes(small_frames=0, shm_frames=0, file_frames=1, sendfile_bytes=size, slot_spilled_bytes=0)
        assert client.get("/next").status == 200
    gauge(site, "files")


def test_an_empty_file_is_an_empty_body(site: Server, folder: str) -> None:
    with site.connect() as client:
        response = download(client, file(folder, 0), 0)
        assert response.header("content-length") == "0"
        assert client.get("/next").status == 200


def test_a_file_of_a_gibibyte(site: Server, folder: str) -> None:
    target = file(folder, GIBIBYTE)
    with site.connect() as client:
        since = Since(site)
        download(client, target, GIBIBYTE, ZEROS)
        since.becomes(small_frames=0, shm_frames=0, file_frames=1, sendfile_bytes=GIBIBYTE)


def test_a_file_of_a_gibibyte_to_a_client_that_stops_now_and_then(site: Server, folder: str) -> None:
    target = file(folder, GIBIBYTE)
    with site.connect() as client, site.connect() as other:
        since, check = Since(site), Check(ZEROS)
        next_stop = 0
        for piece in client.pieces(begin(client, target)):
            check.feed(piece)
            if check.taken >= next_stop:
                next_stop += GIBIBYTE // 8
                processes.wait_until(
                    lambda: since["clients_slow"] > 0 or since["sendfile_bytes"] == GIBIBYTE, "a client found slow"
                )
                for _ in range(5):
                    assert other.get("/").status == 200
        assert check.taken == GIBIBYTE
        since.becomes(file_frames=1, sendfile_bytes=GIBIBYTE, moved_bytes=0, shm_frames=0)


@pytest.mark.parametrize("size", SIZES[1:])
def test_a_slow_client_gets_every_byte_of_a_file(site: Server, folder: str, size: int) -> None:
    target = file(folder, size)
    with site.connect(buffer_bytes=SMALL_BUFFER) as client, site.connect() as other:
        since = Since(site)
        download(client, target, size, rate_bytes_s=max(64 * KIBIBYTE, size * 3))
        since.becomes(file_frames=1, sendfile_bytes=size)
        assert other.get("/").status == 200


def test_a_file_of_unknown_length_is_framed_by_its_size(site: Server, folder: str) -> None:
    size = 100_000
    with site.connect() as client:
        response = download(client, file(folder, size, framing="none"), size)
        assert response.header("content-length") in (str(size), None)
        assert client.get("/next").status == 200


def test_a_file_to_http_1_0(site: Server, folder: str) -> None:
    size = 100_000
    target = file(folder, size)
    with site.connect() as client:
        client.send_request(target=target, version="HTTP/1.0")
        assert client.response().body == body(size)
        client.expect_end()


@pytest.mark.parametrize("size", [1, LARGE])
def test_head_of_a_file_sends_none_of_it(site: Server, folder: str, size: int) -> None:
    target = file(folder, size)
    with site.connect() as client:
        since = Since(site)
        response = client.request("HEAD", target)
        assert response.header("content-length") == str(size)
        assert client.get("/next").status == 200
        since.becomes(file_frames=0, sendfile_bytes=0)


@pytest.mark.parametrize("start", [0, 1, 65_536, 99_999, 100_000])
def test_file_wrapper_begins_where_the_file_stands(wsgi_site: Server, folder: str, start: int) -> None:
    target = file(folder, 100_000).replace("/file?", "/open?") + f"&from={start}"
    with wsgi_site.connect() as client:
        client.send_request(target=target)
        assert client.response().body == body(100_000)[start:]


def test_a_file_shorter_than_promised_cuts_the_connection(site: Server, folder: str) -> None:
    site.expect_log(r"\[ERROR\]")
    with site.connect() as client:
        response = begin(client, file(folder, 100_000, announce=200_000))
        check = Check()
        with pytest.raises(Closed):
            resume(client.pieces(response), check, 200_000)
        assert check.taken <= 100_000
    with site.connect() as other:
        assert other.get("/").status == 200


def test_a_file_that_is_cut_while_it_is_sent_cuts_the_connection(site: Server, folder: str) -> None:
    site.expect_log(r"\[ERROR\]")
    target = file(folder, 4 * LARGE)
    with site.connect(buffer_bytes=SMALL_BUFFER) as client:
        pieces = stall(client, target, Check())
        os.truncate(os.path.join(folder, f"file-{4 * LARGE}"), 0)
        # What the socket holds already are pages of the file, which the kernel has emptied: only the length shows.
        with pytest.raises(Closed):
            sum(map(len, pieces))
    with site.connect() as other:
        assert other.get("/").status == 200
    gauge(site, "files")


@pytest.mark.parametrize("pause_s", [0.05, 0.1, 0.15])
def test_a_file_that_is_cut_while_its_client_is_slow_cuts_the_connection_at_once(
    server: Start, folder: str, pause_s: float
) -> None:
    site = server("paths:asgi", "--workers", "1", "--reactors", "1", "--write-timeout", FAR_OFF_S)
    size, left = 20 * MEBIBYTE, 12 * MEBIBYTE
    with site.connect(buffer_bytes=64 * KIBIBYTE) as client:
        pieces = stall(client, file(folder, size), Check())
        # How long the client has been slow when the file is cut is what is tested: the reactor looks after it at times
        # of its own.
        time.sleep(pause_s)
        os.truncate(os.path.join(folder, f"file-{size}"), left)
        with pytest.raises(Closed):
            sum(map(len, pieces))
    gauge(site, "files")


def test_a_file_longer_than_promised_is_sent_as_far_as_promised(site: Server, folder: str) -> None:
    with site.connect() as client:
        download(client, file(folder, 100_000, announce=70_000), 70_000)
        assert client.get("/next").status == 200


def test_a_path_that_is_not_there_is_the_apps_error(asgi_site: Server) -> None:
    asgi_site.expect_log(r"Traceback|\[ERROR\]")
    with asgi_site.connect() as client:
        client.send_request(target="/file?path=/nowhere&announce=5")
        assert client.response().status == 500
    with asgi_site.connect() as other:
        assert other.get("/").status == 200


@contextmanager
def no_fd_free(site: Server) -> Iterator[list[Connection]]:
    """A master that has all the fds that it may have, the last of them for the idle connections given."""
    soft, hard = resource.prlimit(site.pid, resource.RLIMIT_NOFILE)
    held = processes.fds_of(site.pid)
    limit = max(held) + 1 + SPARE_FDS
    resource.prlimit(site.pid, resource.RLIMIT_NOFILE, (limit, hard))
    try:
        since = site.log.mark()
        idle = [site.connect() for _ in range(limit - len(held) + 1)]
        site.wait_for_log("reason=accept-paused out of file descriptors", since=since)
        yield idle
    finally:
        resource.prlimit(site.pid, resource.RLIMIT_NOFILE, (soft, hard))


def test_a_file_for_which_the_master_has_no_fd_is_503_until_it_has_one(site: Server, folder: str) -> None:
    target, workers, since = file(folder, 100_000), site.workers(), site.log.mark()
    with site.connect() as client, site.connect() as other:
        assert client.get("/").status == other.get("/").status == 200
        with no_fd_free(site) as idle:
            client.send_request(target=target)
            answer = client.response()
            assert (answer.status, answer.body) == (503, b"response-file-lost")
            assert not answer.keeps_open
            client.half_close()
            client.expect_end()
            last = other.get("/")
            assert last.json()["pid"] in workers
            assert not last.keeps_open  # there are others who wait for its place
            for connection in idle:
                connection.close()
            gauge(site, "open", 0)
            with site.connect() as later:
                download(later, target, 100_000)
    assert site.workers() == workers
    site.wait_for_log(r"\[WARNING\] 503 reason=response-file-lost client=", since=since)
    site.log.catch_up()
    assert site.log.text(since).count("response-file-lost") == 1


# What goes beside a body


@pytest.mark.parametrize("size", [0, 10, 100_000])
def test_trailers_come_behind_a_chunked_body(asgi_site: Server, size: int) -> None:
    with asgi_site.connect() as client:
        client.send_request(target=f"/trailers?size={size}&framing=none", headers=[("TE", "trailers")])
        response = client.response()
        assert response.body == body(size)
        trailers = [(name.lower(), value) for name, value in response.trailers]
        assert trailers == [("x-checksum", "abc"), ("x-last", "yes")]
        assert client.get("/next").status == 200


def test_trailers_have_no_place_behind_a_body_by_length(asgi_site: Server) -> None:
    with asgi_site.connect() as client:
        client.send_request(target="/trailers?size=1000", headers=[("TE", "trailers")])
        response = client.response()
        assert (response.body, response.trailers) == (body(1000), [])
        assert client.get("/next").status == 200


def test_trailers_have_no_place_in_http_1_0(asgi_site: Server) -> None:
    with asgi_site.connect() as client:
        client.send_request(target="/trailers?size=1000&framing=none", version="HTTP/1.0")
        assert client.response().body == body(1000)


def test_early_hints_come_before_the_answer(asgi_site: Server) -> None:
    with asgi_site.connect() as client:
        response = client.get("/hints")
        assert (response.status, response.interim) == (200, [103, 103])
        links = [[value for name, value in fields if name.lower() == "link"] for fields in response.interim_headers]
        assert links == [
            ["</style.css>; rel=preload; as=style"],
            ["</a.js>; rel=preload", "</b.js>; rel=preload"],
        ]
        assert client.get("/next").interim == []


def test_early_hints_are_not_sent_to_http_1_0(asgi_site: Server) -> None:
    with asgi_site.connect() as client:
        client.send_request(target="/hints", version="HTTP/1.0")
        response = client.response()
        assert (response.status, response.interim) == (200, [])


def test_early_hints_that_wait_for_room_harm_nobody(asgi_site: Server) -> None:
    workers = asgi_site.workers()
    with asgi_site.gate() as gate, asgi_site.connect() as bystander:
        bystander.send_request(target=gate.target)
        visitor = gate.entered()
        for _ in range(5):
            with asgi_site.connect() as client:
                client.send_request(target=f"/hints-at-once?size={200 * HINT}&piece={HINT}")
                response = client.response()
                assert (response.status, response.body) == (200, b"beginning, end")
                assert set(response.interim) == {103}
        visitor.release()
        assert bystander.response().status == 200
    assert asgi_site.workers() == workers


def test_early_hints_without_end_cut_their_own_connection(asgi_site: Server) -> None:
    asgi_site.expect_log(r"Traceback|\[ERROR\]")  # what the app makes of it is its own affair
    with asgi_site.connect() as bystander, asgi_site.connect(buffer_bytes=SMALL_BUFFER) as client:
        assert bystander.get("/").status == 200
        client.send_request(target=f"/hints-at-once?size={16 * limits.OUTBOX_BYTES}&piece={HINT}")
        gauge(asgi_site, "open", 1)
        assert bystander.get("/").status == 200


def test_the_extensions_are_declared(asgi_site: Server) -> None:
    declared = {"http.response.trailers", "http.response.early_hint", "http.response.pathsend"}
    assert declared <= set(asgi_site.get("/")["extensions"])
