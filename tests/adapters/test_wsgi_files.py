"""Files between a WSGI app and the reactor: request bodies that come in one, and wsgi.file_wrapper."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from swhttp.ipc import ring
from tests.adapters.rig import working

LINES = b"".join(b"%d\n" % number for number in range(400_000))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(LINES)
    return path


@contextlib.contextmanager
def opened(path: Path) -> Iterator[int]:
    """After the fork, so that the worker does not have it too."""
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_request_body_in_a_file(file: Path, threads: int) -> None:
    with working("flows:wsgi", "wsgi", threads=threads) as rig, opened(file) as fd:
        for _ in range(3):
            os.lseek(fd, 5, os.SEEK_SET)
            flight = rig.begin(b"/inputs", fd=fd, flags=ring.BODY_FILE, method=b"POST",
                               headers=[(b"content-length", b"%d" % len(LINES))])
            assert rig.answer(b"/sized?5").body == bytes(range(5))
            rig.finish(flight)
            lines, seen, digest, length, terminated = json.loads(flight.body)
            at = sum(lines) + sum(seen)
            assert lines[:2] == [2, 2]
            assert seen == [7, 5]
            assert digest == hashlib.sha256(LINES[at:]).hexdigest()
            assert (length, terminated) == (str(len(LINES)), True)
        rig.wait_closed(file)


def test_a_file_of_a_request_that_was_taken_back_is_closed(file: Path) -> None:
    with working("flows:wsgi", "wsgi") as rig, opened(file) as fd:
        rig.begin(b"/inputs", fd=fd, flags=ring.BODY_FILE, revoked=True)
        flight = rig.answer(b"/inputs", fd=fd, flags=ring.BODY_FILE)
        assert flight.status == 200
        assert rig.counters()["lost"] == 1
        rig.wait_closed(file)


def test_a_file_that_does_not_come_costs_its_request_only() -> None:
    with working("flows:wsgi", "wsgi") as rig:
        assert rig.answer(b"/inputs", flags=ring.BODY_FILE).status == 500
        assert rig.answer(b"/sized?5").body == bytes(range(5))
        assert rig.log().count("reason=body-file-lost") == 1


def wraps(how: str, path: Path, length: str = "") -> bytes:
    return f"/wraps?{how}&{length}&{path}".encode()


@pytest.mark.parametrize("how", ["plain", "raw", "half", "wrapping", "written"])
def test_a_wrapped_file_is_passed_on(file: Path, how: str) -> None:
    expected = {"half": LINES[1000:], "written": b"first " + LINES}.get(how, LINES)
    with working("flows:wsgi", "wsgi") as rig:
        flight = rig.answer(wraps(how, file))
        assert flight.body == expected
        assert flight.types == ([ring.SMALL] if how == "written" else []) + [ring.TMPFILE]
        assert flight.head.content_length == (ring.NO_LENGTH if how == "written" else len(expected))
        rig.wait_closed(file)
        assert json.loads(rig.answer(b"/told").body) == (["wrapping"] if how == "wrapping" else [])


@pytest.mark.parametrize("how", ["bytes", "secret", "iterated"])
def test_what_only_reading_can_tell_is_read(file: Path, how: str) -> None:
    with working("flows:wsgi", "wsgi") as rig:
        flight = rig.answer(wraps(how, file))
        assert flight.body == (LINES.upper() if how == "secret" else LINES)
        assert ring.TMPFILE not in flight.types
        rig.wait_closed(file)


def test_files_without_a_length_are_read() -> None:
    with working("flows:wsgi", "wsgi") as rig:
        flight = rig.answer(wraps("plain", Path("/proc/version")))
        assert flight.body == Path("/proc/version").read_bytes()
        assert flight.types == [ring.SMALL]


def test_a_wrapped_file_and_the_announced_length(file: Path) -> None:
    with working("flows:wsgi", "wsgi") as rig:
        flight = rig.answer(wraps("half", file, "10"))
        assert flight.body == LINES[1000:1010]
        assert flight.last.flags == ring.HEAD | ring.LAST
        flight = rig.answer(wraps("plain", file, "3000000"))
        assert flight.body == LINES
        assert flight.last.flags == ring.HEAD | ring.LAST | ring.ABORT
        flight = rig.answer(wraps("plain", file), method=b"HEAD", flags=4)
        assert (flight.body, flight.head.content_length) == (b"", len(LINES))
        rig.wait_closed(file)


def test_a_wrapped_file_of_a_client_that_is_gone_is_closed(file: Path) -> None:
    with working("flows:wsgi", "wsgi") as rig:
        flight = rig.begin(wraps("wrapping", file))
        rig.close(flight)
        rig.finish(flight)
        assert json.loads(rig.answer(b"/told").body) == ["wrapping"]
        rig.wait_closed(file)


def test_the_validator_of_the_standard_library_is_content() -> None:
    with working("flows:wsgi", "wsgi") as rig:
        for body in (b"", b"12345"):
            headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"text/plain"), (b"host", b"h")]
            flight = rig.answer(b"/strict?a=b", method=b"POST" if body else b"GET", body=body,
                                headers=headers if body else [(b"host", b"h")])
            assert (flight.status, flight.body) == (201, b"wrote %d bytes" % len(body))
