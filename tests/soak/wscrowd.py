"""Many light WebSocket clients in one thread: plain sockets, epoll, frames made by hand.

It owns the sockets, their frames and the pace at which clients are asked for something to send. What is sent, and
whether what comes is right, is for subclasses of `Client` to say; whatever breaks the protocol is a failure here.
Frames are small and few, so a socket that does not take one whole is a failure as well.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

from tests.support import processes

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
NO_CODE, LOST = 1005, 1006
MASK = bytes((0x5A, 0x17, 0xC3, 0xE9))
SLICES = 40  # in which a period is divided
RECEIVE_BYTES = 65536
MOST_FAILURES = 20  # are told
REQUEST = (b"GET /socket?%d-%d HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
           b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")


def frame(opcode: int, payload: bytes) -> bytes:
    """A client's, of at most 125 bytes."""
    length = len(payload)
    assert length <= 125
    mask = int.from_bytes((MASK * 32)[:length], "big")
    masked = (int.from_bytes(payload, "big") ^ mask).to_bytes(length, "big")
    return bytes((0x80 | opcode, 0x80 | length)) + MASK + masked


class Client:
    """One WebSocket after the other, of one client."""

    def __init__(self, crowd: Crowd, number: int) -> None:
        self.crowd = crowd
        self.number = number
        self.session = 0  # how many there have been
        self.open = False  # to be spoken to
        self.leaving = False  # we have sent a Close of our own
        self._socket: socket.socket | None = None
        self._kept = b""
        self._asked = False
        self._code = LOST

    # For subclasses

    def opened(self) -> None:
        """The handshake is through."""

    def due(self, now_s: float) -> None:
        """It is time to say something, if there is something to say."""
        raise NotImplementedError

    def message(self, opcode: int, payload: bytes) -> None:
        """A message has come."""
        raise NotImplementedError

    def ended(self, code: int) -> None:
        """Both sides are through. `code`: the server's; LOST: there was none."""
        raise NotImplementedError

    # What they do

    def fail(self, text: str) -> None:
        """Note what must not be."""
        self.crowd.fail(f"client {self.number}: {text}")

    def dial(self) -> None:
        """Connect, and ask for a WebSocket."""
        self._socket = socket.create_connection(self.crowd.address, 10.0)
        self._socket.setblocking(False)
        self._kept, self._asked, self._code, self.leaving = b"", True, LOST, False
        self.crowd.watch(self, self._socket)
        self.session += 1
        self._write(REQUEST % (self.number, self.session))

    def send(self, opcode: int, payload: bytes) -> None:
        """Send a message, or a control frame."""
        self._write(frame(opcode, payload))

    def leave(self) -> None:
        """Begin the closing handshake."""
        self.open, self.leaving = False, True
        self.send(CLOSE, (1000).to_bytes(2, "big"))

    # Bytes

    def _write(self, data: bytes) -> None:
        assert self._socket is not None
        try:
            if self._socket.send(data) != len(data):
                self.fail("its socket took a part of a frame")
        except OSError as error:
            if not isinstance(error, ConnectionError):  # else its end is seen where it is read
                self.fail(f"its socket took nothing: {error}")

    def ready(self) -> None:
        """There is something to read."""
        assert self._socket is not None
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            self.ended(self._code)
            return
        self._kept += data
        if self._asked and not self._handshake():
            return
        while self._frame():
            pass

    def close(self) -> None:
        """Be without a socket."""
        self.open = False
        if self._socket is not None:
            self.crowd.forget(self._socket)
            self._socket.close()
            self._socket = None

    def _handshake(self) -> bool:
        head, end, rest = self._kept.partition(b"\r\n\r\n")
        if not end:
            return False
        self._asked = False
        if not head.startswith(b"HTTP/1.1 101 "):
            self.fail(f"was answered {head[:200]!r}")
            return False
        self._kept = rest
        self.open = True
        self.opened()
        return True

    def _frame(self) -> bool:
        """Take one frame; False: there is none that is whole."""
        kept = self._kept
        if len(kept) < 2:
            return False
        first, length = kept[0], kept[1]
        at = 2
        if length == 126:
            at, length = 4, int.from_bytes(kept[2:4], "big")
        if length > 65535 or first & 0x70 or not first & 0x80 or kept[1] > 126:
            self.fail(f"was sent {kept[:20]!r}")
            self._kept = b""
            return False
        if len(kept) < at + length:
            return False
        payload, self._kept = kept[at:at + length], kept[at + length:]
        opcode = first & 15
        if self._code != LOST:
            self.fail(f"was sent {opcode} {payload!r} after a Close")
        elif opcode == CLOSE:
            self.open = False
            self._code = int.from_bytes(payload[:2], "big") if payload else NO_CODE
            self.closing(self._code)
            if not self.leaving:
                self.send(CLOSE, payload[:2])
        elif opcode == PING:
            self.send(PONG, payload)
        elif opcode in (TEXT, BINARY):
            self.message(opcode, payload)
        else:
            self.fail(f"was sent opcode {opcode}")
        return True

    def closing(self, code: int) -> None:
        """The server's Close has come; the connection ends soon."""


class Crowd:
    """The clients, and the thread in which they live: from the beginning to the end of a `with` block.

    make: makes the one of a number. period_s: how often a client is asked for something to send.
    """

    def __init__(self, address: tuple[str, int], count: int, make: Callable[[Any, int], Client],
                 period_s: float) -> None:
        self.address = address
        self.failures: list[str] = []
        self._tick_s = period_s / SLICES
        self._epoll = select.epoll()
        self._clients: dict[int, Client] = {}
        self._asked: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._stop = False
        self.clients: Sequence[Any] = [make(self, number) for number in range(count)]
        self._thread = threading.Thread(target=self._run, daemon=True)

    def fail(self, text: str) -> None:
        """Note what must not be."""
        if len(self.failures) < MOST_FAILURES:
            self.failures.append(text)

    def watch(self, client: Client, its: socket.socket) -> None:
        """Have it told what comes."""
        self._clients[its.fileno()] = client
        self._epoll.register(its.fileno(), select.EPOLLIN)

    def forget(self, its: socket.socket) -> None:
        """The opposite."""
        self._epoll.unregister(its.fileno())
        del self._clients[its.fileno()]

    def do(self, what: Callable[[], None]) -> None:
        """Have this done in the clients' thread, soon."""
        self._asked.put(what)

    def wait(self, condition: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
        """Wait, from another thread, for what clients bring about. AssertionError: none of it, or one has failed."""
        processes.wait_until(lambda: condition() or bool(self.failures), what, timeout_s)
        assert not self.failures, f"clients have failed before {what}"

    def __enter__(self) -> Crowd:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop = True
        self._thread.join()
        for client in self.clients:
            client.close()
        self._epoll.close()

    def _run(self) -> None:
        try:
            for client in self.clients:
                client.dial()
            self._serve()
        except BaseException as error:
            self.fail(f"the clients' thread: {type(error).__name__}: {error}")

    def _serve(self) -> None:
        turn, next_s = 0, time.monotonic()
        while not self._stop:
            for fd, _ in self._epoll.poll(max(0.0, next_s - time.monotonic()), 256):
                client = self._clients.get(fd)
                if client is not None:
                    client.ready()
            now_s = time.monotonic()
            if now_s < next_s:
                continue
            next_s = max(next_s + self._tick_s, now_s)
            while not self._asked.empty():
                self._asked.get()()
            turn = (turn + 1) % SLICES
            for client in self.clients[turn::SLICES]:
                if client.open:
                    client.due(now_s)
