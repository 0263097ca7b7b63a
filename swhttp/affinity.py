"""Which CPU each worker is pinned to: as many workers on each as on any other, for as long as they live.

A worker takes the CPU with the fewest workers. Slots do not say which: a replacement gets whatever slot is free, so
after some of these two workers could share a CPU while another has none. So when a worker has gone, one of the fullest
CPU moves to the emptiest, if that makes it better. Decisions only, but for `move`. Reactor threads, the
manager and the observers stay where the kernel puts them: it moves them out of the way of busy workers.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from typing import Final

from swhttp import limits

OFF: Final = "off"
AUTO: Final = "auto"


def parse(text: str, usable: frozenset[int]) -> tuple[int, ...]:
    """The CPUs that `text` means, in the order in which they are taken: off, auto, or a list as in 0-3,8.

    `usable`: those that this process may use; auto takes all of them. Raises ValueError.
    """
    if text == OFF:
        return ()
    if text == AUTO:
        return tuple(sorted(usable))
    found: dict[int, None] = {}
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        numbers = [number for number in (first, last if dash else first)
                   if number.isascii() and number.isdecimal() and len(number) <= 6]
        if len(numbers) != 2 or int(numbers[0]) > int(numbers[1]) or int(numbers[1]) >= limits.MOST_CPUS:
            raise ValueError(f"off, auto or a list of CPUs as in 0-3,8 is needed, not {text!r}")
        found.update(dict.fromkeys(range(int(numbers[0]), int(numbers[1]) + 1)))
    if not_there := sorted(found.keys() - usable):
        raise ValueError(f"CPU {not_there[0]} is not one of those that may be used: {listed(usable)}")
    return tuple(found)


def listed(cpus: frozenset[int]) -> str:
    """As in 0-3,8."""
    parts: list[list[int]] = []
    for cpu in sorted(cpus):
        if parts and parts[-1][-1] == cpu - 1:
            parts[-1].append(cpu)
        else:
            parts.append([cpu])
    return ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)


class Places:
    """Who is on which of `cpus`; with none nobody is pinned."""

    def __init__(self, cpus: tuple[int, ...]) -> None:
        self._cpus = cpus
        self._taken: dict[int, int] = {}

    def take(self, slot: int) -> None:
        """A worker is about to be forked into `slot`."""
        if self._cpus:
            load = Counter(self._taken.values())
            self._taken[slot] = min(self._cpus, key=lambda cpu: load[cpu])  # the first of several

    def of(self, slot: int) -> int | None:
        """The CPU of the worker in `slot`; None: it is not pinned."""
        return self._taken.get(slot)

    def leave(self, slot: int) -> list[tuple[int, int]]:
        """The worker in `slot` has gone; who should move, and to which CPU."""
        if self._taken.pop(slot, None) is None:
            return []
        moves: list[tuple[int, int]] = []
        while True:
            load = Counter(self._taken.values())
            emptiest = min(self._cpus, key=lambda cpu: load[cpu])
            fullest = max(self._cpus, key=lambda cpu: load[cpu])
            if load[fullest] - load[emptiest] < 2:
                return moves
            mover = max(slot for slot, cpu in self._taken.items() if cpu == fullest)
            self._taken[mover] = emptiest
            moves.append((mover, emptiest))


def move(pid: int, cpu: int) -> None:
    """Have all threads of a worker stay on `cpu` from now on. Raises OSError: the CPU is not there any more.

    Called by the manager only, for a new worker as well: one that pinned itself to what it was told when it was forked
    could undo a move that came in between. Twice, for a thread that was not asked yet may have started another.
    """
    for _ in range(2):
        for thread in _threads(pid):
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(thread, {cpu})


def _threads(pid: int) -> list[int]:
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    except OSError:  # it has ended, or the root of a chroot has no /proc: then its first thread, before it has others
        return [pid]
