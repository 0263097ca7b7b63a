"""The way of a user process to the reactors: one SEQPACKET socket for each, which all user processes share.

It owns how a frame becomes a packet: as in a response ring (swhttp/ipc/frame.h), with request_id 0. A body that makes
the packet larger than PUSH_PACKET_BYTES goes in a memfd of its own, which comes with the packet. Where the master has
no time for more, who sends waits. A session whose client is slow is the reactor's business alone: who pushes from here
does not wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import struct
from collections.abc import Sequence
from typing import Any, Final

from swhttp import limits
from swhttp.ipc import words

_HEAD: Final = struct.Struct("=IBBHQqII")
_REFERENCE_BYTES: Final = 8


class UserWay:
    """`fds`: of the sockets, by reactor; they are this one's from now on."""

    def __init__(self, fds: Sequence[int]) -> None:
        self._ends = tuple(socket.socket(fileno=fd) for fd in fds)
        for end in self._ends:
            end.setblocking(False)
        self.reactors = len(self._ends)

    def send(
        self, reactor: int, flags: int, status: int, target: int, head: bytes, body: bytes, waits: int, /,
    ) -> None:
        """Send one, and wait as long as that takes. Raises BrokenPipeError when the server is gone."""
        end = self._ends[reactor]
        size = _padded(_HEAD.size + len(head) + len(body))
        if size <= limits.PUSH_PACKET_BYTES:
            _send(end, _packet(words.EVENT_WS_SESSION, size, flags, status, target, head, len(body), body), [])
            return
        size = _padded(_HEAD.size + len(head) + _REFERENCE_BYTES)
        file = os.memfd_create("swhttp-push", os.MFD_CLOEXEC)
        with contextlib.closing(os.fdopen(file, "wb", buffering=0)) as out:
            out.write(body)
            _send(end, _packet(words.EVENT_WS_SESSION_SHM, size, flags, status, target, head, len(body), b""), [file])

    async def asend(self, *frame: Any) -> None:
        """The same in a thread, for an event loop."""
        await asyncio.to_thread(self.send, *frame)


def _packet(
    type_: int, size: int, flags: int, status: int, target: int, head: bytes, length: int, body: bytes,
) -> bytes:
    frame = _HEAD.pack(size, type_, flags, status, 0, target, len(head), length)
    return (frame + head + body).ljust(size, b"\0")


def _padded(size: int) -> int:
    return (size + 7) & ~7


def _send(end: socket.socket, packet: bytes, files: list[int]) -> None:
    while True:
        try:
            socket.send_fds(end, [packet], files, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            waiting = select.poll()
            waiting.register(end, select.POLLOUT)
            waiting.poll()
            continue
        return
