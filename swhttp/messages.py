"""What master, manager and workers tell each other: small JSON objects over SEQPACKET socketpairs.

One packet is one message, so nothing is ever framed or half read. A channel never blocks: what the kernel does not
take waits in order until `flush`, because two single-threaded processes that write to each other and block would
wait for each other for ever. A message from a worker comes from a process that runs foreign code: whoever reads it
checks every field.

    manager -> master   ready {slot, generation, pid, interface}   dispatch to it from now on
                        staged {the same}                          it can serve, but not before the switch
                        switch {}                                  what is staged takes the place of all others
                        stopping {slot}                            it drains and leaves
                        gone {slot, generation, pid, status}       it is reaped
                        failed {code, text}                        the server cannot start
                        reloading {}                               a reload has begun
                        reloaded {asked, ok, text}                 it has ended, for the first `asked` that wanted one;
                                                                   text: why not, at length
                        scaled {workers}                           so many are to serve now
                        log {level, text}                          a line for the log; level: a number of logging's
    master -> manager   settled {slot}                             no reactor uses the slot's memory any more
                        lost {slot, generation, text}              a request that the slot's dead worker had begun;
                                                                   some of them, one message each, before `settled`
                        corrupt {slot}                             what its worker wrote cannot be: end it
                        reload {}                                  have the application anew
                        scale {workers}                            have so many
                        stop {}                                    spawn nothing more, leave when all are gone
                        kill {}                                    the same, by SIGTERM and then SIGKILL
    worker -> manager   ready {interface}, stopping {}
                        unfit {code, text, traceback}              why it leaves without having been ready
"""

from __future__ import annotations

import json
import socket
from collections import deque
from typing import Any

from swhttp import limits

Message = dict[str, Any]
"""`kind` and the fields of that kind."""


class Channel:
    """One end of a SEQPACKET pair. Owns the socket, which is made non-blocking."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._socket = end
        self._unsent: deque[bytes] = deque()

    @staticmethod
    def pair() -> tuple[socket.socket, socket.socket]:
        """Two connected sockets, close-on-exec."""
        return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def fileno(self) -> int:
        """The socket's fd, for selectors."""
        return self._socket.fileno()

    @property
    def wants_write(self) -> bool:
        """Whether messages wait for `flush`."""
        return bool(self._unsent)

    def send(self, kind: str, **fields: int | str) -> None:
        """Send a message, or keep it for `flush`. A peer that is gone is found out by `receive`."""
        self._unsent.append(json.dumps({"kind": kind, **fields}).encode())
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as the kernel takes it."""
        while self._unsent:
            try:
                self._socket.send(self._unsent[0])
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self._unsent.clear()
                return
            self._unsent.popleft()

    def receive(self) -> tuple[list[Message], bool]:
        """Messages that have come, and whether the peer still has its end open.

        At most MESSAGES_A_TURN of them, so that a peer that never stops cannot keep us from everything else. What is
        not a JSON object with a `kind`, or is larger than MAX_MESSAGE_BYTES, is left out.
        """
        messages: list[Message] = []
        for _ in range(limits.MESSAGES_A_TURN):
            try:
                packet = self._socket.recv(limits.MAX_MESSAGE_BYTES)
            except (BlockingIOError, InterruptedError):
                return messages, True
            except OSError:
                return messages, False
            if not packet:
                return messages, False
            try:
                message = json.loads(packet)
            except (ValueError, RecursionError):
                continue
            if isinstance(message, dict) and isinstance(message.get("kind"), str):
                messages.append(message)
        return messages, True

    def close(self) -> None:
        """Close this end."""
        self._socket.close()
