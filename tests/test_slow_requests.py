"""Requests that take too long: the log says where, clients get 504, workers are replaced, and nobody else suffers."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from swhttp.stacks import MARK, parse, printable, told
from tests.support.client import Connection
from tests.support.fleet import Start
from tests.support.processes import wait_until
from tests.support.server import EXIT_FILE, Server, wait_for_lines

ONE = ("--workers", "1", "--reactors", "1")
TWO = ("--workers", "2", "--reactors", "1")
SLOW = ("--slow-log", "0.3")
STUCK = ("--request-timeout", "0.4", "--graceful-timeout", "0.3")


class Latch:
    """A file, and a FIFO, that requests of the app `sluggish` wait for."""

    def __init__(self, site: Server) -> None:
        self.file = f"{site.directory}/go"
        self.fifo = f"{site.directory}/fifo"
        os.mkfifo(self.fifo)

    def release(self) -> None:
        """Let all go that wait now."""
        Path(self.file).touch()
        try:
            os.close(os.open(self.fifo, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            return  # nobody is there


@contextmanager
def latch(site: Server) -> Iterator[Latch]:
    """Made in the server's directory; released and removed at the end."""
    made = Latch(site)
    try:
        yield made
    finally:
        made.release()
        for path in (made.file, made.fifo):
            if os.path.exists(path):
                os.unlink(path)


def entry(site: Server, headline: str, count: int = 1) -> str:
    """The latest entry whose first line matches, with what stands below it."""
    [match] = site.wait_for_log(rf"\[WARNING\] {headline}", count=count)[-1:]
    # One write is one entry, but the pipe may have been read in the middle of it.
    wait_until(lambda: len(below(site, match.string)) > 0, f"the stacks of {match.string}")
    return match.string + "\n" + "\n".join(below(site, match.string))


def below(site: Server, headline: str) -> list[str]:
    lines = site.log.lines[site.log.lines.index(headline) + 1:]
    ends = next((at for at, line in enumerate(lines) if not line.startswith("  ")), len(lines))
    return lines[:ends]


def functions(text: str) -> list[str]:
    """Of the frames in an entry, but for those of threads that do nothing of the application's."""
    return [name for file, name in re.findall(r'File "([^"]+)", line \d+ in (\w+)', text)
            if "threading.py" not in file]


def ask(site: Server, target: str, method: str = "GET", body: bytes | None = None) -> Connection:
    """A client that has sent a request."""
    client = site.connect()
    client.send_request(method, target, body=body)
    return client


# Which stacks are told


@pytest.mark.parametrize(("interface", "threads", "options"), [
    ("wsgi", 1, ()), ("wsgi", 4, ()), ("asgi", 1, ()), ("wsgi", 1, ("--preload",))])
def test_a_python_loop_and_a_blocking_call_show_by_name(
    server: Start, interface: str, threads: int, options: tuple[str, ...]
) -> None:
    site = server(f"sluggish:{interface}", *TWO, *SLOW, "--threads", str(threads), *options)
    with latch(site) as go:
        loop, call = ask(site, f"/spin?{go.file}"), ask(site, f"/block?{go.fifo}")
        spins, blocks = entry(site, r"Slow request: GET /spin\?"), entry(site, r"Slow request: GET /block\?")
        go.release()
        assert {int(loop.response().body), int(call.response().body)} == set(site.workers())
    # It looks for its file now and then.
        assert [name for name in functions(spins) if name != "exists"] == ["a_python_loop", "common", interface]
    assert functions(blocks) == ["a_call_of_c", "common", interface]
    for told_of in (spins, blocks):
        assert ("the event loop has not gone round" in told_of) == (interface == "asgi")
    assert site.counters().reactors[0]["slow_requests"] == 2


def test_tasks_of_an_event_loop_show_the_slow_request_first(server: Start, tmp_path: Path) -> None:
    log = tmp_path / "slow.log"
    site = server("sluggish:asgi", *ONE, *SLOW, "--slow-log-file", str(log))
    assert log.exists()
    with latch(site) as go:
        stream = ask(site, f"/events?{go.file}")
        began = stream.head()
        slow = ask(site, f"/await?{go.file}")
        wait_for_lines(log, r"Slow request: GET /await\?.* \(127\.0\.0\.1:\d+\), 0\.\d s; worker slot 0, pid \d+$")
        wait_for_lines(log, "^  Task 'Task-")
        go.release()
        assert slow.response().status == 200
        assert b"".join(stream.pieces(began)) == b"first\nlast\n"
    text = log.read_text()
    this, others = text.split("  Task 'Task-", 1)
    assert "Task of this request" in this
    assert functions(this) == ["sleep", "the_innermost", "a_helper", "asgi"]
    assert functions(others) == ["sleep", "the_innermost", "asgi"]
    assert "Slow request" not in site.log.text()

    log.rename(tmp_path / "slow.log.1")
    site.kill(signal.SIGRTMIN)
    wait_until(log.exists, "the new log")


