"""What is ordered of zygotes, in every state that they may be in.

The processes are real but do nothing: what a zygote says, the tests say in its place.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from swhttp.children import Child, Children
from swhttp.messages import Channel, Message
from swhttp.zygotes import Order, Zygotes

TERM, KILL = signal.SIGTERM, signal.SIGKILL


def idle_process() -> int:
    return os.posix_spawn("/bin/sleep", ["sleep", "infinity"], {})


class Puppet:
    """A zygote, by its end of the channel and its process."""

    def __init__(self, end: socket.socket) -> None:
        self.channel = Channel(end, takes_ends=True)
        self.pid = idle_process()
        self.has: list[Any] = []
        """Ends of the channels of workers."""

    def gets(self) -> list[tuple[str, int, int]]:
        """What it was told: kind, slot, generation."""
        messages, _ = self.channel.receive()
        self.has += [message["end"] for message in messages if "end" in message]
        return [(message["kind"], message.get("slot", 0), message.get("generation", 0)) for message in messages]

    def close(self) -> None:
        """As the end of its process does."""
        for end in (self.channel, *self.has):
            end.close()


class Rig(Children):
    """`Zygotes` with a selector, and puppets for processes."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        super().__init__(self.selector, lambda: None)
        self.puppets: list[Puppet] = []
        self.said: list[tuple[int, object]] = []
        self.lines: list[str] = []
        self.workers: list[int] = []
        self.zygotes = Zygotes(self, lambda _: 0, list, lambda: None, (), lambda _, text: self.lines.append(text))

    def fork(  # type: ignore[override]
        self, run: object, keep_fds: object, let_go: object, heard: Callable[[Message], None],
        ended: Callable[[int], None], ignore: object = (),
    ) -> Child:
        ours, theirs = Channel.pair()
        puppet = Puppet(theirs)
        self.puppets.append(puppet)
        child = Child(puppet.pid, os.pidfd_open(puppet.pid), Channel(ours), heard, ended)
        self.watch(child)
        return child

    def order(self, slot: int, generation: int = 1, epoch: int = 1) -> Order:
        return self.zygotes.spawn(
            slot, generation, epoch, True, lambda message: self.said.append((slot, message["kind"])),
            lambda pid: self.said.append((slot, "forked")), lambda status: self.said.append((slot, status)))

    def worker(self) -> int:
        """A process for a puppet to tell of."""
        self.workers.append(idle_process())
        return self.workers[-1]

    def hears(self, *said: tuple[int, object]) -> None:
        """Wait until just this has been told of orders."""
        while len(self.said) < len(said) and (ready := self.selector.select(10)):
            for key, _ in ready:
                key.data()
        self.turn()
        assert self.said == list(said)
        self.said.clear()

    def turn(self) -> None:
        """What is there now."""
        for key, _ in self.selector.select(0):
            key.data()

    def close(self) -> None:
        for puppet in self.puppets:
            puppet.close()
        for pid in (*self.workers, *(puppet.pid for puppet in self.puppets)):
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, KILL)
                os.waitpid(pid, 0)
        self.let_go()


@pytest.fixture
def rig(leaves_nothing_behind: None) -> Iterator[Rig]:
    made = Rig()
    yield made
    made.close()


def loaded(rig: Rig) -> Puppet:
    """The latest zygote, which has the app from now on."""
    rig.puppets[-1].channel.send("loaded")
    rig.turn()
    return rig.puppets[-1]


def test_workers_are_asked_for_once_the_app_is_there_and_reaped_once_their_end_is_known(rig: Rig) -> None:
    rig.order(0)
    rig.order(1)
    [zygote] = rig.puppets
    rig.turn()
    assert zygote.gets() == []
    loaded(rig)
    assert zygote.gets() == [("fork", 0, 1), ("fork", 1, 1)]
    zygote.channel.send("forked", slot=1, generation=1, pid=rig.worker())
    rig.hears((1, "forked"))
    Channel(zygote.has[1]).send("ready")
    rig.hears((1, "ready"))
    zygote.channel.send("ended", slot=1, generation=1, status=7)
    rig.hears((1, 7))
    assert zygote.gets() == [("reap", 1, 1)]
    zygote.channel.send("refused", slot=0, generation=1, text="no memory")
    rig.hears((0, 6))
    assert rig.lines == ["Cannot fork a worker into slot 0: no memory"]


