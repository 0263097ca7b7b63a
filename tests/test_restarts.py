"""When a process that is to run for ever is started again, told to leave, and killed: pure."""

from __future__ import annotations

import math

from swhttp import limits
from swhttp.restarts import Restarts, State, Step

GRACE_S = 30.0


def running(now_s: float = 0.0) -> Restarts:
    machine = Restarts(GRACE_S)
    assert machine.start(now_s) == [Step.START]
    return machine


def test_one_that_ends_soon_after_its_start_is_started_at_ever_longer_intervals() -> None:
    machine = running()
    now_s, delays = 0.0, []
    for _ in range(8):
        now_s += limits.STEADY_S / 2
        assert machine.exited(now_s) == []
        delays.append(round(machine.next_tick_s() - now_s, 3))
        assert machine.tick(machine.next_tick_s() - 0.001) == []
        now_s = machine.next_tick_s()
        assert machine.tick(now_s) == [Step.START]
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert machine.exited(now_s + limits.STEADY_S) == []
    assert round(machine.again_in_s(now_s + limits.STEADY_S), 3) == 0.1, "it ran long enough to be forgiven"


def test_one_that_is_told_to_leave_has_its_grace_and_is_killed_once() -> None:
    machine = running()
    assert machine.stop(5.0) == [Step.LEAVE]
    assert machine.stop(6.0) == []
    assert machine.next_tick_s() == 5.0 + GRACE_S
    assert machine.tick(5.0 + GRACE_S) == [Step.KILL]
    assert machine.next_tick_s() == math.inf
    assert machine.kill(50.0) == []
    assert machine.exited(51.0) == []
    assert machine.state is State.ENDED


def test_without_patience_it_has_a_moment_from_when_it_was_first_told() -> None:
    machine = running()
    assert machine.kill(5.0) == [Step.LEAVE]
    assert machine.next_tick_s() == 5.0 + limits.KILL_GRACE_S
    assert machine.tick(machine.next_tick_s()) == [Step.KILL]
    patient = running()
    patient.stop(5.0)
    assert patient.kill(5.0 + 2 * limits.KILL_GRACE_S) == [Step.KILL]


def test_new_code_runs_when_the_old_is_gone_and_at_once() -> None:
    machine = running()
    machine.exited(1.0)
    machine.tick(2.0)
    assert machine.renew(3.0) == [Step.LEAVE]
    assert machine.renew(3.5) == [], "it has been told"
    assert machine.exited(4.0) == [Step.START]
    machine.exited(5.0)
    assert round(machine.again_in_s(5.0), 3) == 0.1, "how the old code failed says nothing of the new"
    assert machine.renew(5.0) == [Step.START], "instead of waiting"


def test_old_code_that_does_not_leave_is_killed_and_replaced() -> None:
    machine = running()
    machine.renew(3.0)
    assert machine.tick(3.0 + GRACE_S) == [Step.KILL]
    assert machine.exited(34.0) == [Step.START]


def test_a_server_that_ends_starts_nothing_any_more() -> None:
    idle, waiting, renewed = Restarts(GRACE_S), running(), running()
    waiting.exited(1.0)
    renewed.renew(1.0)
    for machine in (idle, waiting, renewed):
        assert machine.stop(2.0) == []
        assert machine.tick(10.0) == []
        assert machine.renew(10.0) == []
    assert renewed.exited(11.0) == []
    assert {machine.state for machine in (idle, waiting, renewed)} == {State.ENDED}
