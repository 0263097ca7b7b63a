"""What the manager decides: a table of worker states and events, without a single system call.

It owns the state of every slot, the wish to have W workers, and the pace at which they are made. It must never fork,
signal, write or look at a clock: time is an argument (seconds of a monotonic clock), and what is to be done comes
back as a list of actions that the shell (`swhttp.manager`) carries out in that order.

A worker is a slot, which is fixed shared memory, plus a generation, which grows with each process put into the slot.
There are twice as many slots as workers, so that a replacement serves before its predecessor has drained. A slot goes
round the circle

    EMPTY --spawn--> STARTING --ready--> READY --stopping--> STOPPING --exit--> DEAD --settled--> EMPTY
                        |                  |                                     ^
                        +--exit------------+--exit-------------------------------+

and is used again only when its process is reaped *and* no reactor reads its memory any more (`settled`). STARTING
and READY workers count as the ones that we have; the manager makes up the difference to W as soon as the pace
allows:

- a boot that failed delays the next by 0.1 s, doubling to 5 s, until one succeeds; meanwhile one process at a time
  tries, and workers that failed side by side count as one failure;
- a worker that was READY is replaced at once, but no sooner than 0.1 s after it was forked: one that dies just after
  READY would otherwise keep a CPU busy with imports;
- on the first start, a boot that fails before any worker was ever READY ends the server: its operator is watching.

Past its deadline a process gets SIGTERM, and KILL_GRACE_S later SIGKILL. An event that the table does not know in a
state is ignored: workers run foreign code, which may say anything at any time.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum, auto
from signal import SIGKILL, SIGTERM, Signals
from typing import Final, assert_never

from swhttp import limits
from swhttp.errors import ExitCode


class WorkerState(IntEnum):
    """State of a slot, as the scoreboard shows it."""

    EMPTY = 0
    STARTING = 1
    READY = 2
    STOPPING = 3
    DEAD = 4


class Event(Enum):
    """What can happen to a slot."""

    READY = auto()  # the worker says that it can serve
    STOPPING = auto()  # the worker says that it was told to leave
    EXIT = auto()  # the process is reaped
    SETTLED = auto()  # no reactor uses the slot any more
    CORRUPT = auto()  # a reactor has read from it what cannot be
    EXPIRED = auto()  # its deadline has passed
    STOP = auto()  # the server ends, with patience
    KILL = auto()  # the server ends, without


class Step(Enum):
    """What a row of the table does, besides changing the state."""

    SUCCEED = auto()  # the application boots: forget earlier failures
    TELL_READY = auto()
    TELL_STOPPING = auto()
    TELL_GONE = auto()
    FAIL = auto()  # a boot has failed: slow down, or give up
    REPORT_DEATH = auto()
    REPORT_EXIT = auto()
    REPORT_LATE = auto()
    PACE = auto()  # a worker has to be replaced: not sooner than YOUNG_S after it was forked
    DRAIN = auto()  # it has the graceful timeout to finish
    SIGNAL = auto()  # send the next signal: SIGTERM, then SIGKILL
    REPORT_CORRUPT = auto()
    KILL = auto()  # send SIGKILL


@dataclass(frozen=True)
class Row:
    """One line of the table: the state afterwards, and the steps in order."""

    state: WorkerState
    steps: tuple[Step, ...] = ()


BOOT_FAILURES: Final = {
    ExitCode.APP: "The application did not boot",
    ExitCode.APP_MISSING: "The application is not there",
    ExitCode.CONFIG: "A worker cannot use the logging configuration",
}
"""What a worker may say of why it did not boot, and how that is told. Who says nothing has died of the application."""

_S = WorkerState

TABLE: Final[Mapping[tuple[WorkerState, Event], Row]] = {
    (_S.STARTING, Event.READY): Row(_S.READY, (Step.SUCCEED, Step.TELL_READY)),
    # SIGTERM came while it booted: it has nothing to finish.
    (_S.STARTING, Event.STOPPING): Row(_S.STOPPING, (Step.PACE, Step.SIGNAL)),
    (_S.STARTING, Event.EXIT): Row(_S.DEAD, (Step.TELL_GONE, Step.REPORT_DEATH, Step.FAIL)),
    (_S.STARTING, Event.EXPIRED): Row(_S.STARTING, (Step.REPORT_LATE, Step.SIGNAL)),
    (_S.STARTING, Event.STOP): Row(_S.STOPPING, (Step.SIGNAL,)),
    (_S.STARTING, Event.KILL): Row(_S.STOPPING, (Step.SIGNAL,)),
    (_S.READY, Event.STOPPING): Row(_S.STOPPING, (Step.TELL_STOPPING, Step.PACE, Step.DRAIN)),
    (_S.READY, Event.EXIT): Row(_S.DEAD, (Step.TELL_GONE, Step.REPORT_DEATH, Step.PACE)),
    (_S.READY, Event.CORRUPT): Row(_S.READY, (Step.REPORT_CORRUPT, Step.KILL)),
    (_S.READY, Event.STOP): Row(_S.STOPPING, (Step.DRAIN,)),  # the master has stopped dispatching to it already
    (_S.READY, Event.KILL): Row(_S.STOPPING, (Step.SIGNAL,)),
    # It was told to leave while it booted, and booted: it leaves as others do, when the reactors let go of it.
    (_S.STOPPING, Event.READY): Row(_S.STOPPING, (Step.SUCCEED, Step.TELL_READY, Step.TELL_STOPPING)),
    (_S.STOPPING, Event.EXIT): Row(_S.DEAD, (Step.TELL_GONE, Step.REPORT_EXIT)),
    (_S.STOPPING, Event.EXPIRED): Row(_S.STOPPING, (Step.REPORT_LATE, Step.SIGNAL)),
    (_S.STOPPING, Event.CORRUPT): Row(_S.STOPPING, (Step.REPORT_CORRUPT, Step.KILL)),
    (_S.STOPPING, Event.KILL): Row(_S.STOPPING, (Step.SIGNAL,)),
    (_S.DEAD, Event.SETTLED): Row(_S.EMPTY),
}


@dataclass(frozen=True)
class Spawn:
    """Reset the slot's memory and fork a worker into it; then call `Supervisor.forked`."""

    slot: int
    generation: int


