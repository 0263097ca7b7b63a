"""swhttp.run: a script serves its own app, with everything as with the command."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.client import Connection, Response
from tests.support.logtail import LogTail
from tests.support.server import LISTENING, TESTS

APP = """
import sys
import threading
import swhttp

def app(environ, start_response):
    start_response("200 OK", [])
    return [__name__.encode()]

"""


@contextmanager
def script(directory: Path, call: str, **variables: str) -> Iterator[tuple[subprocess.Popen[bytes], LogTail]]:
    """A script that makes this call, and its log; killed at the end if it still runs."""
    path = directory / "site_script.py"
    path.write_text(APP + call + "\n")
    environment = os.environ | {"PYTHONPATH": str(TESTS.parent), "PYTHONDONTWRITEBYTECODE": "1"} | variables
    process = subprocess.Popen([sys.executable, str(path)], cwd=directory, env=environment, stderr=subprocess.PIPE)
    assert process.stderr is not None
    log = LogTail(process.stderr)
    try:
        yield process, log
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(15)
        assert log.join(15)


def get(log: LogTail) -> Response:
    """GET / from the server whose log this is, once it listens."""
    [match] = log.wait_for(LISTENING, 30)
    port = re.search(r":(\d+)$", match[1])
    assert port is not None
    with Connection(("127.0.0.1", int(port[1]))) as client:
        return client.get("/")


def stopped(process: subprocess.Popen[bytes]) -> int:
    """The exit status of a server that is told to stop."""
    process.send_signal(signal.SIGTERM)
    return process.wait(15)


def test_an_object_is_served_and_that_it_cannot_be_imported_afresh_is_said(tmp_path: Path) -> None:
    with script(tmp_path, 'swhttp.run(app, bind="127.0.0.1:0", workers=2, header=["X-A: 1"])') as (process, log):
        response = get(log)
        assert (response.body, response.header("x-a")) == (b"__main__", "1")
        assert stopped(process) == 0
        assert len([line for line in log.lines if "The app is an object" in line]) == 1


def test_there_is_nothing_to_preload_of_an_object(tmp_path: Path) -> None:
    with script(tmp_path, 'swhttp.run(app, bind="127.0.0.1:0", workers=1, preload=True)') as (process, log):
        assert get(log).body == b"__main__"
        assert stopped(process) == 0
        assert len([line for line in log.lines if "The app is an object" in line and "--preload changes" in line]) == 1


def test_the_open_files_of_an_object_stay_its_own(tmp_path: Path) -> None:
    call = (
        "import os\nopened = open(__file__, 'rb')\nsize = os.fstat(opened.fileno()).st_size\n\n"
        "def reader(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [os.pread(opened.fileno(), 9, size - 9)]\n\n"
        "swhttp.run(reader, bind='127.0.0.1:0', workers=1)\n# the end")
    with script(tmp_path, call) as (process, log):
        assert get(log).body == b"\n# the end\n"[-9:]
        assert stopped(process) == 0


def test_a_string_is_imported_in_the_workers(tmp_path: Path) -> None:
    call = 'if __name__ == "__main__":\n    swhttp.run("site_script", bind="127.0.0.1:0", workers=1)'
    with script(tmp_path, call) as (process, log):
        assert get(log).body == b"site_script"
        assert stopped(process) == 0
        assert not [line for line in log.lines if "The app is an object" in line]


def test_arguments_count_more_than_variables_and_those_more_than_the_project(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.swhttp]\nworkers = 3\nheader = "X-From: project"\nserver-header = false\n')
    with script(
        tmp_path, 'swhttp.run(app, port=0)', SWHTTP_HEADER="X-From: variable", SWHTTP_PORT="1", SWHTTP_WORKERS="1",
    ) as (process, log):
        response = get(log)
        assert (response.header("x-from"), response.header("server")) == ("variable", None)
        assert stopped(process) == 0


@pytest.mark.parametrize(
    ("call", "code", "said"),
    [
        ("swhttp.run(app, wrokers=1)", 2, "Error: run(wrokers=): there is no such option; did you mean 'workers'?"),
        ("swhttp.run(app, workers='x')", 8, "Error: run(workers=): a whole number is needed, not the text 'x'"),
        ("swhttp.run('not-a-module')", 8, "Error: run(app=): 'not-a-module' is not of the form module:attribute"),
        ("swhttp.run(app, bind='unix:/no/such/s')", 4, "Cannot listen on unix:/no/such/s"),
        ("swhttp.run('no_such_module', bind='127.0.0.1:0', workers=1)", 7, "there is no module 'no_such_module'"),
        ("swhttp.run(7, bind='127.0.0.1:0', workers=1)", 3, "7 is no application: int objects cannot be called"),
        ("threading.Thread(target=threading.Event().wait, daemon=True, name='busy').start()\nswhttp.run(app)", 2,
         "Error: run(): workers cannot be forked from a process with other threads: busy"),
        ("thread = threading.Thread(target=swhttp.run, args=(app,))\nthread.start()\nthread.join()\nsys.exit(2)", 2,
         "Error: run(): to be called in the main thread"),
    ],
)
def test_what_cannot_be_is_said_as_by_the_command(tmp_path: Path, call: str, code: int, said: str) -> None:
    with script(tmp_path, call) as (process, log):
        assert process.wait(30) == code
        assert log.join(15)
        assert any(said in line for line in log.lines), log.text()
        assert "Traceback" not in log.text()


def test_nothing_runs_when_the_package_is_imported() -> None:
    before = threading.active_count()
    import swhttp

    assert callable(swhttp.run)
    assert threading.active_count() == before
