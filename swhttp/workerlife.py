"""The life of one worker: a table of states and events, the record of a slot, and what can be asked of the shell.

It owns what may follow what. It never decides how many workers there are to be, or when (`swhttp.supervision`).

A worker is a slot, which is fixed shared memory, plus a generation, which grows with each process put into the slot,
plus an epoch, which grows with each reload: processes of one epoch have imported the application after the same wish
to have it anew. A slot goes round the circle

    EMPTY --spawn--> STARTING --ready--> READY --stopping, retire, stuck--> STOPPING --exit--> DEAD --settled--> EMPTY
                      |     |              ^  |                               ^  ^                ^
                      |     +--> STAGED ---+  +--exit--------------------------------------------+
                      |           |     switch                                |  |                |
                      |           +--stopping, retire-------------------------+  |                |
                      +--retire--------------------------------------------------+   exit --------+

STAGED is READY, but not to be given anything until all of its epoch are: then they are switched to at once.

An event that the table does not know in a state is ignored: workers run foreign code, which may say anything at any
time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum, auto
from signal import SIGTERM, Signals
from typing import Final

from swhttp.errors import ExitCode


class WorkerState(IntEnum):
    """State of a slot, as the scoreboard shows it."""

    EMPTY = 0
    STARTING = 1
    READY = 2
    STOPPING = 3
    DEAD = 4
    STAGED = 5


class Event(Enum):
    """What can happen to a slot."""

    READY = auto()  # the worker says that it can serve
    STAGED = auto()  # the same, of an epoch that is to be switched to as a whole
    SWITCH = auto()  # all of its epoch can serve
    REPLACED = auto()  # the epoch after its own has been switched to
    STOPPING = auto()  # the worker says that it was told to leave
    RETIRE = auto()  # another has taken its place, or there are too many
    STUCK = auto()  # a request has taken too long there
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
    TELL_STAGED = auto()
    TELL_STOPPING = auto()
    TELL_GONE = auto()
    FAIL = auto()  # a boot has failed: slow down, or give up
    LOSE = auto()  # one that was to be switched to has died
    REPORT_DEATH = auto()
    REPORT_EXIT = auto()
    REPORT_LATE = auto()
    REPORT_STUCK = auto()
    PACE = auto()  # a worker has to be replaced: not sooner than YOUNG_S after it was forked
    DRAIN = auto()  # it has the graceful timeout to finish
    DRAIN_SOCKETS = auto()  # the same, once its WebSockets have had their time
    HURRY = auto()  # it has as long as any request may still take there
    SIGNAL = auto()  # send the next signal: SIGTERM, then SIGKILL
    REPORT_CORRUPT = auto()
    KILL = auto()  # send SIGKILL


@dataclass(frozen=True)
class Row:
    """One line of the table: the state afterwards, and the steps in order."""

    state: WorkerState
    steps: tuple[Step, ...] = ()


_S = WorkerState

TABLE: Final[Mapping[tuple[WorkerState, Event], Row]] = {
    (_S.STARTING, Event.READY): Row(_S.READY, (Step.SUCCEED, Step.TELL_READY)),
    (_S.STARTING, Event.STAGED): Row(_S.STAGED, (Step.TELL_STAGED,)),
    # SIGTERM came while it booted: it has nothing to finish.
    (_S.STARTING, Event.STOPPING): Row(_S.STOPPING, (Step.PACE, Step.SIGNAL)),
    (_S.STARTING, Event.RETIRE): Row(_S.STOPPING, (Step.SIGNAL,)),
    (_S.STARTING, Event.REPLACED): Row(_S.STOPPING, (Step.SIGNAL,)),
    (_S.STARTING, Event.EXIT): Row(_S.DEAD, (Step.TELL_GONE, Step.REPORT_DEATH, Step.FAIL)),
    (_S.STARTING, Event.EXPIRED): Row(_S.STARTING, (Step.REPORT_LATE, Step.SIGNAL)),
    (_S.STARTING, Event.STOP): Row(_S.STOPPING, (Step.SIGNAL,)),
    (_S.STARTING, Event.KILL): Row(_S.STOPPING, (Step.SIGNAL,)),
    (_S.STAGED, Event.SWITCH): Row(_S.READY, (Step.SUCCEED,)),  # the master is told of all of them at once
    (_S.STAGED, Event.STOPPING): Row(_S.STOPPING, (Step.TELL_STOPPING, Step.PACE, Step.DRAIN)),
    (_S.STAGED, Event.RETIRE): Row(_S.STOPPING, (Step.TELL_STOPPING, Step.DRAIN)),
    (_S.STAGED, Event.EXIT): Row(_S.DEAD, (Step.TELL_GONE, Step.REPORT_DEATH, Step.PACE, Step.LOSE)),
    (_S.STAGED, Event.STOP): Row(_S.STOPPING, (Step.DRAIN,)),
    (_S.STAGED, Event.KILL): Row(_S.STOPPING, (Step.SIGNAL,)),
    (_S.READY, Event.STOPPING): Row(_S.STOPPING, (Step.TELL_STOPPING, Step.PACE, Step.DRAIN_SOCKETS)),
    (_S.READY, Event.RETIRE): Row(_S.STOPPING, (Step.TELL_STOPPING, Step.DRAIN_SOCKETS)),
    (_S.READY, Event.REPLACED): Row(_S.STOPPING, (Step.DRAIN_SOCKETS,)),  # the master knows, from the switch
    (_S.READY, Event.STUCK): Row(_S.STOPPING, (Step.REPORT_STUCK, Step.TELL_STOPPING, Step.PACE, Step.HURRY)),
    (_S.READY, Event.EXIT): Row(_S.DEAD, (Step.TELL_GONE, Step.REPORT_DEATH, Step.PACE)),
    (_S.READY, Event.CORRUPT): Row(_S.READY, (Step.REPORT_CORRUPT, Step.KILL)),
    (_S.READY, Event.STOP): Row(_S.STOPPING, (Step.DRAIN,)),  # the master has stopped dispatching to it already
    (_S.READY, Event.KILL): Row(_S.STOPPING, (Step.SIGNAL,)),
    # It was told to leave while it booted, and booted: it leaves as others do, when the reactors let go of it.
    (_S.STOPPING, Event.READY): Row(_S.STOPPING, (Step.SUCCEED, Step.TELL_STAGED, Step.TELL_STOPPING)),
    (_S.STOPPING, Event.STAGED): Row(_S.STOPPING, (Step.TELL_STAGED, Step.TELL_STOPPING)),
    (_S.STOPPING, Event.EXIT): Row(_S.DEAD, (Step.TELL_GONE, Step.REPORT_EXIT)),
    (_S.STOPPING, Event.EXPIRED): Row(_S.STOPPING, (Step.REPORT_LATE, Step.SIGNAL)),
    (_S.STOPPING, Event.STUCK): Row(_S.STOPPING, (Step.REPORT_STUCK, Step.HURRY)),
    (_S.STOPPING, Event.CORRUPT): Row(_S.STOPPING, (Step.REPORT_CORRUPT, Step.KILL)),
    (_S.STOPPING, Event.KILL): Row(_S.STOPPING, (Step.SIGNAL,)),
    (_S.DEAD, Event.SETTLED): Row(_S.EMPTY),
}


@dataclass(frozen=True)
class Spawn:
    """Reset the slot's memory and fork a worker of this epoch into it; then call `Supervisor.forked`."""

    slot: int
    generation: int
    epoch: int


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
    epoch: int = 0
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
    traceback: str = ""
    """The same at length, if it has logged that."""
    unfit: ExitCode | None = None
    """As what it cannot boot, as it says. A mere exit status may be the application's own."""
    worn: str = ""
    """Why another is to take its place."""

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
