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
                        changed {text}                             these files: it is time to reload
                        log {level, text}                          a line for the log; level: a number of logging's
                        entry {text, more}                         a piece of one for the slow log; more: 0, the last
    master -> manager   settled {slot}                             no reactor uses the slot's memory any more
                        lost {slot, generation, text}              a request that the slot's dead worker had begun;
                                                                   some of them, one message each, before `settled`
                        corrupt {slot}                             what its worker wrote cannot be: end it
                        reload {}                                  have the application anew
                        scale {workers}                            have so many
                        slow {slot, generation, text,              a request there takes too long (--slow-log); text:
                              reactor, request, others}            what it is; others: for which it speaks
                        stuck {...}                                ... past --request-timeout, and was answered 504
                        stop {}                                    spawn nothing more, leave when all are gone
                        kill {}                                    the same, by SIGTERM and then SIGKILL
    manager -> worker   tasks {token, reactor, request}            ASGI: write down the stacks of your tasks, that of
                                                                   this request first
    worker -> manager   ready {interface}, stopping {}
                        unfit {code, text, traceback}              why it leaves without having been ready
    manager -> zygote   fork {slot, generation, first, end}        a worker; end: its end of a channel to the manager
                        kill {slot, generation}                    it cannot be watched
                        reap {slot, generation}                    its end is known: it need not stay a zombie
                        end {}                                     no worker of yours is left, or wanted
    zygote -> manager   loaded {}                                  it can fork
                        unfit {code, text, traceback}              why it leaves without having been loaded
                        forked {slot, generation, pid}
                        refused {slot, generation, text}           it could not be forked
                        ended {slot, generation, status}           it has ended, and is a zombie until `reap`

Those that attend, besides the workers (`swhttp.attendants`), say `started {survives_reload}` first, or `unfit`.

    manager -> hooks    line {text}                                of the next hook: a request, a piece of a text
                        hook {name, ...}                           call it; the fields are its own
                        leave {}                                   when all is done
    hooks -> manager    done {}                                    the hook has ended
    watcher -> manager  changed {text}                             these files
"""

from __future__ import annotations

import errno
import json
import socket
import sys
from array import array
from collections import deque
from typing import Any, Final

from swhttp import limits

Message = dict[str, Any]
"""`kind` and the fields of that kind."""
_FD_BYTES: Final = array("i").itemsize
_PASSING: Final = (errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM)
"""Too many of the user's fds are on their way, to whomever; or there is no memory at the moment."""
_GONE: Final = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.EBADF, errno.ENOTSOCK)
"""The peer is, or we have no socket any more."""


def fitting(text: str) -> str:
    """`text`, or so much of it that a message with it is no larger than a message may be."""
    units = text.encode("utf-16-le", "surrogatepass")  # of which JSON writes each in at most six bytes
    if len(units) <= 2 * limits.MAX_REASON_CHARS:
        return text
    return units[:2 * limits.MAX_REASON_CHARS].decode("utf-16-le", "ignore") + "..."


def end_of(traceback: str) -> str:
    """`traceback`, or so much of its end, which says what is wrong, that a message with it has room for more."""
    units = traceback.encode("utf-16-le", "surrogatepass")
    if len(units) <= 2 * limits.MAX_TRACEBACK_CHARS:
        return traceback
    return "..." + units[-2 * limits.MAX_TRACEBACK_CHARS:].decode("utf-16-le", "ignore")


