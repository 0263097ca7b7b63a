"""The tutorial can be followed: its files are written and its commands run, in its order, as they are printed.

What is changed: the port is a free one, nothing is installed, and no transfer is slowed down on purpose. Output is
compared where the document shows it below a command that begins with `$`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.logtail import LogTail
from tests.support.server import BOOT_TIMEOUT_S, LISTENING, STOP_TIMEOUT_S

ROOT = Path(__file__).resolve().parent.parent
TUTORIAL = ROOT / "docs" / "tutorial.md"
FILE_NAME = re.compile(r"[Ww]rite `([\w.]+)`")
STATUS = re.compile(r"<status (\d+)>")
WORKER = r"Worker booted: slot 0, generation 1, pid (\d+)"
RUN = ("cd", "cmp", "curl", "django-admin", "head", "kill", "swhttp", "yes")
NOT_RUN = (".", "pip", "python3")  # the environment is that of the tests
VARIES = ("...", "date:")


@dataclass
class Command:
    """One line to be typed. `shown`: the lines of its output that the document shows, None if it shows none."""

    text: str
    shown: list[str] | None = None


@dataclass
class File:
    """A file to be written."""

    name: str
    text: str


def steps(text: str) -> Iterator[Command | File]:
    """What the reader of the document has to do."""
    name, fenced, prompted = "", None, None
    for line in text.splitlines():
        if line.startswith("```"):
            if fenced is not None:
                yield File(name, "\n".join(fenced) + "\n")
            fenced = [] if fenced is None else None
        elif fenced is not None:
            fenced.append(line)
        elif line.startswith("    $ "):
            if prompted is not None:
                yield prompted
            prompted = Command(line.removeprefix("    $ "), [])
        elif line.startswith("    ") and prompted is not None:
            assert prompted.shown is not None
            prompted.shown.append(line.strip())
        elif line.startswith("    "):
            if not line.strip()[0].isdigit():  # a line of a log
                yield Command(line.strip())
        elif line.strip():
            if prompted is not None:
                yield prompted
                prompted = None
            if found := FILE_NAME.search(line):
                name = found[1]


@dataclass
class Reader:
    """Somebody with two terminals: the server is in one of them, one at a time."""

    directory: Path
    environment: dict[str, str]
    socket: str
    last_status: int = 0
    url: str = ""
    server: subprocess.Popen[bytes] | None = None
    log: LogTail | None = field(default=None, repr=False)

    def do(self, step: Command | File) -> None:
        """Take one step, and see that it does what the document says."""
        if isinstance(step, File):
            (self.directory / step.name).write_text(step.text)
            return
        word, _, rest = step.text.partition(" ")
        if word in NOT_RUN or rest.startswith("~"):
            return
        if word == "cd":
            self.directory = (self.directory / rest).resolve(strict=True)
        elif word == "swhttp" and step.shown is None and "--check-config" not in rest:
            self.stop()
            self.start(step.text)
        elif step.text == "echo $?":
            assert step.shown == [str(self.last_status)]
        else:
            assert word in RUN, f"is {step.text!r} a command?"
            self.run(step)

    def start(self, command: str) -> None:
        """Have the server in place of the one before."""
        command = command.replace("0.0.0.0:8000", "127.0.0.1:0").replace("/tmp/hello.sock", self.socket)
        self.server = subprocess.Popen(
            ["sh", "-c", f"exec {command}"], cwd=self.directory, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert self.server.stderr is not None
        self.log = LogTail(self.server.stderr)
        self.url = self.log.wait_for(LISTENING, BOOT_TIMEOUT_S, count=max(1, command.count("--bind")))[0][1]

    def stop(self) -> None:
        """End the server, if there is one."""
        if self.server is not None:
            self.server.terminate()
            assert self.server.wait(STOP_TIMEOUT_S) == 0
            assert self.log is not None
            assert self.log.join(STOP_TIMEOUT_S)
            self.server = self.log = None

    def run(self, step: Command) -> None:
        """Type a command in the second terminal."""
        text = step.text.replace("http://127.0.0.1:8000", self.url).replace("/tmp/hello.sock", self.socket)
        text = re.sub(r"--limit-rate \w+ ", "", text)
        text = re.sub(r"\bcurl ", "LD_PRELOAD= curl ", text)  # `make asan` has one that it does not get beyond
        if text.startswith("kill"):
            assert self.log is not None
            assert self.server is not None
            pid = self.server.pid if "-USR1" in text else self.log.wait_for(WORKER, BOOT_TIMEOUT_S)[0][1]
            text = re.sub(r"\d+$", str(pid), text)
        finished = subprocess.run(
            ["bash", "-c", text], cwd=self.directory, env=self.environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=60, check=False)
        self.last_status = finished.returncode
        statuses = [int(status) for status in STATUS.findall(finished.stderr)]
        said = STATUS.sub("", finished.stdout + finished.stderr)
        assert bool(statuses) == ("curl " in text), said
        if step.shown is None:
            assert finished.returncode == 0, said
            assert all(status == 200 for status in statuses), said
        else:
            lines = [line.strip() for line in said.splitlines()]
            assert [line for line in step.shown if line not in lines and line and not line.startswith(VARIES)] == []


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """Somebody who has done what stands before the first section."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "swhttp").write_text(f'#!/bin/sh\nexec {sys.executable} -m swhttp "$@"\n')
    (programs / "swhttp").chmod(0o755)
    (tmp_path / ".curlrc").write_text('silent\nwrite-out = "%{stderr}<status %{http_code}>"\n')
    environment = os.environ | {
        "PATH": os.pathsep.join([str(programs), os.path.dirname(sys.executable), os.environ["PATH"]]),
        "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "CURL_HOME": str(tmp_path),
        "SWHTTP_BIND": "127.0.0.1:0"}
    home = tmp_path / "hello"
    home.mkdir()
    with tempfile.TemporaryDirectory(prefix="swt-") as short:  # a unix socket's path has 107 bytes
        somebody = Reader(home, environment, f"{short}/sock")
        yield somebody
        somebody.stop()


def test_the_tutorial_does_what_it_says(reader: Reader) -> None:
    for step in steps(TUTORIAL.read_text("utf-8")):
        try:
            reader.do(step)
        except Exception as error:
            raise AssertionError(f"at {step}: {error}") from error
