"""A worker whose rings and clients are far too small for its responses: it waits for room and for acknowledgements
all the time, with no tick anywhere, so a wake-up that is lost stops it for good.

The reactor is this test: one thread that reads the response ring and sleeps by the same handshake as the real one.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from swhttp import limits
from swhttp.ipc import ring
from swhttp.ipc.geometry import Geometry
from swhttp.ipc.memory import SharedMemory
from swhttp.worker.context import WorkerContext

APPS = Path(__file__).parent / "apps"
LOST_S = 20.0
"""A wake-up that takes this long is lost: nothing here takes a second."""
BLOCK_UNIT = 64
BLOCK_BYTES = 1024


class Request:
    """One request in flight, and what has come of its response."""

    def __init__(self, number: int, size: int, pieces: int) -> None:
        self.number = number
        self.size = size
        self.pieces = pieces
        self.body = bytearray()
        self.acked = 0


class Reactor:
    """The other end of slot 0's rings."""

    def __init__(self, memory: SharedMemory) -> None:
        self.memory = memory
        self.requests = ring.DescriptorWriter(memory)
        self.responses = ring.FrameReader(memory)
        self.table = ring.RequestTable(memory)
        self.sleeper = ring.Sleeper(memory, reactor=0)
        self.worker = ring.Sleeper(memory, slot=0)
        self.flying: dict[int, Request] = {}

    def post(self, index: int, request: Request) -> None:
        request_id = ring.request_id(request.number + 1, index)
        block = index * BLOCK_BYTES // BLOCK_UNIT
        ring.write_block(self.memory, 0, block, target=b"/%d/%d" % (request.size, request.pieces))
        self.table.queue(request_id)
        assert self.requests.post(request_id, block)
        self.worker.wake()
        self.flying[request_id] = request

    def next_frame(self) -> ring.Frame:
        """The next frame; clients take what has come when there is nothing else to do."""
        while True:
            frame = self.responses.read()
            if frame is not None:
                if self.responses.release():
                    self.worker.wake()
                return frame
            self.acknowledge()
            self.sleeper.begin()
            if not self.responses.has_more:
                readable, _, _ = select.select([self.sleeper.fd], [], [], LOST_S)
                assert readable, "a wake-up was lost"
                self.sleeper.drain()
            self.sleeper.end()

    def acknowledge(self) -> None:
        for request_id, request in self.flying.items():
            if request.acked < len(request.body):
                request.acked = len(request.body)
                if self.table.ack(request_id, request.acked):
                    assert self.requests.post(request_id, type=ring.BUFFER_EMPTY)
                    self.worker.wake()


@contextlib.contextmanager
def working(memory: SharedMemory, app: str, interface: str, threads: int) -> Iterator[Reactor]:
    """A worker in slot 0, and us as its reactor."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            from swhttp.worker.main import run

            ours.close()
            memory.keep_for_worker(0)
            status = run(WorkerContext(
                slot=0, generation=1, memory=memory, app=app, factory=False, app_dir=str(APPS), interface=interface,
                threads=threads, channel=theirs, binds=(), log_level="info", graceful_timeout_s=30.0))
        finally:
            sys.stderr.flush()
            os._exit(status)
    theirs.close()
    reactor = Reactor(memory)
    try:
        ours.settimeout(LOST_S)
        assert b"ready" in ours.recv(4096)
        yield reactor
        assert reactor.requests.post(0, type=ring.STOP)
        reactor.worker.wake()
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


@pytest.mark.parametrize(("interface", "threads"), [("asgi", 1), ("wsgi", 1), ("wsgi", 4)])
@pytest.mark.parametrize("ring_bytes", [1024, 4096, 65536])
def test_every_response_is_whole(interface: str, threads: int, ring_bytes: int) -> None:
    dice = random.Random(ring_bytes + threads)
    memory = SharedMemory(Geometry(
        reactors=1, slots=1, request_ring_bytes=512, response_ring_bytes=ring_bytes, table_entries=8, sessions=8,
        block_classes=((BLOCK_BYTES, 8),)))
    memory.reset_slot(0)
    beyond = limits.HIGH_WATER_BYTES * 3
    sizes = [dice.choice((1, 200, 5000, 40_000, 300_000, beyond)) for _ in range(40)]
    try:
        with working(memory, f"bulk:{interface}", interface, threads) as reactor:
            waiting = [Request(number, size, dice.choice((1, 3, 50))) for number, size in enumerate(sizes)]
            for index in range(6):
                reactor.post(index, waiting.pop())
            done = 0
            while done < len(sizes):
                frame = reactor.next_frame()
                request = reactor.flying[frame.request_id]
                request.body += frame.body
                if not frame.flags & ring.LAST:
                    continue
                assert not frame.flags & ring.ABORT
                assert len(request.body) == request.size
                assert all(request.body[at] == at % 251 for at in range(0, request.size, 97))
                del reactor.flying[frame.request_id]
                reactor.table.free(frame.request_id)
                done += 1
                if waiting:
                    reactor.post(ring.index_of(frame.request_id), waiting.pop())
            assert not reactor.flying
    finally:
        memory.close()
