"""When a process that is to run for ever is started, told to leave, killed and started again: not a system call.

It owns the state of one such process, and the pace at which it is made anew. It must never fork, signal or look at a
clock: time is an argument (seconds of a monotonic clock), and what is to be done comes back as steps that the shell
(`swhttp.attendant`) carries out in that order.

    IDLE --start--> RUNNING --renew, stop--> LEAVING --exit--> RUNNING (renewed), ENDED (stopped)
                     |   ^
                     +exit-> WAITING --time, renew--> RUNNING

- One that ends unasked, for whatever reason and with whatever status, is started again: after 0.1 s, doubling to 5 s
  with each time in a row that it has run for less than STEADY_S.
- One that is told to leave has the grace that it was made with, then it is killed; when the server ends without
  patience, KILL_GRACE_S. Its successor is started when it is gone, never beside it: it may hold what only one can.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum, auto

from swhttp import limits


class State(Enum):
    """How far it is."""

    IDLE = auto()
    RUNNING = auto()
    LEAVING = auto()
    WAITING = auto()
    ENDED = auto()


class Step(Enum):
    """What the shell has to do."""

    START = auto()
    LEAVE = auto()  # ask it to leave
    KILL = auto()


@dataclass
class Restarts:
    """The state machine. `grace_s`: how long it may take to leave. Every input returns the steps that follow."""

    grace_s: float
    state: State = field(default=State.IDLE, init=False)
    ending: bool = field(default=False, init=False)
    """It is not started any more."""
    _started_s: float = field(default=-math.inf, init=False)
    _left_s: float = field(default=-math.inf, init=False)
    _failures: int = field(default=0, init=False)
    _deadline_s: float = field(default=math.inf, init=False)

    def start(self, now_s: float) -> list[Step]:
        """It is to run from now on."""
        return self._start(now_s) if self.state is State.IDLE else []

    def exited(self, now_s: float) -> list[Step]:
        """It is gone, or could not be forked."""
        if self.state is State.LEAVING and not self.ending:
            return self._start(now_s)
        if self.ending:
            self._become(State.ENDED)
            return []
        if now_s - self._started_s >= limits.STEADY_S:
            self._failures = 0
        delay_s = limits.BOOT_BACKOFF_MIN_S * 2.0 ** min(self._failures, 16)
        self._failures += 1
        self._become(State.WAITING, now_s + min(delay_s, limits.BOOT_BACKOFF_MAX_S))
        return []

    def renew(self, now_s: float) -> list[Step]:
        """There is new code: another process of it is to run."""
        if self.state is State.RUNNING:
            self._failures = 0
            return self._leave(now_s)
        if self.state is State.WAITING:
            self._failures = 0
            return self._start(now_s)
        return []

    def stop(self, now_s: float) -> list[Step]:
        """The server ends, with patience."""
        self.ending = True
        if self.state is State.RUNNING:
            return self._leave(now_s)
        if self.state is not State.LEAVING:
            self._become(State.ENDED)
        return []

    def kill(self, now_s: float) -> list[Step]:
        """The server ends, without."""
        steps = self.stop(now_s)
        if self.state is State.LEAVING:
            self._deadline_s = min(self._deadline_s, self._left_s + limits.KILL_GRACE_S)
        return steps + self.tick(now_s)

    def tick(self, now_s: float) -> list[Step]:
        """Time has passed."""
        if now_s < self._deadline_s:
            return []
        if self.state is State.WAITING:
            return self._start(now_s)
        self._deadline_s = self._left_s = math.inf  # once is enough
        return [Step.KILL]

    def next_tick_s(self) -> float:
        """When `tick` has something to do next."""
        return self._deadline_s

    def again_in_s(self, now_s: float) -> float:
        """How long it is until the next start; 0 when none is waited for."""
        return max(0.0, self._deadline_s - now_s) if self.state is State.WAITING else 0.0

    def _start(self, now_s: float) -> list[Step]:
        self._become(State.RUNNING)
        self._started_s = now_s
        return [Step.START]

    def _leave(self, now_s: float) -> list[Step]:
        self._become(State.LEAVING, now_s + self.grace_s)
        self._left_s = now_s
        return [Step.LEAVE]

    def _become(self, state: State, deadline_s: float = math.inf) -> None:
        self.state = state
        self._deadline_s = deadline_s
