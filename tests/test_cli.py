"""The command: help, version, one readable message and an exit code for each thing that cannot work."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import swhttp
from swhttp import limits
from swhttp.cli import VERBS_TITLE
from swhttp.config import OPTIONS
from swhttp.verbs import VERBS

ROOT = Path(__file__).resolve().parent.parent


def run(*arguments: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """`python -m swhttp ARGUMENTS`, to its end."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "100"} | variables
    return subprocess.run(
        [sys.executable, "-m", "swhttp", *arguments], cwd=cwd, env=environment, text=True, capture_output=True,
        timeout=60, check=False)


def the_only_line(finished: subprocess.CompletedProcess[str], status: int) -> str:
    """What a command that could not start has said, after checking that this is one line and nothing else."""
    assert finished.returncode == status, finished.stderr
    assert finished.stdout == ""
    [line] = finished.stderr.splitlines()
    assert line.startswith("Error: ")
    return line


def test_the_version_is_said() -> None:
    finished = run("--version")
    assert (finished.returncode, finished.stdout) == (0, f"swhttp {swhttp.__version__}\n")


def test_help_shows_every_option_under_its_heading() -> None:
    finished = run("--help")
    assert finished.returncode == 0
    headings = [line.rstrip(":") for line in finished.stdout.splitlines() if line.endswith(":") and line[0] != " "]
    assert headings == [VERBS_TITLE, *dict.fromkeys(option.group for option in OPTIONS.values()), "Other"]
    assert all(re.search(rf"^  {verb} +\S", finished.stdout, re.MULTILINE) for verb in VERBS)
    for option in OPTIONS.values():
        for flag in option.flags:
            assert flag in finished.stdout
        for alias in option.aliases:
            assert alias not in finished.stdout


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_and_version_load_nothing_compiled(argument: str) -> None:
    script = (
        "import sys\n"
        f"sys.argv[1:] = [{argument!r}]\n"
        "from swhttp.cli import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    ours = [m for n, m in sys.modules.items() if n.startswith(('swhttp', 'httptools', 'uvloop'))]\n"
        "    compiled = [m.__name__ for m in ours if not (m.__file__ or '').endswith('.py')]\n"
        "    print('compiled:', compiled, file=sys.stderr)\n")
    finished = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True, capture_output=True,
        timeout=60, check=False)
    assert (finished.returncode, finished.stderr) == (0, "compiled: []\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no application: name it as in swhttp myapp:app"),
        (["myapp:app", "--no-such-option"], "--no-such-option: there is no such option"),
        (["myapp:app", "--wrokers", "2"], "--wrokers: there is no such option; did you mean --workers?"),
        (["myapp:app", "--wrokers=2"], "did you mean --workers?"),
        (["myapp:app", "--log_level", "info"], "did you mean --log-level?"),
        (["myapp:app", "--timeout-keepalive", "2"], "did you mean --timeout-keep-alive?"),
        (["myapp:app", "--no-server-heder"], "did you mean --no-server-header?"),
        (["myapp:app", "-k", "uvicorn.workers.UvicornWorker"], "-k: there are no worker classes"),
        (["myapp:app", "-kgevent"], "-k: there are no worker classes"),
        (["myapp:app", "--worker-class=gevent"], "--interface says which"),
        (["myapp:app", "--preload-app"], "--preload-app: say --preload"),
        (["myapp:app", "--reload-engine", "poll"], "--reload-engine: watchfiles watches: leave it out"),
        (["myapp:app", "--loop", "uvloop"], "--loop: "),
        (["myapp:app", "--http", "httptools"], "--http: "),
        (["myapp:app", "--workers"], "--workers"),
        (["myapp:app", "another:app"], "another:app"),
    ],
)
def test_what_is_not_understood_is_said_in_one_line_and_is_exit_code_2(arguments: list[str], said: str) -> None:
    assert said in the_only_line(run(*arguments), 2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["my-app"], "APP: 'my-app' is not of the form module:attribute"),
        (["myapp:app", "--bind", "8000"], "--bind: '8000' is none of host:port"),
        (["myapp:app", "--bind", "localhost:99999"], "'99999'"),
        (["myapp:app", "--bind", "localhost:1", "--port", "2"], "--bind: cannot be given together with --port"),
        (["myapp:app", "--workers", "0"], "--workers: a number of 1 or more is needed, not 0"),
        (["myapp:app", "--workers", "many"], "--workers: a whole number is needed, not 'many'"),
        (["myapp:app", "-w", "1.5"], "--workers: a whole number is needed, not '1.5'"),
        (["myapp:app", "--workers", str(limits.MAX_WORKERS + 1)], f"from 1 to {limits.MAX_WORKERS}"),
        (["myapp:app", "--threads", "0"], "--threads: "),
        (["myapp:app", "--reactors", "-1"], "--reactors: "),
        (["myapp:app", "--keep-alive", "nan"], "--keep-alive: "),
        (["myapp:app", "--timeout-keep-alive", "soon"], "--keep-alive: a number is needed, not 'soon'"),
        (["myapp:app", "--keep-alive", "0"], "--keep-alive: seconds, more than 0 and at most 86400, are needed, not 0"),
        (["myapp:app", "--ws-ping-interval", "-1"],
         "--ws-ping-interval: seconds, 0 or more and at most 86400, are needed, not -1"),
        (["myapp:app", "--graceful-timeout", "0"], "--graceful-timeout: "),
        (["myapp:app", "--dispatch", "best"], "--dispatch: 'best' is none of least, round-robin"),
        (["myapp:app", "--dispatch", "roundrobin"], "did you mean 'round-robin'?"),
        (["myapp:app", "--interface", "asgi3"], "did you mean 'asgi'?"),
        (["myapp:app", "--log-level", "loud"], "--log-level: 'loud' is none of "),
        (["myapp:app", "--app-dir", "/no/such/directory"], "'/no/such/directory' is not a directory"),
        (["myapp:app", "--chdir", "/no/such/directory"], "--chdir: '/no/such/directory': No such file or directory"),
    ],
)
def test_a_value_that_cannot_work_is_said_in_one_line_and_is_exit_code_8(arguments: list[str], said: str) -> None:
    assert said in the_only_line(run(*arguments), 8)


