"""CPU time and memory of a server's whole process tree, read from outside.

CPU comes from each process's own CPU clock (`clock_gettime` on the clock of another pid,
clock_getcpuclockid(3)): nanoseconds, up to date, and with the threads that have ended; /proc/PID/stat would
count in ticks of 10 ms. Children that ended and were reaped are in their parent's cutime and cstime, so the
sum over the tree never goes backwards. What the kernel does in soft interrupts on loopback runs in, and is
charged to, whoever sent.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

CPUCLOCK_SCHED = 2  # linux/posix-timers_types.h: the clock of scheduled run time
NS_PER_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Stat:
    """The fields of /proc/PID/stat (proc(5)) that the harness needs; times in clock ticks."""

    pid: int
    state: str
    parent: int
    session: int
    reaped_ticks: int
    start_ticks: int


def parse_stat(text: str) -> Stat:
    """Parse one /proc/PID/stat; the command name in it may hold blanks and parentheses."""
    head, _, tail = text.rpartition(")")
    fields = tail.split()
    return Stat(
        pid=int(head.split(" ", 1)[0]),
        state=fields[0],
        parent=int(fields[1]),
        session=int(fields[3]),
        reaped_ticks=int(fields[13]) + int(fields[14]),
        start_ticks=int(fields[19]),
    )


def read_stat(pid: int) -> Stat | None:
    """Return the process's Stat, None when it is gone."""
    try:
        return parse_stat(Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace"))
    except (FileNotFoundError, ProcessLookupError):
        return None


def closure(root: int, stats: Iterable[Stat]) -> list[Stat]:
    """Return root, its descendants and whoever else is in its session (orphans of a dead parent are)."""
    members: dict[int, Stat] = {}
    rest = list(stats)
    while True:
        more = [s for s in rest if s.pid == root or s.session == root or s.parent in members]
        if not more:
            return list(members.values())
        members.update((s.pid, s) for s in more)
        rest = [s for s in rest if s.pid not in members]


def tree(root: int) -> list[Stat]:
    """Return the live tree of `root`, which must lead its own session."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    return closure(root, [s for s in map(read_stat, pids) if s is not None])


def cpu_ns(members: Iterable[Stat]) -> int:
    """Return the CPU time, in ns, that these processes and their reaped children have used so far."""
    total = 0
    for member in members:
        with suppress(OSError):  # gone since the listing: its parent's cutime has it
            total += time.clock_gettime_ns((~member.pid << 3) | CPUCLOCK_SCHED)
        total += member.reaped_ticks * NS_PER_TICK
    return total


def pss_kib(members: Iterable[Stat]) -> int:
    """Return the proportional set size of these processes in KiB: shared pages count once for all of them."""
    total = 0
    for member in members:
        try:
            text = Path(f"/proc/{member.pid}/smaps_rollup").read_text(encoding="ascii")
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total
