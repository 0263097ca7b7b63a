"""What the kernel says of a process, in /proc."""

from __future__ import annotations


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
