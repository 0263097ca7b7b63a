"""The control socket's connections: who may speak, what comes in, what goes out, and when one is given up.

It owns the listening socket, every accepted one, and an epoll instance that holds them: the master's main loop waits
for that one fd and for `next_tick_s`. It knows no verb: each request that has come whole is a `Question` for whoever
was given as `ask`, to be answered at once or later, once.

The main thread must never wait for a peer, whoever that is: no call here blocks, a request is bounded in bytes and in
time, so is the taking of an answer, and there are no more than CONTROL_CONNECTIONS connections; the rest wait in the
backlog. A connection is in one of these states:

    READING   a request is coming; it has CONTROL_TIMEOUT_S, from the connection's start or the last answer on
    ASKED     its question is not answered: nothing is read, but an end is noticed; no deadline
    WRITING   what the kernel has not taken of an answer waits; CONTROL_TIMEOUT_S for all of it
    KEPT      answered for good: it stays open, silent, until the process has ended, so that its end says so

Whoever has been handed fds (a takeover) has all the time for his next request: he boots a server meanwhile.

Only root and the user that the server was started as may speak, by the kernel's word (SO_PEERCRED). The one that it has
become may not: the app runs as that.
"""

from __future__ import annotations

import contextlib
import enum
import math
import select
import socket
import struct
from collections.abc import Callable, Collection
from typing import Final

from swhttp import limits
from swhttp.controlproto import BadMessage, Decoder, Message, encode
from swhttp.listeners import Listener
from swhttp.logs import log

_CREDENTIALS: Final = struct.Struct("=iII")  # pid, uid, gid: struct ucred of unix(7)
_EVENTS_A_TURN: Final = 2 * limits.CONTROL_CONNECTIONS


class State(enum.Enum):
    """What a connection waits for."""

    READING = enum.auto()
    ASKED = enum.auto()
    WRITING = enum.auto()
    KEPT = enum.auto()


# An end of both directions and an error are always told (epoll_ctl(2)). Somebody who has only shut down his sending
# side, as `socat` does, waits for his answer.
_EVENTS: Final = {
    State.READING: select.EPOLLIN, State.ASKED: 0, State.WRITING: select.EPOLLOUT, State.KEPT: 0}


