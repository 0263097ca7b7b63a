"""http.response.trailers, .early_hint and .pathsend as frames."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from swhttp.ipc import ring
from tests.adapters.rig import Flight, Rig, working
from tests.support.processes import wait_until

START = "{'type': 'http.response.start', 'status': 200, 'trailers': True, 'headers': %s}"
PLAIN = "{'type': 'http.response.start', 'status': 200, 'headers': %s}"
BODY = "{'type': 'http.response.body', 'body': %s, 'more_body': %s}"
TRAILERS = "{'type': 'http.response.trailers', 'headers': %s, 'more_trailers': %s}"
HINT = "{'type': 'http.response.early_hint', 'links': %s}"
PATH = "{'type': 'http.response.pathsend', 'path': %r}"


def send(rig: Rig, *messages: str, **request: object) -> Flight:
    return rig.answer(body=("[" + ", ".join(messages) + "]").encode(), method=b"POST", **request)


def test_trailers_follow_the_body() -> None:
    with working("asgi_probes:raw", "asgi") as rig:
        for pieces in ([BODY % (b"12", False)], [BODY % (b"1", True), BODY % (b"2", False)], [BODY % (b"", False)]):
            flight = send(rig, START % [], *pieces, TRAILERS % ([(b"x-a", b"1")], True),
                          TRAILERS % ([(b"B", b"2")], False))
            assert flight.head.content_length == ring.NO_LENGTH
            assert flight.last.flags == ring.LAST | ring.TRAILERS
            assert flight.last.head == b"x-a: 1\r\nB: 2\r\n"
            assert flight.body in (b"12", b"")
            assert all(not frame.flags & ring.LAST for frame in flight.frames[:-1])


def test_no_trailers_after_all() -> None:
    with working("asgi_probes:raw", "asgi") as rig:
        flight = send(rig, START % [], BODY % (b"12", False), TRAILERS % ([], False))
        assert (flight.last.flags, flight.last.head) == (ring.LAST, b"")


def test_trailers_with_an_announced_length() -> None:
    with working("asgi_probes:raw", "asgi") as rig:
        for length, last in ((2, ring.LAST | ring.TRAILERS), (3, ring.LAST | ring.ABORT)):
            flight = send(rig, START % [(b"content-length", b"%d" % length)], BODY % (b"12", False),
                          TRAILERS % ([(b"x-a", b"1")], False))
            assert flight.body == b"12"
            assert flight.last.flags == last


@pytest.mark.parametrize(
    "messages",
    [
        (START % [], BODY % (b"12", False)),
        (START % [], BODY % (b"12", True), TRAILERS % ([], False)),
        (START % [], BODY % (b"12", False), TRAILERS % ([], True)),
        (START % [], BODY % (b"12", False), TRAILERS % ([(b"x", b"1\r\n2")], False)),
        (START % [], BODY % (b"12", False), TRAILERS % ([(b"x y", b"1")], False)),
        (START % [], BODY % (b"12", False), TRAILERS % ([("x", b"1")], False)),
        (START % [], BODY % (b"12", False), "{'type': 'http.response.trailers', 'headers': [(b'x', b'y' * 17000)]}"),
        *[
            (START % [], BODY % (b"12", False), TRAILERS % ([(name, b"1")], False))
            for name in (b"Content-Length", b"transfer-encoding", b"host", b"trailer", b"connection", b"Proxy-X")
        ],
    ],
)
def test_trailers_that_cannot_be_cut_the_response(messages: tuple[str, ...]) -> None:
    with working("asgi_probes:raw", "asgi") as rig:
        flight = send(rig, *messages)
        assert flight.body == b"12"
        assert flight.last.flags == ring.LAST | ring.ABORT
        assert send(rig, PLAIN % [], BODY % (b"12", False)).body == b"12"


def test_trailers_that_were_not_announced() -> None:
    with working("asgi_probes:raw", "asgi") as rig:
        flight = send(rig, PLAIN % [], BODY % (b"12", False), TRAILERS % ([(b"x", b"1")], False))
        assert flight.last.flags == ring.HEAD | ring.LAST


def test_early_hints_come_before_the_response() -> None:
    with working("asgi_probes:raw", "asgi") as rig:
        flight = send(rig, HINT % [b"</a>; rel=preload"], HINT % [], HINT % [b"</b>", b"</c>"], PLAIN % [],
                      BODY % (b"12", False))
        assert [(frame.flags, frame.status, frame.head) for frame in flight.frames[:-1]] == [
            (ring.INTERIM, 103, b"HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n"),
            (ring.INTERIM, 103, b"HTTP/1.1 103 Early Hints\r\nlink: </b>\r\nlink: </c>\r\n"),
        ]
        assert flight.last.flags == ring.HEAD | ring.LAST
        flight = send(rig, HINT % [b"</a>"], PLAIN % [], BODY % (b"12", False), http_minor=0)
        assert len(flight.frames) == 1


@pytest.mark.parametrize("messages", [(HINT % [b"a\r\nb"],), (HINT % ["a"],)])
def test_bad_early_hints_are_a_500(messages: tuple[str, ...]) -> None:
    with working("asgi_probes:raw", "asgi") as rig:
        flight = send(rig, *messages)
        assert len(flight.frames) == 1
        assert flight.status == 500


def test_early_hints_after_the_head_cut_the_response() -> None:
    with working("asgi_probes:raw", "asgi") as rig:
        assert send(rig, PLAIN % [], BODY % (b"12", True), HINT % [b"</a>"]).last.flags == ring.LAST | ring.ABORT


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(251)) * 10_000)
    return path


def test_a_path_is_sent_as_a_file(file: Path) -> None:
    with working("asgi_probes:raw", "asgi") as rig:
        flight = send(rig, PLAIN % [], PATH % str(file))
        assert flight.body == file.read_bytes()
        assert flight.types == [ring.TMPFILE]
        assert flight.head.content_length == len(flight.body)
        flight = send(rig, START % [], PATH % str(file), TRAILERS % ([(b"x", b"1")], False))
        assert flight.body == file.read_bytes()
        assert flight.head.content_length == ring.NO_LENGTH
        assert flight.last.head == b"x: 1\r\n"
        rig.wait_closed(file)


def test_a_path_and_the_announced_length(file: Path) -> None:
    with working("asgi_probes:raw", "asgi") as rig:
        flight = send(rig, PLAIN % [(b"content-length", b"1000")], PATH % str(file))
        assert flight.body == file.read_bytes()[:1000]
        assert flight.last.flags == ring.HEAD | ring.LAST
        flight = send(rig, PLAIN % [(b"content-length", b"3000000")], PATH % str(file))
        assert flight.body == file.read_bytes()
        assert flight.last.flags == ring.HEAD | ring.LAST | ring.ABORT
        flight = send(rig, PLAIN % [(b"content-length", b"0")], PATH % str(file))
        assert not flight.body
        assert flight.last.flags == ring.HEAD | ring.LAST


def test_a_path_for_a_response_without_a_body(file: Path) -> None:
    with working("asgi_probes:raw", "asgi") as rig:
        flight = rig.answer(body=f"[{PLAIN % []}, {PATH % str(file)}]".encode(), method=b"HEAD", flags=4)
        assert (flight.body, flight.head.content_length) == (b"", 2_510_000)
        for status, length in ((204, ring.NO_LENGTH), (304, ring.NO_LENGTH)):
            start = f"{{'type': 'http.response.start', 'status': {status}}}"
            flight = send(rig, start, PATH % str(file))
            assert (flight.body, flight.head.content_length) == (b"", length)
        assert rig.counters()["file_frames"] == 0


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with working("asgi_probes:raw", "asgi") as rig:
        flight = send(rig, PLAIN % [], PATH % str(tmp_path / "empty"))
        assert (flight.status, flight.body, flight.head.content_length) == (200, b"", 0)
        assert [frame.type for frame in flight.frames] == [ring.SMALL]


def test_what_is_no_file_is_a_500(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with working("asgi_probes:raw", "asgi") as rig:
        for path in (tmp_path / "none", tmp_path, tmp_path / "fifo", "relative", b"bytes"):
            flight = send(rig, PLAIN % [], PATH % (str(path) if isinstance(path, Path) else path))
            assert (flight.status, len(flight.frames)) == (500, 1)
        rig.wait_closed(tmp_path)


def test_more_files_than_the_channel_holds(file: Path) -> None:
    many = 1000  # of the size of ours a kernel takes a few hundred
    with working("asgi_probes:raw", "asgi", blocks=many, request_ring_bytes=32768, response_ring_bytes=262144) as rig:
        body = f"[{PLAIN % [(b'content-length', b'5')]}, {PATH % str(file)}]".encode()
        flights = [rig.begin(body=body, method=b"POST") for _ in range(many)]
        wait_until(lambda: rig.counters()["taken"] == many, "the worker to take all")
        assert rig.counters()["file_frames"] < many
        rig.finish(*flights)
        assert all(flight.body == bytes(range(5)) for flight in flights)
        rig.wait_closed(file)