@dataclass(frozen=True)
class Tell:
    """Send a message to the master (`swhttp.messages`)."""

    kind: str
    fields: dict[str, int | str]


@dataclass(frozen=True)
class Kill:
    """Send a signal to the process in the slot."""

    slot: int
    signal: Signals


@dataclass(frozen=True)
class Log:
    """Write a log line. `level`: a number of the logging module."""

    level: int
    text: str


@dataclass(frozen=True)
class Finish:
    """Every process is gone and none will be spawned: leave. `exit_code`: the manager's exit status."""

    exit_code: ExitCode


Action = Spawn | Tell | Kill | Log | Finish


@dataclass
class Worker:
    """One slot and what is in it."""

    slot: int
    generation: int = 0
    state: WorkerState = WorkerState.EMPTY
    pid: int = 0
    interface: str = ""
    """Known once it has been READY."""
    status: int = 0
    """Exit code, or minus the number of the signal."""
    spawned_s: float = 0.0
    deadline_s: float = math.inf
    next_signal: Signals | None = SIGTERM
    reason: str = ""
    """Why it cannot boot, as it says."""
    unfit: ExitCode | None = None
    """As what it cannot boot, as it says. A mere exit status may be the application's own."""

    @property
    def name(self) -> str:
        """How the log calls it."""
        return f"slot {self.slot}, pid {self.pid}"

    @property
    def left_as_told(self) -> bool:
        """Whether its end is what was asked of it: exit code 0, or the SIGTERM that we have sent."""
        return self.status == 0 or (self.status == -SIGTERM and self.next_signal is not SIGTERM)


def describe(status: int) -> str:
    """`status` (exit code, or minus a signal's number) in words."""
    return f"signal {-status}" if status < 0 else f"exit code {status}"


