"""The manager's decisions, without a process: events in any order, in every mode of reloading."""

from __future__ import annotations

import math
from signal import SIGTERM, Signals

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from swhttp.supervision import Supervisor
from swhttp.workerlife import Action, Finish, Kill, Spawn, Tell, WorkerState

GRACEFUL_S = 30.0
BOOT_S = 60.0


def states(machine: Supervisor) -> list[WorkerState]:
    return [worker.state for worker in machine.slots]


class Fleet(RuleBasedStateMachine):
    """Processes that boot, serve, lie, leave and die in any order; reactors that settle when they like; operators who
    reload and scale."""

    mode = "atomic"
    keeps_code = False

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.workers = 3
        self.machine = Supervisor(
            self.workers, graceful_timeout_s=GRACEFUL_S, boot_timeout_s=BOOT_S, max_workers=4, reload_mode=self.mode,
            keeps_code=self.keeps_code)
        self.staged: set[int] = set()
        self.told_to_stop: set[int] = set()
        self.asked = self.answered = 0
        self.alive: dict[int, int] = {}
        self.signalled: dict[int, list[Signals]] = {}
        self.unsettled: set[int] = set()
        self.up: set[int] = set()
        self.generations = [0] * len(self.machine.slots)
        self.ever_ready = False
        self.ending = False
        self.finishes = 0
        self.spawns_at: dict[float, int] = {}
        self.carry_out(self.machine.start(self.now_s))

    def carry_out(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Spawn(slot, generation, _):
                    assert slot not in self.alive, "two processes in one slot"
                    assert slot not in self.unsettled, "the reactors still read the slot"
                    assert not self.ending
                    assert generation == self.generations[slot] + 1
                    self.generations[slot] = generation
                    self.alive[slot] = generation
                    self.signalled[slot] = []
                    self.spawns_at[self.now_s] = self.spawns_at.get(self.now_s, 0) + 1
                    self.machine.forked(slot, 1000 + slot)
                case Kill(slot, signal):
                    assert slot in self.alive, "nobody is there to be signalled"
                    self.signalled[slot].append(signal)
                case Tell("ready" | "staged" as kind, fields):
                    slot = int(fields["slot"])
                    assert slot in self.alive
                    assert slot not in self.up
                    self.up.add(slot)
                    if kind == "staged":
                        self.staged.add(slot)
                    else:
                        self.ever_ready = True
                case Tell("switch", _):
                    assert self.staged - self.told_to_stop, "nobody would serve"
                    self.told_to_stop |= self.up - self.staged
                    self.staged.clear()
                    self.ever_ready = True
                case Tell("stopping", fields):
                    assert int(fields["slot"]) in self.up - self.told_to_stop
                    self.told_to_stop.add(int(fields["slot"]))
                case Tell("reloading", _):
                    assert not self.ending
                case Tell("reloaded", fields):
                    assert self.answered < int(fields["asked"]) <= self.asked
                    self.answered = int(fields["asked"])
                    assert fields["ok"] or fields["text"]
                case Tell("gone", fields):
                    for known in (self.up, self.staged, self.told_to_stop):
                        known.discard(int(fields["slot"]))
                case Tell("failed", _):
                    assert not self.ever_ready
                    self.ending = True
                case Finish(_):
                    self.finishes += 1
                    assert not self.alive
                    assert self.ending

    def pick(self, data: st.DataObject, slots: set[int] | dict[int, int]) -> int:
        return data.draw(st.sampled_from(sorted(slots)))

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), interface=st.sampled_from(["asgi", "asgi", "asgi", "wsgi"]))
    def says_ready(self, data: st.DataObject, interface: str) -> None:
        slot = self.pick(data, self.alive)
        self.carry_out(self.machine.ready(slot, self.alive[slot], interface, self.now_s))

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def says_stopping(self, data: st.DataObject) -> None:
        slot = self.pick(data, self.alive)
        self.carry_out(self.machine.stopping(slot, self.alive[slot], self.now_s))

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), status=st.sampled_from([0, 3, 7, -9, -15]))
    def exits(self, data: st.DataObject, status: int) -> None:
        slot = self.pick(data, self.alive)
        generation = self.alive.pop(slot)
        self.unsettled.add(slot)
        self.carry_out(self.machine.exited(slot, generation, status, self.now_s))

    @precondition(lambda self: self.unsettled)
    @rule(data=st.data())
    def settles(self, data: st.DataObject) -> None:
        slot = self.pick(data, self.unsettled)
        self.unsettled.discard(slot)
        self.carry_out(self.machine.settled(slot, self.now_s))

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def is_corrupt(self, data: st.DataObject) -> None:
        self.carry_out(self.machine.corrupt(self.pick(data, self.alive), self.now_s))

    @rule()
    def somebody_reloads(self) -> None:
        self.asked += not self.ending
        if not self.ending:
            self.carry_out(self.machine.reload(self.now_s))

    @rule(workers=st.integers(0, 5))
    def somebody_scales(self, workers: int) -> None:
        self.workers = min(max(workers, 1), 4)
        self.carry_out(self.machine.scale(workers, self.now_s))

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def is_worn(self, data: st.DataObject) -> None:
        slot = self.pick(data, self.alive)
        self.carry_out(self.machine.worn(slot, self.alive[slot], "after 10 requests", self.now_s))

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def is_stuck(self, data: st.DataObject) -> None:
        slot = self.pick(data, self.alive)
        self.carry_out(self.machine.stuck(slot, self.alive[slot], self.now_s))

    @rule(slot=st.integers(0, 5), generation=st.integers(-1, 3))
    def says_something_late(self, slot: int, generation: int) -> None:
        if self.alive.get(slot) != generation:
            before = states(self.machine)
            assert self.machine.ready(slot, generation, "asgi", self.now_s) == []
            assert self.machine.stopping(slot, generation, self.now_s) == []
            assert states(self.machine) == before

    @rule(seconds=st.sampled_from([0.0, 0.001, 0.05, 0.1, 1.0, 7.0, 31.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds
        self.carry_out(self.machine.tick(self.now_s))

    @rule()
    def the_next_tick_comes(self) -> None:
        due_s = self.machine.next_tick_s()
        if due_s < math.inf:
            self.now_s = max(self.now_s, due_s)
            self.carry_out(self.machine.tick(self.now_s))

    @rule(force=st.booleans(), luck=st.integers(0, 9))
    def the_server_ends(self, force: bool, luck: int) -> None:
        if luck == 0:
            self.ending = True
            self.carry_out(self.machine.kill(self.now_s) if force else self.machine.stop(self.now_s))

    def epochs(self, *wanted: WorkerState) -> list[int]:
        return [worker.epoch for worker in self.machine.slots if worker.state in wanted]

    @invariant()
    def no_more_workers_than_wanted(self) -> None:
        if self.ending:
            return
        assert len(self.epochs(WorkerState.READY)) <= self.workers
        for epoch in set(self.epochs(*WorkerState)):
            having = self.epochs(WorkerState.STARTING, WorkerState.STAGED, WorkerState.READY).count(epoch)
            # One for whom another leaves; one that was staged for a fleet which has become smaller meanwhile.
            assert having <= self.workers + 1 or WorkerState.STAGED in states(self.machine)

    @invariant()
    def an_atomic_reload_never_mixes(self) -> None:
        if self.mode == "atomic":
            assert len(set(self.epochs(WorkerState.READY))) <= 1

    @invariant()
    def the_table_knows_who_lives(self) -> None:
        with_process = {worker.slot for worker in self.machine.slots
                        if worker.state not in (WorkerState.EMPTY, WorkerState.DEAD)}
        assert with_process == set(self.alive)

    @invariant()
    def it_never_loops(self) -> None:
        self.carry_out(self.machine.tick(self.now_s))
        assert self.machine.tick(self.now_s) == [], "a second look at the same time finds nothing to do"
        assert self.machine.next_tick_s() > self.now_s, "waiting until a time that has passed is a busy loop"
        # Without a process that had lived for a while, no more than one fleet is spawned at one time.
        assert self.spawns_at.get(self.now_s, 0) <= 4 * len(self.machine.slots)

    @invariant()
    def signals_rise(self) -> None:
        for sent in self.signalled.values():
            assert SIGTERM not in sent[1:]

    def teardown(self) -> None:
        """Left alone, it comes to rest: all workers READY, or, when it ends, nobody left and one Finish."""
        for _ in range(200):
            for slot in sorted(self.unsettled):
                self.unsettled.discard(slot)
                self.carry_out(self.machine.settled(slot, self.now_s))
            for slot, generation in sorted(self.alive.items()):
                interface = self.machine.interface or "asgi"
                self.carry_out(self.machine.ready(slot, generation, interface, self.now_s))
                if self.signalled[slot] or self.machine.slots[slot].state is WorkerState.STOPPING:
                    del self.alive[slot]
                    self.unsettled.add(slot)
                    self.carry_out(self.machine.exited(slot, generation, -15, self.now_s))
            if self.unsettled or WorkerState.STARTING in states(self.machine):
                continue  # nobody has to wait for a clock
            if self.machine.next_tick_s() == math.inf:
                break
            self.the_next_tick_comes()
        else:
            raise AssertionError("it never comes to rest")
        if self.ending:
            assert self.finishes == 1
            assert not self.alive
        else:
            assert self.finishes == 0
            assert states(self.machine).count(WorkerState.READY) == self.workers
            assert self.answered == self.asked


class RollingFleet(Fleet):
    mode = "rolling"


class SyncFleet(Fleet):
    mode = "sync"


class PreloadedFleet(Fleet):
    keeps_code = True


TestAnyOrderOfEvents = Fleet.TestCase
TestAnyOrderOfEventsRolling = RollingFleet.TestCase
TestAnyOrderOfEventsSync = SyncFleet.TestCase
TestAnyOrderOfEventsPreloaded = PreloadedFleet.TestCase
for _case in (TestAnyOrderOfEvents, TestAnyOrderOfEventsRolling, TestAnyOrderOfEventsSync,
              TestAnyOrderOfEventsPreloaded):
    _case.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
