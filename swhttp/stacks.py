"""What a worker is doing: the manager asks for its stacks, waits a little, and hands over what has come.

It owns the file (a memfd) into which a worker writes them, and the questions that are open. It never blocks: a worker
that is stopped, or hangs in the kernel, writes nothing, and after STACKS_WAIT_S that is what is said.

    manager                                     worker                                  (swhttp.worker.stacks)
    SIGNAL ------------------------------------> faulthandler writes the stacks of all threads, whoever has the GIL
    `tasks` {token, reactor, request} ---------> ASGI: its event loop writes the stacks of its tasks, if it goes round
    reads the file every STACKS_POLL_S

A worker is only signalled when it still has the file: it runs foreign code, which may close any fd and use the number
for something else. It is asked only once it can serve, and so has registered for the signal; when it has taken that
back, it ignores it. While it has not answered it is asked nothing more: signals would queue up in one that is stopped,
and messages in front of a loop that is blocked. What it writes is not trusted: so much is read and no more, and what is
no printable ASCII is escaped.
"""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from swhttp import limits, procinfo
from swhttp.children import Child
from swhttp.logforms import escaped_lines, one_line

SIGNAL: Final = signal.SIGRTMIN + 1
"""Asks a worker for the stacks of its threads."""
MARK: Final = "\0"
"""Before and behind what the event loop writes: the token of the question, a newline, stacks."""
_STATES: Final = {"T": "it is stopped", "t": "it is being traced", "D": "it waits in the kernel, undisturbed",
                  "Z": "it is dead"}
_OURS: Final = f'  File "{os.path.join(os.path.dirname(os.path.abspath(__file__)), "worker", "main.py")}"'


class StacksFile:
    """The file that the workers in one slot share with the manager, which owns it. Raises OSError.

    It is made before anything is forked: a worker may be the child of a zygote.
    """

    def __init__(self) -> None:
        fd = os.memfd_create("swhttp-stacks", os.MFD_CLOEXEC)
        try:
            self.fd = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, limits.STACKS_FD)
            os.close(fd)
        except OSError:  # fewer fds are allowed
            self.fd = fd
        fcntl.fcntl(self.fd, fcntl.F_SETFL, os.O_APPEND)

    def clear(self) -> None:
        """Drop what is in it."""
        os.ftruncate(self.fd, 0)

    def size_bytes(self) -> int:
        """How much has been written."""
        return os.fstat(self.fd).st_size

    def read(self, token: int) -> tuple[str, bool]:
        """What has been written, and whether that is cut: then it is the beginning, and what answers the question of
        this token if it is near the end."""
        size_bytes = self.size_bytes()
        text = self._read(0)
        if size_bytes <= limits.MAX_STACKS_BYTES:
            return text, False
        end = self._read(max(limits.MAX_STACKS_BYTES, size_bytes - limits.MAX_STACKS_BYTES))
        begun = MARK * (text.count(MARK) % 2)  # what the cut goes through ends here
        _, mark, answer = end.rpartition(f"{MARK}{token}\n")
        return text + begun + mark + (answer.partition(MARK)[0] + MARK if mark else ""), True

    def _read(self, offset: int) -> str:
        return os.pread(self.fd, limits.MAX_STACKS_BYTES, offset).decode("latin-1")

    def is_open_in(self, pid: int) -> bool:
        """Whether the process has it, and under the same number. One that we may not look into is believed to."""
        try:
            return os.path.samestat(os.stat(f"/proc/{pid}/fd/{self.fd}"), os.fstat(self.fd))
        except PermissionError:
            return True
        except OSError:
            return False


@dataclass(frozen=True)
class Request:
    """A request that takes too long, as its reactor reports it. `text`: method, target, client and age; `others`: those
    for which it speaks."""

    text: str
    reactor: int = 0
    request: int = 0
    others: int = 0


@dataclass(eq=False)
class Subject:
    """A worker that may be asked. `interface`: "asgi" or "wsgi", once it is known."""

    slot: int
    child: Child
    file: StacksFile
    interface: str = ""
    asked_s: float = field(default=float("-inf"), init=False)
    unasked: int = field(default=0, init=False)
    """Slow requests since then for which no question was asked."""
    owes_threads: bool = field(default=False, init=False)
    """It was sent SIGNAL, and has not written anything since."""
    owes_tasks: int = field(default=0, init=False)
    """The token for which its event loop was asked and has not answered; 0: none."""

    def look(self) -> None:
        """Read what it owes no more."""
        self.owes_threads = self.owes_threads and not self.file.size_bytes()
        if self.owes_tasks and parse(self.file.read(self.owes_tasks)[0], self.owes_tasks)[1] is not None:
            self.owes_tasks = 0

    @property
    def name(self) -> str:
        """How the log calls it."""
        return f"slot {self.slot}, pid {self.child.pid}"


@dataclass(eq=False)
class _Question:
    subject: Subject
    what: str
    request: Request
    token: int
    asked_s: float
    refused: str = ""
    tasks_asked: bool = False
    size_bytes: int = 0
    grown_s: float = 0.0


