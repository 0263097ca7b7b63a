"""The manager's processes: forked clean, heard, reaped, signalled.

It owns, of every process that the manager has forked, or has had forked by a zygote, the pidfd and the channel, and
their places in the manager's selector. It decides nothing: what a child says and how it ends goes to the callbacks that
it was forked with. A child inherits none of this: `let_go` closes it there, by its owner.

A child of a zygote's is expected, born, and ended by what that says of it (`expect`, `born`, `end`), for only its
parent can know how it has ended. That it has, is seen here too. When the zygote is gone that is all there is to know
(`orphan`).
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from swhttp import hygiene, limits
from swhttp.messages import Channel, Message


@dataclass(eq=False)
class Child:
    """One process and the fds by which the manager knows it.

    `pid`: 0 until it is known, and `pidfd` -1. `heard`: gets each of its messages; `ended`: gets its exit code, or
    minus the number of the signal, once it is reaped and everything that it has said is heard.
    """

    pid: int
    pidfd: int
    channel: Channel
    heard: Callable[[Message], None]
    ended: Callable[[int], None]
    dead: Callable[[], None] = field(default=lambda: None, init=False)
    """Of a zygote's: called when its process has ended, and is not reaped here."""
    reaped: bool = field(default=False, init=False)
    unheard: bool = field(default=False, init=False)
    """It has said what makes no sense: what else it may say is left in its channel. Its pidfd tells its end."""

    def send(self, kind: str, **fields: int | str) -> None:
        """Send it a message; `Children.before_wait` sees to what it does not take at once."""
        self.channel.send(kind, **fields)

    def kill(self, number: int) -> None:
        """Send it a signal."""
        if self.pid and not self.reaped:
            with contextlib.suppress(ProcessLookupError):  # an orphan, which somebody else has reaped
                signal.pidfd_send_signal(self.pidfd, number)

    def close(self) -> None:
        """Close its fds."""
        if self.pid:
            os.close(self.pidfd)
        self.channel.close()


