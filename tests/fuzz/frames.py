"""A worker that writes whatever it likes into the memory it may write, and passes whatever files it likes.

The input is a little program of both sides, a client's and the worker's: see OPERATIONS. The reactor must survive it,
never spin, and hold nothing once client and worker are gone; and the next worker in the slot serves the next client.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

from swhttp import accessformat
from swhttp.ipc import ring
from swhttp.ipc.geometry import Geometry
from swhttp.reactor.accesswriter import AccessWriter
from swhttp.reactor.settings import ReactorSettings
from tests.fuzz.stand import Stand
from tests.fuzz.worker import FRAME, Worker

REQUESTS = (
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n" + b"b" * 1500,
    b"b" * 1500,
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n200\r\n" + b"c" * 512 + b"\r\n",
    b"0\r\n\r\n",
    b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n"
ARENA = ((4096, 4), (16384, 2))
RING_BYTES = 4096
TABLE_ENTRIES = 8
CLIENTS = 3
PAGE = 4096
ARENA_HEADS_BYTES = 1024
MOST_OPERATIONS = 96

_rigs: dict[bool, Rig] = {}


class Rig:
    """A stand whose worker follows a program. `data`: the program, taken from its start."""

    def __init__(self, asgi: bool) -> None:
        settings = ReactorSettings(inline_body_bytes=64, keep_alive_s=3600, head_timeout_s=3600, body_timeout_s=3600,
                                   write_timeout_s=3600)
        geometry = Geometry(slots=1, request_ring_bytes=1024, response_ring_bytes=RING_BYTES, sessions=8,
                            table_entries=TABLE_ENTRIES, block_classes=((1024, 8), (8192, 4)), arena_classes=ARENA)
        log = AccessWriter("/dev/null", os.open("/dev/null", os.O_WRONLY), accessformat.parse("combined"), 1)
        self.stand = Stand(settings, geometry, asgi=asgi, access=log)
        self.memory = self.stand.memory
        self.honest = Worker(self.stand)
        self._slot = self.memory.slots[0].view()
        # At the end of the slot: its request table, the arena's lists, the arena.
        self._arena_at = len(self._slot) - sum(size * count for size, count in ARENA) - PAGE
        self._table_at = self._arena_at - PAGE
        self._entries = ring.RequestTable(self.memory)
        self._channel = socket.socket(fileno=os.dup(self.memory.worker_channels[0][0]))
        self.begin()

    def begin(self) -> None:
        """Be a new worker."""
        self._posted = ring.DescriptorReader(self.memory)
        self._responses = ring.Producer(self.memory, responses=True)
        self.ids: list[int] = []

    def run(self, data: bytes) -> None:
        """Run a program, then let everybody go, and see what is left."""
        fds = set(os.listdir("/proc/self/fd"))
        self._data, self._at = data, 0
        self.clients = [self.stand.connect(buffer_bytes=4608) for _ in range(CLIENTS)]
        for _ in range(MOST_OPERATIONS):
            if self._at >= len(data):
                break
            OPERATIONS[self.u8() % len(OPERATIONS)](self)
        self.stand.settle()
        for client in self.clients:
            client.close()
        self.stand.settle()
        self.restart()
        self.stand.feed_starved()
        self.stand.settle()
        held = {name: count for name, count in self.stand.held().items() if count}
        assert not held, f"still held: {held}"
        self._serve()
        more = set(os.listdir("/proc/self/fd")) - fds
        assert not more, f"fds that are lost: {more}"

    def _serve(self) -> None:
        """An honest worker and an honest client, on what is left."""
        self.honest.begin()
        client = self.stand.connect()
        client.send(REQUESTS[0])
        self.stand.settle()
        self.honest.look()
        assert self.honest.answer(), "the request has not come"
        self.stand.settle()
        answer = client.recv(4096)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer
        assert answer.endswith(b"\r\n\r\nok"), answer
        client.close()
        self.stand.settle()
        self.restart()

    # What programs are made of

    def u8(self) -> int:
        """The next byte, 0 past the end."""
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def number(self) -> int:
        """One of the numbers that matter: small, around powers of two, or all of eight bytes."""
        kind = self.u8()
        if kind < 128:
            return kind
        if kind < 192:
            return (1 << (kind - 128)) + self.u8() - 128
        return int.from_bytes(self.some(8), "little", signed=True)

    def some(self, length: int) -> bytes:
        """The next bytes, zeros past the end."""
        piece = self._data[self._at : self._at + length].ljust(length, b"\0")
        self._at += length
        return piece

    def request_id(self) -> int:
        """Of a request that it has, or had, or somebody's."""
        which = self.u8()
        if which < 200 and self.ids:
            return self.ids[which % len(self.ids)]
        return self.number() & 0xFFFFFFFFFFFFFFFF

    # Operations

    def say(self) -> None:
        """A client sends one of REQUESTS, or what the program says."""
        client, kind = self.clients[self.u8() % CLIENTS], self.u8()
        data = REQUESTS[kind % len(REQUESTS)] if kind < 200 else self.some(self.u8())
        try:
            client.send(data)
        except OSError:
            return  # it takes no more, or has ended

    def turn(self) -> None:
        """The reactor goes on."""
        self.stand.settle()

    def take(self) -> None:
        """The worker takes what was posted, if its ring can still be read."""
        self.stand.settle()
        try:
            while (posted := self._posted.pop()) is not None:
                if posted.type in (ring.PACKAGE, ring.START):
                    self._entries.take(posted.request_id)
                    self.ids.append(posted.request_id)
            self._posted.release()
        except (ring.BrokenRing, IndexError):
            return  # it has broken it itself

    def answer(self) -> None:
        """A frame that may be right: of a request that there is, with a payload as long as it says."""
        kind = (ring.SMALL, ring.SHM, ring.TMPFILE, 9)[self.u8() % 4]
        flags, status, length = self.u8(), (200, 204, 304, 103, 500, 0, 101, 999)[self.u8() % 8], self.number()
        request_id = self.request_id()
        if kind == 9:
            self._publish(FRAME.pack(FRAME.size, 9, 0, 0, request_id, length & (1 << 63) - 1, 0, 0))
            return
        with_head = flags & (ring.HEAD | ring.TRAILERS | ring.INTERIM)
        head = HEAD[: len(HEAD) - self.u8() % 8] if with_head else b""
        body = b""
        body_len = 0
        if kind == ring.SMALL:
            body_len = self.number() & 1023
            body = b"x" * body_len
        elif kind == ring.SHM:
            body_len = self.number() & 0xFFFFF
            body = (self.number() & 0xFFFFFFFF).to_bytes(4, "little") + bytes(4)
        else:
            offset, size = self.number(), self.number()
            body = b"".join((number & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little") for number in (offset, size))
            body += bytes([self.u8() & 1, 0, 0, 0, 0, 0, 0, 0])
        size = (FRAME.size + len(head) + len(body) + 7) & ~7
        length = max(-1, min(length, (1 << 63) - 1))
        frame = FRAME.pack(size, kind, flags, status, request_id, length, len(head), body_len) + head + body
        self._publish(frame.ljust(size, b"\0"))

    def babble(self) -> None:
        """Bytes where a frame should be: the first four may be its length."""
        length = (self.u8() % 32 + 1) * 8
        data = self.some(length)
        if self.u8() & 1:
            data = length.to_bytes(4, "little") + data[4:]
        self._publish(data)

    def _publish(self, frame: bytes) -> None:
        if len(frame) <= self._responses.max_frame and not self._responses.put(frame):
            self.stand.settle()
            self._responses.put(frame)

    def scribble_words(self) -> None:
        """Over the index words of a ring, or the arena's lists."""
        which = self.u8()
        at = (self._responses if which & 1 else self._posted).words_offset + which % 3 * 64 % 136
        if which >= 192:
            at = self._arena_at + self.u8() * 4 % ARENA_HEADS_BYTES
        self._slot[at : at + 8] = memoryview((self.number() & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little"))

    def scribble(self) -> None:
        """Over the data of its rings, its sleeping word, or any other part of its slot."""
        at = int.from_bytes(self.some(2), "little") * 8 % (len(self._slot) - 256)
        data = self.some(self.u8() % 32 + 1)
        self._slot[at : at + len(data)] = memoryview(data)

    def scribble_table(self) -> None:
        """Over the request table."""
        at = self._table_at + self.u8() * 8 % (TABLE_ENTRIES * 64 - 8)
        self._slot[at : at + 8] = memoryview(self.some(8))

    def pass_file(self) -> None:
        """Send files, or what is none, or a message that is none."""
        kind, name = self.u8(), self.request_id()
        fds = []
        if kind % 8 < 4:
            file = os.memfd_create("fuzz")
            os.write(file, b"f" * (1 << (self.u8() % 18)))
            fds = [file]
        elif kind % 8 == 4:
            fds = list(os.pipe())
        elif kind % 8 == 5:
            fds = [os.open("/", os.O_RDONLY)]
        data = name.to_bytes(8, "little")[: 8 if kind < 200 else kind % 8]
        try:
            if fds and kind & 16:
                socket.send_fds(self._channel, [data], fds[:1])
            elif fds:
                socket.send_fds(self._channel, [data], fds)
            else:
                self._channel.send(data)
        except OSError:
            pass  # there are too many
        for fd in fds:
            os.close(fd)

    def read(self) -> None:
        """A client reads some."""
        client = self.clients[self.u8() % CLIENTS]
        try:
            client.recv(self.u8() * 64 + 1)
        except OSError:
            return  # there is nothing

    def leave(self) -> None:
        """A client leaves, or says that it has no more to say; another comes."""
        which, how = self.u8() % CLIENTS, self.u8()
        if how & 1:
            try:
                self.clients[which].shutdown(socket.SHUT_WR)
            except OSError:
                return  # it was reset
            return
        self.clients[which].close()
        self.stand.settle()  # else there is no room for the next
        if self.stand.held()["missing rows"] < 8:
            self.clients[which] = self.stand.connect(buffer_bytes=4608)
        else:
            self.clients[which], other = socket.socketpair()
            other.close()

    def restart(self) -> None:
        """The worker dies, and there is another one."""
        self.stand.end_worker()
        self.stand.settle()
        self.memory.drain_channels(0)
        self.stand.begin_worker()
        self.begin()


OPERATIONS: tuple[Callable[[Rig], None], ...] = (
    Rig.say, Rig.take, Rig.answer, Rig.turn, Rig.babble, Rig.scribble_words, Rig.scribble, Rig.scribble_table,
    Rig.pass_file, Rig.read, Rig.leave, Rig.restart, Rig.answer, Rig.answer, Rig.say, Rig.take,
)


def one(data: bytes) -> None:
    """Run one program; its first byte says what the app is."""
    if len(data) < 2:
        return
    if not _rigs:
        _rigs.update({False: Rig(False), True: Rig(True)})
    _rigs[data[0] & 1 == 0].run(data[1:])


def program(*operations: Any) -> bytes:
    """The input for these operations: each a method of Rig, or a number for the one before."""
    return bytes([0, *(OPERATIONS.index(part) if callable(part) else part for part in operations)])