def test_where_many_are_slow_one_speaks_for_them(server: Start) -> None:
    site = server("sluggish:asgi", *ONE, *SLOW)
    with latch(site) as go:
        clients = [ask(site, f"/await?{go.file}") for _ in range(5)]

        def spoken_for() -> int:
            found = re.findall(r"Slow request: GET /await.* s(?: \(and (\d+) more\))?; worker", site.log.text())
            return sum(1 + int(more or 0) for more in found)

        wait_until(lambda: spoken_for() == 5, "all to have been spoken for")
        assert site.log.text().count("Slow request") < 5
        go.release()
        assert {client.response().status for client in clients} == {200}


def test_a_slow_log_that_cannot_be_written_ends_the_start(server: Start, tmp_path: Path) -> None:
    site = server("sluggish:wsgi", *ONE, *SLOW, "--slow-log-file", str(tmp_path / "no" / "slow.log"), ready=False)
    site.expect_log("Cannot write the slow log")
    site.wait_for_log(r"Cannot write the slow log .*: No such file or directory")
    site.finish(expect=EXIT_FILE)


def test_a_long_target_is_cut_and_none_ends_the_line(server: Start) -> None:
    site = server("sluggish:wsgi", *ONE, *SLOW)
    with latch(site) as go:
        client = site.connect()
        client.send(b"POST /spin?%s HTTP/1.1\r\nHost: a\r\n\r\n" % (go.file.encode() + b'"' + b"x" * 5000))
        line = entry(site, "Slow request: ").split("\n")[0]
        assert r'\"xxx' in line
        assert "xxx... (127.0.0.1:" in line
        assert len(line) < 400
        site.kill(signal.SIGKILL, site.workers()[0])
        assert client.response().status == 502
        site.wait_for_workers(1)


def test_an_app_that_takes_the_file_or_the_signal_away_breaks_nothing(server: Start) -> None:
    site = server("sluggish:asgi", *TWO, *SLOW)
    with latch(site) as go:
        first, second = ask(site, f"/block?{go.fifo}"), site.connect()
        entry(site, r"Slow request: GET /block\?")
        stolen = second.get("/close-fds").body  # in the other worker
        client = ask(site, f"/spin?{go.file}")
        assert "No stacks: the application has closed their file" in entry(site, r"Slow request: GET /spin\?")
        go.release()
        assert client.response().body == stolen
        assert first.response().status == 200
        assert Path(site.directory, "stolen").read_bytes() == b""
    other = server("sluggish:asgi", *ONE, *SLOW)
    with latch(other) as go:
        pid = other.connect().get("/unregister").body
        client = ask(other, f"/spin?{go.file}")
        assert re.search(r"No stacks: the worker has written nothing in \d\.\d s$", entry(other, "Slow request"))
        go.release()
        assert client.response().body == pid


# What follows for clients and workers


