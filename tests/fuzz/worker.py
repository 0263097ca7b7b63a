"""The worker on the stand that does what it ought to: takes requests, gives credit, collects bodies, answers.

It owns the worker's ends of slot 0. Of each block that it is given it checks that all parts lie within the block.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from typing import Any

from swhttp.ipc import ring

FRAME = struct.Struct("<IBBHQqII")
CREDIT = 9
MORE_BODY, BODY_FILE = 8, 16  # flags of request blocks
BLOCK_UNIT = 64
BLOCK_HEAD_BYTES = 64
CREDIT_BYTES = 262144
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n"


@dataclass
class Request:
    """A request that was taken. `head`: as `ring.read_block` reads it; `fields`, `environ`: an ASGI app's, a WSGI
    app's; `whole`: its body has come to the end."""

    request_id: int
    head: dict[str, Any]
    fields: list[tuple[bytes, bytes]]
    environ: dict[str, str]
    body: bytearray = field(default_factory=bytearray)
    whole: bool = True


class Worker:
    """Slot 0's worker on `stand`. `taken`: the requests that it has had, in order."""

    def __init__(self, stand: Any) -> None:
        self._stand = stand
        self._blocks = stand.memory.blocks[0].view()
        self._table = ring.RequestTable(stand.memory)
        self._channel = stand.memory.worker_channels[0][0]
        self.taken: list[Request] = []
        self._open: dict[int, Request] = {}
        self.begin()

    def begin(self) -> None:
        """Be a new process."""
        self._requests = ring.DescriptorReader(self._stand.memory)
        self._responses = ring.Producer(self._stand.memory, responses=True)
        self.taken.clear()
        self._open.clear()

    def look(self) -> None:
        """Take what was posted."""
        while (descriptor := self._requests.pop()) is not None:
            request_id, block, kind = descriptor
            if kind in (ring.PACKAGE, ring.START):
                if self._table.take(request_id):
                    self._take(request_id, block)
            elif kind in (ring.CHUNK, ring.END) and (request := self._open.get(request_id)):
                at = block * BLOCK_UNIT
                length = int.from_bytes(bytes(self._blocks[at : at + 4]), "little")
                assert 8 + length <= self._stand.room_of(block), "a chunk is longer than its block"
                request.body += bytes(self._blocks[at + 8 : at + 8 + length])
                request.whole = kind == ring.END
                self._credit(request)
        self._requests.release()

    def _take(self, request_id: int, block: int) -> None:
        head = ring.read_block(self._stand.memory, 0, block)
        ends = block_ends(bytes(self._blocks[block * BLOCK_UNIT : block * BLOCK_UNIT + BLOCK_HEAD_BYTES]))
        assert max(ends) <= self._stand.room_of(block), f"a part of the block ends at {max(ends)}"
        asgi, environ, target = self._stand.shown(block)
        assert target[1:] == (head["path"], head["query"]), f"an ASGI app sees {target}"
        request = Request(request_id, head, asgi, environ, bytearray(head["body"]), not head["flags"] & MORE_BODY)
        if head["flags"] & BODY_FILE:
            file, named = ring.receive_file(self._channel)
            assert named == request_id, "the file is another request's"
            request.body += os.pread(file, 1 << 24, 0)
            os.close(file)
        self.taken.append(request)
        self._open[request_id] = request
        if not request.whole:
            self._credit(request)

    def _credit(self, request: Request) -> None:
        assert self._responses.put(
            FRAME.pack(FRAME.size, CREDIT, 0, 0, request.request_id, len(request.body) + CREDIT_BYTES, 0, 0)
        )

    def answer(self) -> bool:
        """Answer each request that is whole. True: there was one."""
        whole = [request for request in self._open.values() if request.whole]
        for request in whole:
            del self._open[request.request_id]
            self._put(request.request_id, ring.HEAD | ring.LAST, OK, b"ok", 200, 2)
        return bool(whole)

    def give_up(self) -> None:
        """Owe nothing to anybody: end all requests without an answer."""
        for request in self._open.values():
            self._put(request.request_id, ring.LAST | ring.ABORT, b"", b"", 0, -1)
        self._open.clear()

    def _put(self, request_id: int, flags: int, head: bytes, body: bytes, status: int, length: int) -> None:
        size = (FRAME.size + len(head) + len(body) + 7) & ~7
        frame = FRAME.pack(size, ring.SMALL, flags, status, request_id, length, len(head), len(body)) + head + body
        assert self._responses.put(frame.ljust(size, b"\0"))


def block_ends(head: bytes) -> list[int]:
    """Where the parts of a request block end, by what its head says."""
    method, target, *parts = struct.unpack("<10I", head[:40])
    return [BLOCK_HEAD_BYTES + method + target, *(parts[i] + parts[i + 1] for i in range(0, len(parts), 2))]
