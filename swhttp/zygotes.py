"""The manager's zygotes (--preload): one process for each epoch of the code, which imports the app and forks workers.

It owns the zygotes, and of each worker that is ordered of one where that has got to. It decides nothing: whoever orders
a worker hears of it as of one that was forked here. It never forks a worker itself.

    spawn -> ORDERED --the zygote is loaded--> ASKED --forked--> BORN --ended--> gone, and the zygote may reap it

A pid is looked up, and so may be signalled, only while its process cannot have been reaped: a zygote reaps a worker
when it is told to, and what it says counts only if it is alive after the look-up. A zygote that ends takes all its
workers along, for the kernel kills them; their own ends are waited for, as their memory must not be used before. How
they have ended is then not known, and told as SIGKILL. What has been ordered of it only ends by its status, and with
its reasons: an import that fails is told as by a worker. The next order makes a new zygote, which imports what is there
by then.

A zygote need not run: somebody has stopped it, or a thread of the import keeps it from running. A worker whose end it
does not tell is told as ended KILL_GRACE_S after that was seen here. The others serve on: only who does not get a
worker from it in time, or wants it to leave, kills it.
"""

from __future__ import annotations

import functools
import logging
import math
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from swhttp import limits
from swhttp.children import Child, Children
from swhttp.errors import ExitCode
from swhttp.messages import Message
from swhttp.worker.context import NO_SLOT
from swhttp.workerlife import describe


@dataclass(eq=False)
class Zygote:
    """One of them."""

    epoch: int
    child: Child = field(init=False)
    orders: dict[tuple[int, int], Order] = field(default_factory=dict)
    """By slot and generation."""
    loaded: bool = False
    told_to_end: bool = False
    unfit: Message | None = None
    babbles: bool = False
    """It has said what is not understood, and that was logged."""
    killed_as: signal.Signals | None = None
    """The signal that was meant for a worker when it was killed in its place."""
    killed_for: int | None = None
    """The slot for which it did not fork a worker, when it was killed for that."""
    kill_s: float = math.inf
    """When it is killed, as it was told to end."""
    untold: set[tuple[int, int]] = field(default_factory=set)
    """Workers that are gone, and of whose end it has not told: slot, generation."""

    def has_ended(self, wait_s: float = 0.0) -> bool:
        """Whether it has ended, or does within `wait_s`."""
        if self.child.reaped:
            return True
        poll = select.poll()
        poll.register(self.child.pidfd, select.POLLIN)
        return bool(poll.poll(wait_s * 1000))

    def is_parent_still(self) -> bool:
        """Whether nothing that it has forked can have been reaped by anybody else yet."""
        return not self.has_ended()


@dataclass(eq=False)
class Order:
    """A worker that was ordered. `heard`, `forked`, `ended`: get its messages, its pid, its status."""

    zygote: Zygote
    slot: int
    generation: int
    first: bool
    heard: Callable[[Message], None]
    forked: Callable[[int], None]
    ended: Callable[[int], None]
    child: Child | None = None
    """From ASKED on."""
    untold_s: float = math.inf
    """When its end need not be told any more."""
    _pending: signal.Signals | None = None

    @property
    def pid(self) -> int:
        """Of the process in which it is: its zygote's, until it has one of its own."""
        return self.child.pid if self.child is not None and self.child.pid else self.zygote.child.pid

    def born(self, pid: int) -> None:
        """It has a process."""
        self.forked(pid)
        if self._pending is not None:
            self.kill(self._pending)

    def dead(self) -> None:
        """Its process has ended; its zygote has still to say how."""
        self.untold_s = time.monotonic() + limits.KILL_GRACE_S

    def kill(self, number: signal.Signals) -> None:
        """Send it a signal. What has no process yet ends with its zygote, if that does not fork it soon."""
        zygote = self.zygote
        if self.child is None:
            zygote.killed_as = zygote.killed_as or number
            zygote.child.kill(signal.SIGKILL)
        elif self.child.pid:
            self.child.kill(number)
        elif number is not signal.SIGKILL:
            self._pending = number
        elif zygote.child.reaped:
            self.child.channel.hang_up()
        else:
            zygote.killed_for = self.slot
            zygote.child.kill(signal.SIGKILL)


