"""The manager's decisions, without a process: the table by cases. Events in any order: test_supervision_model."""

from __future__ import annotations

import math
from signal import SIGKILL, SIGTERM, Signals

import pytest

from swhttp import limits
from swhttp.errors import ExitCode
from swhttp.supervision import Supervisor
from swhttp.workerlife import TABLE, Action, Event, Finish, Kill, Log, Spawn, Tell, WorkerState

GRACEFUL_S = 30.0
BOOT_S = 60.0


def supervisor(workers: int = 2) -> Supervisor:
    return Supervisor(workers, graceful_timeout_s=GRACEFUL_S, boot_timeout_s=BOOT_S)


def spawned(actions: list[Action]) -> list[tuple[int, int]]:
    return [(action.slot, action.generation) for action in actions if isinstance(action, Spawn)]


def told(actions: list[Action]) -> list[str]:
    return [action.kind for action in actions if isinstance(action, Tell)]


def killed(actions: list[Action]) -> list[tuple[int, Signals]]:
    return [(action.slot, action.signal) for action in actions if isinstance(action, Kill)]


def logged(actions: list[Action]) -> list[str]:
    return [action.text for action in actions if isinstance(action, Log)]


def serving(workers: int = 2, now_s: float = 0.0) -> Supervisor:
    """A supervisor whose workers are all READY, forked at `now_s`."""
    machine = supervisor(workers)
    for slot, generation in spawned(machine.start(now_s)):
        machine.forked(slot, 100 + slot)
        machine.ready(slot, generation, "asgi", now_s)
    return machine


def states(machine: Supervisor) -> list[WorkerState]:
    return [worker.state for worker in machine.slots]


# Start


def test_the_start_spawns_every_worker_in_a_slot_of_its_own_and_keeps_as_many_free() -> None:
    machine = supervisor(3)
    assert spawned(machine.start(0.0)) == [(0, 1), (1, 1), (2, 1)]
    assert states(machine) == [WorkerState.STARTING] * 3 + [WorkerState.EMPTY] * 3


def test_ready_is_told_with_everything_the_master_needs() -> None:
    machine = supervisor(1)
    machine.start(0.0)
    machine.forked(0, 77)
    assert machine.ready(0, 1, "wsgi", 0.5) == [
        Tell("ready", {"slot": 0, "generation": 1, "pid": 77, "interface": "wsgi"})]
    assert machine.ready(0, 1, "wsgi", 0.6) == [], "ready twice is said once"


@pytest.mark.parametrize(
    ("status", "said", "code"),
    [(3, ExitCode.APP, ExitCode.APP), (7, ExitCode.APP_MISSING, ExitCode.APP_MISSING),
     (9, ExitCode.CONFIG, ExitCode.CONFIG),
     # Without a word of its own it has died of the application, which may leave with any status.
     *((status, None, ExitCode.APP) for status in (0, 3, 4, 7, 9, -11))])
def test_a_boot_that_fails_before_any_worker_was_ready_ends_the_server(
    status: int, said: ExitCode | None, code: ExitCode
) -> None:
    machine = supervisor(2)
    machine.start(0.0)
    if said is not None:
        machine.unfit(0, 1, said, "")
    actions = machine.exited(0, 1, status, 0.2)
    assert told(actions) == ["gone", "failed"]
    assert killed(actions) == [(1, SIGTERM)], "the others are not waited for"
    assert machine.exited(1, 1, -15, 0.3)[-1] == Finish(code)
    assert machine.next_tick_s() == math.inf


def test_why_a_worker_cannot_boot_is_told_once_with_the_end() -> None:
    machine = supervisor(2)
    machine.start(0.0)
    for slot in (0, 1):
        machine.unfit(slot, 1, 7, "there is no module 'x'")
    actions = machine.exited(0, 1, 7, 0.2) + machine.exited(1, 1, 7, 0.2)
    texts = [action.fields["text"] for action in actions if isinstance(action, Tell) and action.kind == "failed"]
    assert texts == ["The application is not there: there is no module 'x'"]
    assert logged(actions) == []


