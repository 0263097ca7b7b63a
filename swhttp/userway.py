"""The way of a user process to the reactors: one SEQPACKET socket for each, which all user processes share.

It owns how a frame becomes a packet: as in a response ring (swhttp/ipc/frame.h), with request_id 0. A body that makes
the packet larger than PUSH_PACKET_BYTES goes in a memfd of its own, which comes with the packet. Where the master has
no time for more, who sends waits.

Nothing but the session table, which a user process may read, tells it that a client is slow: who is to wait for that
looks again and again. Until it shows there, no more is under way than the sockets hold, and of bodies in files one for
each process: its sender waits until it has been acted on. A pipe tells that, whose other end goes along with the
packet, and which the reactor closes then.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from swhttp import limits
from swhttp.ipc import words
from swhttp.sockets import IN_ANY_CASE, NOT_AT_ALL

_HEAD: Final = struct.Struct("=IBBHQqII")
_REFERENCE_BYTES: Final = 8


class UserWay:
    """`fds`: of the sockets, by reactor; they are this one's from now on. `slowness`: SW_SESSION_ bits of a session."""

    def __init__(self, fds: Sequence[int], slowness: Callable[[int], int]) -> None:
        self._ends = tuple(socket.socket(fileno=fd) for fd in fds)
        for end in self._ends:
            end.setblocking(False)
        self.reactors = len(self._ends)
        self._slowness = slowness
        # One body in a file at a time, of those who are to wait. A process that is forked meanwhile would keep the pipe
        # open, so none is, unless it is this thread that forks, in a signal's handler.
        self._turn = threading.RLock()
        os.register_at_fork(
            before=self._turn.acquire, after_in_parent=self._turn.release, after_in_child=self._turn.release)

    def send(
        self, reactor: int, flags: int, status: int, target: int, head: bytes, body: bytes, waits: int, /,
    ) -> None:
        """Send one, and wait as long as that takes. Raises BrokenPipeError when the server is gone."""
        while not self._send(reactor, flags, status, target, head, body, waits):
            self._look_for_end(reactor, limits.PUSH_LOOK_S)

    async def asend(
        self, reactor: int, flags: int, status: int, target: int, head: bytes, body: bytes, waits: int, /,
    ) -> None:
        """The same in a thread, for an event loop; but no thread waits for a slow client."""
        while self._is_slow(target, waits) or not await asyncio.to_thread(
                self._send, reactor, flags, status, target, head, body, waits):
            await asyncio.sleep(limits.PUSH_LOOK_S)
            self._look_for_end(reactor, 0)

    def _look_for_end(self, reactor: int, wait_s: float) -> None:
        """Raises BrokenPipeError when the server is gone, or goes within that time: its table says nothing of it."""
        waiting = select.poll()
        waiting.register(self._ends[reactor], 0)  # POLLHUP comes unasked
        if waiting.poll(wait_s * 1000):
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    def _is_slow(self, target: int, waits: int) -> bool:
        """Has who sends it to wait for its client?"""
        if waits == NOT_AT_ALL:
            return False
        slowness = self._slowness(target)
        return slowness & words.SW_SESSION_SLOW != 0 and _heeds(waits, slowness)

    def _send(
        self, reactor: int, flags: int, status: int, target: int, head: bytes, body: bytes, waits: int,
    ) -> bool:
        """Send one, unless its client is slow, and who sends it is to wait for that: then False."""
        size = _padded(_HEAD.size + len(head) + len(body))
        if size <= limits.PUSH_PACKET_BYTES:
            packet = _packet(words.EVENT_WS_SESSION, size, flags, status, target, head, len(body), body)
            return self._offer(reactor, packet, [], target, waits)
        size = _padded(_HEAD.size + len(head) + _REFERENCE_BYTES)
        packet = _packet(words.EVENT_WS_SESSION_SHM, size, flags, status, target, head, len(body), b"")
        with contextlib.ExitStack() as stack:
            ticket = []
            if waits != NOT_AT_ALL and _heeds(waits, self._slowness(target)):
                stack.enter_context(self._turn)
                if self._is_slow(target, waits):  # the others had their turn before
                    return False
                ticket.append(stack.enter_context(_acted_on()))
            file = os.memfd_create("swhttp-push", os.MFD_CLOEXEC)
            with contextlib.closing(os.fdopen(file, "wb", buffering=0)) as out:
                out.write(body)
                return self._offer(reactor, packet, [file, *ticket], target, waits)

    def _offer(self, reactor: int, packet: bytes, files: list[int], target: int, waits: int) -> bool:
        end = self._ends[reactor]
        while not self._is_slow(target, waits):
            try:
                socket.send_fds(end, [packet], files, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                waiting = select.poll()
                waiting.register(end, select.POLLOUT)
                waiting.poll()
                continue
            return True
        return False


def _heeds(waits: int, slowness: int) -> bool:
    """Does who sends wait for a client with this word when it is slow?"""
    return waits == IN_ANY_CASE or slowness & words.SW_SESSION_BLOCKS != 0


@contextlib.contextmanager
def _acted_on() -> Iterator[int]:
    """Gives an fd to be sent along, and waits at the end until nobody has it any more."""
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    with contextlib.closing(os.fdopen(ours, "rb", buffering=0)):
        try:
            yield theirs
        finally:
            os.close(theirs)
        waiting = select.poll()
        waiting.register(ours, 0)  # POLLHUP comes unasked
        waiting.poll()


def _packet(
    type_: int, size: int, flags: int, status: int, target: int, head: bytes, length: int, body: bytes,
) -> bytes:
    frame = _HEAD.pack(size, type_, flags, status, 0, target, len(head), length)
    return (frame + head + body).ljust(size, b"\0")


def _padded(size: int) -> int:
    return (size + 7) & ~7
