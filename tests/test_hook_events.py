"""Calls of hooks wait in order for the process that makes them; those who wait for a call do so only for a while."""

from __future__ import annotations

import math
from typing import Any, cast

import pytest

from swhttp import limits
from swhttp.hookevents import HookEvents

DONE = {"kind": "done"}


class Process:
    """Stands for the attendant and for its process: what was sent to it."""

    def __init__(self) -> None:
        self.child: Process | None = self
        self.sent: list[str] = []

    def has(self, child: object) -> bool:
        return child is not None and child is self.child

    def send(self, kind: str, **fields: Any) -> None:
        self.sent.append(fields.get("name") or fields.get("text") or kind)


class Desk:
    """Events, with a process that can be told, a clock that is turned by hand, and a list of what goes on."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.logged: list[str] = []
        self.went_on: list[str] = []
        self.process = Process()
        self.events = HookEvents(lambda level, text: self.logged.append(text), lambda: self.now_s)
        self.events.attendant = cast("Any", self.process)

    def call(self, hook: str, lines: tuple[str, ...] = (), waits: bool = True) -> None:
        self.events.call(hook, (lambda: self.went_on.append(hook)) if waits else None, lines)

    def pass_time(self, now_s: float) -> None:
        self.now_s = now_s
        self.events.tick(now_s)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_without_hooks_everything_goes_on_at_once(desk: Desk) -> None:
    desk.events.attendant = None
    desk.call("a")
    assert (desk.went_on, desk.process.sent) == (["a"], [])


def test_one_call_is_made_after_the_other_with_its_lines(desk: Desk) -> None:
    desk.call("a", ("x", "y"), waits=False)
    desk.call("b")
    assert desk.process.sent == ["x", "y", "a"]
    assert not desk.events.heard({"kind": "what"})
    assert desk.events.heard(DONE)
    assert desk.process.sent[3:] == ["b"]
    assert desk.went_on == []
    assert desk.events.heard(DONE)
    assert desk.went_on == ["b"]
    assert not desk.events.heard(DONE), "nothing was called"
    assert desk.events.next_tick_s() == math.inf


def test_nobody_waits_longer_than_a_while_for_a_hook_or_for_its_turn(desk: Desk) -> None:
    desk.call("hangs")
    desk.pass_time(1.0)
    desk.call("b")
    desk.pass_time(limits.HOOK_TIMEOUT_S)
    assert desk.went_on == ["hangs"]
    assert desk.events.next_tick_s() == limits.HOOK_TIMEOUT_S + 1.0
    desk.pass_time(limits.HOOK_TIMEOUT_S + 1.0)
    assert desk.went_on == ["hangs", "b"]
    assert desk.logged == ["Hook hangs has not ended in time: going on without it",
                           "Hook b is not called: hangs still runs"]
    desk.call("c")
    assert desk.events.heard(DONE)
    assert desk.process.sent == ["hangs", "c"]
    assert desk.went_on == ["hangs", "b"], "it has gone on once"


def test_a_process_that_dies_holds_nobody_up_and_its_successor_goes_on(desk: Desk) -> None:
    desk.call("ends it")
    desk.call("b")
    desk.process.child = None
    desk.events.proceed()
    assert desk.went_on == ["ends it"]
    assert desk.logged == ["Hook ends it has ended its process"]
    desk.process.child = desk.process
    desk.events.proceed()
    assert desk.process.sent == ["ends it", "b"]


def test_so_many_calls_wait_and_no_more_but_for_those_that_somebody_waits_for(desk: Desk) -> None:
    desk.call("hangs", waits=False)
    for number in range(limits.HOOK_EVENTS + 5):
        desk.call(f"{number}", waits=False)
    desk.call("last")
    assert desk.logged == [f"Hook {limits.HOOK_EVENTS} is not called: {limits.HOOK_EVENTS} calls wait already"]
    for _ in range(limits.HOOK_EVENTS + 2):
        assert desk.events.heard(DONE)
    assert desk.process.sent == ["hangs", *(str(number) for number in range(limits.HOOK_EVENTS)), "last"]


def test_without_patience_a_hook_has_a_moment(desk: Desk) -> None:
    desk.call("hangs")
    desk.now_s = 2.0
    desk.events.hurry()
    desk.call("b")
    desk.pass_time(2.0 + limits.KILL_GRACE_S)
    assert desk.went_on == ["hangs", "b"]


def test_a_hook_is_told_so_many_lines_and_no_more(desk: Desk) -> None:
    desk.call("a", tuple(f"line {n}" for n in range(limits.HOOK_LINES + 1)))
    assert desk.process.sent.count(f"line {limits.HOOK_LINES - 1}") == 1
    assert f"line {limits.HOOK_LINES}" not in desk.process.sent
