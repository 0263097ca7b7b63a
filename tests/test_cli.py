"""The command: help, version, one readable message and an exit code for each thing that cannot work."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import swhttp
from swhttp import limits
from swhttp.config import OPTIONS

ROOT = Path(__file__).resolve().parent.parent


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`python -m swhttp ARGUMENTS`, to its end."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    return subprocess.run(
        [sys.executable, "-m", "swhttp", *arguments], cwd=cwd, env=environment, text=True, capture_output=True,
        timeout=60, check=False)


def test_the_version_is_said() -> None:
    finished = run("--version")
    assert (finished.returncode, finished.stdout) == (0, f"swhttp {swhttp.__version__}\n")


def test_help_shows_every_option_under_its_heading() -> None:
    finished = run("--help")
    assert finished.returncode == 0
    headings = [line.rstrip(":") for line in finished.stdout.splitlines() if line.endswith(":") and line[0] != " "]
    assert headings == [*dict.fromkeys(option.group for option in OPTIONS.values()), "Other"]
    for option in OPTIONS.values():
        for flag in option.flags:
            assert flag in finished.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing argument 'APP'"),
        (["myapp"], "'myapp' is not of the form module:attribute"),
        (["myapp:app", "--bind", "8000"], "'8000' is none of host:port"),
        (["myapp:app", "--bind", "localhost:99999"], "'99999'"),
        (["myapp:app", "--workers", "0"], "'--workers'"),
        (["myapp:app", "--workers", "many"], "'many' is not a valid integer"),
        (["myapp:app", "--workers", str(limits.MAX_WORKERS + 1)], f"from 1 to {limits.MAX_WORKERS}"),
        (["myapp:app", "--threads", "0"], "'--threads'"),
        (["myapp:app", "--reactors", "-1"], "'--reactors'"),
        (["myapp:app", "--keep-alive", "nan"], "--keep-alive"),
        (["myapp:app", "--graceful-timeout", "0"], "--graceful-timeout"),
        (["myapp:app", "--dispatch", "best"], "'best' is not one of"),
        (["myapp:app", "--interface", "cgi"], "'cgi' is not one of"),
        (["myapp:app", "--log-level", "loud"], "'loud' is not one of"),
        (["myapp:app", "--app-dir", "/no/such/directory"], "'/no/such/directory' is not a directory"),
        (["myapp:app", "--no-such-option"], "--no-such-option"),
        (["myapp:app", "another:app"], "another:app"),
    ],
)
def test_bad_usage_is_said_in_one_line_and_is_exit_code_2(arguments: list[str], said: str) -> None:
    finished = run(*arguments)
    assert finished.returncode == 2
    errors = [line for line in finished.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert said in errors[0]
    assert "Traceback" not in finished.stderr
    assert finished.stdout == ""


def test_an_address_that_cannot_be_bound_is_exit_code_4() -> None:
    finished = run("myapp:app", "--bind", "unix:/no/such/directory/socket")
    assert finished.returncode == 4
    assert "Cannot listen on unix:/no/such/directory/socket: No such file or directory" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_an_app_that_is_not_there_is_exit_code_3(tmp_path: Path) -> None:
    finished = run("no_such_module_at_all:app", "--bind", "127.0.0.1:0", "--workers", "2", cwd=tmp_path)
    assert finished.returncode == 3, finished.stderr
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
