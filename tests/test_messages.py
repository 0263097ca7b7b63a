"""Channels between our processes: no message is lost or doubled, whoever sends one in the middle of another."""

from __future__ import annotations

import errno
import os
import selectors
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, cast

import pytest

from swhttp import limits
from swhttp.children import Child, Children
from swhttp.masterlog import MasterLog
from swhttp.messages import Channel, end_of, fitting


class Interrupted:
    """A socket during whose first `send` a signal handler runs."""

    def __init__(self, end: Any) -> None:
        self._end = end
        self.handler: Callable[[], None] = lambda: None

    def send(self, packet: bytes) -> None:
        handler, self.handler = self.handler, lambda: None
        self._end.send(packet)
        handler()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._end, name)


def test_a_signal_handler_may_send_while_something_is_sent() -> None:
    ours, theirs = Channel.pair()
    with ours, theirs:
        interrupted = Interrupted(ours)
        sender, receiver = Channel(cast("Any", interrupted)), Channel(theirs)
        interrupted.handler = lambda: sender.send("stopping")
        sender.send("ready")
        assert receiver.receive() == ([{"kind": "ready"}, {"kind": "stopping"}], True)


def test_what_the_kernel_does_not_take_waits_in_order() -> None:
    with ExitStack() as stack:
        ours, theirs = (stack.enter_context(end) for end in Channel.pair())
        sender, receiver = Channel(ours), Channel(theirs)
        count = 0
        while not sender.wants_write:
            sender.send("a", number=count)
            count += 1
        sender.send("a", number=count)
        got: list[int] = []
        while len(got) <= count:
            messages, is_open = receiver.receive()
            assert is_open
            got += [message["number"] for message in messages]
            sender.flush()
        assert got == list(range(count + 1))
        assert not sender.wants_write


@pytest.mark.parametrize("text", ["short", "\0" * 5000, "\U0001f600" * 5000, "\udc80" * 5000, 'a"' * 3000])
def test_a_text_of_any_length_is_made_to_fit_a_message(text: str) -> None:
    ours, theirs = Channel.pair()
    with ours, theirs:
        Channel(ours).send("unfit", code=3, text=fitting(text))
        [message], _ = Channel(theirs).receive()
        assert message["text"] == fitting(text)
        assert text.startswith(message["text"].removesuffix("..."))
        assert len(message["text"]) <= limits.MAX_REASON_CHARS + 3


@pytest.mark.parametrize("unit", ["\0", "\U0001f600"])
def test_of_any_long_traceback_the_end_fits_a_message(unit: str) -> None:
    most = limits.MAX_TRACEBACK_CHARS // len(unit.encode("utf-16-le")) * 2
    assert end_of(unit * most) == unit * most
    ours, theirs = Channel.pair()
    with ours, theirs:
        Channel(ours).send("unfit", text=fitting(unit * most), traceback=end_of(unit + unit * most))
        [message], _ = Channel(theirs).receive()
    assert message["traceback"] == "..." + unit * most


@pytest.mark.parametrize("unit", ["x", "\0", "\U0001f600"])
def test_a_message_that_would_be_too_large_keeps_the_end_of_its_longest_text(unit: str) -> None:
    ours, theirs = Channel.pair()
    with ours, theirs:
        Channel(ours).send("reloaded", asked=1, why="short", text=unit * 100_000 + "the end")
        [message], _ = Channel(theirs).receive()
    text = message.pop("text")
    assert message == {"kind": "reloaded", "asked": 1, "why": "short"}
    assert text.startswith("..." + unit)
    assert text.endswith(unit + "the end")
    assert len(text) > 1000


class Refusing:
    """A socket whose `send` fails as it is told to."""

    def __init__(self, end: Any) -> None:
        self._end = end
        self.errors: list[int] = []

    def send(self, packet: bytes) -> None:
        if self.errors:
            raise OSError(self.errors.pop(0), "refused")
        self._end.send(packet)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._end, name)


def test_what_the_kernel_refuses_is_dropped_and_nothing_else() -> None:
    ours, theirs = Channel.pair()
    with ours, theirs:
        refusing = Refusing(ours)
        sender, receiver = Channel(cast("Any", refusing)), Channel(theirs)
        refusing.errors = [errno.EAGAIN]
        sender.send("first")
        refusing.errors = [errno.EMSGSIZE]
        sender.send("second")
        assert receiver.receive() == ([{"kind": "second"}], True)
        refusing.errors = [errno.EAGAIN]
        sender.send("first")
        refusing.errors = [errno.EPIPE]
        sender.send("second")
        assert not sender.waiting, "they are for nobody"


def test_what_no_selector_tells_of_is_tried_again_without_a_busy_loop() -> None:
    ours, theirs = Channel.pair()
    refusing = Refusing(ours)
    with theirs, selectors.DefaultSelector() as selector:
        children = Children(selector, lambda: None)
        child = Child(os.getpid(), os.pidfd_open(os.getpid()), Channel(cast("Any", refusing)), print, print)
        children.watch(child)
        refusing.errors = [errno.ETOOMANYREFS] * 2
        child.send("fork")
        children.before_wait()
        assert selector.select(0) == [], "the socket can be written to at any time"
        assert children.next_tick_s() < float("inf")
        children.before_wait()
        assert Channel(theirs).receive() == ([{"kind": "fork"}], True)
        assert children.next_tick_s() == float("inf")
        child.close()


def test_who_makes_no_sense_is_told_of_as_such() -> None:
    ours, theirs = Channel.pair()
    with ours, theirs:
        for packet in (b"no JSON", b"[]", b'{"kind": 7}', b'{"kind": "ready"}'):
            ours.send(packet)
        messages, _ = Channel(theirs).receive()
    assert [message["kind"] for message in messages] == ["", "", "", "ready"]


def test_lines_for_a_master_that_does_not_take_them_are_lost_and_other_messages_are_not() -> None:
    ours, theirs = Channel.pair()
    with ours, theirs:
        master, receiver = Channel(ours), Channel(theirs)
        log = MasterLog(master)
        for _ in range(5 * limits.LOG_BACKLOG):
            log.line(20, "a line")
            log.entry("an entry", "x")
        master.send("reloaded", ok=1)
        assert master.waiting == limits.LOG_BACKLOG + 1
        got: list[Any] = []
        while not got or "text" in got[-1]:
            got += receiver.receive()[0]
            master.flush()
        assert [message["kind"] for message in got[-3:]] == ["log", "entry", "reloaded"]
        lost = 10 * limits.LOG_BACKLOG - (len(got) - 1)
        log.line(20, "x" * (limits.MAX_LOG_TEXT_CHARS + 1))
        assert [message["text"] for message in receiver.receive()[0]] == [
            f"The log was not taken: lost are lines and entries: {lost}", "x" * limits.MAX_LOG_TEXT_CHARS]
