"""Reads /proc: who is whose child, who is a zombie, who carries a marker, which fds somebody holds.

Owns no process. The test process is made a *subreaper*, so a process that a killed server abandons becomes
our child instead of init's and cannot slip away; a marker variable in the server's environment finds it even
if it called setsid. Every wait here is on a pidfd or on a condition with a deadline, and a missed deadline is
an AssertionError.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
MARKER = "SWHTTP_TEST_MARKER"
POLL_INTERVAL_S = 0.004


@dataclass(frozen=True)
class Process:
    """One line of /proc: pid, parent, one-letter state ("Z" is a zombie) and command name."""

    pid: int
    parent: int
    state: str
    name: str


def become_subreaper() -> None:
    """Have orphaned descendants reparented to this process (prctl(2), PR_SET_CHILD_SUBREAPER)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def read_process(pid: int) -> Process | None:
    """The process with this pid, or None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command name may hold spaces and parentheses: the fields start after the last one.
    name = text[text.index("(") + 1 : text.rindex(")")]
    state, parent = text[text.rindex(")") + 2 :].split()[:2]
    return Process(pid, int(parent), state, name)


def children_of(pid: int) -> list[Process]:
    """Direct children, zombies included, by pid."""
    found = (read_process(child) for child in sorted(_child_pids(pid)))
    return [process for process in found if process is not None]


def descendants_of(pid: int) -> list[Process]:
    """Children, their children and so on, zombies included."""
    found: list[Process] = []
    queue = [pid]
    while queue:
        for process in children_of(queue.pop()):
            found.append(process)
            queue.append(process.pid)
    return found


def _child_pids(pid: int) -> set[int]:
    """The kernel's own list, for to look at all of /proc many times in each test took half of some modules' time.

    A child that is reaped while its siblings are listed may hide one of them (proc(5)), and a thread that ends hands
    its children to another: only two lists in a row that agree are believed.
    """
    before: set[int] | None = None
    while True:
        now: set[int] = set()
        try:
            tasks = os.listdir(f"/proc/{pid}/task")
        except FileNotFoundError:
            return now
        for task in tasks:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                now.update(map(int, Path(f"/proc/{pid}/task/{task}/children").read_bytes().split()))
        if now == before:
            return now
        before = now


def marked_with(marker: str) -> list[Process]:
    """Live processes whose environment was started with MARKER=marker, wherever they were reparented to."""
    wanted = f"{MARKER}={marker}".encode()
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                environment = file.read()
        except OSError:
            continue
        if wanted in environment.split(b"\0"):
            process = read_process(int(entry))
            if process is not None and process.state != "Z":
                found.append(process)
    return found


def fds_of(pid: int | str) -> dict[int, str]:
    """Open file descriptors of a process, number to what it points at; empty when the process is gone."""
    directory = f"/proc/{pid}/fd"
    found: dict[int, str] = {}
    try:
        entries = os.listdir(directory)
    except (FileNotFoundError, ProcessLookupError):
        return found
    for entry in entries:
        try:
            found[int(entry)] = os.readlink(f"{directory}/{entry}")
        except OSError:
            continue  # the descriptor that listed this directory, or one closed meanwhile
    return found


def nameless_files(pid: int, empty: bool = False) -> dict[int, str]:
    """Open temporary files of a process that never had a name, but its output; `empty`: those in which nothing is."""
    return {fd: path for fd, path in fds_of(pid).items()
            if fd > 2 and "/#" in path and not (empty and os.stat(f"/proc/{pid}/fd/{fd}").st_size)}


def wait_gone(pids: Iterable[int], timeout_s: float) -> list[int]:
    """Wait until these processes have ended (zombies have); returns those still alive at the deadline."""
    poller = select.poll()
    pidfds: dict[int, int] = {}
    try:
        for pid in pids:
            try:
                fd = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            pidfds[fd] = pid
            poller.register(fd, select.POLLIN)
        alive = dict(pidfds)
        deadline = time.monotonic() + timeout_s
        while alive:
            left_ms = int((deadline - time.monotonic()) * 1000)
            if left_ms <= 0:
                break
            for fd, _ in poller.poll(left_ms):
                poller.unregister(fd)
                del alive[fd]
        return sorted(alive.values())
    finally:
        for fd in pidfds:
            os.close(fd)


def reap_adopted() -> list[int]:
    """Do init's duty for orphans that ended and were reparented to us; returns their pids."""
    reaped = []
    for process in children_of(os.getpid()):
        if process.state == "Z":
            try:
                os.waitpid(process.pid, os.WNOHANG)
            except ChildProcessError:
                continue
            reaped.append(process.pid)
    return reaped


def wait_until_stopped(pid: int) -> None:
    """Wait until a process that was sent SIGSTOP stands still."""
    wait_until(lambda: (process := read_process(pid)) is not None and process.state == "T", f"{pid} to stop")


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 10.0) -> None:
    """Wait for what has no event of its own (a count in /proc); AssertionError names it at the deadline."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}"
        time.sleep(POLL_INTERVAL_S)