class Stacks:
    """The questions that are open. `write`: gets a headline and what is to be said below it."""

    def __init__(self, write: Callable[[str, str], None]) -> None:
        self._write = write
        self._open: list[_Question] = []
        self._token = 0
        self._look_s = float("inf")

    def slow(self, subject: Subject, request: Request, now_s: float) -> None:
        """A request is slow there: ask what the worker does, unless it was asked a moment ago.

        Each reactor keeps to STACKS_EVERY_S by its own clock. So one that reports in time is never put off here.
        """
        is_open = any(question.subject is subject for question in self._open)
        if is_open or now_s - subject.asked_s < limits.STACKS_EVERY_S / 2:
            subject.unasked += 1 + request.others
        else:
            self._ask(subject, "Slow request", request, now_s)

    def stuck(self, subject: Subject, request: Request, now_s: float) -> None:
        """One has been given up there: ask, whatever was asked before."""
        for question in self._open:
            if question.subject is subject:
                self._answer(question, now_s)
        self._ask(subject, "Request timed out", request, now_s)

    def gone(self, subject: Subject, now_s: float) -> None:
        """The worker is dead: what it has written is all."""
        for question in self._open:
            if question.subject is subject:
                self._answer(question, now_s)

    def tick(self, now_s: float) -> None:
        """Time has passed: look who has answered."""
        if now_s < self._look_s:
            return
        for question in self._open:
            size_bytes = question.subject.file.size_bytes()
            if size_bytes != question.size_bytes:
                question.size_bytes, question.grown_s = size_bytes, now_s
                self._ask_tasks(question)  # if the loop has answered an earlier question only now
            if question.refused or now_s - question.asked_s >= limits.STACKS_WAIT_S or (
                    size_bytes and now_s - question.grown_s >= limits.STACKS_QUIET_S and _is_whole(question)):
                self._answer(question, now_s)
        self._plan(now_s)

    def next_tick_s(self) -> float:
        """When `tick` has something to do next; infinity: only after another question."""
        return self._look_s

    def _plan(self, now_s: float) -> None:
        self._look_s = now_s + limits.STACKS_POLL_S if self._open else float("inf")

    def _ask(self, subject: Subject, what: str, request: Request, now_s: float) -> None:
        subject.asked_s = now_s
        self._token += 1
        question = _Question(subject, what, request, self._token, now_s, grown_s=now_s)
        self._open = [*self._open, question]
        self._plan(now_s)
        try:
            subject.look()
            subject.file.clear()
            if not subject.file.is_open_in(subject.child.pid):
                question.refused = "No stacks: the application has closed their file"
                return
            if not subject.owes_threads:
                subject.child.kill(SIGNAL)
                subject.owes_threads = True
        except OSError as error:
            question.refused = f"No stacks: {error.strerror}"
            return
        self._ask_tasks(question)

    @staticmethod
    def _ask_tasks(question: _Question) -> None:
        subject, request = question.subject, question.request
        if subject.interface != "asgi" or question.tasks_asked or question.refused:
            return
        subject.look()
        if not subject.owes_tasks:
            question.tasks_asked = True
            subject.owes_tasks = question.token
            subject.child.send(
                "tasks", token=question.token, reactor=request.reactor, request=request.request)

    def _answer(self, question: _Question, now_s: float) -> None:
        self._open = [other for other in self._open if other is not question]
        subject, request = question.subject, question.request
        others = request.others + subject.unasked
        subject.unasked = 0
        more = f" (and {others} more)" if others else ""
        headline = f"{question.what}: {request.text}{more}; worker {subject.name}"
        body = question.refused
        if not body:
            text, is_cut = subject.file.read(question.token)
            threads, tasks = parse(text, question.token)
            body = told(threads, tasks, subject.interface == "asgi", now_s - question.asked_s,
                        procinfo.state(subject.child.pid), is_cut)
        self._write(one_line(headline), printable(body))


def _is_whole(question: _Question) -> bool:
    if question.subject.interface != "asgi":
        return True
    return parse(question.subject.file.read(question.token)[0], question.token)[1] is not None


def parse(text: str, token: int) -> tuple[str, str | None]:
    """The stacks of the threads, and those of the tasks, None when they are not there or those of another question."""
    parts = text.split(MARK)
    tasks = None
    for block in parts[1::2] if len(parts) % 2 else parts[1:-1:2]:  # the last one may not be whole
        head, _, stacks = block.partition("\n")
        if head == str(token):
            tasks = stacks
    return "".join(parts[0::2]), tasks


def printable(text: str) -> str:
    """ASCII without control characters, but for the ends of lines."""
    return escaped_lines(text.encode("ascii", "backslashreplace").decode())


def told(threads: str, tasks: str | None, is_asgi: bool, waited_s: float, state: str, is_cut: bool = False) -> str:
    """What is said of a worker. `tasks`: None when the loop has not answered; `state`: of its process, for /proc;
    `is_cut`: it has written more than is read."""
    parts = [_without_ours(threads)]
    if is_cut:
        parts.append(f"... cut at {limits.MAX_STACKS_BYTES // 1024} KiB")
    if not threads:
        why = f": {_STATES[state]}" if state in _STATES else ""
        parts = [f"No stacks: the worker has written nothing in {waited_s:.1f} s{why}"]
    elif tasks is not None:
        parts.append(tasks)
    elif is_asgi and not is_cut:  # else they may be there
        parts.append(f"No stacks of tasks: the event loop has not gone round in {waited_s:.1f} s: it is blocked")
    return "\n".join(part.strip("\n") for part in parts)


def _without_ours(threads: str) -> str:
    """Without what stands below the worker's beginning in each stack: it is the same in all of them."""
    lines: list[str] = []
    ours = False
    for line in threads.split("\n"):
        if not line.startswith("  "):
            ours = False
        elif not ours and line.startswith(_OURS):
            ours = True
            if not lines[-1:] or not lines[-1].startswith("  "):
                lines.append("  not in the application")
        if not ours:
            lines.append(line)
    return "\n".join(lines)
