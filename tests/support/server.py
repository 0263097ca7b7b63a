"""Starts one swhttp server for a test, and proves after it that nothing of it is left.

Owns the server's process, its scratch directory (with a TMPDIR of its own and a short path, because unix
socket paths end at 107 bytes) and every client connection made through `connect()`. Readiness, death and exit
are events: a line in the log, a pidfd, the end of a pipe.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

from swhttp import limits
from swhttp.ipc import scoreboard
from tests.support import processes
from tests.support.client import Connection
from tests.support.gate import Gate
from tests.support.logtail import LogTail

TESTS = Path(__file__).resolve().parent.parent
APPS = TESTS / "apps"
BOOT_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 15.0
# How long an orphan may outlive a master or manager that was killed: the kernel signals it at once, but it
# must be run.
ORPHAN_TIMEOUT_S = 5.0
# The longest that anything of a server may outlive its killed master or manager: promised, not measured.
SURVIVAL_S = 2.0
# Exit statuses, as the command line documents them; written out, because scripts of users rely on the
# numbers.
EXIT_BOOT_FAILED = 3
EXIT_CANNOT_BIND = 4
EXIT_MANAGER_DIED = 5
EXIT_APP_MISSING = 7
EXIT_FILE = 10
# Files in /dev/shm that are Python's semaphores: not ours, which has no names there, but anybody's on the machine.
MULTIPROCESSING = "sem.mp-"
LISTENING = r"\[INFO\] Listening at: (\S+) \((\d+)\)"
TCP_ADDRESS = re.compile(r"https?://(\[[0-9a-fA-F:]+\]|[^:/]+):(\d+)")


class Server:
    """`python -m swhttp APP --bind ... OPTIONS` in a scratch directory; ready when the constructor returns.

    app: import string, found in tests/apps unless an `--app-dir` option is given; empty: an option names it.
    binds: `--bind` values; {dir} stands for the scratch directory. Default: a free port on 127.0.0.1.
    heir_of: a server that this one takes over; it has its binds, and its options but what is given.
    ready: False starts without waiting for the log line (boots that fail or block). stdout: an fd for its stdout.
    via: a command that executes the server's, which is added to it. owner: the user to whom its directories belong.
    module: with the command, instead of swhttp; None: what the variable SWHTTP_TESTS_MODULE names.
    tls: how those who `connect` speak that.
    """

    def __init__(
        self,
        app: str,
        *options: str,
        binds: tuple[str, ...] = ("127.0.0.1:0",),
        env: dict[str, str] | None = None,
        pass_fds: tuple[int, ...] = (),
        ready: bool = True,
        stdout: int | None = None,
        heir_of: Server | None = None,
        via: tuple[str, ...] = (),
        owner: int | None = None,
        module: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.tls = tls
        self.marker = uuid.uuid4().hex
        self.directory = tempfile.mkdtemp(prefix="swt-")
        self.scratch = os.path.join(self.directory, "tmp")
        self.seen_path = os.path.join(self.directory, "seen")
        os.mkdir(self.scratch)
        if owner is not None:
            os.chown(self.directory, owner, -1)
            os.chown(self.scratch, owner, -1)
        self.binds = [bind.format(dir=self.directory) for bind in binds]
        self._preloads = "--preload" in options
        self.connections: list[Connection] = []
        self.addresses: list[str] = []
        self._gates: list[str] = []
        self.exit_status: int | None = None
        self._shm_before = set(os.listdir("/dev/shm"))
        self._expected_log: list[str] = []
        self._heir = heir_of is not None
        self._checked_lines = 0
        self._seen: list[tuple[str, str]] = []  # as far as it has been read
        self._seen_bytes = 0
        self._baseline: dict[str, Any] = {}

        command = [*via, sys.executable, "-m", module or os.environ.get("SWHTTP_TESTS_MODULE", "swhttp")]
        if heir_of is not None:
            self.binds = heir_of.binds
            command += ["takeover", "--control", os.path.join(heir_of.directory, "control")]
        command += [app] if app else []
        if "--app-dir" not in options and (app or heir_of is None):
            command += ["--app-dir", str(APPS)]
        if heir_of is None or app:
            for bind in self.binds:
                command += ["--bind", bind]
        command += [option.replace("{dir}", self.directory) for option in options]
        environment = os.environ | {
            processes.MARKER: self.marker,
            "TMPDIR": self.scratch,
            "SEEN_PATH": self.seen_path,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(TESTS.parent), os.environ.get("PYTHONPATH")])),
            "PYTHONDONTWRITEBYTECODE": "1",
            **(env or {}),
        }
        self._process = subprocess.Popen(
            command,
            cwd=self.directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            pass_fds=pass_fds,
            process_group=0,  # so that a test can do what a terminal does on Ctrl-C
        )
        self.pid = self._process.pid
        assert self._process.stderr is not None
        self.log = LogTail(self._process.stderr)
        if ready:
            try:
                self.wait_ready()
            except BaseException:
                self.abandon()
                raise

    # Talking to it

    def wait_ready(self, log_file: Path | None = None, listening: str = LISTENING) -> None:
        """Wait for one "Listening at" line per bind, then remember the figures to which it must return.

        log_file: where the log is, if not on stderr; listening: what the line looks like there.
        """
        if log_file is None:
            matches = self.log.wait_for(listening, BOOT_TIMEOUT_S, count=len(self.binds))
        else:
            matches = wait_for_lines(log_file, listening, len(self.binds), BOOT_TIMEOUT_S)
        self.addresses = [match[1] for match in matches]
        assert {int(match[2]) for match in matches} == {self.pid}
        if self._heir:
            self.wait_for_log(r"Took over from pid \d+")
        self._baseline = self._figures()

    def remember(self) -> None:
        """Take its figures anew, for what it had at first was not idle."""
        processes.wait_until(lambda: self._figures()["open"] == 0, "clients to leave")
        self._baseline = self._figures()

    @property
    def port(self) -> int:
        """Port of the first TCP bind."""
        return self.tcp_addresses()[0][1]

    def tcp_addresses(self) -> list[tuple[str, int]]:
        """(host, port) of every TCP bind."""
        found = (TCP_ADDRESS.fullmatch(address) for address in self.addresses)
        return [(match[1].strip("[]"), int(match[2])) for match in found if match]

    def connect(
        self,
        source: str | None = None,
        address: tuple[str, int] | str | None = None,
        buffer_bytes: int = 0,
    ) -> Connection:
        """A connection to the first bind, or to `address` (str: unix path), closed after the test."""
        target: tuple[str, int] | str
        if address is not None:
            target = address
        elif self.tcp_addresses():
            target = self.tcp_addresses()[0]
        else:
            target = self.addresses[0].removeprefix("unix:")
        connection = Connection(target, source, buffer_bytes, self.tls)
        self.connections.append(connection)
        return connection

    def get(self, target: str = "/", **headers: str) -> Any:
        """One GET on a connection of its own; the answer's JSON, after checking that it is a 200."""
        with self.connect() as connection:
            response = connection.get(target, **headers)
            assert response.status == 200, response
            return response.json()

    def gate(self, name: str = "gate") -> Gate:
        """A gate in this server's directory for requests of the reference app to wait at."""
        gate = Gate(self.directory, name)
        self._gates.append(gate.path)
        return gate

    def notes(self) -> list[str]:
        """Lines that an app of its own has left at SEEN_PATH."""
        seen = Path(self.seen_path)
        return seen.read_text(encoding="utf-8").splitlines() if seen.exists() else []

    def seen(self) -> list[str]:
        """Targets of all requests that reached the reference app so far, in order (lifespans.py: notes)."""
        return [target for _, target in self.seen_requests()]

    def seen_requests(self) -> list[tuple[str, str]]:
        """(method, target) of all requests that reached the reference app so far, in order."""
        try:
            with open(self.seen_path, "rb") as file:
                file.seek(self._seen_bytes)
                # Not splitlines(): a target may hold bytes that it takes for line ends.
                lines, _, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return []
        if lines:
            self._seen_bytes += len(lines) + 1
            pairs = (line.rpartition(" ") for line in lines.decode("latin-1").split("\n"))
            self._seen += [(method, target) for method, _, target in pairs]
        return self._seen.copy()

    def wait_for_log(
        self, pattern: str, timeout_s: float = 10.0, since: int = 0, count: int = 1
    ) -> list[re.Match[str]]:
        """Wait for log lines, see LogTail.wait_for."""
        return self.log.wait_for(pattern, timeout_s, since, count)

    def expect_log(self, pattern: str) -> None:
        """Declare that lines that match may stand in the log although they look like an alarm."""
        self._expected_log.append(pattern)

    # Its processes

    def manager(self) -> int:
        """Pid of the master's only child."""
        children = [p for p in processes.children_of(self.pid) if p.state != "Z"]
        assert len(children) == 1, f"the master has the children {children}"
        return children[0].pid

    def zygotes(self) -> list[int]:
        """Pids of the live processes that fork the workers (--preload)."""
        assert self._preloads
        return [p.pid for p in processes.children_of(self.manager()) if p.state != "Z"]

    def workers(self) -> list[int]:
        """Pids of the live workers."""
        parents = self.zygotes() if self._preloads else [self.manager()]
        return [p.pid for parent in parents for p in processes.children_of(parent) if p.state != "Z"]

    def wait_for_workers(self, count: int, other_than: set[int] | None = None) -> list[int]:
        """Wait until `count` workers that are not in `other_than` have booted; their pids."""
        avoided = other_than or set()
        processes.wait_until(lambda: len(set(self.workers()) - avoided) == count, f"{count} new workers")
        pids = sorted(set(self.workers()) - avoided)
        for pid in pids:
            self.wait_for_log(rf"Worker booted: slot \d+, generation \d+, pid {pid}\b")
        return pids

    def kill(self, signum: int, pid: int | None = None) -> None:
        """Send a signal to the master, or to one of its processes."""
        os.kill(self.pid if pid is None else pid, signum)

    def counters(self) -> Any:
        """The scoreboard: `.reactors` and `.slots` are lists of dicts, counter name to int."""
        return scoreboard.attach(self.pid)

    # Ending it

    def wait_exit(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Wait for the master's end; its exit status (negative: signal)."""
        if self.exit_status is None:
            try:
                self.exit_status = self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                raise AssertionError(
                    f"still running after {timeout_s} s; the log:\n{self.log.text()}"
                ) from None
        return self.exit_status

    def stop(self, signum: int = signal.SIGTERM, expect: int = 0) -> None:
        """Signal the master, wait for its end, and check its exit status and that nothing is left."""
        if self.exit_status is None:
            self.kill(signum)
        self.finish(expect)

    def finish(self, expect: int = 0, killed: bool = False, left_behind: tuple[str, ...] = ()) -> None:
        """Wait for the end that a test has brought about and check that nothing is left.

        expect: exit status of the master. killed: master or manager were killed, so their children may need a
        moment longer than the master. left_behind: names in the directory that a SIGKILL makes unavoidable (a
        unix socket).
        """
        try:
            status = self.wait_exit()
            self._check_no_process(SURVIVAL_S if killed else 0.0)
            assert status == expect, f"exit status {status} instead of {expect}; the log:\n{self.log.text()}"
            assert self.log.join(ORPHAN_TIMEOUT_S), "somebody still holds the server's stderr"
            self._check_log()
            self._check_files(left_behind)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Kill and remove everything unchecked: the last resort after a failure, harmless after an end."""
        for connection in self.connections:
            connection.close()
        pids = [p.pid for p in processes.marked_with(self.marker)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.exit_status is None:
            self.exit_status = self._process.wait(STOP_TIMEOUT_S)
        processes.wait_gone(pids, ORPHAN_TIMEOUT_S)
        processes.reap_adopted()
        self.log.join(ORPHAN_TIMEOUT_S)
        shutil.rmtree(self.directory, ignore_errors=True)

    # Proving that nothing is left

    def settle(self) -> None:
        """Close our connections, then check that a running server is back at its first figures."""
        for connection in self.connections:
            connection.close()
        self.connections.clear()
        if self.exit_status is not None:
            return
        assert self._process.poll() is None, f"the server ended by itself; the log:\n{self.log.text()}"
        last: dict[str, Any] = {}

        def back() -> bool:
            last.update(self._figures())
            return last == self._baseline

        try:
            processes.wait_until(back, "the server to return to its first figures")
        except AssertionError as error:
            raise AssertionError(
                f"{error}\nfirst: {self._baseline}\nnow:   {last}\n{self._fd_listing()}"
            ) from None
        self._check_log()
        self._expected_log.clear()  # declared for one test of the module
        assert os.listdir(self.scratch) == [], "temp files left"

    def _spare_files(self, reactors: int) -> int:
        """How many empty files are kept for slow clients: no more than may be."""
        return min(len(processes.nameless_files(self.pid, empty=True)), limits.SPARE_FILES * reactors)

    def _figures(self) -> dict[str, Any]:
        """Processes, open fds, the reactors' gauges. Workers are interchangeable: theirs are sorted."""
        children = [p.pid for p in processes.children_of(self.pid)]
        workers = [p for child in children for p in processes.children_of(child)]
        if self._preloads:
            workers = [p for zygote in workers for p in processes.children_of(zygote.pid)]
        reactors = self.counters().reactors
        return {
            "master's children": len(children),
            "worker states": Counter("zombie" if p.state == "Z" else "alive" for p in workers),
            "descendants": len(processes.descendants_of(self.pid)),
            "master fds": len(processes.fds_of(self.pid)) - self._spare_files(len(reactors)),
            "manager fds": [len(processes.fds_of(child)) for child in children],
            "worker fds": sorted(len(processes.fds_of(p.pid)) for p in workers),
            **{
                name: sum(reactor[name] for reactor in reactors)
                for name in ("open", "in_flight", "blocks", "waiting", "arena_held", "files")
            },
        }

    def _fd_listing(self) -> str:
        pids = [self.pid] + [p.pid for p in processes.descendants_of(self.pid)]
        return "\n".join(f"{pid}: {processes.fds_of(pid)}" for pid in pids)

    def _check_log(self) -> None:
        self.log.catch_up()
        alarms = self.log.alarms(self._checked_lines, self._expected_log)
        shown = self.log.text(self._checked_lines)
        self._checked_lines = self.log.mark()
        assert not alarms, "alarms in the log:\n" + "\n".join(alarms) + "\n--- the log:\n" + shown

    def _check_no_process(self, timeout_s: float) -> None:
        pids = [p.pid for p in processes.marked_with(self.marker)]
        alive = processes.wait_gone(pids, timeout_s)
        processes.reap_adopted()
        assert not alive, f"processes left: {[processes.read_process(pid) for pid in alive]}"

    def _check_files(self, left_behind: tuple[str, ...]) -> None:
        assert os.listdir(self.scratch) == [], "temp files left"
        sockets = []
        for directory, _, names in os.walk(self.directory):
            for name in names:
                path = os.path.join(directory, name)
                ours = path in self._gates or name in left_behind
                if stat.S_ISSOCK(os.stat(path).st_mode) and not ours:
                    sockets.append(path)
        assert sockets == [], "unix sockets left"
        left = set(os.listdir("/dev/shm")) - self._shm_before
        assert [name for name in left if not name.startswith(MULTIPROCESSING)] == [], "shared memory files left"


def wait_for_lines(path: Path, pattern: str, count: int = 1, timeout_s: float = 10.0) -> list[re.Match[str]]:
    """Wait for `count` lines of the file that match; their matches, or AssertionError with what is in it."""
    found: list[re.Match[str]] = []

    def there() -> bool:
        text = path.read_text("utf-8") if path.exists() else ""
        found[:] = [match for line in text.split("\n") if (match := re.search(pattern, line))]
        return len(found) >= count

    try:
        processes.wait_until(there, f"{count} x {pattern!r} in {path.name}", timeout_s)
    except AssertionError as error:
        raise AssertionError(f"{error}:\n{path.read_text('utf-8') if path.exists() else 'no file'}") from None
    return found


def free_listening_socket() -> socket.socket:
    """A TCP socket on 127.0.0.1 that listens on a free port."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    return listener