def test_check_config_shows_each_option_with_where_it_comes_from_and_imports_nothing(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise ZeroDivisionError\n")
    (tmp_path / "s.toml").write_text('threads = 3\nbind = ["127.0.0.1:0", "unix:s"]\nfactory = true\n')
    (tmp_path / "pyproject.toml").write_text("[tool.swhttp]\nthreads = 4\nkeep-alive = 2.5\n")
    finished = run(
        "broken:app", "--check-config", "-c", "s.toml", "--workers", "5", "--no-date-header", cwd=tmp_path,
        SWHTTP_QUEUE_SIZE="9", SWHTTP_WORKERS="6")
    assert (finished.returncode, finished.stderr) == (0, "")
    lines = finished.stdout.splitlines()
    rows = {line.split()[0]: re.split(r" {2,}", line)[1:] for line in lines}
    assert list(rows) == ["app", *(option.key for name, option in OPTIONS.items() if name != "check_config")]
    assert {key: rows[key] for key in ("app", "workers", "threads", "keep-alive", "queue-size", "bind", "factory")} == {
        "app": ["broken:app", "command line"], "workers": ["5", "command line"], "threads": ["3", "s.toml"],
        "keep-alive": ["2.5", "pyproject.toml"], "queue-size": ["9", "variable SWHTTP_QUEUE_SIZE"],
        "bind": ["127.0.0.1:0, unix:s", "s.toml"], "factory": ["true", "s.toml"]}
    assert rows["date-header"] == ["false", "command line"]
    assert rows["reactors"] == ["1", "default"]
    assert rows["uds"] == ["none", "default"]
    assert rows["host"] == ["none", "default"]  # 127.0.0.1 is what it would be, without a bind
    assert rows["ssl-ciphers"] == ["OpenSSL's", "default"]
    assert len({line.index(rows[line.split()[0]][-1], 20) for line in lines}) == 1  # the last column stands in line


def test_a_path_that_is_no_text_can_be_shown(tmp_path: Path) -> None:
    finished = run("a:b", "--check-config", "--error-log", "\udcff.log", cwd=tmp_path, PYTHONIOENCODING="utf-8:strict")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "\\udcff.log" in finished.stdout


def test_a_bad_socket_path_is_blamed_on_what_said_it(tmp_path: Path) -> None:
    path = "x" * 200
    assert the_only_line(run("a:b", "--uds", path, cwd=tmp_path), 8).startswith("Error: --uds: ")
    assert the_only_line(run("a:b", cwd=tmp_path, SWHTTP_UDS=path), 8).startswith("Error: SWHTTP_UDS: ")


def test_check_config_shows_what_a_start_would_warn_of(tmp_path: Path) -> None:
    finished = run("a:b", "--check-config", cwd=tmp_path, SWHTTP_WORKRES="2")
    assert finished.returncode == 0
    assert finished.stderr == "Warning: SWHTTP_WORKRES is no option; did you mean SWHTTP_WORKERS?\n"


@pytest.mark.parametrize(
    ("arguments", "bind", "source"),
    [
        (["--port", "1"], "127.0.0.1:1", "command line (port)"),
        (["--host", "::1", "--port", "1"], "[::1]:1", "command line (host, port)"),
        (["--uds", "s"], "unix:s", "command line (uds)"),
        ([], "127.0.0.1:8000", "default"),
    ],
)
def test_check_config_shows_what_a_bind_was_made_of(arguments: list[str], bind: str, source: str) -> None:
    finished = run("a:b", "--check-config", *arguments)
    [line] = [line for line in finished.stdout.splitlines() if line.startswith("bind ")]
    assert re.split(r" {2,}", line)[1:] == [bind, source]


def test_check_config_refuses_what_cannot_work() -> None:
    assert "--workers" in the_only_line(run("a:b", "--check-config", "--workers", "-1"), 8)


def test_ctrl_c_during_the_start_is_a_stop_as_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "env")
    with subprocess.Popen(
        [sys.executable, "-m", "swhttp", "a:b", "--env-file", "env"], cwd=tmp_path, stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        # A shell's background job ignores SIGINT, and hands that down.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as starting, (tmp_path / "env").open("w"):  # which waits until the command has come to read it
        starting.send_signal(signal.SIGINT)
        _, said = starting.communicate(timeout=60)
    assert (starting.returncode, said) == (0, b"")


def test_an_address_that_cannot_be_bound_is_exit_code_4() -> None:
    finished = run("myapp:app", "--bind", "unix:/no/such/directory/socket")
    assert finished.returncode == 4
    assert "Cannot listen on unix:/no/such/directory/socket: No such file or directory" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_an_app_that_is_not_there_is_exit_code_7(tmp_path: Path) -> None:
    finished = run("no_such_module_at_all:app", "--bind", "127.0.0.1:0", "--workers", "2", cwd=tmp_path)
    assert finished.returncode == 7, finished.stderr
    assert "no_such_module_at_all" in finished.stderr
    assert "Listening at" not in finished.stderr


def test_only_workers_import_the_app(tmp_path: Path) -> None:
    (tmp_path / "tells.py").write_text(
        "import os\n"
        "manager = os.getppid()\n"
        "master = open(f'/proc/{manager}/stat').read().rpartition(')')[2].split()[1]\n"
        "os.write(2, f'imported below {master}\\n'.encode())\n"
        "raise ZeroDivisionError\n")
    command = [sys.executable, "-m", "swhttp", "tells:app", "--bind", "127.0.0.1:0", "--workers", "1"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, text=True, stderr=subprocess.PIPE) as master:
        _, log = master.communicate(timeout=60)
    assert master.returncode == 3, log
    assert re.findall(r"imported below (\d+)", log) == [str(master.pid)]
