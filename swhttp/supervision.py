"""What the manager decides: how many workers there are, when they boot and when they leave, without a system call.

It owns the state of every slot, the wish to have W workers, the reload on its way, and the pace at which processes are
made. It must never fork, signal, write or look at a clock: time is an argument (seconds of a monotonic clock), and
what is to be done comes back as a list of actions that the shell (`swhttp.manager`) carries out in that order.

What may happen to one worker is a table (`swhttp.workerlife`), and what a reload wants next is its own
(`swhttp.reloading`). A slot is used again only when its process is reaped *and* no reactor reads its memory any more.
There are twice as many slots as there may be workers, so that a replacement serves before its predecessor has drained.
STARTING and READY workers count as the ones that we have. After each input the machine goes on as long as there is
something to do: with the reload, with a worker that is worn, with one too many, with one too few.

- a boot that failed delays the next by 0.1 s, doubling to 5 s, until one succeeds; meanwhile one process at a time
  tries, and workers that failed side by side count as one failure. After `boot_retries` failures with nobody READY,
  the server ends: whoever has started it can do more than try again;
- a worker that was READY is replaced at once, but no sooner than 0.1 s after it was forked: one that dies just after
  READY would otherwise keep a CPU busy with imports;
- on the first start, a boot that fails before any worker was ever READY ends the server: its operator is watching;
- one that is worn (max_requests and the like) leaves when its replacement is READY: one at a time, only while nobody
  else boots, and so seldom that boots take no more than a tenth of the time.

Past its deadline a process gets SIGTERM, and KILL_GRACE_S later SIGKILL.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from signal import SIGKILL, SIGTERM
from typing import Final, assert_never

from swhttp import limits
from swhttp.errors import ExitCode
from swhttp.reloading import Reload
from swhttp.workerlife import (
    TABLE,
    Action,
    Event,
    Finish,
    Kill,
    Log,
    Spawn,
    Step,
    Tell,
    Worker,
    WorkerState,
    describe,
)

BOOT_FAILURES: Final = {
    ExitCode.APP: "The application did not boot",
    ExitCode.APP_MISSING: "The application is not there",
    ExitCode.CONFIG: "A worker cannot use the logging configuration",
}
"""What a worker may say of why it did not boot, and how that is told. Who says nothing has died of the application."""


@dataclass
class Supervisor:
    """The state machine.

    `workers`: how many are to serve; `graceful_timeout_s`: how long one may take to drain; `boot_timeout_s`: how
    long it may take to become READY; `max_workers`: how many there may ever be, at least `workers`; `boot_retries`:
    failed boots in a row with nobody READY after which the server ends, 0: never; `reload_mode`: one of
    `reloading.MODES`; `keeps_code`: a worker of an old epoch can still be made; `stuck_grace_s`: how long one that is
    stuck may take to finish its other requests; `websocket_drain_s`: how long one that is replaced keeps its
    WebSockets, before its time to drain begins, if `holds_sockets` says of its slot that it has some. Every input
    returns the actions that follow from it.
    """

    workers: int
    graceful_timeout_s: float
    boot_timeout_s: float = limits.BOOT_TIMEOUT_S
    max_workers: int = 0
    boot_retries: int = 0
    reload_mode: str = "atomic"
    keeps_code: bool = False
    stuck_grace_s: float = 0.0
    websocket_drain_s: float = 0.0
    holds_sockets: Callable[[int], bool] = lambda slot: False
    slots: list[Worker] = field(init=False)
    epoch: int = field(default=1, init=False)
    """That of a worker that is spawned outside of a reload."""
    interface: str = field(default="", init=False)
    """Of all workers, once the first was READY."""
    ending: bool = field(default=False, init=False)
    """Nothing is spawned any more."""
    finished: bool = field(default=False, init=False)
    _exit_code: ExitCode = field(default=ExitCode.OK, init=False)
    _ever_ready: bool = field(default=False, init=False)
    _failures: int = field(default=0, init=False)
    _terminated: int = field(default=0, init=False)
    """Boots in a row that somebody has ended by SIGTERM."""
    _failed_s: float = field(default=-math.inf, init=False)
    _backoff_until_s: float = field(default=-math.inf, init=False)
    _pace_until_s: float = field(default=-math.inf, init=False)
    _reload: Reload | None = field(default=None, init=False)
    _asked: int = field(default=0, init=False)
    """How many times somebody has asked for a reload."""
    _answered: int = field(default=0, init=False)
    """How many of these have been told how it went."""
    _epochs: int = field(default=1, init=False)
    _leaving: Worker | None = field(default=None, init=False)
    """The worn worker for which a replacement boots."""
    _renew_from_s: float = field(default=-math.inf, init=False)
    _actions: list[Action] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.max_workers = max(self.max_workers, self.workers)
        self.slots = [Worker(slot) for slot in range(2 * self.max_workers)]

    # Inputs

    def start(self, now_s: float) -> list[Action]:
        """The manager runs: spawn the first workers."""
        return self._done(now_s)

    def forked(self, slot: int, pid: int) -> None:
        """The process of the latest Spawn in `slot` has this pid."""
        self.slots[slot].pid = pid

    def ready(self, slot: int, generation: int, interface: str, now_s: float) -> list[Action]:
        """A worker can serve. `interface`: "asgi" or "wsgi"."""
        worker = self.slots[slot]
        if worker.generation != generation or worker.interface:
            return self._done(now_s)  # once is enough
        worker.interface = interface
        if worker.state is WorkerState.STARTING:
            self.interface = self.interface or interface
        # Requests that wait were received for what the workers were until now.
        if self.interface and interface != self.interface and worker.state in (
                WorkerState.STARTING, WorkerState.STOPPING):
            worker.reason = f"the application is {interface} now, and was {self.interface}: that takes a restart"
            worker.unfit = ExitCode.APP
            self._do(Step.KILL, worker, now_s)
            return self._done(now_s)
        staged = self._reload is not None and self._reload.mode == "atomic" and not self._reload.is_old(worker)
        return self._input(slot, generation, Event.STAGED if staged else Event.READY, now_s)

    @property
    def epochs(self) -> frozenset[int]:
        """Those of which a worker may still be spawned."""
        reload = self._reload
        return frozenset({self.epoch} if reload is None else {self.epoch, reload.epoch, reload.before})

    @property
    def ever_ready(self) -> bool:
        """Whether the server has had a worker that was READY."""
        return self._ever_ready

    def unfit(self, slot: int, generation: int, code: int, text: str, traceback: str = "") -> None:
        """A worker says by which of BOOT_FAILURES it will leave without having been READY; why: "" if it logs that."""
        worker = self.slots[slot]
        # STOPPING: another one has failed before it, and all are told to leave.
        if worker.generation == generation and worker.state in (WorkerState.STARTING, WorkerState.STOPPING):
            worker.reason = text
            worker.traceback = traceback
            worker.unfit = ExitCode(code)

    def stopping(self, slot: int, generation: int, now_s: float) -> list[Action]:
        """A worker has been told to leave and waits for the reactors to let go of it."""
        return self._input(slot, generation, Event.STOPPING, now_s)

    def worn(self, slot: int, generation: int, why: str, now_s: float) -> list[Action]:
        """A worker has served long enough: another is to take its place. `why`: for the log."""
        worker = self.slots[slot]
        if worker.generation == generation and worker.state is WorkerState.READY and not worker.worn:
            worker.worn = why
        return self._done(now_s)

    def stuck(self, slot: int, generation: int, now_s: float) -> list[Action]:
        """A request has taken too long there, and is answered: end the worker, after its other requests if it can."""
        return self._input(slot, generation, Event.STUCK, now_s)

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

    def reload(self, now_s: float, times: int = 1) -> list[Action]:
        """Have the application anew. During a reload: once more, when that has ended. `times`: so many have asked."""
        self._asked += times
        return self._done(now_s)

    def scale(self, workers: int, now_s: float) -> list[Action]:
        """Have that many workers, within the bounds."""
        self.workers = min(max(workers, 1), self.max_workers)
        self._tell("scaled", workers=self.workers)
        return self._done(now_s)

    def stop(self, now_s: float) -> list[Action]:
        """The server ends; workers may finish what they have."""
        return self._end(Event.STOP, now_s)

    def kill(self, now_s: float) -> list[Action]:
        """The server ends at once."""
        return self._end(Event.KILL, now_s)

    def give_up(self, code: ExitCode, text: str, now_s: float) -> list[Action]:
        """The server cannot start, by what is no worker's fault. `text`: why."""
        if not self.ending:
            self._exit_code = code
            self._tell("failed", code=int(code), text=text)
            self._end_all(Event.KILL, now_s)
        return self._done(now_s)

    def tick(self, now_s: float) -> list[Action]:
        """Time has passed."""
        for worker in self.slots:
            if worker.deadline_s <= now_s:
                self._apply(worker, Event.EXPIRED, now_s)
        return self._done(now_s)

    def next_tick_s(self) -> float:
        """When `tick` has something to do next; infinity: only after another input."""
        times = [worker.deadline_s for worker in self.slots]
        if (epoch := self._missing()) is not None:
            times.append(self._spawn_from_s(epoch))
        if self._next_worn() is not None:
            times.append(self._renew_from_s)
        return min(times)

    # Decisions

    def _input(self, slot: int, generation: int, event: Event, now_s: float) -> list[Action]:
        worker = self.slots[slot]
        if worker.generation == generation:
            self._apply(worker, event, now_s)
        return self._done(now_s)

    def _end(self, event: Event, now_s: float) -> list[Action]:
        self._end_all(event, now_s)
        return self._done(now_s)

    def _end_all(self, event: Event, now_s: float) -> None:
        self.ending = True
        for worker in self.slots:
            self._apply(worker, event, now_s)
        if self._answered < self._asked:
            self._reload = None
            self._answer(self._asked, "the server ends")

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
                self._failures = self._terminated = 0
                self._backoff_until_s = -math.inf
                if self._leaving is not None:
                    self._renew_from_s = now_s + (now_s - worker.spawned_s) * (limits.BOOT_SHARE - 1)
            case Step.TELL_READY | Step.TELL_STAGED:
                self._tell("ready" if step is Step.TELL_READY else "staged", slot=worker.slot,
                           generation=worker.generation, pid=worker.pid, interface=worker.interface)
            case Step.TELL_STOPPING:
                self._tell("stopping", slot=worker.slot)
            case Step.TELL_GONE:
                self._tell("gone", slot=worker.slot, generation=worker.generation, pid=worker.pid,
                           status=worker.status)
            case Step.FAIL:
                self._fail(worker, now_s)
            case Step.LOSE:
                # One that somebody has killed is made again, a few times: it may be for want of memory for all of them.
                # What dies by itself would do so again, in service.
                if self._reload is not None and not self._reload.is_old(worker):
                    self._reload.lost += 1
                    if worker.status not in (-SIGKILL, -SIGTERM) or self._reload.lost > max(3, self.workers):
                        self._reload_failed(worker, now_s)
            case Step.REPORT_DEATH:
                self._report_death(worker)
            case Step.REPORT_EXIT:
                if worker.left_as_told:
                    self._log(logging.INFO, f"Worker left: {worker.name}")
                else:
                    self._report_death(worker)
            case Step.REPORT_LATE:
                if worker.state is WorkerState.STARTING and worker.unfit is None:
                    worker.reason = f"not ready within {self.boot_timeout_s:g} s"
                late = "not ready" if worker.state is WorkerState.STARTING else "not finished"
                self._log(logging.WARNING, f"Worker {late} in time: {worker.name}")
            case Step.REPORT_STUCK:
                self._log(logging.WARNING, f"Worker is stuck, and will be replaced: {worker.name}")
            case Step.PACE:
                self._pace_until_s = max(self._pace_until_s, worker.spawned_s + limits.YOUNG_S)
            case Step.DRAIN:
                worker.deadline_s = now_s + self.graceful_timeout_s
            case Step.DRAIN_SOCKETS:
                kept_s = self.websocket_drain_s if self.holds_sockets(worker.slot) else 0.0
                worker.deadline_s = now_s + kept_s + self.graceful_timeout_s
            case Step.HURRY:
                if worker.next_signal is SIGTERM:  # else it has been told to hurry already
                    soon_s = now_s + min(self.stuck_grace_s, self.graceful_timeout_s)
                    worker.deadline_s = min(worker.deadline_s, soon_s)
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
            # too, or somebody who wants another worker. It says nothing about the application, unless it goes on.
            self._terminated += 1
            if self._terminated <= 2 * self.max_workers:
                self._do(Step.PACE, worker, now_s)
                return
        if self._reload is not None and not self._reload.is_old(worker):
            self._reload_failed(worker, now_s)
            if self.epoch != worker.epoch:  # the old ones serve on: nothing is missing
                return
        if not self._ever_ready and not self.ending:
            self._give_up(worker, now_s)
            return
        if worker.spawned_s >= self._failed_s:  # else it was forked before the failure that is counted already
            self._failures += 1
        self._failed_s = now_s
        delay_s = limits.BOOT_BACKOFF_MIN_S * 2.0 ** min(self._failures - 1, 16)
        delay_s = min(delay_s, limits.BOOT_BACKOFF_MAX_S)
        self._backoff_until_s = now_s + delay_s
        if self.boot_retries and self._failures >= self.boot_retries and not self._in(WorkerState.READY):
            self._log(logging.ERROR, f"No worker boots, {self._failures} times in a row: giving up")
            self._give_up(worker, now_s)
        else:
            self._log(logging.WARNING, f"The next boot is tried in {delay_s:g} s: {self._failures} failed in a row")

    def _give_up(self, worker: Worker, now_s: float) -> None:
        if not self.ending:
            self._exit_code = worker.unfit or ExitCode.APP
            why = f": {worker.reason}" if worker.reason else ""
            self._tell("failed", code=int(self._exit_code), text=BOOT_FAILURES[self._exit_code] + why)
            self._end_all(Event.KILL, now_s)

    def _in(self, state: WorkerState) -> list[Worker]:
        return [worker for worker in self.slots if worker.state is state]

    # What is done next

    def _done(self, now_s: float) -> list[Action]:
        """Go on as long as there is something to do; hand over the actions of this input."""
        while not self.ending and self._go_on(now_s):
            pass
        if self.ending and not self.finished and all(
                worker.state in (WorkerState.EMPTY, WorkerState.DEAD) for worker in self.slots):
            self.finished = True
            self._actions.append(Finish(self._exit_code))
        actions, self._actions = self._actions, []
        return actions

    def _go_on(self, now_s: float) -> bool:
        """Do one thing, and say whether there was one."""
        if self._reload is None and self._answered < self._asked:
            self._begin_reload(now_s)
            return True
        if self._reload is not None and self._advance(self._reload, now_s):
            return True
        if self._leaving is not None and self._leaving.state is not WorkerState.READY:
            self._leaving = None  # it has left by itself
        if (worker := self._next_worn()) is not None and now_s >= self._renew_from_s:
            self._log(logging.INFO, f"Worker is replaced, {worker.worn}: {worker.name}")
            self._leaving = worker
            return True
        if (surplus := self._surplus()) is not None:
            self._apply(surplus, Event.RETIRE, now_s)
            return True
        if (epoch := self._missing()) is not None and now_s >= self._spawn_from_s(epoch):
            self._spawn(epoch, now_s)
            return True
        return False

    def _spawn(self, epoch: int, now_s: float) -> None:
        worker = self._in(WorkerState.EMPTY)[0]
        self.slots[worker.slot] = Worker(
            worker.slot, worker.generation + 1, epoch, WorkerState.STARTING, spawned_s=now_s,
            deadline_s=now_s + self.boot_timeout_s)
        self._actions.append(Spawn(worker.slot, worker.generation + 1, epoch))

    def _missing(self) -> int | None:
        """The epoch of a worker that is missing and could be spawned but for the time."""
        starting = len(self._in(WorkerState.STARTING))
        if self.ending or not self._in(WorkerState.EMPTY) or (self._failures and starting):
            return None
        reload = self._reload
        if reload is None:
            wanted = self.workers + (self._leaving is not None)
            return self.epoch if starting + len(self._in(WorkerState.READY)) < wanted else None
        if reload.mode == "atomic" and self.keeps_code and not self._failures:
            old = [worker for worker in self.slots if reload.is_old(worker)
                   and worker.state in (WorkerState.STARTING, WorkerState.READY)]
            if len(old) < self.workers:
                return self.epoch
        return reload.epoch if reload.wants_new(self.slots, self.workers) else None

    def _spawn_from_s(self, epoch: int) -> float:
        """What a new epoch does is not known from how an old one has failed."""
        return max(self._pace_until_s, self._backoff_until_s if epoch == self.epoch else -math.inf)

    def _next_worn(self) -> Worker | None:
        """A worker that could be replaced now but for the time."""
        if (self.ending or self._reload is not None or self._leaving is not None
                or self._in(WorkerState.STARTING) or len(self._in(WorkerState.READY)) < self.workers):
            return None
        return next((worker for worker in self._in(WorkerState.READY) if worker.worn), None)

    def _surplus(self) -> Worker | None:
        """A worker too many: the worn one that has a replacement, else the oldest; none that boots, if one is READY."""
        ready = self._in(WorkerState.READY)
        if len(ready) > self.workers:
            return min(ready, key=_first(lambda worker: worker is not self._leaving))
        starting = [worker for worker in self._in(WorkerState.STARTING) if worker.epoch <= self.epoch]
        rolling = self._reload is not None and self._reload.mode == "rolling"
        if starting and len(starting) + len(ready) > self.workers + (self._leaving is not None or rolling):
            return max(starting, key=_first(lambda worker: True))
        return None

    # Reload

    def _begin_reload(self, now_s: float) -> None:
        self._epochs += 1
        self._leaving = None
        self._reload = Reload(self.reload_mode, self._epochs, self.epoch, self._asked, now_s)
        if self.reload_mode != "atomic":
            self.epoch = self._epochs
        self._failures = 0  # of the code before
        self._tell("reloading")
        self._log(logging.INFO, f"Reloading, {self.reload_mode}: {self.workers} workers")

    def _advance(self, reload: Reload, now_s: float) -> bool:
        """Do what the reload needs besides new workers; whether there was anything."""
        if reload.mode == "atomic":
            if not reload.may_switch(self.slots, self.workers):
                return False
            self._tell("switch")
            for worker in self.slots:
                self._apply(worker, Event.REPLACED if reload.is_old(worker) else Event.SWITCH, now_s)
            self.epoch = reload.epoch
        elif (old := reload.next_to_retire(self.slots, self.workers)) is not None:
            self._apply(old, Event.RETIRE, now_s)
            return True
        elif not reload.is_over(self.slots, self.workers):
            return False
        self._log(logging.INFO, f"Reloaded in {now_s - reload.begun_s:.1f} s")
        self._reload = None
        self._answer(reload.asked, "")
        return True

    def _reload_failed(self, culprit: Worker, now_s: float) -> None:
        """The new code does not boot: what serves goes on."""
        reload = self._reload
        assert reload is not None
        self._reload = None
        new = [worker for worker in self.slots if not reload.is_old(worker)]
        serving = sum(worker.state is WorkerState.READY for worker in new)
        if not serving:
            self.epoch = reload.before
        if reload.mode == "atomic":
            for worker in new:
                self._apply(worker, Event.RETIRE, now_s)
        why = culprit.reason or describe(culprit.status)
        old = f"{serving} of {self.workers} workers have it" if serving else "the workers go on with the old code"
        self._log(logging.ERROR, f"The reload failed, {old}: the new code did not boot in slot {culprit.slot}, "
                                 f"pid {culprit.pid}: {why}")
        self._answer(reload.asked, culprit.traceback or why)

    def _answer(self, asked: int, why_not: str) -> None:
        """Tell how a reload went, to all that had asked before it began. `why_not`: "" if it went well."""
        self._answered = asked
        self._tell("reloaded", asked=asked, ok=int(not why_not), text=why_not)

    def _tell(self, kind: str, **fields: int | str) -> None:
        self._actions.append(Tell(kind, fields))

    def _log(self, level: int, text: str) -> None:
        self._actions.append(Log(level, text))


def _first(exempt: Callable[[Worker], bool]) -> Callable[[Worker], tuple[bool, int, float, int]]:
    """The order in which workers leave: those that are not exempt, then the oldest."""
    return lambda worker: (exempt(worker), worker.epoch, worker.spawned_s, worker.slot)
