"""A worker with a test in place of its reactor: every frame is seen, and nothing happens unless the test does it.

It sleeps and wakes by the same handshake as the real reactor and has no tick, so a wake-up that is lost stops it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from swhttp.compressing import Compressing
from swhttp.ipc import ring
from swhttp.ipc.geometry import Geometry
from swhttp.ipc.memory import SharedMemory
from swhttp.worker.context import WorkerContext
from tests.support.processes import wait_until

APPS = Path(__file__).parent / "apps"
LOST_S = 20.0
"""A wake-up that takes this long is lost: nothing here takes a second."""
BLOCK_UNIT = 64
BLOCK_BYTES = 4096
BLOCKS = 64
CHUNK_BYTES = 66560
CHUNKS = 16


@dataclasses.dataclass
class Flight:
    """One request with the worker, and what has come of its response."""

    request_id: int
    frames: list[ring.Frame] = dataclasses.field(default_factory=list)
    body: bytearray = dataclasses.field(default_factory=bytearray)
    acked: int = 0
    credit: int = 0
    done: bool = False

    @property
    def head(self) -> ring.Frame:
        """The frame with the response head."""
        return next(frame for frame in self.frames if frame.flags & ring.HEAD)

    @property
    def status(self) -> int:
        return self.head.status

    @property
    def last(self) -> ring.Frame:
        return self.frames[-1]

    @property
    def types(self) -> list[int]:
        """Of the frames with a body."""
        return [frame.type for frame in self.frames if frame.body]

    @property
    def messages(self) -> list[tuple[int, bytes]]:
        """What a WebSocket has been sent: opcode and bytes."""
        found, data = [], b""
        for frame in self.frames:
            if frame.type in (ring.WS_MESSAGE, ring.WS_MESSAGE_SHM):
                data += frame.body
                if not frame.flags & ring.MORE:
                    found.append((frame.status, data))
                    data = b""
        return found

    @property
    def ahead(self) -> int:
        return len(self.body) - self.acked

SLOW_AT = 108  # sw_session.slow, in its row


class Rig:
    """The other end of slot 0's rings. `acks`: clients take at once what has come, when there is nothing else to do."""

    def __init__(self, memory: SharedMemory, pid: int, log: int, blocks: int) -> None:
        self.memory = memory
        self._blocks = blocks
        self.pid = pid
        self._log = log
        self.requests = ring.DescriptorWriter(memory)
        self.responses = ring.FrameReader(memory)
        self.table = ring.RequestTable(memory)
        self.sleeper = ring.Sleeper(memory, reactor=0)
        self.worker = ring.Sleeper(memory, slot=0)
        self.flying: dict[int, Flight] = {}
        self.said: list[ring.Frame] = []  # about WebSockets
        self.acks = True
        self._serial = 0
        self._nth = 0
        self._free = list(range(blocks))

    def counters(self) -> dict[str, int]:
        counters: dict[str, int] = self.memory.scoreboard.slots[0]
        return counters

    def post(self, request_id: int, block: int = 0, type: int = ring.PACKAGE, fd: int | None = None,
             code: int = 0) -> None:
        assert self.requests.post(request_id, block, type, fd=fd, code=code)
        self.worker.wake()

    def begin(self, target: bytes = b"/", *, type: int = ring.PACKAGE, fd: int | None = None, full: bool = False,
              revoked: bool = False, **block: Any) -> Flight:
        """Post a request. `block`: as `write_block` takes it; `full`: its client is slow from the start; `revoked`:
        taken back before the worker sees it."""
        self._serial += 1
        index = self._free.pop()
        request_id = ring.request_id(self._serial, index)
        place = index * BLOCK_BYTES // BLOCK_UNIT
        assert ring.write_block(self.memory, 0, place, target=target, **block) <= BLOCK_BYTES
        self.table.queue(request_id)
        if full:
            self.table.set_full(request_id, True)
        if revoked:
            assert self.table.revoke(request_id)
        flight = Flight(request_id)
        if revoked:
            self._free.append(index)
        else:
            self.flying[request_id] = flight
        self.post(request_id, place, type, fd)
        return flight

    def chunk(self, flight: Flight, data: bytes, nth: int, *, last: bool = False) -> None:
        """Post more of a request's body, in the `nth` block for that."""
        self.post(flight.request_id, self._write(data, nth), ring.END if last else ring.CHUNK)

    def _write(self, data: bytes, nth: int) -> int:
        place = (self._blocks * BLOCK_BYTES + nth % CHUNKS * CHUNK_BYTES) // BLOCK_UNIT
        ring.write_chunk(self.memory, 0, place, data)
        return place

    def messages(self, flight: Flight, *records: tuple[int, bytes, int, int], type: int = ring.WS_MESSAGE) -> None:
        """Post records of a WebSocket's messages (as `ring.records` takes them) in the next block for that."""
        self._nth += 1
        self.post(flight.request_id, self._write(ring.records(records), self._nth), type)

    def close(self, flight: Flight) -> None:
        """Its client goes away."""
        if self.table.ack(flight.request_id, flight.acked, closed=True):
            self.post(flight.request_id, type=ring.CLOSE)

    def slow(self, flight: Flight) -> None:
        """Its client turns out to be slow."""
        if self.table.set_full(flight.request_id, True):
            self.post(flight.request_id, type=ring.BUFFER_FULL)

    def session(self, row: int, generation: int) -> None:
        """A connection is open there."""
        view = self.memory.sessions[0].view()
        view[row * 128:row * 128 + 8] = (generation << 1 | 1).to_bytes(8, "little")

    def full(self, session: int, full: bool) -> None:
        """The client of a session, which blocks, turns out to be slow, or has caught up."""
        at = (session >> 6 & 0xFFFF) * 128 + SLOW_AT
        self.memory.sessions[session & 63].view()[at:at + 4] = (2 + full).to_bytes(4, "little")
        if not full:
            self.post(session | 1 << 63, type=ring.BUFFER_EMPTY)

    def acknowledge(self, flight: Flight) -> None:
        """Its client takes all that has come."""
        if flight.acked < len(flight.body):
            flight.acked = len(flight.body)
            if self.table.ack(flight.request_id, flight.acked):
                self.post(flight.request_id, type=ring.BUFFER_EMPTY)

    def frame(self) -> Flight:
        """Wait for the next frame: whose it is. What is no request's is in `said`."""
        while True:
            frame = self.responses.read()
            if frame is not None:
                break
            if self.acks:
                for flight in self.flying.values():
                    self.acknowledge(flight)
            self.sleeper.begin()
            if not self.responses.has_more:
                readable, _, _ = select.select([self.sleeper.fd], [], [], LOST_S)
                assert readable, "a wake-up was lost"
                self.sleeper.drain()
            self.sleeper.end()
        if self.responses.release():
            self.worker.wake()
        if frame.type in (ring.WS_SESSION, ring.WS_SESSION_SHM):
            self.said.append(frame)
            return Flight(0)
        flight = self.flying[frame.request_id]
        flight.frames.append(frame)
        if frame.type != ring.WS_CLOSE:  # its reason
            flight.body += frame.body
        if frame.type == ring.CREDIT:
            assert frame.content_length > flight.credit
            flight.credit = frame.content_length
        if frame.flags & ring.LAST:
            flight.done = True
            del self.flying[frame.request_id]
            self.table.free(frame.request_id)
            self._free.append(ring.index_of(frame.request_id))
        return flight

    def finish(self, *flights: Flight) -> None:
        """Wait for their final frames."""
        while not all(flight.done for flight in flights):
            self.frame()

    def answer(self, target: bytes = b"/", **request: Any) -> Flight:
        """Post a request and wait for its whole response."""
        flight = self.begin(target, **request)
        self.finish(flight)
        return flight

    def log(self) -> str:
        """What the worker has logged."""
        return os.pread(self._log, 1 << 20, 0).decode()

    def wait_closed(self, path: Path) -> None:
        """Until the worker has neither this file open nor one in this directory."""
        wait_until(lambda: not any(name.startswith(str(path)) for name in self.fds()), f"{path} to be closed")

    def fds(self) -> set[str]:
        """The files that the worker has open."""
        found = set()
        for name in os.listdir(f"/proc/{self.pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                found.add(os.readlink(f"/proc/{self.pid}/fd/{name}"))
        return found


@contextlib.contextmanager
def working(app: str, interface: str, *, threads: int = 1, before: Callable[[], None] = lambda: None,
            tmp_dir: str | None = None, spool_max: int = 0, blocks: int = BLOCKS,
            compressing: Compressing | None = None, ws_handler: str = "", **sizes: Any) -> Iterator[Rig]:
    """A worker in slot 0, and us as its reactor. `before`: called in the worker; `blocks`: requests at
    once; `compressing`: what it compresses; `ws_handler`: what takes WebSockets; `sizes`: of the shared memory."""
    geometry: dict[str, Any] = {
        "reactors": 1, "slots": 1, "request_ring_bytes": 8192, "response_ring_bytes": 65536, "table_entries": blocks,
        "sessions": 8, "block_classes": ((BLOCK_BYTES, blocks), (CHUNK_BYTES, CHUNKS)),
    }
    memory = SharedMemory(Geometry(**geometry | sizes))
    memory.reset_slot(0)
    log = os.memfd_create("log", os.MFD_CLOEXEC)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            from swhttp.worker.main import run

            ours.close()
            memory.keep_for_worker(0)
            logging.basicConfig(stream=os.fdopen(log, "w"), force=True)
            before()
            place = {} if tmp_dir is None else {"tmp_dir": tmp_dir}
            status = run(WorkerContext(
                slot=0, generation=1, memory=memory, app=app, factory=False, app_dir=str(APPS), interface=interface,
                threads=threads, channel=theirs, binds=(), response_spool_max_bytes=spool_max,
                compressing=compressing, ws_handler=ws_handler, **place))
        finally:
            sys.stderr.flush()
            os._exit(status)
    theirs.close()
    rig = Rig(memory, pid, log, blocks)
    try:
        ours.settimeout(LOST_S)
        assert b"ready" in ours.recv(4096)
        yield rig
        assert rig.requests.post(0, type=ring.STOP)
        rig.worker.wake()
        pidfd = os.pidfd_open(pid)
        try:
            assert select.select([pidfd], [], [], LOST_S)[0], "the worker does not stop"
        finally:
            os.close(pidfd)
        _, status = os.waitpid(pid, 0)
        pid = 0
        assert status == 0
    finally:
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        ours.close()
        os.close(log)
        rig.responses.close()
        memory.close()