def test_why_a_later_worker_cannot_boot_is_logged_with_its_death() -> None:
    machine = serving(1)
    machine.exited(0, 1, -9, 1.0)
    machine.unfit(1, 1, 7, "there is no module 'x'")
    line, pace = logged(machine.exited(1, 1, 7, 1.1))
    assert line.endswith("exit code 7: there is no module 'x'")
    assert pace == "The next boot is tried in 0.1 s: 1 failed in a row"


def test_why_a_worker_cannot_boot_counts_more_than_that_it_is_late_then() -> None:
    machine = serving(1)
    machine.exited(0, 1, -9, 1.0)
    machine.unfit(1, 1, 7, "there is no module 'x'")
    machine.tick(1000.0)
    line, *_ = logged(machine.exited(1, 1, -15, 1000.1))
    assert line.endswith("signal 15: there is no module 'x'")


def test_a_ready_worker_cannot_say_that_it_is_unfit() -> None:
    machine = serving(1)
    machine.unfit(0, 1, 7, "nonsense")
    [line] = logged(machine.exited(0, 1, 1, 1.0))
    assert "nonsense" not in line


def test_a_boot_that_somebody_ends_with_sigterm_is_no_failure_of_the_application() -> None:
    machine = supervisor(1)
    machine.start(0.0)
    assert told(machine.exited(0, 1, -15, 1.0)) == ["gone"], "a service manager stops the whole group"
    assert states(machine).count(WorkerState.STARTING) == 1
    assert machine.stop(1.1)[-1] == Kill(1, SIGTERM)
    assert machine.exited(1, 1, -15, 1.2)[-1] == Finish(ExitCode.OK)


def test_a_first_boot_that_takes_too_long_ends_the_server() -> None:
    machine = supervisor(1)
    machine.start(0.0)
    assert machine.next_tick_s() == BOOT_S
    assert killed(machine.tick(BOOT_S)) == [(0, SIGTERM)]
    assert killed(machine.tick(BOOT_S + limits.KILL_GRACE_S)) == [(0, SIGKILL)]
    assert machine.next_tick_s() == math.inf
    actions = machine.exited(0, 1, -9, BOOT_S + 2)
    assert "failed" in told(actions)
    assert actions[-1] == Finish(ExitCode.APP)


def test_a_boot_that_fails_after_one_worker_was_ready_is_tried_again() -> None:
    machine = supervisor(2)
    machine.start(0.0)
    machine.ready(0, 1, "asgi", 0.1)
    actions = machine.exited(1, 1, 3, 1.0)
    assert told(actions) == ["gone"]
    assert spawned(actions) == []
    assert machine.next_tick_s() == pytest.approx(1.0 + limits.BOOT_BACKOFF_MIN_S)
    assert spawned(machine.tick(1.0 + limits.BOOT_BACKOFF_MIN_S)) == [(2, 1)], "slot 1 is not settled yet"


# Pace


def test_failed_boots_slow_down_by_doubling_to_a_bound_until_one_succeeds() -> None:
    machine = serving(1)
    now_s, slot, delays = 10.0, 0, []
    [(slot, generation)] = spawned(machine.exited(0, 1, -9, now_s))
    machine.settled(0, now_s)
    for _ in range(9):
        died_s = now_s
        assert spawned(machine.exited(slot, generation, 3, died_s)) == []
        assert spawned(machine.settled(slot, died_s)) == []
        now_s = machine.next_tick_s()
        assert spawned(machine.tick(math.nextafter(now_s, 0.0))) == []
        delays.append(round(now_s - died_s, 6))
        [(slot, generation)] = spawned(machine.tick(now_s))
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    machine.ready(slot, generation, "asgi", now_s)
    actions = machine.exited(slot, generation, -9, now_s + 1)
    machine.settled(slot, now_s + 1)
    [(slot, generation)] = spawned(actions)
    machine.exited(slot, generation, 3, now_s + 1)
    assert machine.next_tick_s() == pytest.approx(now_s + 1 + limits.BOOT_BACKOFF_MIN_S), "READY forgets the failures"