def test_each_epoch_has_a_zygote_that_ends_when_none_of_its_workers_is_left_or_wanted(rig: Rig) -> None:
    rig.order(0, epoch=1)
    old = loaded(rig)
    rig.order(1, epoch=2)
    new = loaded(rig)
    assert (old.gets(), new.gets()) == ([("fork", 0, 1)], [("fork", 1, 1)])
    rig.zygotes.end_all_but({2})
    assert old.gets() == []
    old.channel.send("forked", slot=0, generation=1, pid=rig.worker())
    old.channel.send("ended", slot=0, generation=1, status=0)
    rig.hears((0, "forked"), (0, 0))
    rig.zygotes.end_all_but({1, 2})
    assert old.gets() == [("reap", 0, 1)]
    rig.zygotes.end_all_but({2})
    assert old.gets() == [("end", 0, 0)]
    assert new.gets() == []
    rig.order(0, 2, epoch=1)
    assert len(rig.puppets) == 3, "one that was told to end was asked"


def test_who_is_to_end_before_the_app_is_there_ends_with_the_zygote_by_the_signal_that_was_meant(rig: Rig) -> None:
    first, _ = rig.order(0), rig.order(1)
    first.kill(TERM)
    rig.hears((0, -TERM), (1, -TERM))
    assert rig.lines == []


def test_an_import_that_fails_is_told_of_all_that_were_ordered(rig: Rig) -> None:
    rig.order(0)
    rig.order(1)
    [zygote] = rig.puppets
    zygote.channel.send("unfit", code=3, text="", traceback="")
    rig.turn()
    os.kill(zygote.pid, KILL)
    rig.hears((0, "unfit"), (0, -KILL), (1, "unfit"), (1, -KILL))
    assert rig.lines == []


def test_a_signal_waits_for_the_process_that_it_is_for(rig: Rig) -> None:
    order = rig.order(0)
    zygote = loaded(rig)
    order.kill(TERM)
    assert order.child is not None
    zygote.channel.send("forked", slot=0, generation=1, pid=rig.worker())
    rig.hears((0, "forked"))
    assert os.waitpid(rig.workers[0], 0) == (rig.workers[0], TERM)


def test_who_cannot_be_waited_for_is_killed_with_the_zygote(rig: Rig) -> None:
    order = rig.order(0)
    zygote = loaded(rig)
    zygote.gets()
    order.kill(KILL)
    while not rig.lines:
        rig.selector.select(10)
        rig.turn()
    assert rig.lines == [
        f"Zygote was killed, and its workers with it, for it did not fork one into slot 0: pid {zygote.pid}"]
    assert rig.said == [], "the worker may be there"
    zygote.close()
    rig.hears((0, -KILL))


def test_a_pid_that_a_dead_zygote_has_told_may_be_anybodys_by_now(rig: Rig) -> None:
    order = rig.order(0)
    zygote = loaded(rig)
    zygote.gets()
    zygote.channel.send("forked", slot=0, generation=1, pid=rig.worker())
    os.kill(zygote.pid, KILL)
    os.waitid(os.P_PID, zygote.pid, os.WEXITED | os.WNOWAIT)
    rig.turn()
    rig.turn()
    order.kill(TERM)
    order.kill(KILL)
    rig.hears((0, -KILL))
    assert os.waitpid(rig.workers[0], os.WNOHANG) == (0, 0)


def test_the_workers_of_a_zygote_that_dies_are_gone_when_they_are_and_not_before(rig: Rig) -> None:
    rig.order(0)
    zygote = loaded(rig)
    zygote.channel.send("forked", slot=0, generation=1, pid=rig.worker())
    rig.hears((0, "forked"))
    os.kill(zygote.pid, KILL)
    while not rig.lines:
        rig.selector.select(10)
        rig.turn()
    assert rig.said == []
    os.kill(rig.workers[0], KILL)
    rig.hears((0, -KILL))