class Children:
    """All of them.

    `selector`: the manager's; `before_end`: called when one has ended, before anything is made of that.
    """

    def __init__(self, selector: selectors.BaseSelector, before_end: Callable[[], None]) -> None:
        self._selector = selector
        self._before_end = before_end
        self._all: set[Child] = set()
        self._any_stalled = False

    def fork(
        self,
        run: Callable[[socket.socket], int],
        keep_fds: Collection[int],
        let_go: Callable[[], None],
        heard: Callable[[Message], None],
        ended: Callable[[int], None],
        ignore: Collection[signal.Signals] = hygiene.GROUP_SIGNALS,
    ) -> Child:
        """Fork a child. `run`: gets its end of the channel; what it returns is its exit status. `keep_fds`, `let_go`,
        `ignore`: as for `hygiene.fork`; all that is owned here is let go of already. Raises OSError."""
        ours, theirs = Channel.pair()
        with theirs:
            channel = Channel(ours)

            def enter() -> None:
                channel.close()
                self.let_go()
                let_go()

            pid = 0
            try:
                pid = hygiene.fork(functools.partial(run, theirs), [theirs.fileno(), *keep_fds], enter, ignore)
                child = Child(pid, os.pidfd_open(pid), channel, heard, ended)
            except OSError:
                channel.close()
                if pid:  # a child that cannot be watched is worse than none
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                raise
        self.watch(child)
        return child

    def watch(self, child: Child) -> None:
        """Hear and reap a child of this process."""
        self._all.add(child)
        self._selector.register(child.pidfd, selectors.EVENT_READ, functools.partial(self._on_end, child))
        self._selector.register(child.channel, selectors.EVENT_READ, functools.partial(self._on_messages, child))

    # Children of a zygote's

    def expect(
        self, heard: Callable[[Message], None], ended: Callable[[int], None]
    ) -> tuple[Child, socket.socket]:
        """A child that a zygote will fork, and the end of the channel that is to be the child's. Raises OSError."""
        ours, theirs = Channel.pair()
        child = Child(0, -1, Channel(ours), heard, ended)
        self._all.add(child)
        return child, theirs

    def born(self, child: Child, pid: int, is_unreaped: Callable[[], bool], dead: Callable[[], None]) -> bool:
        """It has this pid: watch it. Returns whether it could be found. Raises OSError if it cannot be watched.

        `is_unreaped`: asked when the pid has been looked up: can it not be another process's yet? `dead`: called when
        it has ended, unless that has been told before.
        """
        try:
            pidfd = os.pidfd_open(pid)
        except (ProcessLookupError, OverflowError):  # a zygote has run foreign code, and may tell any number
            return False
        if not is_unreaped():
            os.close(pidfd)
            return False
        child.pid, child.pidfd = pid, pidfd
        child.dead = dead
        self._selector.register(pidfd, selectors.EVENT_READ, functools.partial(self._on_dead, child))
        self._selector.register(child.channel, selectors.EVENT_READ, functools.partial(self._on_messages, child))
        return True

    def end(self, child: Child, status: int) -> None:
        """It has ended, its zygote says, or will not say."""
        if not child.reaped:
            self._hear_last(child)
            self._bury(child, status)

    def orphan(self, child: Child) -> None:
        """Its zygote is gone, so the kernel kills it: wait for its own end. One whose birth nobody has told of has
        none but that of its channel."""
        if child.pid:
            child.dead = lambda: self.end(child, -signal.SIGKILL)
            if child.pidfd not in self._selector.get_map():  # it was seen to be dead before
                self._selector.register(child.pidfd, selectors.EVENT_READ, functools.partial(self._on_dead, child))
        else:
            self._selector.register(child.channel, selectors.EVENT_READ, functools.partial(self._on_unborn, child))

    def _on_dead(self, child: Child) -> None:
        if not child.reaped:  # by an event of the same turn
            self._unwatch(child.pidfd)
            child.dead()

    def _on_unborn(self, child: Child) -> None:
        _, is_open = child.channel.receive()
        if not is_open:
            self.end(child, -signal.SIGKILL)

    # All

    def before_wait(self) -> None:
        """Have the selector tell when a peer, the master too, can be sent what waits for it."""
        self._any_stalled = False
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, Channel):
                if key.fileobj.is_stalled:
                    key.fileobj.flush()
                self._any_stalled = self._any_stalled or key.fileobj.is_stalled
                wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if key.fileobj.wants_write else 0)
                if key.events != wanted:
                    self._selector.modify(key.fileobj, wanted, key.data)

    def next_tick_s(self) -> float:
        """When `before_wait` has something to try again."""
        return time.monotonic() + limits.STALL_S if self._any_stalled else math.inf

    def let_go(self) -> None:
        """In a child: close what it has inherited of the others."""
        self._selector.close()  # never unregister: the epoll instance is still the manager's too
        for child in self._all:
            child.close()
        self._all.clear()

    def _on_messages(self, child: Child) -> None:
        if child.reaped:
            return  # by an event of the same turn
        child.channel.flush()
        if child.unheard:
            return
        messages, is_open = child.channel.receive()
        for message in messages:
            child.heard(message)
            if child.unheard:
                self._unwatch(child.channel)
                return
        if not is_open:
            # Foreign code may close any fd. The process lives on, unheard; its pidfd tells its end.
            self._unwatch(child.channel)

    def _on_end(self, child: Child) -> None:
        self._hear_last(child)
        _, status = os.waitpid(child.pid, 0)
        self._bury(child, os.waitstatus_to_exitcode(status))

    def _hear_last(self, child: Child) -> None:
        """What was said last comes before the end: by the master ("stop", or its leaving looks like a death), by it."""
        self._before_end()
        if child.pid:
            self._on_messages(child)

    def _bury(self, child: Child, status: int) -> None:
        child.reaped = True
        self._all.remove(child)
        if child.pid:
            self._unwatch(child.pidfd)
        self._unwatch(child.channel)
        child.close()
        child.ended(status)

    def _unwatch(self, watched: int | Channel) -> None:
        if watched in self._selector.get_map():
            self._selector.unregister(watched)