def test_workers_that_fail_side_by_side_are_one_failure_and_one_at_a_time_tries_again() -> None:
    machine = serving(4)
    second = [one for slot in range(4) for one in spawned(machine.exited(slot, 1, -9, 10.0))]
    assert len(second) == 4
    for slot in range(4):
        machine.settled(slot, 10.0)
    for slot, generation in second:
        assert spawned(machine.exited(slot, generation, 3, 11.0)) == []
    assert machine.next_tick_s() == pytest.approx(11.0 + limits.BOOT_BACKOFF_MIN_S)
    [(slot, generation)] = spawned(machine.tick(12.0))
    assert spawned(machine.tick(13.0)) == [], "the one that tries is alone"
    assert len(spawned(machine.ready(slot, generation, "asgi", 14.0))) == 3, "it boots: the others follow at once"


def test_a_worker_that_served_is_replaced_at_once_in_a_free_slot() -> None:
    machine = serving(2)
    actions = machine.exited(0, 1, -9, 1.0)
    assert spawned(actions) == [(2, 1)]
    assert told(actions) == ["gone"]
    assert logged(actions) == ["Worker died: slot 0, pid 100, signal 9"]


def test_a_worker_that_dies_just_after_ready_is_not_replaced_in_a_busy_loop() -> None:
    machine = serving(1)
    assert spawned(machine.exited(0, 1, 9, 0.01)) == []
    assert machine.next_tick_s() == limits.YOUNG_S
    assert spawned(machine.tick(limits.YOUNG_S)) == [(1, 1)]


# Slots


def test_a_slot_is_used_again_only_when_its_process_is_gone_and_the_reactors_have_settled() -> None:
    machine = serving(1)
    machine.exited(0, 1, -9, 1.0)
    machine.ready(1, 1, "asgi", 1.5)
    assert spawned(machine.exited(1, 1, -9, 3.0)) == [], "both slots wait for the reactors"
    assert machine.next_tick_s() == math.inf
    assert spawned(machine.settled(1, 4.0)) == [(1, 2)]


def test_settled_without_a_death_means_nothing() -> None:
    machine = serving(1)
    assert machine.settled(0, 1.0) == []
    assert states(machine)[0] is WorkerState.READY


def test_words_of_an_earlier_generation_mean_nothing() -> None:
    machine = serving(1)
    machine.exited(0, 1, -9, 1.0)
    machine.settled(0, 1.0)
    machine.ready(1, 1, "asgi", 1.0)
    machine.exited(1, 1, -9, 2.0)
    assert states(machine)[0] is WorkerState.STARTING
    assert machine.ready(0, 1, "asgi", 2.0) == []
    assert machine.exited(0, 1, -9, 2.0) == []
    assert states(machine)[0] is WorkerState.STARTING


# Stopping one worker


def test_a_worker_that_says_stopping_is_replaced_and_may_finish() -> None:
    machine = serving(1)
    actions = machine.stopping(0, 1, 10.0)
    assert told(actions) == ["stopping"]
    assert spawned(actions) == [(1, 1)]
    assert killed(actions) == []
    actions = machine.exited(0, 1, 0, 12.0)
    assert logged(actions) == ["Worker left: slot 0, pid 100"]
    assert spawned(actions) == []


def test_a_worker_that_does_not_finish_in_time_gets_sigterm_then_sigkill() -> None:
    machine = serving(1)
    machine.stopping(0, 1, 10.0)
    machine.ready(1, 1, "asgi", 10.0)
    assert machine.next_tick_s() == 10.0 + GRACEFUL_S
    assert killed(machine.tick(40.0)) == [(0, SIGTERM)]
    assert killed(machine.tick(40.0 + limits.KILL_GRACE_S)) == [(0, SIGKILL)]
    assert machine.next_tick_s() == math.inf
    assert killed(machine.tick(1000.0)) == []


def test_a_worker_told_to_leave_while_it_boots_leaves_as_others_do_once_it_has_booted() -> None:
    machine = serving(1)
    machine.exited(0, 1, -9, 1.0)
    machine.stopping(1, 1, 1.1)
    assert told(machine.ready(1, 1, "asgi", 1.2)) == ["staged", "stopping"]
    assert states(machine)[1] is WorkerState.STOPPING


