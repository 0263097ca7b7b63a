"""How much memory the processes of a server have, and how much more they ever had while something went on.

The figure is the proportional set size (Pss in /proc/PID/smaps_rollup): private pages, and of each page that several
processes have mapped an equal share. Rss would count every block of shared memory that is in use once for the master
and once more for the worker; the page cache, where files of ours without a name are, is in neither.
"""

from __future__ import annotations

import os
import threading
from types import TracebackType

from tests.support import processes
from tests.support.server import Server

SAMPLE_INTERVAL_S = 0.05
MEBIBYTE = 1 << 20
# What is freed stays with the sanitizer for a while, and everything has more around it.
SANITIZER_BYTES = 128 * MEBIBYTE if "SANITIZER_REPORTS" in os.environ else 0


def pss_bytes(pid: int) -> int:
    """Proportional set size of a process; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0


def mapped_bytes(pid: int, name: str) -> int:
    """What the process has in memory of the mappings with `name` in theirs."""
    total, counts = 0, False
    with open(f"/proc/{pid}/smaps", encoding="utf-8") as file:
        for line in file:
            key, *values = line.split()
            if not key.endswith(":"):
                counts = name in line
            elif counts and key == "Pss:":
                total += int(values[0]) * 1024
    return total


def private_bytes(pid: int) -> int:
    """Memory of a process that is no file's, and shared with nobody."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("Anonymous:"))


def all_pss_bytes(site: Server) -> dict[str, int]:
    """Of every process of a server, by what it is."""
    found = {"master": pss_bytes(site.pid), "manager": pss_bytes(site.manager())}
    found.update({f"worker {pid}": pss_bytes(pid) for pid in site.workers()})
    return found


class Growth:
    """Watches a server's memory from a thread, against what it has when this is made.

    `most_bytes`: by how much each process was ever above that.
    """

    def __init__(self, site: Server) -> None:
        self._site = site
        self._idle = all_pss_bytes(site)
        self._pids = {"master": site.pid, "manager": site.manager()}
        self._pids.update({f"worker {pid}": pid for pid in site.workers()})
        self.most_bytes = dict.fromkeys(self._pids, 0)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_INTERVAL_S):
            self.sample()

    def sample(self) -> None:
        """Look once."""
        for name, pid in self._pids.items():
            self.most_bytes[name] = max(self.most_bytes[name], pss_bytes(pid) - self._idle[name])

    def within(self, limit_bytes: int) -> None:
        """AssertionError when any process was ever further above its first figure (but for what a sanitizer keeps)."""
        limit_bytes += SANITIZER_BYTES
        grown = {name: f"{most / MEBIBYTE:.1f} MiB" for name, most in self.most_bytes.items()}
        assert max(self.most_bytes.values()) <= limit_bytes, f"memory has grown by {grown}"
        alive = {pid for pid in self._pids.values() if processes.read_process(pid) is not None}
        assert alive == set(self._pids.values()), "a process was replaced"

    def __enter__(self) -> Growth:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self.sample()