class Channel:
    """One end of a SEQPACKET pair. Owns the socket, which is made non-blocking.

    `takes_ends`: a socket that comes with a message is in it, as `end`; else the kernel drops it.
    """

    def __init__(self, end: socket.socket, takes_ends: bool = False) -> None:
        end.setblocking(False)
        self._socket = end
        self._takes_ends = takes_ends
        self._unsent: deque[tuple[bytes, socket.socket | None]] = deque()
        self._is_stalled = False

    @staticmethod
    def pair() -> tuple[socket.socket, socket.socket]:
        """Two connected sockets, close-on-exec."""
        return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def fileno(self) -> int:
        """The socket's fd, for selectors."""
        return self._socket.fileno()

    @property
    def wants_write(self) -> bool:
        """Whether messages wait for `flush`, and the selector tells when it is time for that."""
        return bool(self._unsent) and not self._is_stalled

    @property
    def is_stalled(self) -> bool:
        """Whether messages wait for what no selector tells of: call `flush` now and then."""
        return self._is_stalled

    @property
    def waiting(self) -> int:
        """How many messages wait."""
        return len(self._unsent)

    def send(self, kind: str, **fields: int | str) -> None:
        """Send a message, or keep it for `flush`. A peer that is gone is found out by `receive`."""
        self._unsent.append((_packet(kind, fields), None))
        self.flush()

    def hand_over(self, end: socket.socket, kind: str, **fields: int | str) -> None:
        """Send a message and with it `end`, which is closed here."""
        self._unsent.append((_packet(kind, fields), end))
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as the kernel takes it. What it refuses for good is dropped."""
        self._is_stalled = False
        while True:
            try:
                # First, and without a look before: a signal handler may come in anywhere here, and send something too.
                packet, end = self._unsent.popleft()
            except IndexError:
                return
            try:
                if end is None:
                    self._socket.send(packet)
                else:
                    socket.send_fds(self._socket, [packet], [end.fileno()])
            except (BlockingIOError, InterruptedError):
                self._unsent.appendleft((packet, end))
                return
            except OSError as error:
                if error.errno in _PASSING:
                    self._unsent.appendleft((packet, end))
                    self._is_stalled = True
                    return
                if error.errno in _GONE:
                    self._unsent.appendleft((packet, end))
                    self._drop_unsent()
                    return
            if end is not None:
                end.close()

    def _drop_unsent(self) -> None:
        for _, end in self._unsent:
            if end is not None:
                end.close()
        self._unsent.clear()

    def receive(self) -> tuple[list[Message], bool]:
        """Messages that have come, and whether the peer still has its end open.

        At most MESSAGES_A_TURN of them, so that a peer that never stops cannot keep us from everything else. What is
        not a JSON object with a `kind`, or is larger than MAX_MESSAGE_BYTES, is of a kind that nobody understands.
        """
        messages: list[Message] = []
        for _ in range(limits.MESSAGES_A_TURN):
            try:
                packet, end = self._receive_packet()
            except (BlockingIOError, InterruptedError):
                return messages, True
            except OSError:
                return messages, False
            if not packet:
                return messages, False
            try:
                message = json.loads(packet)
            except (ValueError, RecursionError):
                message = None
            if isinstance(message, dict) and isinstance(message.get("kind"), str):
                messages.append(message | {"end": end} if end is not None else message)
                continue
            messages.append({"kind": ""})
            if end is not None:
                end.close()
        return messages, True

    def _receive_packet(self) -> tuple[bytes, socket.socket | None]:
        if not self._takes_ends:
            return self._socket.recv(limits.MAX_MESSAGE_BYTES), None
        # Not socket.recv_fds: it drops the flag in Python 3.11.
        packet, ancillary, _, _ = self._socket.recvmsg(
            limits.MAX_MESSAGE_BYTES, socket.CMSG_LEN(_FD_BYTES), socket.MSG_CMSG_CLOEXEC)
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS) and len(data) >= _FD_BYTES:
                return packet, socket.socket(fileno=int.from_bytes(data[:_FD_BYTES], sys.byteorder))
        return packet, None

    def hang_up(self) -> None:
        """Hear and say nothing more: `receive` will tell that the peer has closed its end."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it has

    def close(self) -> None:
        """Close this end, and what was to be sent."""
        self._drop_unsent()
        self._socket.close()


def _packet(kind: str, fields: dict[str, int | str]) -> bytes:
    """A message as it is sent. One that is too large, which would not be understood, keeps the end of its longest text:
    in a traceback that says what is wrong."""
    message = {"kind": kind, **fields}
    while len(packet := json.dumps(message).encode()) > limits.MAX_MESSAGE_BYTES:
        sizes = {name: len(json.dumps(value)) for name, value in fields.items() if isinstance(value, str)}
        name = max(sizes, key=sizes.__getitem__, default="")
        if sizes.get(name, 0) < 16:  # there is nothing to cut
            break
        text = str(message[name]).removeprefix("...")
        kept = int(len(text) * 0.9 * limits.MAX_MESSAGE_BYTES / len(packet))
        message[name] = fields[name] = "..." + text[len(text) - kept:]
    return packet
