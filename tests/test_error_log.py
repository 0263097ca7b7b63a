"""The server's own log: where it goes, how a line reads, and what becomes of it when its file is moved away."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import swhttp
from swhttp.logforms import takes_colours
from tests.support import processes
from tests.support.fleet import Start
from tests.support.server import APPS, EXIT_BOOT_FAILED, EXIT_MANAGER_DIED, LISTENING, Server, wait_for_lines

ROOT = Path(__file__).resolve().parent.parent
OPTIONS = ("--workers", "1", "--reactors", "1")
EXIT_FILE = 10
FORM = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4} \[\d+\] \[(DEBUG|INFO|WARNING|ERROR|CRITICAL)\] \S.*")
JSON_LISTENING = r'"message": "Listening at: (\S+) \((\d+)\)"'


@pytest.fixture
def log_path(tmp_path: Path) -> Path:
    """Where the log shall be."""
    return tmp_path / "error.log"


def logging_to(path: Path, server: Start, *options: str, listening: str = LISTENING, **more: Any) -> Server:
    """A server that logs to the file, once it listens."""
    site = server("log_site:site", *OPTIONS, "--error-log", str(path), *options, ready=False, **more)
    site.wait_ready(path, listening)
    return site


def ask(site: Server, target: str, status: int = 200) -> None:
    with site.connect() as client:
        assert client.get(target).status == status


def provoke(site: Server) -> None:
    """Have the master log a line: it refuses a request."""
    with site.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        assert client.response().status == 400


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "swhttp", *arguments, "--bind", "127.0.0.1:0", *OPTIONS, "--app-dir", str(APPS)]


def run(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The command to its end."""
    return subprocess.run(
        command(*arguments), env=os.environ | {"PYTHONPATH": str(ROOT)} | (env or {}), text=True,
        capture_output=True, timeout=60, check=False)


# Where it goes


def test_all_processes_log_to_the_file_and_what_the_app_prints_stays_on_stderr(server: Start, log_path: Path) -> None:
    site = logging_to(log_path, server)
    ask(site, "/say/hello")
    ask(site, "/raise", status=500)
    provoke(site)
    worker = site.workers()[0]
    site.kill(signal.SIGKILL, worker)
    assert processes.wait_gone([worker], 10.0) == []
    wait_for_lines(log_path, "Worker booted: slot", count=2)
    site.stop()
    log = log_path.read_text()
    for said in ("Worker booted", "exception in the WSGI app", "RuntimeError: one line", "400 reason=many-hosts",
                 "Worker died: slot 0", "SIGTERM: stopping", "Stopped after"):
        assert log.count(said) == 1 + (said == "Worker booted"), said
    assert site.log.text() == "printed hello"


def test_the_log_is_appended_to(server: Start, log_path: Path) -> None:
    log_path.write_text("of yesterday\n")
    logging_to(log_path, server).stop()
    assert log_path.read_text().startswith("of yesterday\n2")


def test_a_failed_boot_is_said_in_the_file_and_to_whoever_started_it(log_path: Path) -> None:
    finished = run("broken_import:app", "--error-log", str(log_path))
    assert finished.returncode == EXIT_BOOT_FAILED
    for text in (finished.stderr, log_path.read_text()):
        assert text.count("Traceback (most recent call last)") == 1
        assert text.count("ZeroDivisionError") == 1
        assert "[ERROR] The application did not boot" in text
    assert "Worker died" not in finished.stderr, "errors only"


def test_once_it_listens_errors_are_in_the_file_only(server: Start, log_path: Path) -> None:
    site = logging_to(log_path, server)
    site.kill(signal.SIGKILL, site.manager())
    assert site.wait_exit() == EXIT_MANAGER_DIED
    site.finish(expect=EXIT_MANAGER_DIED, killed=True)
    assert "[CRITICAL] Manager died" in log_path.read_text()
    assert site.log.text() == ""


def test_a_bind_that_fails_is_said_in_the_file_and_to_whoever_started_it(log_path: Path) -> None:
    finished = run("log_site:site", "--bind", "unix:/no/such/directory/socket", "--error-log", str(log_path))
    assert finished.returncode == 4
    for text in (finished.stderr, log_path.read_text()):
        assert text.count("Cannot listen on unix:/no/such/directory/socket: No such file or directory") == 1


