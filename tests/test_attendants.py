"""A process beside the workers that says what it likes, in what it may say and when."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from swhttp.attendant import Attendant
from swhttp.messages import Message


class Rig:
    """An attendant without processes. What a process says, the tests say in its place."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.given_up: list[str] = []
        self.hear: Callable[[Message], None] = lambda message: None
        self.end: Callable[[int], None] = lambda status: None
        self.attendant = Attendant(
            "Process a", cast("Any", self), lambda end: 0, lambda: None, grace_s=1.0,
            log=lambda level, text: self.lines.append(text), give_up=lambda code, text: self.given_up.append(text),
            changed=lambda: None, heard=lambda message: message["kind"] == "done")
        self.attendant.start()

    def fork(self, run: object, fds: object, let_go: object, heard: Any, ended: Any, ignore: object) -> Any:
        self.hear, self.end = heard, ended
        return SimpleNamespace(pid=1)

    def next(self) -> None:
        """The process ends, and there is another."""
        self.end(-9)
        self.attendant.tick(self.attendant.next_tick_s())
        self.lines.clear()


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_what_makes_no_sense_is_logged_once_for_each_process(rig: Rig) -> None:
    for _ in range(2):
        rig.lines.clear()
        for kind in ("what", "done", "started", "started", "", "done"):
            rig.hear({"kind": kind, "survives_reload": 0})
        assert rig.lines[0] == "Process a: said what is not understood"
        assert len(rig.lines) == 2, rig.lines
        rig.next()


def test_only_the_first_can_end_the_server(rig: Rig) -> None:
    unfit = {"kind": "unfit", "code": 3, "text": "no\0" * 5000}
    rig.hear(unfit)
    assert len(rig.given_up) == 1
    assert len(rig.given_up[0]) < 1000
    rig.next()
    rig.hear(unfit)
    assert len(rig.given_up) == 1