class Zygotes:
    """All of them.

    `run`: what a zygote does, given its end of the channel; `keep_fds`, `let_go`: as for `Children.fork`; `ignore`: the
    signals that it ignores; `log`: writes a line, of a level.
    """

    def __init__(
        self,
        children: Children,
        run: Callable[[socket.socket], int],
        keep_fds: Callable[[], Collection[int]],
        let_go: Callable[[], None],
        ignore: Collection[signal.Signals],
        log: Callable[[int, str], None],
    ) -> None:
        self._children = children
        self._run = run
        self._keep_fds = keep_fds
        self._let_go = let_go
        self._ignore = ignore
        self._log = log
        self._by_epoch: dict[int, Zygote] = {}
        self._all: set[Zygote] = set()

    def spawn(
        self,
        slot: int,
        generation: int,
        epoch: int,
        first: bool,
        heard: Callable[[Message], None],
        forked: Callable[[int], None],
        ended: Callable[[int], None],
    ) -> Order:
        """Order a worker. `first`: it boots with the server. Raises OSError if a zygote is needed and cannot be."""
        zygote = self._by_epoch.get(epoch) or self._make(epoch)
        order = Order(zygote, slot, generation, first, heard, forked, ended)
        if zygote.loaded:
            self._ask(order)
        zygote.orders[slot, generation] = order
        return order

    def end_all_but(self, epochs: Collection[int]) -> None:
        """Let those go that have no workers, and are of no epoch of which some may still be wanted."""
        for zygote in list(self._by_epoch.values()):
            if zygote.epoch not in epochs and not zygote.orders:
                del self._by_epoch[zygote.epoch]
                self._tell_to_end(zygote)

    def end(self) -> None:
        """Let all go, and wait until they are gone: at the manager's end, when no worker is left."""
        until_s = time.monotonic() + limits.KILL_GRACE_S
        for zygote in self._all:
            self._tell_to_end(zygote)
        for zygote in self._all:
            if not zygote.has_ended(max(0.0, until_s - time.monotonic())):
                zygote.child.kill(signal.SIGKILL)
            os.waitpid(zygote.child.pid, 0)
            zygote.child.reaped = True

    # Time

    def next_tick_s(self) -> float:
        """When `tick` has something to do next; infinity: only after something else."""
        return min((time_s for zygote in self._all for time_s in (
            zygote.kill_s, *(order.untold_s for order in zygote.orders.values()))), default=math.inf)

    def tick(self, now_s: float) -> None:
        """Time has passed: do without zygotes that do not do what they have to."""
        for zygote in list(self._all):
            if zygote.kill_s <= now_s:
                zygote.kill_s = math.inf
                self._log(logging.WARNING, f"Zygote does not leave, and is killed: pid {zygote.child.pid}")
                zygote.child.kill(signal.SIGKILL)
            for order in list(zygote.orders.values()):
                if order.untold_s <= now_s and order.child is not None:
                    self._log(logging.WARNING, f"Zygote does not tell how a worker has ended: pid {zygote.child.pid}, "
                                               f"slot {order.slot}")
                    zygote.untold.add((order.slot, order.generation))
                    self._children.end(order.child, -signal.SIGKILL)

    # Making

    def _make(self, epoch: int) -> Zygote:
        zygote = Zygote(epoch)
        zygote.child = self._children.fork(
            self._run, self._keep_fds(), self._let_go, functools.partial(self._on_message, zygote),
            functools.partial(self._on_end, zygote), self._ignore)
        self._by_epoch[epoch] = zygote
        self._all.add(zygote)
        return zygote

    def _ask(self, order: Order) -> None:
        """Have the worker forked. Raises OSError."""
        order.child, theirs = self._children.expect(order.heard, functools.partial(self._on_worker_end, order))
        order.zygote.child.channel.hand_over(
            theirs, "fork", slot=order.slot, generation=order.generation, first=int(order.first))

    def _tell_to_end(self, zygote: Zygote) -> None:
        zygote.told_to_end = True
        if zygote.loaded:
            zygote.kill_s = time.monotonic() + 2 * limits.KILL_GRACE_S  # it has the first half for the app's exit
            zygote.child.send("end")
        else:
            zygote.child.kill(signal.SIGKILL)  # it is in the app's code, and nothing depends on it

    # Events

    def _on_message(self, zygote: Zygote, message: Message) -> None:
        slot, generation = message.get("slot"), message.get("generation")
        place = (slot, generation) if isinstance(slot, int) and isinstance(generation, int) else (NO_SLOT, 0)
        order = zygote.orders.get(place)
        child = order.child if order is not None else None
        match message:
            case {"kind": "loaded"} if not zygote.loaded:
                zygote.loaded = True
                for waiting in list(zygote.orders.values()):
                    try:
                        self._ask(waiting)
                    except OSError as error:
                        self._on_refused(waiting, str(error))
            case {"kind": "unfit", "code": int(), "text": str(), "traceback": str()}:
                zygote.unfit = message
            case {"kind": "forked", "pid": int(pid)} if order and child and not child.pid and pid > 0:
                try:
                    if self._children.born(child, pid, zygote.is_parent_still, order.dead):
                        order.born(pid)
                except OSError as error:  # it must not go on; what its zygote says of its end is as good
                    self._log(logging.ERROR, f"Cannot watch the worker in slot {order.slot}: {error}")
                    zygote.child.send("kill", slot=order.slot, generation=order.generation)
            case {"kind": "refused", "text": str(text)} if order and child and not child.pid:
                self._on_refused(order, text)
            case {"kind": "ended", "status": int(status)} if order and child and -signal.NSIG < status < 256:
                self._children.end(child, status)
                zygote.child.send("reap", slot=order.slot, generation=order.generation)
            case {"kind": "ended"} if place in zygote.untold:
                zygote.untold.remove(place)
                zygote.child.send("reap", slot=place[0], generation=place[1])
            case _ if not zygote.babbles:  # once is enough; what makes sense counts, for workers depend on it
                zygote.babbles = True
                self._log(logging.WARNING, f"Zygote said what is not understood: pid {zygote.child.pid}")

    def _on_refused(self, order: Order, why: str) -> None:
        self._log(logging.ERROR, f"Cannot fork a worker into slot {order.slot}: {why}")
        if order.child is not None:
            self._children.end(order.child, ExitCode.INTERNAL)
        else:
            self._on_worker_end(order, ExitCode.INTERNAL)

    def _on_worker_end(self, order: Order, status: int) -> None:
        del order.zygote.orders[order.slot, order.generation]
        order.ended(status)

    def _on_end(self, zygote: Zygote, status: int) -> None:
        self._all.remove(zygote)
        if self._by_epoch.get(zygote.epoch) is zygote:
            del self._by_epoch[zygote.epoch]
        if zygote.told_to_end:
            self._log(logging.INFO, f"Zygote left: pid {zygote.child.pid}")
        elif zygote.killed_for is not None:
            self._log(logging.WARNING, "Zygote was killed, and its workers with it, for it did not fork one into slot "
                                       f"{zygote.killed_for}: pid {zygote.child.pid}")
        elif zygote.unfit is None and zygote.killed_as is None:
            self._log(logging.WARNING, f"Zygote died, and its workers with it: pid {zygote.child.pid}, "
                                       f"{describe(status)}")
        if zygote.killed_as is not None and status == -signal.SIGKILL:
            status = -zygote.killed_as
        for order in list(zygote.orders.values()):
            if order.child is not None:
                self._children.orphan(order.child)
            else:
                if zygote.unfit is not None:
                    order.heard(zygote.unfit)
                self._on_worker_end(order, status)