def test_a_worker_whose_end_is_not_told_is_gone_after_a_while(rig: Rig) -> None:
    rig.order(0)
    rig.order(1)
    zygote = loaded(rig)
    for slot in (0, 1):
        zygote.channel.send("forked", slot=slot, generation=1, pid=rig.worker())
    rig.hears((0, "forked"), (1, "forked"))
    zygote.gets()
    assert rig.zygotes.next_tick_s() == math.inf
    os.kill(rig.workers[0], KILL)
    while rig.zygotes.next_tick_s() == math.inf:
        rig.selector.select(10)
        rig.turn()
    assert rig.selector.select(0) == [], "its end keeps the manager busy"
    rig.zygotes.tick(time.monotonic())
    assert rig.said == [], "it has not had its time"
    rig.zygotes.tick(rig.zygotes.next_tick_s())
    rig.hears((0, -KILL))
    assert rig.lines == [f"Zygote does not tell how a worker has ended: pid {zygote.pid}, slot 0"]
    assert rig.zygotes.next_tick_s() == math.inf
    assert zygote.gets() == []
    zygote.channel.send("ended", slot=0, generation=1, status=7)  # after all
    rig.hears()
    assert zygote.gets() == [("reap", 0, 1)]
    assert len(rig.lines) == 1


def test_a_zygote_that_does_not_leave_is_killed(rig: Rig) -> None:
    rig.order(0)
    zygote = loaded(rig)
    zygote.channel.send("refused", slot=0, generation=1, text="no memory")
    rig.hears((0, 6))
    rig.zygotes.end_all_but(())
    until_s = rig.zygotes.next_tick_s()
    assert until_s < math.inf
    rig.zygotes.tick(until_s - 0.001)
    assert len(rig.lines) == 1
    rig.zygotes.tick(until_s)
    while len(rig.lines) < 3:
        assert rig.selector.select(10)
        rig.turn()
    assert rig.lines[1:] == [
        f"Zygote does not leave, and is killed: pid {zygote.pid}", f"Zygote left: pid {zygote.pid}"]
    assert rig.zygotes.next_tick_s() == math.inf


def test_a_worker_that_cannot_be_watched_is_killed_by_its_zygote(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(pid: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    rig.order(0)
    zygote = loaded(rig)
    zygote.gets()
    zygote.channel.send("forked", slot=0, generation=1, pid=rig.worker())
    with monkeypatch.context() as patch:
        patch.setattr(os, "pidfd_open", none_left)
        rig.hears()
    assert zygote.gets() == [("kill", 0, 1)]
    assert rig.lines == ["Cannot watch the worker in slot 0: [Errno 24] Too many open files"]
    zygote.channel.send("ended", slot=0, generation=1, status=-KILL)
    rig.hears((0, -KILL))
    assert zygote.gets() == [("reap", 0, 1)]


@pytest.mark.parametrize("first", ["zygote", "worker"])
def test_a_zygote_and_a_worker_that_are_gone_at_once_are_both_missed(rig: Rig, first: str) -> None:
    rig.order(0)
    zygote = loaded(rig)
    zygote.channel.send("forked", slot=0, generation=1, pid=rig.worker())
    rig.hears((0, "forked"))
    for pid in (zygote.pid, rig.workers[0]) if first == "zygote" else (rig.workers[0], zygote.pid):
        os.kill(pid, KILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    rig.hears((0, -KILL))


def test_what_makes_no_sense_is_said_and_does_nothing(rig: Rig) -> None:
    rig.order(0)
    zygote = loaded(rig)
    for kind, fields in {
        "loaded": {}, "forked": {"slot": 0, "generation": 1, "pid": 0}, "ended": {"slot": 5, "generation": 1},
        "unfit": {}, "refused": {"slot": [], "generation": {}}, "ready": {},
    }.items():
        zygote.channel.send(kind, **fields)  # type: ignore[arg-type]
    rig.turn()
    assert rig.lines == [f"Zygote said what is not understood: pid {zygote.pid}"], "a line for each would fill a log"
    assert rig.said == []
    zygote.channel.send("forked", slot=0, generation=1, pid=1 << 70)
    rig.turn()
    zygote.channel.send("forked", slot=0, generation=1, pid=rig.worker())
    rig.hears((0, "forked"))
