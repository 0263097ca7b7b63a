"""Channels between our processes: no message is lost or doubled, whoever sends one in the middle of another."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, cast

import pytest

from swhttp import limits
from swhttp.messages import Channel, fitting


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