@dataclass
class Supervisor:
    """The state machine.

    `workers`: how many are to serve; `graceful_timeout_s`: how long one may take to drain; `boot_timeout_s`: how
    long it may take to become READY. Every input returns the actions that follow from it.
    """

    workers: int
    graceful_timeout_s: float
    boot_timeout_s: float = limits.BOOT_TIMEOUT_S
    slots: list[Worker] = field(init=False)
    ending: bool = field(default=False, init=False)
    """Nothing is spawned any more."""
    finished: bool = field(default=False, init=False)
    _exit_code: ExitCode = field(default=ExitCode.OK, init=False)
    _ever_ready: bool = field(default=False, init=False)
    _failures: int = field(default=0, init=False)
    _failed_s: float = field(default=-math.inf, init=False)
    _backoff_until_s: float = field(default=-math.inf, init=False)
    _pace_until_s: float = field(default=-math.inf, init=False)
    _actions: list[Action] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.slots = [Worker(slot) for slot in range(2 * self.workers)]

    # Inputs

    def start(self, now_s: float) -> list[Action]:
        """The manager runs: spawn the first workers."""
        return self._done(now_s)

    def forked(self, slot: int, pid: int) -> None:
        """The process of the latest Spawn in `slot` has this pid."""
        self.slots[slot].pid = pid

    def ready(self, slot: int, generation: int, interface: str, now_s: float) -> list[Action]:
        """A worker serves. `interface`: "asgi" or "wsgi"."""
        worker = self.slots[slot]
        if worker.generation != generation or worker.interface:
            return self._done(now_s)  # once is enough
        worker.interface = interface
        return self._input(slot, generation, Event.READY, now_s)

    @property
    def ever_ready(self) -> bool:
        """Whether the server has had a worker that was READY."""
        return self._ever_ready

    def unfit(self, slot: int, generation: int, code: int, text: str) -> None:
        """A worker says by which of BOOT_FAILURES it will leave without having been READY; why: "" if it logs that."""
        worker = self.slots[slot]
        # STOPPING: another one has failed before it, and all are told to leave.
        if worker.generation == generation and worker.state in (WorkerState.STARTING, WorkerState.STOPPING):
            worker.reason = text
            worker.unfit = ExitCode(code)

    def stopping(self, slot: int, generation: int, now_s: float) -> list[Action]:
        """A worker has been told to leave and waits for the reactors to let go of it."""
        return self._input(slot, generation, Event.STOPPING, now_s)

    def exited(self, slot: int, generation: int, status: int, now_s: float) -> list[Action]:
        """A process is reaped, or could not be forked. `status`: exit code, or minus the number of the signal."""
        if self.slots[slot].generation == generation:
            self.slots[slot].status = status
        return self._input(slot, generation, Event.EXIT, now_s)

    def settled(self, slot: int, now_s: float) -> list[Action]:
        """No reactor uses the slot of a process that is gone any more."""
        return self._input(slot, self.slots[slot].generation, Event.SETTLED, now_s)

    def corrupt(self, slot: int, now_s: float) -> list[Action]:
        """A reactor has read from the slot's memory what no worker of ours writes."""
        return self._input(slot, self.slots[slot].generation, Event.CORRUPT, now_s)

    def stop(self, now_s: float) -> list[Action]:
        """The server ends; workers may finish what they have."""
        return self._end(Event.STOP, now_s)

    def kill(self, now_s: float) -> list[Action]:
        """The server ends at once."""
        return self._end(Event.KILL, now_s)

    def tick(self, now_s: float) -> list[Action]:
        """Time has passed."""
        for worker in self.slots:
            if worker.deadline_s <= now_s:
                self._apply(worker, Event.EXPIRED, now_s)
        return self._done(now_s)

    def next_tick_s(self) -> float:
        """When `tick` has something to do next; infinity: only after another input."""
        deadlines = [worker.deadline_s for worker in self.slots]
        if self._may_spawn():
            deadlines.append(self._spawn_from_s())
        return min(deadlines)

    # Decisions

    def _input(self, slot: int, generation: int, event: Event, now_s: float) -> list[Action]:
        worker = self.slots[slot]
        if worker.generation == generation:
            self._apply(worker, event, now_s)
        return self._done(now_s)

    def _end(self, event: Event, now_s: float) -> list[Action]:
        self.ending = True
        for worker in self.slots:
            self._apply(worker, event, now_s)
        return self._done(now_s)

    def _apply(self, worker: Worker, event: Event, now_s: float) -> None:
        row = TABLE.get((worker.state, event))
        if row is None:
            return
        if row.state is not worker.state:
            worker.state = row.state
            worker.deadline_s = math.inf
        for step in row.steps:
            self._do(step, worker, now_s)

    def _do(self, step: Step, worker: Worker, now_s: float) -> None:
        match step:
            case Step.SUCCEED:
                self._ever_ready = True
                self._failures = 0
                self._backoff_until_s = -math.inf
            case Step.TELL_READY:
                self._tell("ready", slot=worker.slot, generation=worker.generation, pid=worker.pid,
                           interface=worker.interface)
            case Step.TELL_STOPPING:
                self._tell("stopping", slot=worker.slot)
            case Step.TELL_GONE:
                self._tell("gone", slot=worker.slot, generation=worker.generation, pid=worker.pid,
                           status=worker.status)
            case Step.FAIL:
                self._fail(worker, now_s)
            case Step.REPORT_DEATH:
                self._report_death(worker)
            case Step.REPORT_EXIT:
                if worker.left_as_told:
                    self._log(logging.INFO, f"Worker left: {worker.name}")
                else:
                    self._report_death(worker)
            case Step.REPORT_LATE:
                late = "not ready" if worker.state is WorkerState.STARTING else "not finished"
                self._log(logging.WARNING, f"Worker {late} in time: {worker.name}")
            case Step.PACE:
                self._pace_until_s = max(self._pace_until_s, worker.spawned_s + limits.YOUNG_S)
            case Step.DRAIN:
                worker.deadline_s = now_s + self.graceful_timeout_s
            case Step.SIGNAL:
                self._signal(worker, now_s)
            case Step.REPORT_CORRUPT:
                self._log(logging.ERROR, f"Worker has written what cannot be into its memory: {worker.name}")
            case Step.KILL:
                worker.next_signal = SIGKILL
                self._signal(worker, now_s)
            case _:
                assert_never(step)

    def _signal(self, worker: Worker, now_s: float) -> None:
        if worker.next_signal is not None:
            self._actions.append(Kill(worker.slot, worker.next_signal))
        if worker.next_signal is SIGTERM:
            worker.next_signal, worker.deadline_s = SIGKILL, now_s + limits.KILL_GRACE_S
        else:
            worker.next_signal, worker.deadline_s = None, math.inf

    def _report_death(self, worker: Worker) -> None:
        if worker.unfit is not None and not self._ever_ready:
            return  # the server ends with the first of them, and says why
        why = f": {worker.reason}" if worker.reason else ""
        self._log(logging.WARNING, f"Worker died: {worker.name}, {describe(worker.status)}{why}")

    def _fail(self, worker: Worker, now_s: float) -> None:
        if worker.status == -SIGTERM and worker.next_signal is SIGTERM:
            # Not we have sent it: a service manager that signals the whole group, and then the master will hear of it
            # too, or somebody who wants another worker. It says nothing about the application.
            self._do(Step.PACE, worker, now_s)
            return
        if not self._ever_ready and not self.ending:
            self._exit_code = worker.unfit or ExitCode.APP
            why = f": {worker.reason}" if worker.reason else ""
            self._tell("failed", code=int(self._exit_code), text=BOOT_FAILURES[self._exit_code] + why)
            self._end_all(now_s)
            return
        if worker.spawned_s >= self._failed_s:  # else it was forked before the failure that is counted already
            self._failures += 1
        self._failed_s = now_s
        delay_s = limits.BOOT_BACKOFF_MIN_S * 2.0 ** min(self._failures - 1, 16)
        self._backoff_until_s = now_s + min(delay_s, limits.BOOT_BACKOFF_MAX_S)

    def _end_all(self, now_s: float) -> None:
        self.ending = True
        for worker in self.slots:
            self._apply(worker, Event.KILL, now_s)

    def _may_spawn(self) -> bool:
        """Whether a worker is missing and could be spawned but for the time."""
        states = [worker.state for worker in self.slots]
        starting = states.count(WorkerState.STARTING)
        return (not self.ending and starting + states.count(WorkerState.READY) < self.workers
                and WorkerState.EMPTY in states and not (self._failures and starting))

    def _spawn_from_s(self) -> float:
        return max(self._backoff_until_s, self._pace_until_s)

    def _done(self, now_s: float) -> list[Action]:
        """Spawn what is missing; hand over the actions of this input."""
        while self._may_spawn() and now_s >= self._spawn_from_s():
            self._spawn(now_s)
        if self.ending and not self.finished and all(
                worker.state in (WorkerState.EMPTY, WorkerState.DEAD) for worker in self.slots):
            self.finished = True
            self._actions.append(Finish(self._exit_code))
        actions, self._actions = self._actions, []
        return actions

    def _spawn(self, now_s: float) -> None:
        worker = next(worker for worker in self.slots if worker.state is WorkerState.EMPTY)
        self.slots[worker.slot] = Worker(
            worker.slot, worker.generation + 1, WorkerState.STARTING, spawned_s=now_s,
            deadline_s=now_s + self.boot_timeout_s)
        self._actions.append(Spawn(worker.slot, worker.generation + 1))

    def _tell(self, kind: str, **fields: int | str) -> None:
        self._actions.append(Tell(kind, fields))

    def _log(self, level: int, text: str) -> None:
        self._actions.append(Log(level, text))
