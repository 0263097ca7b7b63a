"""Every failure to start has its exit code and one message that says what to mend, and leaves no process.

The numbers are written out: service managers and scripts rely on them.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support import processes
from tests.support.fleet import Start
from tests.support.pair import Pair
from tests.support.server import TESTS, free_listening_socket

ROOT = TESTS.parent


@dataclass(frozen=True)
class Failure:
    """`arguments` of the command; `said`: a pattern of the message; `files` in its directory, by name."""

    code: int
    arguments: Sequence[str]
    said: str
    files: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)


WSGI = "reference:wsgi"
FROM_FILE = [WSGI, "-c", "f.toml"]
FAILURES = {
    "no app": Failure(2, [], r"no application: "),
    "an unknown option": Failure(2, ["--quux", WSGI], r"--quux: there is no such option"),
    "a module that is not there": Failure(7, ["no_such_module:app"], r"there is no module 'no_such_module'"),
    "a submodule that is not there": Failure(7, ["reference.sub:app"], r"there is no module 'reference.sub'"),
    "an attribute that is not there": Failure(7, ["reference:wsig"], r"has no 'wsig'; did you mean 'wsgi'\?"),
    "a module without the usual names": Failure(
        7, ["paths"], r"neither 'application' nor 'app': write paths:attribute"),
    "an app that cannot be called": Failure(3, ["reference:PATTERN"], r"bytes objects cannot be called"),
    "a value that cannot work": Failure(8, [WSGI, "-w", "0"], r"--workers: "),
    "a variable that cannot work": Failure(8, [WSGI], r"SWHTTP_WORKERS: ", {}, {"SWHTTP_WORKERS": "x"}),
    "a key that cannot work": Failure(8, FROM_FILE, r"f\.toml: workers: ", {"f.toml": "workers=-1"}),
    "a file that is not there": Failure(9, FROM_FILE, r"--config: cannot read 'f\.toml': No such"),
    "a file that is not TOML": Failure(9, FROM_FILE, r"f\.toml: not TOML: ", {"f.toml": "]"}),
    "a project that is not TOML": Failure(9, [WSGI], r"pyproject\.toml: not TOML: ", {"pyproject.toml": "]"}),
    "an unknown key": Failure(9, FROM_FILE, r"f\.toml: quux: unknown key", {"f.toml": "quux=1"}),
    "an env file that is not there": Failure(9, [WSGI, "--env-file", "e"], r"--env-file: cannot read 'e'"),
    "a pid file that cannot be": Failure(10, [WSGI, "--pid", "/no/such/pid"], r"Cannot write the pid file '/no"),
    "a log that cannot be": Failure(
        10, [WSGI, "--error-log", "/no/such/log"], r"Cannot write the error log '/no/such/"),
    "an access log that cannot be": Failure(10, [WSGI, "--access-log", "/no/such/log"], r"access.log.*/no/such/log"),
    "a log configuration that is not there": Failure(9, [WSGI, "--log-config", "l.json"], r"l\.json"),
    "a number as large as no number": Failure(
        8, FROM_FILE, r"workers: .*large", {"f.toml": "workers=0x1" + "0" * 5000}),
    "seconds as large as no number": Failure(8, FROM_FILE, r"keep-alive: ", {"f.toml": "keep-alive=1" + "0" * 400}),
    "a text with NUL": Failure(8, FROM_FILE, r"chdir: a text without NUL", {"f.toml": 'chdir="a\\u0000b"'}),
    "tables without end": Failure(9, FROM_FILE, r"f\.toml: not TOML", {"f.toml": "a=" + "[" * 100_000}),
    "a number with thousands of digits": Failure(8, [WSGI, "-w", "1" + "0" * 4000], r"--workers: .*large"),
    "an array of such": Failure(8, FROM_FILE, r"header: .*large", {"f.toml": "header=[0x1" + "0" * 5000 + "]"}),
    "a project that is such": Failure(
        9, [WSGI], r"tool\.swhttp: a table is needed, not .*large", {"pyproject.toml": "tool.swhttp=0x1" + "0" * 5000}),
    "a project that is no table": Failure(
        9, [WSGI], r"tool\.swhttp: a table is needed, not 5", {"pyproject.toml": "tool.swhttp=5"}),
    "a pid file that is a log": Failure(8, [WSGI, "--pid", "x", "--error-log", "x"], r"--pid: '.*/x' is where a log"),
    "a pid file that is something else": Failure(
        10, [WSGI, "--pid", "f.toml"], r"Cannot write the pid file '.*/f\.toml': it holds something else",
        {"f.toml": "workers=1"}),
    "a pid file that is a directory": Failure(
        10, [WSGI, "--pid", "."], r"Cannot write the pid file '.*': it is not a regular file"),
    "a control socket that cannot be": Failure(
        10, [WSGI, "--control", "/no/such/socket"], r"Cannot make the control socket '/no/such/socket': No such file"),
    "a control socket that is something else": Failure(
        10, [WSGI, "--control", "f"], r"Cannot make the control socket '.*/f': a file that is no socket is in the way",
        {"f": "x"}),
    "a control socket that is the pid file": Failure(
        8, [WSGI, "--pid", "x", "--control", "x"], r"--control: '.*/x' is where the pid file or a log goes"),
    "a control socket for clients": Failure(
        8, [WSGI, "-b", "unix:x", "--control", "./x"], r"--control: '.*/x' is where clients connect"),
    "a control socket with a path too long": Failure(8, [WSGI, "--control", "x" * 200], r"--control: .* bytes"),
    "a flag that is a command to terminals": Failure(2, ["--a\n\x1b[31m", WSGI], r"--a\\n\\x1b\[31m: there is no such"),
    "a name that no host has": Failure(4, [WSGI, "-b", "ex..ample:80"], r"ex\.\.ample:80: that is no host's name"),
    "a process whose module is not there": Failure(
        7, [WSGI, "--process", "jobs=no_such_module:run"], r"Process jobs: cannot start: there is no module 'no_such"),
    "a process that cannot be called": Failure(
        3, [WSGI, "--process", "jobs=programs:no_program"], r"Process jobs: cannot start: .*cannot be called"),
    "hooks that are not there": Failure(
        7, [WSGI, "--hooks", "no_such_module"], r"Hooks: cannot start: there is no module 'no_such"),
    "an address that cannot be": Failure(4, [WSGI, "-b", "unix:/no/such/s"], r"Cannot listen on unix:/no/such/s"),
}




@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_to_start(tmp_path: Path, name: str) -> None:
    failure = FAILURES[name]
    for file, text in failure.files.items():
        (tmp_path / file).write_text(text)
    command = [sys.executable, "-m", "swhttp", *failure.arguments]
    if "-w" not in failure.arguments and "SWHTTP_WORKERS" not in failure.variables and "f.toml" not in failure.files:
        command += ["--workers", "3"]  # of which each finds the same
    if "-b" not in failure.arguments:
        command += ["--bind", "127.0.0.1:0"]
    finished = run([*command, "--app-dir", str(TESTS / "apps")], tmp_path, failure.variables)
    assert finished.returncode == failure.code, finished.stderr
    assert re.search(failure.said, finished.stderr)
    assert "Traceback" not in finished.stderr
    assert "Usage" not in finished.stderr
    assert finished.stdout == ""
    told = [line for line in finished.stderr.splitlines() if "[INFO]" not in line]  # those are of workers that left
    assert len(told) == 1, finished.stderr


def run(
    command: list[str], directory: Path, variables: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A command, to the end of it and of everything that holds its stderr."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | (variables or {})
    return subprocess.run(
        command, cwd=directory, env=environment, text=True, capture_output=True, timeout=60, check=False)


def test_a_port_that_is_taken(server: Start) -> None:
    with free_listening_socket() as listener:
        port = listener.getsockname()[1]
        site = server("reference:wsgi", binds=(f"127.0.0.1:{port}",), ready=False)
        site.expect_log("Cannot listen")
        site.finish(expect=4)
    [line] = site.log.lines
    assert line.endswith(f"[ERROR] Cannot listen on 127.0.0.1:{port}: Address already in use")


def test_an_app_that_fails_to_import_shows_its_traceback_and_none_of_ours(server: Start) -> None:
    site = server("broken_import:app", "--workers", "1", ready=False)
    site.expect_log("")
    site.finish(expect=3)
    files = re.findall(r'File "([^"]+)"', site.log.text())
    assert files
    assert all(file.endswith("/tests/apps/broken_import.py") for file in files)
    assert "The application did not boot" in site.log.lines[-1]


def test_a_traceback_is_shown_once_however_many_workers_fail_of_it(server: Start) -> None:
    for _ in range(3):
        site = server("broken_import:app", "--workers", "8", ready=False)
        site.expect_log("")
        site.finish(expect=3)
        assert site.log.text().count("ZeroDivisionError") == 1


@pytest.mark.parametrize("status", [0, 1, 4, 7, 9])
def test_an_app_that_ends_its_process_while_it_is_imported_has_not_booted(tmp_path: Path, status: int) -> None:
    (tmp_path / "leaves.py").write_text(f"import os\nos._exit({status})\n")
    finished = run(
        [sys.executable, "-m", "swhttp", "leaves:app", "--workers", "1", "--bind", "127.0.0.1:0"], tmp_path)
    assert finished.returncode == 3
    assert "The application did not boot" in finished.stderr


@pytest.mark.parametrize(
    "name", ["a pid file that cannot be", "a pid file that is something else", "a pid file that is a directory",
             "a control socket that cannot be", "a control socket that is something else",
             "a log that cannot be", "an access log that cannot be", "a log configuration that is not there"])
def test_a_file_that_fails_the_start_fails_the_check_with_the_same_words(tmp_path: Path, name: str) -> None:
    failure = FAILURES[name]
    for file, text in failure.files.items():
        (tmp_path / file).write_text(text)
    finished = run([sys.executable, "-m", "swhttp", *failure.arguments, "--check-config"], tmp_path)
    assert finished.returncode == failure.code
    assert re.search(failure.said, finished.stderr)
    assert finished.stdout == ""
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == failure.files, "a check makes nothing"


def test_of_servers_that_start_together_at_a_stale_unix_socket_one_listens(tmp_path: Path) -> None:
    program = (
        "import os, sys; from swhttp import listeners; from swhttp.errors import ServerError\n"
        "print('there', flush=True)\n"
        "while os.read(0, 1):\n"
        "    mine = []\n"
        "    try: mine = listeners.open_all((f'unix:{sys.argv[1]}',), 8, False); print('listens', flush=True)\n"
        "    except ServerError as error: print(error.exit_code.name, flush=True)\n"
        "    os.read(0, 1); [one.close() for one in mine]; print('let go', flush=True)\n")
    path = tmp_path / "socket"
    both = Pair([sys.executable, "-c", program, str(path)], ROOT)
    for _ in range(200):
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(path))
        assert sorted(both.ask()) == ["BIND", "listens"]
        assert both.ask() == ["let go"] * 2
    both.end()


def test_a_lock_on_the_directory_of_a_unix_socket_keeps_no_server_from_its_start(server: Start, tmp_path: Path) -> None:
    """Whoever may look into /tmp may lock it."""
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        site = server("reference:wsgi", "--workers", "1", binds=(f"unix:{tmp_path}/s",))
        with site.connect(address=f"{tmp_path}/s") as client:
            assert client.get("/").status == 200
    finally:
        os.close(fd)


@pytest.mark.parametrize("asked", ["--help", "--version", "--check-config"])
def test_a_stdout_that_takes_nothing_is_said(tmp_path: Path, asked: str) -> None:
    with open("/dev/full", "w") as full:
        finished = subprocess.run(
            [sys.executable, "-m", "swhttp", "a:b", asked], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (finished.returncode, finished.stderr) == (10, "Error: stdout takes nothing: No space left on device\n")


@pytest.mark.parametrize(("arguments", "code"), [(["--quux"], 2), (["a:b", "-w", "x"], 8)])
def test_a_stderr_that_takes_nothing_leaves_the_exit_code(tmp_path: Path, arguments: list[str], code: int) -> None:
    with open("/dev/full", "w") as full:
        finished = subprocess.run(
            [sys.executable, "-m", "swhttp", *arguments], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)},
            stderr=full, timeout=60, check=False)
    assert finished.returncode == code


def test_an_interrupt_while_modules_are_imported_ends_it_quietly(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    finished = run([sys.executable, "-c", "from swhttp.__main__ import main; main()"], tmp_path)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")


def test_a_directory_that_is_gone_is_said(tmp_path: Path) -> None:
    script = f"cd {tmp_path}; mkdir gone; cd gone; rmdir ../gone; exec {sys.executable} -m swhttp a:b"
    finished = run(["sh", "-c", script], tmp_path)
    assert finished.returncode == 8
    assert finished.stderr == "Error: the current directory is gone: No such file or directory\n"


def test_standard_streams_that_are_closed_lead_nowhere(server: Start, tmp_path: Path) -> None:
    log, access = tmp_path / "error.log", tmp_path / "access.log"
    command = (
        f"exec {sys.executable} -m swhttp reference:wsgi --app-dir {TESTS / 'apps'} --workers 1 "
        f"--bind unix:{tmp_path}/s --error-log {log} --access-log {access} --pid {tmp_path}/pid <&- >&- 2>&-")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "SEEN_PATH": "/dev/null"}
    master = subprocess.Popen(["sh", "-c", command], env=environment)
    try:
        processes.wait_until(lambda: log.exists() and "Listening at" in log.read_text(), "the server's start")
        family = [master.pid, *(one.pid for one in processes.descendants_of(master.pid))]
        assert len(family) == 3
        for pid in family:
            assert {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in (0, 1, 2)} == {"/dev/null"}
    finally:
        master.terminate()
        assert master.wait(30) == 0
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("name", ["m" * 3000, "\U0001d52a" * 590])  # each of the latter is twelve bytes of JSON
def test_a_reason_that_is_too_long_is_cut_and_said_once(tmp_path: Path, name: str) -> None:
    finished = run([sys.executable, "-m", "swhttp", name, "--workers", "3", "--bind", "127.0.0.1:0"], tmp_path)
    assert finished.returncode == 7
    assert finished.stderr.count(f"there is no module '{name[:200]}") == 1


@pytest.mark.parametrize("start", ["from swhttp.cli import main; main()", "import swhttp; swhttp.run('a:b')"])
def test_another_system_is_said(tmp_path: Path, start: str) -> None:
    lacking = "import sys; sys.platform = 'darwin'; sys.modules['fcntl'] = None"
    finished = run([sys.executable, "-c", f"{lacking}; {start}"], tmp_path)
    assert finished.returncode == 11
    assert finished.stderr == (
        "Error: swhttp runs on Linux only: it needs memfd, eventfd, epoll and pidfd\n")


def test_too_few_fds_are_no_internal_error_wherever_they_end(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "swhttp", WSGI, "--bind", "127.0.0.1:0", "--app-dir", str(TESTS / "apps")]
    for most in (20, 42):  # for none of the connections; for not even the pipes and memory of the processes
        finished = run(["prlimit", f"--nofile={most}:{most}", *command], tmp_path)
        assert finished.returncode == 11, finished.stderr
        assert re.search(rf"file descriptor.* {most} may be open \(ulimit -n\)", finished.stderr)
        assert "Errno" not in finished.stderr