def test_a_worker_that_wrote_what_cannot_be_is_killed_and_replaced() -> None:
    machine = serving(1)
    assert killed(machine.corrupt(0, 1.0)) == [(0, SIGKILL)]
    assert spawned(machine.exited(0, 1, -9, 1.1)) == [(1, 1)]


# Stopping all


def test_stop_spawns_nothing_more_and_finishes_when_all_are_gone() -> None:
    machine = serving(2)
    machine.exited(0, 1, -9, 1.0)  # its replacement boots
    actions = machine.stop(2.0)
    assert killed(actions) == [(2, SIGTERM)], "the one that boots has nothing to finish"
    assert machine.exited(2, 1, -15, 2.1)[-1:] != [Finish(ExitCode.OK)]
    assert machine.exited(1, 1, 0, 3.0)[-1] == Finish(ExitCode.OK)
    assert machine.tick(1000.0) == []


def test_stop_waits_no_longer_than_the_graceful_timeout() -> None:
    machine = serving(1)
    machine.stop(5.0)
    assert killed(machine.tick(5.0 + GRACEFUL_S)) == [(0, SIGTERM)]
    assert killed(machine.tick(5.0 + GRACEFUL_S + limits.KILL_GRACE_S)) == [(0, SIGKILL)]


def test_kill_is_sigterm_at_once_and_sigkill_soon() -> None:
    machine = serving(2)
    assert killed(machine.kill(1.0)) == [(0, SIGTERM), (1, SIGTERM)]
    assert killed(machine.tick(1.0 + limits.KILL_GRACE_S)) == [(0, SIGKILL), (1, SIGKILL)]
    machine.exited(0, 1, -9, 3.0)
    assert machine.exited(1, 1, -9, 3.0)[-1] == Finish(ExitCode.OK)


def test_kill_overtakes_stop() -> None:
    machine = serving(1)
    machine.stop(1.0)
    assert killed(machine.kill(2.0)) == [(0, SIGTERM)]
    assert killed(machine.kill(2.1)) == [(0, SIGKILL)], "asked twice, no patience is left"


def test_stop_with_nobody_there_finishes_at_once() -> None:
    machine = serving(1)
    machine.exited(0, 1, 9, 0.0)
    assert machine.stop(0.0)[-1] == Finish(ExitCode.OK)


# Reloads, and what can go wrong in them


def booted(machine: Supervisor, actions: list[Action], now_s: float) -> list[Action]:
    """Let every process that is spawned say that it is ready, until none is spawned; all actions."""
    every = list(actions)
    while fresh := spawned(actions):
        actions = [action for slot, generation in fresh for action in machine.ready(slot, generation, "asgi", now_s)]
        every += actions
    return every


def outcomes(actions: list[Action]) -> list[tuple[int, int]]:
    """(asked, ok) of each reload that has ended."""
    return [(int(action.fields["asked"]), int(action.fields["ok"]))
            for action in actions if isinstance(action, Tell) and action.kind == "reloaded"]


def test_an_atomic_reload_boots_one_by_one_and_switches_once() -> None:
    machine = serving(2)
    actions = machine.reload(1.0)
    assert len(spawned(actions)) == 1
    every = booted(machine, actions, 1.5)
    assert [kind for kind in told(every) if kind != "reloading"] == ["staged", "staged", "switch", "reloaded"]
    assert states(machine) == [WorkerState.STOPPING] * 2 + [WorkerState.READY] * 2


def test_those_who_ask_before_a_reload_begins_have_one() -> None:
    machine = serving(1)
    assert outcomes(booted(machine, machine.reload(1.0, times=3), 1.5)) == [(3, 1)]


