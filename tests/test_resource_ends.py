"""What the server does at the end of what it has: file descriptors, places for connections, the disk.

Whoever asks for too much waits, or gets one clear answer; the others never notice; afterwards all is as before, the
idle CPU too: a reactor that has nothing to do does not go round.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from swhttp import limits
from swhttp.errors import ExitCode
from tests.support import processes
from tests.support.bodies import Check, body
from tests.support.client import Connection
from tests.support.counters import Since, gauge, totals
from tests.support.fleet import Start
from tests.support.quiet import becomes_quiet
from tests.support.server import Server
from tests.support.upload import head as upload_head
from tests.test_privileges import NOBODY, by_root
from tests.test_privileges import start as as_nobody

FDS = 128
CLIENTS = 500
NOFILE = ("prlimit", f"--nofile={FDS}:{FDS}")
MIB = 1 << 20
HELD = r"reason=accept-paused there is no place for another one \((ulimit -n|--max-connections)\)"


# File descriptors, and places for connections


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
@pytest.mark.parametrize("reactors", [1, 2])
def test_many_more_clients_than_fds_are_all_served(server: Start, interface: str, reactors: int) -> None:
    site = server(f"paths:{interface}", "--workers", "1", "--reactors", str(reactors), via=NOFILE)
    since, started_s = Since(site), time.monotonic()
    clients = [site.connect() for _ in range(CLIENTS)]
    for client in clients:
        client.send_request(target="/memory?size=100000")
    done: list[int] = []

    def read(client: Connection) -> None:
        with client:
            response = client.response(timeout_s=30.0)
            done.append(response.status if response.body == body(100_000) else 0)

    threads = [threading.Thread(target=read, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [200] * CLIENTS
    since.passes("accept_held")
    assert max(processes.fds_of(site.pid)) < FDS
    lines = len(site.wait_for_log(HELD))
    assert lines <= reactors * (time.monotonic() - started_s + 1)
    becomes_quiet(site)
    with site.connect() as client:  # nobody waits any more, so connections last again
        assert client.get("/").keeps_open


def test_the_place_of_an_idle_connection_is_given_to_one_that_waits(server: Start) -> None:
    site = server("reference:asgi", "--workers", "1", "--max-connections", "3", "--keep-alive", "3600")
    idle = [site.connect() for _ in range(3)]
    assert all(client.get("/").keeps_open for client in idle)
    with site.connect() as client:
        assert client.get("/new").json()["target"] == "/new"
    gauge(site, "open", 0)
    for one in idle:  # all had been idle for the same time
        one.expect_end()
    becomes_quiet(site)


def test_a_client_of_static_files_does_not_keep_its_place_for_ever(server: Start, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    site = server("reference:asgi", "--workers", "1", "--reactors", "1", "--max-connections", "1",
                  "--static", f"/static={tmp_path}")
    with site.connect() as first, site.connect() as second:
        first.send(b"GET /static/a.txt HTTP/1.1\r\n")  # a request under way: only its answer ends it
        second.send_request(target="/in-the-end")
        site.wait_for_log(HELD)
        first.send(b"Host: test\r\n\r\n")
        answer = first.response()
        assert (answer.body, answer.keeps_open) == (b"a", False)
        assert second.response().json()["target"] == "/in-the-end"


def test_who_is_served_keeps_his_place_to_the_end_of_his_answer(server: Start) -> None:
    site = server("reference:asgi", "--workers", "1", "--reactors", "1", "--max-connections", "1")
    with site.gate() as gate:
        first, second = site.connect(), site.connect()
        first.send_request(target=gate.target)
        visitor = gate.entered()
        second.send_request(target="/second")
        site.wait_for_log(r"accept-paused there is no place for another one \(--max-connections\), with 1 connection")
        assert totals(site)["open"] == 1
        visitor.release()
        answer = first.response()
    assert (answer.status, answer.keeps_open) == (200, False)
    assert second.response().json()["target"] == "/second"
    assert site.seen()[-1] == "/second"
    assert len(site.wait_for_log("reason=accept-resumed with ")) == 1


def test_a_client_that_says_nothing_makes_room_for_one_that_does(server: Start) -> None:
    site = server("reference:wsgi", "--workers", "1", "--max-connections", "2", "--head-timeout", "3600")
    silent = [site.connect(), site.connect()]
    gauge(site, "open", 2)
    assert site.get("/")["target"] == "/"
    for one in silent:
        one.half_close()
        one.expect_end()


def test_when_the_system_has_no_fd_it_is_tried_again_now_and_then(server: Start) -> None:
    site = server("reference:wsgi", "--workers", "1", "--reactors", "1")
    _, hard = resource.prlimit(site.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(site.pid, resource.RLIMIT_NOFILE, (len(processes.fds_of(site.pid)), hard))
    since, started_s = Since(site), time.monotonic()
    with site.connect() as client:
        client.send_request(target="/in-the-end")
        since.passes("accept_held", 8)
        passed_s = time.monotonic() - started_s
        assert since["accept_held"] <= passed_s / limits.ACCEPT_PAUSE_S + 2
        assert since["turns"] < 5 * (passed_s / limits.ACCEPT_PAUSE_S + 10)
        lines = site.wait_for_log(r"accept-paused out of file descriptors or memory \(ulimit -n\), with 0 connections")
        assert len(lines) <= passed_s / limits.REACTOR_LOG_EVERY_S + 2
        resource.prlimit(site.pid, resource.RLIMIT_NOFILE, (hard, hard))
        assert client.response().json()["target"] == "/in-the-end"
    becomes_quiet(site)


@contextmanager
def files_on_their_way(count: int) -> Iterator[None]:
    """So many files of nobody's are between two processes: past its RLIMIT_NOFILE the kernel takes no more of it."""
    here, there = socket.socketpair()
    with here, there, open(os.devnull) as file:
        pid = os.fork()
        if pid == 0:
            try:
                os.setuid(NOBODY)
                for _ in range(count // 100):
                    socket.send_fds(here, [b"x"], [file.fileno()] * 100)
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        yield


@by_root
@pytest.mark.parametrize("mode", ["least", "fixed"])
def test_a_body_in_a_file_that_cannot_be_passed_waits_and_holds_up_nobody(server: Start, mode: str) -> None:
    site = as_nobody(server, "uploads:wsgi", "--workers", "1", "--reactors", "1", "--dispatch", mode,
                     via=("prlimit", "--nofile=256:256"))
    size = 2 * MIB
    with site.connect() as uploading, site.connect() as other:
        with files_on_their_way(300):
            uploading.send(upload_head("/upload", size), body(size))
            gauge(site, "waiting", 1)
            since, started_s = Since(site), time.monotonic()
            assert other.get("/").status == 200
            since.passes("turns", 5)
            assert since["turns"] < 10 * ((time.monotonic() - started_s) / limits.FILES_HELD_S + 10)
            assert totals(site)["waiting"] == 1
        assert uploading.response().json()["total"] == size
    becomes_quiet(site)


def test_a_worker_that_cannot_be_forked_is_forked_when_there_are_fds_again(server: Start) -> None:
    site = server("reference:wsgi", "--workers", "1", "--reactors", "1")
    site.expect_log("ERROR|WARNING")
    manager, (worker,) = site.manager(), site.workers()
    _, hard = resource.prlimit(manager, resource.RLIMIT_NOFILE)
    resource.prlimit(manager, resource.RLIMIT_NOFILE, (3, hard))
    site.kill(signal.SIGKILL, worker)
    with site.connect() as client:
        client.send_request(target="/in-the-end")
        site.wait_for_log(r"Cannot fork a worker into slot \d+: .*Too many open files", count=2)
        resource.prlimit(manager, resource.RLIMIT_NOFILE, (hard, hard))
        assert client.response().json()["target"] == "/in-the-end"
    site.wait_for_workers(1)
    becomes_quiet(site)


def test_more_connections_than_fds_are_not_promised(server: Start) -> None:
    site = server("reference:asgi", "--workers", "1", "--max-connections", "100000", via=NOFILE)
    (line,) = site.wait_for_log(rf"--max-connections 100000: there can be (\d+) at once, for {FDS} files may be open")
    free = FDS - len(processes.fds_of(site.pid)) - limits.KEPT_FDS
    assert free // 2 <= int(line[1]) <= free


@pytest.mark.parametrize("most", [20, 50])
def test_a_server_without_fds_for_connections_says_so(server: Start, most: int) -> None:
    site = server("reference:asgi", "--workers", "1", ready=False, via=("prlimit", f"--nofile={most}:{most}"))
    site.expect_log("ERROR")
    site.finish(ExitCode.PLATFORM)
    site.wait_for_log(rf"No file descriptor is left for connections: {most} may be open \(ulimit -n\), \d+ are")


# The disk


@contextmanager
def tiny_disk(directory: Path) -> Iterator[None]:
    """A file system of 1 MiB there."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "swhttp-test", str(directory)],
                          capture_output=True, text=True)  # fmt: skip
    if done.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(directory)], check=True)


def used(directory: Path) -> int:
    """Bytes of its file system that are taken."""
    about = os.statvfs(directory)
    return (about.f_blocks - about.f_bfree) * about.f_frsize


def upload(site: Server, size: int) -> tuple[int, bytes]:
    """Status and body of the answer."""
    with site.connect() as client:
        client.send_while_open(b"POST /ignore-body HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
        for at in range(0, size, MIB):
            client.send_while_open(bytes(min(MIB, size - at)))
        answer = client.response()
        return answer.status, answer.body


def refuses_what_does_not_fit(site: Server, why: str, size: int = 3 * MIB) -> None:
    """A body that goes to a file is answered 503, is counted and logged; the next small one is served. `why`: as the
    log has it, a pattern."""
    since, mark = Since(site), site.log.mark()
    assert upload(site, size) == (503, b"body-spool-failed")
    assert upload(site, 100_000)[0] == 200
    since.becomes(blocks_full=1)
    site.wait_for_log(rf"\[WARNING\] 503 reason=body-spool-failed client=\S+ request=\"POST /ignore-body\" {why}",
                      since=mark)
    gauge(site, "files", 0)


def test_a_full_disk_costs_what_needs_it_one_answer_and_nothing_else(server: Start, tmp_path: Path) -> None:
    with tiny_disk(tmp_path):
        site = server("paths:wsgi", "--workers", "1", "--threads", "4", "--reactors", "1", "--tmp-dir", str(tmp_path))
        other = site.connect()
        refuses_what_does_not_fit(site, r"directory=\S+: No space left on device$")
        assert other.get("/").status == 200
        mark = site.log.mark()
        slow = [site.connect(buffer_bytes=4096) for _ in range(3)]
        for client in slow:
            client.send_request(target=f"/memory?size={40 * MIB}")
        site.wait_for_log("reason=spool-failed", since=mark)
        assert other.get("/").status == 200  # one thread is free
        for client in slow:
            head = client.head()
            check = Check()
            for piece in client.pieces(head):
                check.feed(piece)
            assert check.taken == 40 * MIB
        assert used(tmp_path) == 0
        becomes_quiet(site)
        site.stop()


def test_a_limit_of_file_sizes_is_like_a_full_disk(server: Start) -> None:
    site = server("reference:wsgi", "--workers", "1", "--reactors", "1")
    everybody = [site.pid, *(process.pid for process in processes.descendants_of(site.pid))]
    _, hard = resource.prlimit(site.pid, resource.RLIMIT_FSIZE)
    for pid in everybody:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (MIB, hard))
    refuses_what_does_not_fit(site, r"directory=\S+: File too large$")
    for pid in everybody:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
    assert upload(site, 3 * MIB)[0] == 200
    becomes_quiet(site)


def test_a_directory_for_files_that_is_removed_may_come_back(server: Start, tmp_path: Path) -> None:
    directory = tmp_path / "spool"
    directory.mkdir()
    site = server("reference:wsgi", "--workers", "1", "--reactors", "1", "--tmp-dir", str(directory))
    shutil.rmtree(directory)
    refuses_what_does_not_fit(site, r"directory=\S+: No such file or directory$")
    directory.mkdir()
    assert upload(site, 3 * MIB)[0] == 200
