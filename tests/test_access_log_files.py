"""Where the access log goes: files that are moved away, pipes that nobody reads, disks that are full."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import accesslog
from tests.support.accesslog import AccessLog
from tests.support.client import chunked, request_bytes
from tests.support.counters import Since, gauge
from tests.support.fleet import Start
from tests.support.processes import wait_until
from tests.support.server import EXIT_FILE, Server

ONE = ("--workers", "1", "--reactors", "1")
LONG = "/" + "x" * 8000
PIPE_BYTES = 4096


def read_all(fd: int) -> bytes:
    """What is in a pipe up to its end."""
    pieces = []
    while piece := os.read(fd, 1 << 16):
        pieces.append(piece)
    return b"".join(pieces)


@contextlib.contextmanager
def pipe(flags: int = 0) -> Iterator[tuple[int, int]]:
    """A pipe that is closed in the end."""
    ends = list(os.pipe2(flags | os.O_CLOEXEC))
    try:
        yield ends[0], ends[1]
    finally:
        for fd in ends:
            with contextlib.suppress(OSError):
                os.close(fd)


def send_many(site: Server, count: int, target: str = LONG) -> None:
    """So many requests on one connection, and their answers, all good."""
    data = request_bytes(target=target)
    with site.connect() as client:
        for _ in range(count):
            client.send(data)
            assert client.response().status == 200


def all_lost_are_told(site: Server, count: int, why: str) -> None:
    """Wait until the error log has told of so many lines, in one go or in several, a second apart."""
    told = re.compile(rf"\[ERROR\] reason=access-log-failed lines=(\d+): {why}")
    wait_until(lambda: sum(map(int, told.findall(site.log.text()))) == count, "the log to tell of each lost line")


# Files


def test_a_log_that_was_there_goes_on(server: Start, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    site = server("reference:wsgi", *ONE, "--access-log", str(path))
    site.get("/after")
    assert "/after" in AccessLog.whole_after(path, "before\n", 1)[0].request


def test_a_relative_path_is_one_of_where_the_server_was_started(server: Start) -> None:
    site = server("reference:wsgi", *ONE, "--access-log", "access.log")
    log = AccessLog(os.path.join(site.directory, "access.log"))
    site.get("/")
    log.lines(1)


@pytest.mark.parametrize("path", ["no/such/directory/log", ".", "/dev/no-such-device/x"])
def test_a_log_that_cannot_be_opened_ends_the_start(server: Start, path: str) -> None:
    site = server("no_such_module:app", *ONE, "--access-log", path, ready=False)
    site.expect_log("ERROR")
    site.finish(expect=EXIT_FILE)
    assert [line for line in site.log.lines if line] == site.log.lines[:1], "more than one message"
    where, why = os.path.normpath(os.path.join(site.directory, path)), os.strerror(21 if path == "." else 2)
    assert f"Cannot write the access log {where!r}: {why}" in site.log.text()


def test_a_log_that_was_moved_away_is_opened_again(server: Start, tmp_path: Path) -> None:
    path = tmp_path / "log"
    site = server("reference:wsgi", "--workers", "2", "--reactors", "1", "--access-log", str(path))
    for turn in range(3):
        site.get(f"/before/{turn}")
        AccessLog.whole_after(path, "", 1)  # a client has its answer before the writer has the line
        os.rename(path, tmp_path / f"log.{turn}")
        site.kill(signal.SIGRTMIN)
        wait_until(path.exists, "the new file")
        site.get(f"/after/{turn}")
        assert AccessLog.whole_after(path, "", 1)[0].request == f"GET /after/{turn} HTTP/1.1"
        path.unlink()
        site.kill(signal.SIGRTMIN)
        wait_until(path.exists, "the new file")
    found = [AccessLog.whole(str(tmp_path / f"log.{turn}")) for turn in range(3)]
    assert [line.request for lines in found for line in lines] == [f"GET /before/{turn} HTTP/1.1" for turn in range(3)]


def test_the_signal_to_reopen_is_harmless_to_all_processes(server: Start, tmp_path: Path) -> None:
    site = server("reference:asgi", "--workers", "2", "--reactors", "1", "--access-log", str(tmp_path / "log"))
    before = site.workers()
    os.killpg(site.pid, signal.SIGRTMIN)
    site.kill(signal.SIGRTMIN, site.manager())
    for pid in before:
        site.kill(signal.SIGRTMIN, pid)
    site.get("/")
    AccessLog.whole_after(tmp_path / "log", "", 1)
    assert site.workers() == before


def test_the_signal_to_reopen_without_a_log_is_harmless(server: Start) -> None:
    site = server("reference:asgi", *ONE)
    site.kill(signal.SIGRTMIN)
    site.get("/")


def test_a_file_that_cannot_be_opened_again_leaves_the_old_one(server: Start, tmp_path: Path) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    site = server("reference:wsgi", *ONE, "--access-log", str(directory / "log"))
    os.rename(directory, tmp_path / "moved")
    site.expect_log("The access log cannot be opened again")
    site.kill(signal.SIGRTMIN)
    site.wait_for_log("The access log cannot be opened again, and goes on as it is: .*No such file")
    site.get("/still")
    [line] = AccessLog.whole_after(tmp_path / "moved" / "log", "", 1)
    assert line.request == "GET /still HTTP/1.1"


def test_a_full_disk_loses_lines_and_no_request(server: Start) -> None:
    site = server("reference:asgi", *ONE, "--access-log", "/dev/full")
    site.expect_log("reason=access-log-failed")
    since = Since(site)
    send_many(site, 50, "/")
    since.becomes(log_lost=50, log_dropped=0, responses=50)
    all_lost_are_told(site, 50, "No space left on device")


# Pipes


def test_stdout_gets_the_lines(server: Start) -> None:
    with pipe() as (reader, writer):
        site = server("reference:wsgi", *ONE, "--access-log", "-", stdout=writer)
        os.close(writer)
        site.get("/out")
        site.stop()
        [text] = read_all(reader).decode().splitlines()
    assert accesslog.line(text).request == "GET /out HTTP/1.1"


@pytest.mark.parametrize("name", ["-", "/dev/stdout"])
def test_a_socket_as_stdout_gets_them_too(server: Start, name: str) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            site = server("reference:wsgi", *ONE, "--access-log", name, stdout=theirs.fileno())
        site.get("/out")
        site.stop()
        assert b"GET /out HTTP/1.1" in ours.recv(4096)


def test_a_pipe_that_nobody_reads_stops_nobody(server: Start) -> None:
    with pipe() as (reader, writer):
        site = server("reference:asgi", *ONE, "--access-log", "-", stdout=writer)
        os.close(writer)
        since = Since(site)
        send_many(site, 300)
        assert since["log_dropped"] > 50
        site.wait_for_log(r"\[WARNING\] reason=access-log-dropped lines=\d+:")
        dropped = since["log_dropped"]
        piece = b""
        # Now it is read: what waited comes whole, and what follows too.
        while piece.count(b"\n") < 300 - dropped:
            piece += os.read(reader, 1 << 16)
        send_many(site, 10, "/later")
        site.stop()
        piece += read_all(reader)
    lines = [accesslog.line(text) for text in piece.decode().split("\n")[:-1]]
    assert piece.endswith(b"\n")
    early = [line.request for line in lines if "/later" not in line.request]
    assert early == [f"GET {LONG} HTTP/1.1"] * (300 - dropped)
    assert len(lines) == 310 - dropped


def test_a_pipe_that_nobody_reads_does_not_hold_the_end(server: Start) -> None:
    with pipe() as (_, writer):
        site = server("reference:asgi", *ONE, "--access-log", "-", stdout=writer)
        os.close(writer)
        site.expect_log("reason=access-log-failed")
        send_many(site, 50)
        site.stop()
        assert re.search(r"\[ERROR\] reason=access-log-failed lines=\d+: nobody reads it", site.log.text())


def test_a_pipe_whose_reader_has_gone_loses_lines_and_no_request(server: Start) -> None:
    with pipe() as (reader, writer):
        site = server("reference:asgi", *ONE, "--access-log", "-", stdout=writer)
        os.close(writer)
        os.close(reader)
        site.expect_log("reason=access-log-failed")
        since = Since(site)
        send_many(site, 5, "/")
        since.becomes(log_lost=5)
        all_lost_are_told(site, 5, "Broken pipe")


def test_lines_that_run_past_the_end_of_the_ring_arrive_whole(server: Start) -> None:
    targets = [f"/{number}" + "x" * 8000 for number in range(180)]
    with pipe() as (reader, writer):
        site = server("reference:asgi", *ONE, "--access-log", "-", stdout=writer)
        os.close(writer)
        with site.connect() as client:
            for number, target in enumerate(targets):
                if number == 120:  # nearly a whole ring waits, and goes on waiting: only its oldest half is read
                    text = b"".join(os.read(reader, 4096) for _ in range(120))
                client.send(request_bytes(target=target))
                assert client.response().status == 200
        with concurrent.futures.ThreadPoolExecutor() as pool:
            rest = pool.submit(read_all, reader)
            site.stop()
            text += rest.result()
    assert [accesslog.line(line).request.split()[1] for line in text.decode().splitlines()] == targets


def test_lines_in_a_pipe_do_not_mix_with_what_others_write_there(server: Start) -> None:
    with pipe(os.O_DIRECT) as (reader, writer):  # each read brings what one write has brought
        site = server("reference:asgi", *ONE, "--access-log", "-", stdout=writer)
        send_many(site, 100, "/" + "x" * 700)
        log = b""
        while log.count(b"\n") < 100:
            piece = os.read(reader, PIPE_BYTES)
            assert piece.endswith(b"\n"), "a line is written in two pieces"
            log += piece
        os.close(writer)
        site.stop()


def test_a_fifo_may_be_read_later_and_again(server: Start, tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    site = server("reference:wsgi", *ONE, "--access-log", str(path))  # nobody reads: the start does not hang
    site.get("/1")
    for number in (2, 3):
        reader = os.open(path, os.O_RDONLY)
        try:
            text = b""
            while b"\n" not in text:
                text += os.read(reader, PIPE_BYTES)
            assert f"GET /{number - 1} ".encode() in text
        finally:
            os.close(reader)
        site.get(f"/{number}")


# Readers


def test_goaccess_understands_every_line(server: Start, tmp_path: Path) -> None:
    assert shutil.which("goaccess"), "goaccess is needed: apt-get install goaccess"
    path = tmp_path / "log"
    site = server("reference:asgi", "--workers", "2", "--reactors", "2", "--access-log", str(path),
                  "--head-timeout", "0.3", binds=("127.0.0.1:0", "unix:{dir}/http.sock"))  # fmt: skip
    expected = 0
    odd = ['"', "\\", "a\x80\xff", "%0d%0a", '" 200 5 "', "'", "[x]", "\t"]
    for address in (site.tcp_addresses()[0], os.path.join(site.directory, "http.sock")):
        for value in odd:
            with site.connect(address=address) as client:
                client.request("GET", "/stream?size=100", [("User-Agent", value), ("Referer", value)])
                client.request("HEAD", "/" + value.replace("\t", "+").replace(" ", "+"))
                expected += 2
        for status in (201, 204, 301, 304, 404, 500, 503):
            with site.connect(address=address) as client:
                assert client.get(f"/stream?status={status}&framing=none").status == status
                expected += 1
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", b"GET /x HTTP/3.9\r\n", b"X" * 40 + b"\r\n",
                     b"GET /un",
                     b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"):  # fmt: skip
            with site.connect(address=address) as client:
                client.send(data)
                assert 400 <= client.response().status < 600
                expected += 1
        with site.connect(address=address) as client:
            client.send(request_bytes("POST", "/up", [("Transfer-Encoding", "chunked")]), chunked(b"x" * 200_000))
            assert client.response().status == 200
            client.send(b"GET /left HTTP/1.1\r\nHo")
            received = Since(site)
            client.send(b"s")
            received.passes("received_bytes")
            expected += 2
    gauge(site, "open")
    site.stop()
    assert len(AccessLog.whole(str(path))) == expected
    command = ["goaccess", str(path), "--log-format=COMBINED", "--no-global-config", "-o", str(tmp_path / "out.json"),
               f"--invalid-requests={tmp_path / 'invalid'}"]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    general = json.loads((tmp_path / "out.json").read_text())["general"]
    assert (general["total_requests"], general["valid_requests"], general["failed_requests"]) == (expected, expected, 0)
    assert (tmp_path / "invalid").read_text() == ""