def test_a_stopped_worker_gives_504_and_is_replaced_while_others_serve(server: Start, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    site = server("sluggish:wsgi", *TWO, *STUCK, "--access-log", str(log), "--access-log-format", "%U %>s %P %X")
    with latch(site) as go, site.connect() as other:
        lost = ask(site, f"/block?{go.fifo}")
        wait_until(lambda: sum(slot["taken"] for slot in site.counters().slots) == 1, "the request to be taken")
        [victim] = [slot["pid"] for slot in site.counters().slots if slot["taken"]]
        site.kill(signal.SIGSTOP, victim)
        clients = [ask(site, "/pid") for _ in range(8)]
        assert {int(client.response().body) for client in clients} == set(site.workers()) - {victim}
        answer = lost.response()
        assert (answer.status, answer.body) == (504, b"request-timeout")
        lost.expect_end()
        assert other.get("/pid").status == 200
        told_of = entry(site, rf"Request timed out: GET /block\?.*, 0\.\d s; worker slot \d, pid {victim}$")
        assert re.search(r"No stacks: the worker has written nothing in \d\.\d s: it is stopped$", told_of)
        site.wait_for_log(rf"Worker died: slot \d+, pid {victim}, signal 9")
        site.wait_for_log(r"504 reason=request-timeout client=127.0.0.1")
        assert len(site.wait_for_workers(2, other_than={victim})) == 2
        wait_for_lines(log, rf"^/block 504 ({victim}|-) -$")
    assert site.counters().reactors[0]["request_timeout"] == 1


def test_what_a_stopped_worker_has_not_taken_is_saved(server: Start) -> None:
    site = server("sluggish:wsgi", *ONE, *STUCK)
    [victim] = site.workers()
    site.kill(signal.SIGSTOP, victim)
    clients = [ask(site, "/pid", "POST", b"x") for _ in range(3)]
    answers = {int(client.response().body) for client in clients}
    assert answers == set(site.wait_for_workers(1, other_than={victim}))
    site.wait_for_log(rf"Worker died: slot \d+, pid {victim}, signal 9")


def test_a_worker_that_stops_in_the_middle_of_a_stream_is_stuck_for_the_others(server: Start) -> None:
    site = server("sluggish:asgi", *ONE, *STUCK)
    [victim] = site.workers()
    with latch(site) as go:
        stream = ask(site, f"/events?{go.file}")
        assert stream.head().status == 200
        site.kill(signal.SIGSTOP, victim)
        client = ask(site, "/pid", "POST", b"x")
        assert int(client.response().body) in site.wait_for_workers(1, other_than={victim})
    site.wait_for_log(rf"Worker died: slot \d+, pid {victim}, signal 9")


def test_a_worker_whose_client_has_left_is_stuck_all_the_same(server: Start) -> None:
    site = server("sluggish:wsgi", *ONE, *STUCK)
    with latch(site) as go:
        client = ask(site, f"/block?{go.fifo}")
        wait_until(lambda: site.counters().slots[0]["taken"] == 1, "the request to be taken")
        client.close()
        assert "in a_call_of_c" in entry(site, r"Request timed out: GET /block\?")
    site.wait_for_log("Worker booted", count=2)
    site.wait_for_log("Worker (left|died)")


def test_one_coroutine_that_is_stuck_does_not_harm_the_others(server: Start) -> None:
    """Nor a stream, nor an upload that takes longer than any app may."""
    site = server("sluggish:asgi", *ONE, "--request-timeout", "0.8")
    with latch(site) as go:
        stream = ask(site, f"/events?{go.file}")
        began = stream.head()
        upload = site.connect()
        upload.send(b"POST /upload?%s HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" % go.file.encode())
        upload.send(bytes(100_000))
        wait_until(lambda: site.counters().reactors[0]["in_flight"] == 2, "the upload to have begun")
        stuck = ask(site, f"/await?{go.file}")
        assert stuck.response().status == 504  # and so it is over the limit, and they are longer
        assert "in a_helper" in entry(site, r"Request timed out: GET /await\?")
        go.release()
        upload.send(bytes(100_000))
        assert upload.response().body == b"200000"
        assert b"".join(stream.pieces(began)) == b"first\nlast\n"
        assert site.connect().get("/pid").status == 200
        site.wait_for_log("Worker left")
    assert site.counters().reactors[0]["request_timeout"] == 1


# Pure


def test_answers_of_other_questions_and_half_ones_are_no_answer() -> None:
    assert parse("threads\n", 7) == ("threads\n", None)
    assert parse(f"threads\n{MARK}7\ntasks{MARK}", 7) == ("threads\n", "tasks")
    assert parse(f"{MARK}6\nlate{MARK}threads\n{MARK}7\ntasks{MARK}", 7) == ("threads\n", "tasks")
    assert parse(f"{MARK}6\nlate{MARK}threads\n{MARK}7\nta", 7) == ("threads\n", None)
    assert parse("", 7) == ("", None)


def test_what_a_worker_writes_cannot_look_like_a_line_of_ours() -> None:
    text = told("Thread 1:\n  a\r\x1b[2J\x85b\n", None, False, 1.0, "S")
    assert printable(text) == "Thread 1:\n  a\\r\\x1b[2J\\x85b"
