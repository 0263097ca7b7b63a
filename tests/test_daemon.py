"""--daemon: the command ends when the server listens, and says how it went; the server has let go of the terminal."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import processes
from tests.support.client import Connection
from tests.support.gate import Gate
from tests.support.server import APPS, EXIT_BOOT_FAILED, EXIT_CANNOT_BIND, TESTS

Begin = Callable[..., subprocess.Popen[str]]
Run = Callable[..., subprocess.CompletedProcess[str]]


@contextlib.contextmanager
def reaped() -> Iterator[None]:
    """In the end waits for that of all orphans, for the tests adopt them."""
    before = {child.pid for child in processes.children_of(os.getpid())}
    yield
    while left := {child.pid for child in processes.children_of(os.getpid())} - before:
        os.waitpid(left.pop(), 0)


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Starts the command with --daemon; in the end kills what is left of it."""
    marker = uuid.uuid4().hex
    def command(app: str, *options: str, pass_fds: tuple[int, ...] = ()) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "swhttp", app, "--app-dir", str(APPS), "--bind", f"unix:{tmp_path}/s", "--daemon",
             "--workers", "1", "--pid", str(tmp_path / "pid"), *options],
            env=os.environ | {processes.MARKER: marker, "PYTHONPATH": str(TESTS.parent)}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, pass_fds=pass_fds)

    with reaped():
        yield command
        for process in processes.marked_with(marker):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)


@pytest.fixture
def run(begin: Begin) -> Run:
    """Runs it to its end, and to that of its stdout and stderr, which the server must have let go of."""

    def command(app: str, *options: str, pass_fds: tuple[int, ...] = ()) -> subprocess.CompletedProcess[str]:
        with begin(app, *options, pass_fds=pass_fds) as process:
            stdout, stderr = process.communicate(timeout=30)
            return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    return command


@pytest.mark.parametrize(
    ("signum", "to_command", "code", "said"),
    [(signal.SIGTERM, False, 143, "Error: the server was stopped before it listened\n"), (signal.SIGINT, True, 130, ""),
     (signal.SIGTERM, True, 143, "")])
def test_a_server_that_is_stopped_while_it_starts_was_never_there(
    begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signum: int, to_command: bool, code: int, said: str
) -> None:
    with tempfile.TemporaryDirectory(prefix="swt-") as directory, Gate(directory) as gate:
        monkeypatch.setenv("GATE_PATH", gate.path)
        with begin("slow_import:wsgi", "--error-log", "error", "--graceful-timeout", "0.1") as process:
            importing = gate.entered()
            os.kill(process.pid if to_command else int((tmp_path / "pid").read_text()), signum)
            importing.left()
            _, stderr = process.communicate(timeout=30)
            assert (process.returncode, stderr) == (code, said)


def in_a_process(before: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, after other code."""
    code = f"import os, signal, sys\n{before}\nfrom swhttp import cli\nsys.argv[0] = 'swhttp'\ncli.main()"
    with reaped():
        return subprocess.run(
            [sys.executable, "-c", code, *arguments], cwd=TESTS.parent, capture_output=True, text=True, timeout=30,
            check=False)


@pytest.mark.parametrize("failing", [1, 2])
def test_what_keeps_it_from_the_background_is_said_once(failing: int) -> None:
    done = in_a_process(
        "fork, calls = os.fork, []\n"
        "def failing():\n"
        "    calls.append(1)\n"
        f"    if len(calls) == {failing}:\n"
        "        raise OSError(11, 'Resource temporarily unavailable')\n"
        "    return fork()\n"
        "os.fork = failing", "regain", "--app-dir", str(APPS), "--bind", "127.0.0.1:0", "--daemon")
    assert (done.returncode, done.stderr) == (
        6, "Error: Cannot go into the background: Resource temporarily unavailable\n")


def test_a_ctrl_c_before_there_is_a_server_stops_that_one() -> None:
    """The server is a process that only waits to be stopped."""
    done = in_a_process(
        "from swhttp import daemon\n"
        "fork = os.fork\n"
        "def interrupted():\n"
        "    pid = fork()\n"
        "    if pid:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    return pid\n"
        "def stopped(*signum):\n"
        "    os.write(1, b'stopped')\n"
        "    os._exit(0)\n"
        "os.fork = interrupted\n"
        "signal.signal(signal.SIGTERM, stopped)\n"
        "daemon.start()\n"
        "assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()\n"
        "signal.alarm(10)\n"
        "while True:\n"
        "    signal.pause()")
    assert (done.returncode, done.stdout, done.stderr) == (130, "stopped", "")


def test_the_command_ends_when_the_server_listens_in_the_background(run: Run, tmp_path: Path) -> None:
    with open(tmp_path / "lock", "w") as lock:  # as a script may hold one
        done = run("regain", "--error-log", str(tmp_path / "error"), pass_fds=(lock.fileno(),))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        with Connection(f"{tmp_path}/s") as client:
            assert client.get("/").status == 200
        pid = int((tmp_path / "pid").read_text())
        assert os.getsid(pid) not in (pid, os.getsid(0))  # so it gets no terminal
        (manager,) = processes.children_of(pid)
        for process in (pid, manager.pid, *(child.pid for child in processes.children_of(manager.pid))):
            held = processes.fds_of(process)
            assert [held[fd] for fd in (0, 1, 2)] == ["/dev/null"] * 3
            assert str(tmp_path / "lock") not in held.values()
    os.kill(pid, signal.SIGTERM)
    assert os.waitpid(pid, 0)[1] == 0  # the tests adopt orphans
    assert not (tmp_path / "pid").exists()


@pytest.mark.parametrize(
    ("app", "options", "code", "said"),
    [
        ("broken_import:app", (), EXIT_BOOT_FAILED, "Traceback"),
        ("regain", ("--bind", "unix:/no/such/directory/s"), EXIT_CANNOT_BIND, "Cannot listen"),
        ("regain", ("--user", "no-such-user"), 8, "--user: there is no user 'no-such-user'"),
    ],
)
@pytest.mark.parametrize("log", [(), ("--error-log", "error")])
def test_a_start_that_fails_says_so_on_the_terminal(
    run: Run, tmp_path: Path, app: str, options: tuple[str, ...], code: int, said: str, log: tuple[str, ...]
) -> None:
    done = run(app, *options, *log)
    assert done.returncode == code, done
    assert said in done.stderr
    assert not (tmp_path / "pid").exists()


def test_a_log_that_leads_nowhere_is_warned_of(run: Run) -> None:
    done = run("regain")
    assert done.returncode == 0
    assert "The log is on stderr, which leads nowhere once the server is in the background" in done.stderr
