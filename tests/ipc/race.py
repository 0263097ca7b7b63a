"""Runs both ends of the shared memory in processes of their own, under a watchdog that looks for progress.

The drivers (`swhttp.ipc.stress`) block for ever when a wake-up is lost. So the watchdog does not ask how long a run
takes, only whether any counter on the scoreboard still moves; when none has for `STALL_S`, the test fails with the
state of both sides. Every process is reaped before `race` returns.
"""

from __future__ import annotations

import mmap
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from swhttp.ipc.memory import SharedMemory
from swhttp.ipc.ring import FrameReader, Sleeper
from swhttp.ipc.stress import run_reactor, run_worker

STALL_S = 10.0
TIMES = int(os.environ.get("SWHTTP_RACE_TIMES", "1"))
FAULT_STATUS = 1


@dataclass
class Race:
    """One run: `total` requests of each reactor, shared out among `workers`."""

    memory: SharedMemory
    total: int
    outstanding: int
    workers: int = 1
    reactors: int = 1
    jitter: int = 0
    frames: int = 1
    high: int = 0
    hold: int = 0
    quiet: bool = False
    revoke_of_16: int = 0
    taken: list[bytes] = field(default_factory=list)
    revoked: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.total *= TIMES

    def run(self) -> None:
        """Raises AssertionError for a fault of either side, and for a run that stands still."""
        counts = [mmap.mmap(-1, max(self.total, 1)) for _ in range(self.workers + self.reactors)]
        try:
            self._run(counts)
            self.taken = [bytes(each) for each in counts[: self.workers]]
            self.revoked = [bytes(each) for each in counts[self.workers :]]
        finally:
            for each in counts:
                each.close()

    def sides(self, counts: list[mmap.mmap]) -> dict[str, Callable[[], str]]:
        """What runs in processes of their own, by name: each returns a fault in words, or ''."""
        sides: dict[str, Callable[[], str]] = {}
        for slot in range(self.workers):
            sides[f"worker {slot}"] = partial(
                run_worker, self.memory, slot, self.reactors, counts[slot], jitter=self.jitter,
                frames=self.frames, high=self.high, hold=self.hold, quiet=self.quiet, seed=100 + slot,
            )  # fmt: skip
        for reactor in range(self.reactors):
            sides[f"reactor {reactor}"] = partial(
                run_reactor, self.memory, reactor, self.workers, self.total, self.outstanding,
                counts[self.workers + reactor], jitter=self.jitter, frames=self.frames, high=self.high,
                revoke_of_16=self.revoke_of_16, seed=200 + reactor,
            )  # fmt: skip
        return sides

    def _run(self, counts: list[mmap.mmap]) -> None:
        sides = self.sides(counts)
        # The kernel would put two that wake each other on one CPU, where no race is ever met.
        cpus = sorted(os.sched_getaffinity(0))
        pids = {fork(side, cpus[name.startswith("reactor") % len(cpus)]): name for name, side in sides.items()}
        try:
            faults = self._watch(pids)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        assert not faults, f"{faults}\n{self.state()}"

    def _watch(self, pids: dict[int, str]) -> list[str]:
        """Wait until all have ended; the names of those that ended wrongly, and what stands still."""
        poll = select.poll()
        ends = {os.pidfd_open(pid): pid for pid in pids}
        faults: list[str] = []
        for end in ends:
            poll.register(end, select.POLLIN)
        try:
            running, before = len(ends), self.counters()
            while running:
                ready = poll.poll(STALL_S * 1000)
                for end, _ in ready:
                    poll.unregister(end)
                    running -= 1
                    status = os.waitid(os.P_PIDFD, end, os.WEXITED | os.WNOWAIT)
                    if status is None or status.si_status != 0:
                        faults.append(f"{pids[ends[end]]} ended with a fault (see stderr)")
                if not ready:
                    now = self.counters()
                    if now == before:
                        return [*faults, f"nothing has moved for {STALL_S:.0f} s: a wake-up was lost"]
                    before = now
        finally:
            for end in ends:
                os.close(end)
        return faults

    def counters(self) -> list[dict[str, int]]:
        """What both sides have counted."""
        board = self.memory.scoreboard
        return [*board.slots[: self.workers], *board.reactors[: self.reactors]]

    def state(self) -> str:
        """Both sides as shared memory shows them, for the message of a failure."""
        lines = []
        for slot in range(self.workers):
            lines.append(f"worker {slot}: sleeping={Sleeper(self.memory, slot=slot).value} {self._shown(slot)}")
            view = self.memory.slots[slot].view()
            for reactor in range(self.reactors):
                end = FrameReader(self.memory, slot, reactor)
                words = view[end.words_offset :]
                head, tail, want = (int.from_bytes(words[at : at + 8], "little") for at in (0, 64, 72))
                lines.append(f"  response ring of reactor {reactor}: {head=} {tail=} want_space={want & 0xFFFFFFFF}")
        for reactor in range(self.reactors):
            values = [Sleeper(self.memory, slot=slot, reactor=reactor).value for slot in range(self.workers)]
            lines.append(f"reactor {reactor}: sleeping={values} {self._shown(self.workers + reactor)}")
        return "\n".join(lines)

    def _shown(self, index: int) -> dict[str, int]:
        return {name: value for name, value in self.counters()[index].items() if value}

    def wakes(self) -> int:
        """eventfd writes of all sides."""
        return sum(side["wakes"] for side in self.counters())


def fork(side: Callable[[], str], cpu: int) -> int:
    """Run one side in a child, on one CPU; its exit status is 0 only when it found no fault. Its pid."""
    pid = os.fork()
    if pid:
        return pid
    status = FAULT_STATUS
    try:
        os.sched_setaffinity(0, {cpu})
        fault = side()
        if fault:
            print(fault, file=sys.stderr)
        else:
            status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)