def uid_of_peer(connection: socket.socket) -> int:
    """Who has connected; of the one who was connected to: who listens."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(credentials)[1])


class Question:
    """A request, to be answered once. `verb`: what is asked; `fields`: the request, of which nothing is checked;
    `crowded`: so many wait already that it should be refused what is not answered at once."""

    def __init__(self, connection: Connection, fields: Message, crowded: bool) -> None:
        self._connection = connection
        verb = fields.get("verb")
        self.verb = verb if isinstance(verb, str) else ""
        self.fields = fields
        self.crowded = crowded
        self.kept = False

    def answer(self, **fields: object) -> None:
        """Say that it is done, and what was asked for. Whoever has left is told nothing."""
        self.answer_bytes(encode({"ok": True, **fields}))

    def refuse(self, error: str, **fields: object) -> None:
        """Say why not, in a sentence without a full stop."""
        self.answer_bytes(encode({"ok": False, "error": error, **fields}))

    def answer_bytes(self, message: bytes) -> None:
        """The same with a message that is encoded already."""
        if len(message) > limits.CONTROL_ANSWER_BYTES:
            message = encode({"ok": False, "error": "the answer is too long"})
        self._connection.answered(message, self.kept)

    def follows(self, other: Question) -> bool:
        """Whether it came on the same connection."""
        return self._connection is other._connection

    def keep(self) -> None:
        """Before the answer: let the connection stay when it is out, until this process has ended. From now on its end
        means nothing."""
        self.kept = True
        self._connection.left = None

    def hand_over(self, fds: Collection[int], left: Callable[[], None]) -> None:
        """Before the answer: let these fds go with it, and then wait for the next request for as long as it takes.
        `left`: called when the connection ends before that comes, and is to be answered for good (`keep`)."""
        self._connection.fds = list(fds)
        self._connection.left = left

    def give_up(self, error: str) -> None:
        """After the answer: wait no more for the next request, say why, and end the connection."""
        self._connection.left = None
        self._connection.answered(encode({"ok": False, "error": error}), last=True)


class Connection:
    """One peer. `changed`: called when what it waits for may be another thing."""

    def __init__(self, end: socket.socket, now_s: float, changed: Callable[[Connection], None]) -> None:
        end.setblocking(False)
        self.socket = end
        self.state = State.READING
        self.deadline_s = now_s + limits.CONTROL_TIMEOUT_S
        self._changed = changed
        self._decoder = Decoder(limits.CONTROL_REQUEST_BYTES)
        self._unsent = memoryview(b"")
        self._kept = False
        self._last = False
        self.fds: list[int] = []
        """That go with the first byte of the next answer; not ours to close."""
        self.left: Callable[[], None] | None = None
        """To be called at the end of a peer who may take his time."""

    def receive(self) -> bool:
        """Take what has come of one request, and nothing of the next: that waits in the kernel, so that nobody has
        more than one question a turn. False: nothing more will come. Raises BadMessage."""
        while missing := self._decoder.missing:
            try:
                data = self.socket.recv(missing)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not data:
                return False
            self._decoder.feed(data)
        return True

    def question(self, crowded: bool) -> Question | None:
        """The request, if it is whole. `crowded`: as for a question. Raises BadMessage."""
        message = self._decoder.next()
        if message is None:
            return None
        self.state, self.deadline_s = State.ASKED, math.inf
        return Question(self, message, crowded)

    def answered(self, message: bytes, kept: bool = False, last: bool = False) -> None:
        """Send `message`. `kept`, `last`: what follows, instead of another request: silence, or the end."""
        self._unsent = memoryview(message)
        self._kept, self._last = kept, last
        self.state, self.deadline_s = State.WRITING, math.inf
        self._changed(self)

    def flush(self, now_s: float) -> bool:
        """Send what waits, as far as the kernel takes it. False: this was the end."""
        try:
            while self._unsent:
                if self.fds:
                    sent = socket.send_fds(self.socket, [self._unsent], self.fds)
                    self.fds = []
                else:
                    sent = self.socket.send(self._unsent)
                self._unsent = self._unsent[sent:]
        except BlockingIOError:
            if self.deadline_s == math.inf:
                self.deadline_s = now_s + limits.CONTROL_TIMEOUT_S
            return True
        except OSError:
            return False
        if self._last:
            return False
        if self._kept:
            self.state, self.deadline_s = State.KEPT, math.inf
        else:
            patient = self.left is not None
            self.state, self.deadline_s = State.READING, math.inf if patient else now_s + limits.CONTROL_TIMEOUT_S
        return True


class Control:
    """The control socket. `listener`: that of `listeners.open_control`, which stays the caller's; `ask`: who answers;
    `uids`: who may speak, besides root; `clock`: as time.monotonic."""

    def __init__(
        self, listener: Listener, ask: Callable[[Question], None], uids: frozenset[int], clock: Callable[[], float]
    ) -> None:
        self._listener: socket.socket | None = listener.socket
        self._ask = ask
        self._uids = uids
        self._clock = clock
        self._connections: dict[int, Connection] = {}
        self._changed: list[Connection] = []
        self._log_from_s = -math.inf
        self._accepting = True
        self._accept_from_s = math.inf  # after a pause
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)

    def fileno(self) -> int:
        """The fd that becomes readable, for selectors."""
        return self._epoll.fileno()

    def next_tick_s(self) -> float:
        """When `tick` has something to do next."""
        return min((self._accept_from_s, *(one.deadline_s for one in self._connections.values())))

    def tick(self) -> None:
        """Give up those whose deadline has passed. To be called after every wait of the main loop."""
        now_s = self._clock()
        self._go_on(now_s)  # what was answered meanwhile
        for connection in [one for one in self._connections.values() if one.deadline_s <= now_s]:
            self._close(connection)
        if now_s >= self._accept_from_s:
            self._listen(True)

    def on_events(self) -> None:
        """Something has happened."""
        now_s = self._clock()
        for fd, events in self._epoll.poll(0, _EVENTS_A_TURN):
            if self._listener is not None and fd == self._listener.fileno():
                self._accept(now_s)
            elif (connection := self._connections.get(fd)) is not None:
                self._on_event(connection, events)
        self._go_on(now_s)

    def stop_listening(self) -> None:
        """Take no more connections: the path is another's by now. Those that are there stay."""
        if self._listener is not None:
            self._epoll.unregister(self._listener)
        self._accepting, self._listener = False, None

    def close(self) -> None:
        """Hear nobody any more. Connections that are kept are left to the end of the process."""
        for connection in list(self._connections.values()):
            if connection.state is State.KEPT:
                connection.socket.detach()
            else:
                connection.flush(self._clock())
                connection.socket.close()
        self._connections.clear()
        self._epoll.close()

    # Connections

    def _accept(self, now_s: float) -> None:
        assert self._listener is not None
        while len(self._connections) < limits.CONTROL_CONNECTIONS:
            try:
                end, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:  # there is no fd for him: look again later, for he goes on being announced
                self._accept_from_s = now_s + limits.CONTROL_ACCEPT_PAUSE_S
                break
            uid = uid_of_peer(end)
            connection = Connection(end, now_s, self._changed.append)
            self._connections[end.fileno()] = connection
            self._epoll.register(end, _EVENTS[State.READING])
            if uid != 0 and uid not in self._uids:
                if now_s >= self._log_from_s:
                    self._log_from_s = now_s + limits.CONTROL_LOG_EVERY_S
                    log.warning("Control socket: refused a process of user %d", uid)
                error = "this is for root, and for the user that has started the server"
                connection.answered(encode({"ok": False, "error": error}), last=True)
        self._listen(False)

    def _listen(self, wanted: bool) -> None:
        if wanted:
            self._accept_from_s = math.inf
        if wanted != self._accepting and self._listener is not None:
            self._accepting = wanted
            self._epoll.modify(self._listener, select.EPOLLIN if wanted else 0)

    def _on_event(self, connection: Connection, events: int) -> None:
        if connection.state is State.READING:
            self._read(connection)
        elif connection.state is State.WRITING:
            self._changed.append(connection)
        elif events & (select.EPOLLHUP | select.EPOLLERR):  # its question may still be answered, to nobody
            self._close(connection)

    def _read(self, connection: Connection) -> None:
        try:
            if not connection.receive():
                self._close(connection)
            elif (question := connection.question(self._is_crowded())) is not None:
                self._epoll.modify(connection.socket, _EVENTS[connection.state])
                self._ask(question)
        except BadMessage as error:
            connection.answered(encode({"ok": False, "error": f"the request cannot be understood: {error}"}), last=True)

    def _is_crowded(self) -> bool:
        """Whether the connections that are left are for those who do not wait."""
        waiting = sum(one.state in (State.ASKED, State.KEPT) for one in self._connections.values())
        return waiting >= limits.CONTROL_WAITING

    def _go_on(self, now_s: float) -> None:
        """Send what was answered, as far as that can be done without waiting."""
        while self._changed:
            connection = self._changed.pop()
            if self._connections.get(connection.socket.fileno()) is not connection:
                continue  # it has left
            if connection.flush(now_s):
                self._epoll.modify(connection.socket, _EVENTS[connection.state])
            else:
                self._close(connection)

    def _close(self, connection: Connection) -> None:
        del self._connections[connection.socket.fileno()]
        with contextlib.suppress(OSError):
            self._epoll.unregister(connection.socket)
        connection.socket.close()
        self._listen(True)
        if connection.left is not None:
            connection.left()