def test_a_reload_gets_its_turn_while_the_old_code_cannot_boot() -> None:
    machine = Supervisor(2, graceful_timeout_s=GRACEFUL_S, boot_timeout_s=BOOT_S, keeps_code=True)
    booted(machine, machine.start(0.0), 0.0)
    [(slot, generation)] = spawned(machine.exited(0, 1, -9, 10.0))
    machine.exited(slot, generation, 3, 11.0)
    actions = machine.reload(11.01)
    for slot in (0, 2):
        actions += machine.settled(slot, 11.02)
    actions += machine.tick(machine.next_tick_s())
    assert (1, 1) in outcomes(booted(machine, actions, 20.0))


@pytest.mark.parametrize(("status", "most"), [(0, 1), (7, 1), (-11, 1), (-9, 4), (-15, 4)])
def test_a_worker_that_dies_before_the_switch_fails_the_reload_at_once_or_after_a_few_times(
    status: int, most: int
) -> None:
    machine = serving(2)
    actions, deaths, now_s = machine.reload(1.0), 0, 1.0
    while not outcomes(actions):
        for slot, generation in spawned(actions):
            actions = machine.ready(slot, generation, "asgi", now_s)
            actions += machine.exited(slot, generation, status, now_s)
            deaths += 1
            if not outcomes(actions):
                actions += machine.settled(slot, now_s)
            if not outcomes(actions) and not spawned(actions):
                now_s = machine.next_tick_s()
                actions += machine.tick(now_s)
        assert deaths <= most
    assert outcomes(actions) == [(1, 0)]
    assert deaths == most
    assert states(machine).count(WorkerState.READY) == 2


def test_a_worker_that_is_stuck_while_it_drains_is_hurried() -> None:
    machine = Supervisor(1, graceful_timeout_s=300.0, boot_timeout_s=BOOT_S, stuck_grace_s=5.0)
    booted(machine, machine.start(0.0), 0.0)
    booted(machine, machine.reload(1.0), 1.0)
    assert killed(machine.stuck(0, 1, 10.0)) == []
    assert killed(machine.tick(15.0)) == [(0, SIGTERM)]
    machine.stuck(0, 1, 15.5)
    assert killed(machine.tick(15.0 + limits.KILL_GRACE_S)) == [(0, SIGKILL)], "a second one gives it no more time"


def test_boots_that_somebody_always_ends_with_sigterm_end_the_server() -> None:
    machine, ends, now_s = supervisor(1), 0, 0.0
    actions = machine.start(now_s)
    while not machine.ending:
        [(slot, generation)] = spawned(actions)
        actions = machine.exited(slot, generation, -15, now_s)
        ends += 1
        assert ends < 10
        if not machine.ending:
            machine.settled(slot, now_s)
            now_s = machine.next_tick_s()
            actions = machine.tick(now_s)
    assert "failed" in told(actions)


def test_a_worker_that_gets_ready_while_the_first_boot_is_stopped_leaves_as_others_do() -> None:
    machine = supervisor(1)
    machine.start(0.0)
    machine.stop(0.1)
    actions = machine.ready(0, 1, "asgi", 0.2)
    assert (told(actions), killed(actions)) == (["staged", "stopping"], [])


def test_no_worker_can_change_what_all_are() -> None:
    machine = serving(1)
    machine.exited(0, 1, -9, 1.0)
    machine.stopping(1, 1, 1.1)
    actions = machine.ready(1, 1, "wsgi", 1.2)
    assert told(actions) == []
    assert killed(actions) == [(1, SIGKILL)]


# The table as a whole


def test_every_state_but_empty_has_a_way_out_and_only_the_reactors_make_a_slot_empty() -> None:
    for state in WorkerState:
        ways = {event: row.state for (before, event), row in TABLE.items() if before is state}
        if state is not WorkerState.EMPTY:
            assert any(after is not state for after in ways.values())
        assert [event for event, after in ways.items() if after is WorkerState.EMPTY] in (
            [], [Event.SETTLED] if state is WorkerState.DEAD else [])


def test_an_exit_is_known_in_every_state_with_a_process() -> None:
    for state in (WorkerState.STARTING, WorkerState.STAGED, WorkerState.READY, WorkerState.STOPPING):
        assert TABLE[state, Event.EXIT].state is WorkerState.DEAD
