"""What the kernel says of a process, in /proc."""

from __future__ import annotations

import contextlib
import os


def rss_anon_bytes(pid: int) -> int:
    """Memory that is the process's own and in RAM (RssAnon; proc_pid_status(5)); 0 when there is no such process.

    What it shares with the others, files and shared memory, is not the application's and does not count.
    """
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            for line in file:
                if line.startswith(b"RssAnon:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def uptime_s(pid: int, booted_s: float) -> float | None:
    """How old a process is; None when there is none. `booted_s`: CLOCK_BOOTTIME now."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        ticks = int(fields[19])  # the 22nd field of proc_pid_stat(5): the name before may hold spaces and parentheses
    except (OSError, IndexError):
        return None
    return max(0.0, round(booted_s - ticks / os.sysconf("SC_CLK_TCK"), 3))


def state(pid: int) -> str:
    """The letter for what the process does (proc_pid_stat(5)): T when it is stopped; "" when there is none."""
    with contextlib.suppress(OSError, IndexError), open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[0].decode()
    return ""
