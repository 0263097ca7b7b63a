"""What a reload wants next, by its mode, from the states of the slots alone.

It owns the three ways from one epoch to the next. It never changes a worker (`swhttp.supervision` does) and never looks
at a clock.

    atomic   boot a whole generation beside the old, one process after another; when all are STAGED, switch at once.
             One that fails: end the new ones, keep the old. No old worker is replaced meanwhile, for its replacement
             would import the new code and answer beside the old; unless the old code is kept (--preload).
    rolling  boot one, then retire one, until none of the old is left. One that fails: stop there.
    sync     retire one, wait until it is gone, boot one, until none of the old is left, for a host without the memory
             for one worker more. One that fails: stop there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from swhttp.workerlife import Worker, WorkerState

MODES: Final = ("atomic", "rolling", "sync")
_BOOTED: Final = (WorkerState.STAGED, WorkerState.READY)


@dataclass
class Reload:
    """One reload on its way. `epoch`: that of the new workers; `before`: the one before it; `asked`: how many times
    somebody had asked for a reload when it began; `begun_s`: when; `lost`: how many have died that were STAGED."""

    mode: str
    epoch: int
    before: int
    asked: int
    begun_s: float
    lost: int = 0

    def is_old(self, worker: Worker) -> bool:
        """Whether the worker is of an earlier epoch."""
        return worker.epoch < self.epoch

    def _old_in(self, slots: Sequence[Worker], *states: WorkerState) -> int:
        return sum(self.is_old(worker) and worker.state in states for worker in slots)

    def _new_in(self, slots: Sequence[Worker], *states: WorkerState) -> int:
        return sum(worker.epoch == self.epoch and worker.state in states for worker in slots)

    def may_switch(self, slots: Sequence[Worker], wanted: int) -> bool:
        """atomic: whether the new ones are to serve now; sooner, if none of the old is left to do it."""
        staged = self._new_in(slots, WorkerState.STAGED)
        return staged >= wanted or (staged > 0 and self._old_in(slots, WorkerState.READY) == 0)

    def is_over(self, slots: Sequence[Worker], wanted: int) -> bool:
        """rolling, sync: whether only new ones are left, and enough of them."""
        return (self._old_in(slots, WorkerState.STARTING, WorkerState.READY) == 0
                and self._new_in(slots, *_BOOTED) >= wanted)

    def wants_new(self, slots: Sequence[Worker], wanted: int) -> bool:
        """Whether one more worker of the new epoch is to boot."""
        if any(worker.state is WorkerState.STARTING for worker in slots):
            return False  # four imports at once made p99 4.7 times as long, one after another 1.65 times
        if self.mode == "atomic":
            return self._new_in(slots, *_BOOTED) < wanted
        ready = sum(worker.state is WorkerState.READY for worker in slots)
        if self.mode == "rolling":
            return ready < wanted + (self._old_in(slots, WorkerState.READY) > 0)
        return ready < wanted and self._old_in(slots, WorkerState.STOPPING) == 0

    def next_to_retire(self, slots: Sequence[Worker], wanted: int) -> Worker | None:
        """sync: the old worker whose turn it is to leave, before there is another."""
        states = [worker.state for worker in slots]
        if self.mode != "sync" or WorkerState.STARTING in states or states.count(WorkerState.READY) < wanted:
            return None
        return next((worker for worker in slots if self.is_old(worker) and worker.state is WorkerState.READY), None)