@pytest.mark.parametrize("kind", ["no directory", "a directory", "a pipe that nobody reads"])
def test_a_log_that_cannot_be_written_is_said_before_anything_starts(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "missing" / "error.log" if kind == "no directory" else tmp_path / "error.log"
    if kind == "a directory":
        path.mkdir()
    elif kind == "a pipe that nobody reads":
        os.mkfifo(path)
    finished = run("no_such_module:app", "--bind", f"unix:{tmp_path}/socket", "--error-log", str(path))
    assert finished.returncode == EXIT_FILE
    assert [line for line in finished.stderr.splitlines() if FORM.fullmatch(line)] == finished.stderr.splitlines()
    assert finished.stderr.count("\n") == 1
    assert f"[ERROR] Cannot write the error log '{path}': " in finished.stderr
    assert not (tmp_path / "socket").exists()


def test_a_fatal_error_is_said_in_the_file_and_on_stderr_even_after_the_boot(log_path: Path) -> None:
    program = (
        "import sys\n"
        "from swhttp import logs\n"
        "logs.configure(logs.LogSettings('critical', sys.argv[1]))\n"
        "logs.booted()\n"
        "try:\n"
        "    1 / 0\n"
        "except ZeroDivisionError:\n"
        "    logs.last_words('it ends')\n")
    finished = subprocess.run(
        [sys.executable, "-c", program, str(log_path)], env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
        capture_output=True, timeout=60, check=True)
    assert finished.stderr == log_path.read_text()
    assert re.search(r"\[CRITICAL\] it ends\n  Traceback .*\n(  .*\n)+  ZeroDivisionError", finished.stderr)


# Forks


def test_a_child_writes_nothing_that_a_handler_of_its_parent_held_back_and_shares_no_file_with_it(
    tmp_path: Path,
) -> None:
    program = (
        "import logging, logging.handlers, os, sys\n"
        "from swhttp import hygiene\n"
        "file = logging.FileHandler(sys.argv[1])\n"
        "logging.root.handlers = [logging.handlers.MemoryHandler(100, target=file)]\n"
        "logging.warning('of the parent')\n"
        "def held():\n"
        "    fds = os.listdir('/proc/self/fd')\n"
        "    return [fd for fd in fds if os.path.realpath('/proc/self/fd/' + fd) == sys.argv[1]]\n"
        "def child():\n"
        "    assert held() == []\n"
        "    logging.root.handlers = [file]\n"
        "    logging.warning('of the child')\n"
        "    return 0\n"
        "pid = hygiene.fork(child, [], lambda: None)\n"
        "assert os.waitpid(pid, 0)[1] == 0\n"
        "assert len(held()) == 1\n")
    path = tmp_path.resolve() / "app.log"
    subprocess.run(
        [sys.executable, "-c", program, str(path)], env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=60,
        check=True)
    assert path.read_text() == "of the parent\nof the child\n"


# Files that move


def test_a_log_that_was_moved_away_is_made_anew_on_the_signal_and_all_processes_go_on_there(
    server: Start, log_path: Path
) -> None:
    site = logging_to(log_path, server)
    moved = log_path.rename(log_path.with_suffix(".1"))
    before = moved.read_text()
    site.kill(signal.SIGRTMIN)
    processes.wait_until(log_path.exists, "the new file")
    ask(site, "/raise", status=500)
    provoke(site)
    site.stop()
    assert moved.read_text() == before
    for said in ("exception in the WSGI app", "reason=many-hosts", "Worker left", "Stopped after"):
        assert said in log_path.read_text()


def test_each_process_finds_out_by_itself_that_the_log_was_moved_away(server: Start, log_path: Path) -> None:
    site = logging_to(log_path, server)
    moved = log_path.rename(log_path.with_suffix(".1"))
    before = moved.read_text()
    ask(site, "/raise", status=500)
    wait_for_lines(log_path, "RuntimeError: one line")
    provoke(site)
    site.stop()
    assert moved.read_text() == before
    assert "reason=many-hosts" in log_path.read_text()


def test_the_signal_for_new_logs_may_be_sent_to_all_processes(server: Start, log_path: Path) -> None:
    site = logging_to(log_path, server)
    pids = (site.manager(), *site.workers())
    log_path.rename(log_path.with_suffix(".1"))
    for pid in (*pids, site.pid):
        site.kill(signal.SIGRTMIN, pid)
    processes.wait_until(log_path.exists, "the new file")
    assert (site.manager(), *site.workers()) == pids
    ask(site, "/say/hello")


def test_a_log_that_was_cut_to_nothing_goes_on_at_its_start(server: Start, log_path: Path) -> None:
    site = logging_to(log_path, server)
    os.truncate(log_path, 0)
    ask(site, "/raise", status=500)
    site.stop()
    assert log_path.read_text().splitlines()[0].endswith("[ERROR] exception in the WSGI app")


def test_a_log_whose_directory_is_gone_goes_on_where_it_is_and_says_so_once(server: Start, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    path = tmp_path / "logs" / "error.log"
    site = logging_to(path, server)
    moved = (tmp_path / "logs").rename(tmp_path / "elsewhere") / "error.log"
    site.kill(signal.SIGRTMIN)
    wait_for_lines(moved, "Cannot open the error log .* anew: No such file or directory")
    provoke(site)
    provoke(site)
    worker = site.workers()[0]
    site.kill(signal.SIGKILL, worker)
    wait_for_lines(moved, "Worker booted", count=2)
    ask(site, "/raise", status=500)
    site.stop()
    log = moved.read_text()
    assert log.count("reason=many-hosts") == 2
    assert log.count("exception in the WSGI app") == 1, "of a worker that could not have opened it"
    master = rf"\[{site.pid}\] \[WARNING\] Cannot open the error log"
    assert len(re.findall(master, log)) == 1


def test_an_app_that_closes_all_fds_does_not_silence_the_log(server: Start, log_path: Path) -> None:
    site = logging_to(log_path, server)
    ask(site, "/close-fds")
    ask(site, "/raise", status=500)
    site.stop()
    assert log_path.read_text().count("exception in the WSGI app") == 1


def test_lines_that_cannot_be_written_are_counted_and_the_count_is_said_when_one_can_be(log_path: Path) -> None:
    program = (
        "import resource, sys\n"
        "from swhttp import logs\n"
        "logs.configure(logs.LogSettings('info', sys.argv[1]))\n"
        "_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))\n"
        "for number in range(3):\n"
        "    logs.log.info('line %d', number)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))\n"
        "logs.log.info('line 3')\n"
        "logs.log.info('line 4')\n")
    subprocess.run(
        [sys.executable, "-c", program, str(log_path)], env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=60,
        check=True)
    torn, *lines = log_path.read_text().splitlines()
    assert len(torn) == 20
    assert [line.partition("] [")[2] for line in lines] == [
        "WARNING] 3 log lines lost: they could not be written", "INFO] line 3", "INFO] line 4"]


# How a line reads


def test_as_json_each_record_is_an_object_on_a_line_of_its_own(server: Start, log_path: Path) -> None:
    site = logging_to(log_path, server, "--log-format", "json", listening=JSON_LISTENING)
    worker = site.workers()[0]
    ask(site, "/raise", status=500)
    provoke(site)
    site.stop()
    records = [json.loads(line) for line in log_path.read_text().splitlines()]
    for record in records:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", record["time"])
    (raised,) = [record for record in records if "exception" in record]
    assert raised.pop("time")
    exception = raised.pop("exception")
    assert raised == {"level": "ERROR", "logger": "swhttp.worker", "pid": worker,
                      "message": "exception in the WSGI app"}
    assert exception.startswith("Traceback (most recent call last):\n")
    assert exception.endswith("RuntimeError: one line\nanother\x1b[31m line")
    (refused,) = [record for record in records if "reason" in record]
    assert re.fullmatch(r"127\.0\.0\.1:\d+", refused["client"])
    assert (refused["status"], refused["reason"], refused["level"]) == (400, "many-hosts", "WARNING")
    assert (refused["logger"], refused["pid"]) == ("swhttp", site.pid)


def test_as_json_a_failed_boot_is_json_too() -> None:
    finished = run("broken_import:app", "--log-format", "json")
    assert finished.returncode == EXIT_BOOT_FAILED
    records = [json.loads(line) for line in finished.stderr.splitlines()]
    (failure,) = [record for record in records if "exception" in record]
    assert failure["exception"].endswith("ZeroDivisionError: division by zero")


def test_what_comes_from_elsewhere_makes_no_line_and_no_command_to_a_terminal() -> None:
    name = "/no\n2026-11-23 21:00:00 +0000 [1] [INFO] all is well\x1b[2J\x9b2J\u2028\u0085/socket"
    finished = run("log_site:site", "--bind", f"unix:{name}", env={"PYTHONUTF8": "1"})
    assert finished.returncode == 4
    assert len(finished.stderr.splitlines()) == 1
    assert r"/no\n2026-11-23 21:00:00 +0000 [1] [INFO] all is well\x1b[2J\x9b2J\u2028\x85/socket" in finished.stderr


def test_a_traceback_has_its_lines_and_none_is_like_a_record_or_a_command_to_a_terminal(server: Start) -> None:
    site = server("log_site:site", *OPTIONS)
    site.expect_log("")
    ask(site, "/raise", status=500)
    site.wait_for_log(r"^  RuntimeError: one line$")
    site.wait_for_log(r"^  another\\x1b\[31m line$")


def on_a_terminal(*arguments: str, env: dict[str, str]) -> str:
    """What the command writes to a stderr that is a terminal."""
    ours, theirs = os.openpty()
    try:
        with subprocess.Popen(
            command(*arguments), stdin=subprocess.DEVNULL, stderr=theirs,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | env,
        ) as master:
            os.close(theirs)
            text = b""
            try:
                while data := os.read(ours, 65536):
                    text += data
            except OSError:
                pass  # EIO: the last process has closed it
            master.wait(60)
        return text.decode()
    finally:
        os.close(ours)


@pytest.mark.parametrize(
    ("env", "coloured"),
    [
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb", "NO_COLOR": ""}, False),
    ],
)
def test_the_level_is_coloured_on_a_terminal_unless_it_is_not_wanted(
    env: dict[str, str], coloured: bool, log_path: Path
) -> None:
    text = on_a_terminal("no_such_module:app", "--error-log", str(log_path), env=env)
    level = "\x1b[31mERROR\x1b[0m" if coloured else "ERROR"
    assert f"[{level}] The application is not there" in text
    assert text.count("\x1b") == (2 * text.count("ERROR") if coloured else 0)
    assert "\x1b" not in log_path.read_text()


def test_json_is_never_coloured() -> None:
    text = on_a_terminal("no_such_module:app", "--log-format", "json", env={"TERM": "xterm", "NO_COLOR": ""})
    assert "The application is not there" in text
    assert "\x1b" not in text


def test_what_is_no_terminal_takes_no_colours(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        assert not takes_colours(file.fileno(), {"TERM": "xterm"})


# What is said


@pytest.mark.parametrize(
    ("app", "options", "what"),
    [
        ("reference:wsgi", ("--workers", "2", "--threads", "3", "--reactors", "2"),
         r"httptools [\d.]+: reference:wsgi, wsgi, 2 workers with 3 threads each, 2 reactors"),
        ("reference:asgi", OPTIONS,
         r"httptools [\d.]+, uvloop [\d.]+: reference:asgi, asgi, 1 worker, 1 reactor"),
    ],
)
def test_the_log_says_what_runs_before_it_says_where(
    server: Start, app: str, options: tuple[str, ...], what: str
) -> None:
    site = server(app, *options)
    lines = site.log.lines
    said = next(number for number, line in enumerate(lines) if f"[INFO] swhttp {swhttp.__version__} on " in line)
    assert re.search(rf"\[INFO\] swhttp \S+ on \w+ [\w.+]+ with {what}$", lines[said]), lines[said]
    assert "[INFO] Listening at: " in lines[said + 1]


def test_the_last_line_says_how_long_it_ran(server: Start) -> None:
    site = server("reference:wsgi", *OPTIONS)
    site.stop()
    assert re.search(r"\[INFO\] Stopped after \d+\.\d s$", site.log.lines[-1])
