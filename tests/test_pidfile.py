"""The pid file: there while the server is, one server's only, and never somebody else's that is removed."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from swhttp.errors import ExitCode, ServerError
from swhttp.pidfile import PidFile
from tests.support.fleet import Start
from tests.support.pair import Pair
from tests.support.server import TESTS, Server

ROOT = TESTS.parent
OPTIONS = ("--workers", "1", "--reactors", "1")
EXIT_FILE = 10


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pid"


@pytest.fixture
def other(path: Path) -> Iterator[int]:
    """Pid of a process that lives, is no server, and whose number stands in the file."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        path.write_text(f"{process.pid}\n")
        yield process.pid
        process.communicate(b"\n")


def test_a_server_has_its_pid_file_while_it_runs(server: Start, path: Path) -> None:
    site = server("reference:wsgi", *OPTIONS, "--pid", str(path))
    assert path.read_text() == f"{site.pid}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(path.parent) == [path.name]
    site.stop()
    assert not path.exists()


def test_the_mode_does_not_depend_on_the_umask(path: Path) -> None:
    before = os.umask(0o077)
    try:
        claimed = PidFile(str(path))
        claimed.claim()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    claimed.release()


def test_it_is_there_before_the_app_is_imported(server: Start, path: Path) -> None:
    (path.parent / "reader.py").write_text(
        f"found = open({str(path)!r}, 'rb').read()\n\n"
        "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [found]\n")
    site = server("reader", *OPTIONS, "--pid", str(path), "--app-dir", str(path.parent))
    with site.connect() as client:
        assert client.get("/").body == f"{site.pid}\n".encode()


def test_a_boot_that_fails_leaves_none(server: Start, path: Path) -> None:
    site = server("broken_import:app", *OPTIONS, "--pid", str(path), ready=False)
    site.expect_log("")
    site.finish(expect=ExitCode.APP)
    assert not path.exists()


def test_two_servers_cannot_have_the_same(server: Start, path: Path) -> None:
    site = server("reference:wsgi", *OPTIONS, "--pid", str(path))
    second = server("reference:wsgi", *OPTIONS, "--pid", str(path), ready=False)
    assert refusal(second) == f"The pid file {path} is that of a server that runs: pid {site.pid}"
    assert path.read_text() == f"{site.pid}\n"
    assert site.get("/")["method"] == "GET"


def test_the_file_of_a_server_that_was_killed_is_replaced(server: Start, path: Path) -> None:
    killed = server("reference:wsgi", *OPTIONS, "--pid", str(path))
    killed.kill(signal.SIGKILL)
    killed.finish(expect=-signal.SIGKILL, killed=True)
    assert path.read_text() == f"{killed.pid}\n"
    site = server("reference:wsgi", *OPTIONS, "--pid", str(path))
    assert path.read_text() == f"{site.pid}\n"


def test_a_number_that_is_another_process_today_is_stale(server: Start, path: Path, other: int) -> None:
    assert path.read_text() == f"{other}\n"
    site = server("reference:wsgi", *OPTIONS, "--pid", str(path))
    assert path.read_text() == f"{site.pid}\n"


@pytest.mark.parametrize("content", ["", "4000", "4000\n"])
def test_a_stale_file_is_replaced(path: Path, content: str) -> None:
    path.write_text(content)
    claimed = PidFile(str(path))
    claimed.claim()
    assert path.read_text() == f"{os.getpid()}\n"
    claimed.release()


@pytest.mark.parametrize("content", ["no number\n", "4000 and more\n", "\0" * 100, "9" * 100 + "x"])
def test_a_file_that_holds_something_else_is_left(path: Path, content: str) -> None:
    path.write_text(content)
    with pytest.raises(ServerError, match="holds something else") as failure:
        PidFile(str(path)).claim()
    assert failure.value.exit_code is ExitCode.FILE
    assert path.read_text() == content
    assert os.listdir(path.parent) == [path.name]


def test_the_check_of_a_configuration_lets_the_server_pass_that_runs_with_it(server: Start, path: Path) -> None:
    site = server("reference:wsgi", *OPTIONS, "--pid", str(path))
    PidFile(str(path)).check()
    assert path.read_text() == f"{site.pid}\n"


@pytest.mark.parametrize("stale", [False, True])
def test_of_servers_that_start_together_one_has_the_file(path: Path, stale: bool) -> None:
    """Claims that are let go at once, by a pipe that all read from."""
    program = (
        "import os, sys; from swhttp.errors import ServerError; from swhttp.pidfile import PidFile\n"
        "file = PidFile(sys.argv[1]); print('there', flush=True)\n"
        "while os.read(0, 1):\n"
        "    try: file.claim(); print('has it', flush=True)\n"
        "    except ServerError as error: print(error, flush=True)\n"
        "    os.read(0, 1); file.release(); print('let go', flush=True)\n")
    both = Pair([sys.executable, "-c", program, str(path)], ROOT)
    for _ in range(200):
        if stale:
            path.write_text("4000\n")
        said = both.ask()
        assert said.count("has it") == 1, said
        assert both.ask() == ["let go"] * 2
    both.end()
    assert os.listdir(path.parent) == []


def test_the_file_of_a_successor_is_left(server: Start, path: Path) -> None:
    site = server("reference:wsgi", *OPTIONS, "--pid", str(path))
    path.unlink()
    path.write_text("1\n")
    site.stop()
    assert path.read_text() == "1\n"


def test_workers_and_the_manager_do_not_hold_the_lock(server: Start, path: Path) -> None:
    site = server("reference:wsgi", *OPTIONS, "--pid", str(path))
    for pid in (site.manager(), *site.workers()):
        assert str(path) not in {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    with path.open() as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)


def refusal(site: Server) -> str:
    """The one line that a server which cannot have its pid file has said."""
    site.expect_log("pid file")
    site.finish(expect=EXIT_FILE)
    [line] = site.log.lines
    return line.partition("[ERROR] ")[2]


@pytest.mark.parametrize(
    ("name", "why"),
    [("no/such/directory/pid", "No such file or directory"), ("", "it is not a regular file"),
     ("file/pid", "Not a directory")],
)
def test_a_place_where_no_file_can_be_is_said(server: Start, tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "file").touch()
    path = os.path.abspath(tmp_path / name)
    site = server("reference:wsgi", *OPTIONS, "--pid", path, ready=False)
    assert refusal(site) == f"Cannot write the pid file {str(path)!r}: {why}"


def test_a_fifo_is_refused_at_once(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(ServerError, match="it is not a regular file"):
        PidFile(str(path)).claim()


def test_a_port_that_is_taken_leaves_the_file_of_its_server(server: Start, path: Path) -> None:
    site = server("reference:wsgi", *OPTIONS, "--pid", str(path))
    address = f"127.0.0.1:{site.port}"
    second = server("reference:wsgi", *OPTIONS, "--pid", str(path), binds=(address,), ready=False)
    second.expect_log("Cannot listen")
    second.finish(expect=ExitCode.BIND)
    assert path.read_text() == f"{site.pid}\n"
