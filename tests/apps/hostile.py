"""A worker gone wild: /hostile puts into its own shared memory what no worker of ours would. The rest is bodies.py.

    /hostile?plan=<JSON>   a list of steps, each a list whose first item says what (see `Wild`); then it waits for ever,
                           or answers if the last step says so

    /id                    the beginning of a response, its request's id; its end when the client has gone

A WebSocket at /hostile is accepted first. Another one echoes. `ID` in a plan is the request's own id, `SESSION` that of
the WebSocket's session.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import struct
import sys
import threading
import time
from array import array
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from types import FrameType
from typing import Any
from urllib.parse import parse_qs

from swhttp.ipc import ring
from swhttp.worker.context import WorkerContext
from tests.apps import bodies

Message = MutableMapping[str, Any]
PAGE, RING_BYTES, TABLE_ROW, READ_OFFSET = 4096, 128, 64, 28
FRAME = struct.Struct("=IBBHQqII")


def our_context() -> WorkerContext:
    """From the frames of who runs us."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        for value in frame.f_locals.values():
            if isinstance(value, WorkerContext):
                return value
        frame = frame.f_back
    raise LookupError("the worker's context")


class Wild:
    """This worker's own end of its first reactor's rings, taken from under its feet."""

    def __init__(self) -> None:
        context = our_context()
        self.memory, self.slot = context.memory, context.slot
        self.out = ring.Producer(self.memory, self.slot, responses=True)
        self.out.catch_up()
        self.teller: socket.socket | None = None

    def own_id(self, path: bytes) -> int:
        """The id of the request for a target that begins with `path`, which this worker has taken."""
        requests = ring.DescriptorReader(self.memory, self.slot)
        data = self.memory.slots[self.slot].view()[requests.data_offset :][: requests.size]
        table = ring.RequestTable(self.memory, slot=self.slot)
        for at in range(0, requests.size, ring.DESCRIPTOR_BYTES):
            request_id, block = struct.unpack_from("=QI", data, at)
            if request_id and table.state(request_id) == ring.TAKEN:
                target = ring.read_block(self.memory, 0, block)["target"]
                if target.startswith(path):
                    return int(request_id)
        raise LookupError("my request")

    def do(self, plan: list[list[Any]], own: dict[str, int] | None = None) -> None:
        own = own or {"ID": self.own_id(b"/hostile")}
        for what, *arguments in plan:
            getattr(self, what)(*(own.get(value, value) if isinstance(value, str) else value for value in arguments))
        ring.Sleeper(self.memory, slot=self.slot, reactor=0).wake()

    def repeat(self, times: int, step: list[Any], request_id: int) -> None:
        """The same step so many times."""
        for _ in range(times):
            getattr(self, step[0])(*(request_id if value == "ID" else value for value in step[1:]))

    def word(self, name: str, value: int) -> None:
        """Write a word that a reactor looks at."""
        at = self._place(name)
        self.memory.slots[self.slot].view()[at : at + 8] = value.to_bytes(8, "little")

    def keep(self, name: str, value: int) -> None:
        """The same, again and again, in a thread."""
        view, at = self.memory.slots[self.slot].view(), self._place(name)

        def for_ever() -> None:
            while True:
                view[at : at + 8] = value.to_bytes(8, "little")
                time.sleep(0.0001)

        threading.Thread(target=for_ever, daemon=True).start()

    def _place(self, name: str) -> int:
        requests = ring.DescriptorReader(self.memory, self.slot)
        table = ring.RequestTable(self.memory, slot=self.slot)
        return {"head of requests": requests.words_offset, "tail of requests": requests.words_offset + 64,
                "tail of responses": self.out.words_offset + 64, "worker sleeps": 0, "reactor sleeps": 64,
                "owner": table.offset + TABLE_ROW * ring.index_of(self.own_id(b"/hostile"))}[name]

    def has_read(self, request_id: int, blocks: int) -> None:
        """So many blocks of its client's messages."""
        at = ring.RequestTable(self.memory, slot=self.slot).offset + TABLE_ROW * ring.index_of(request_id) + READ_OFFSET
        self.memory.slots[self.slot].view()[at : at + 4] = blocks.to_bytes(4, "little")

    def fill(self) -> None:
        """The eventfd that wakes the reactor: it takes no more."""
        end = self.memory.wake_eventfds[self.slot][0]
        with contextlib.suppress(BlockingIOError):  # if nothing is in it yet
            os.eventfd_read(end)
        os.eventfd_write(end, (1 << 64) - 2)

    def hang_up(self) -> None:
        """On the channel for files."""
        with socket.socket(fileno=os.dup(self.memory.worker_channels[self.slot][0])) as end:
            end.shutdown(socket.SHUT_RDWR)

    def answer(self) -> None:
        """The last step: go on as if nothing had been."""

    def tell(self, path: str) -> None:
        """The gate at `path`, which process this is."""
        self.teller = teller = socket.socket(socket.AF_UNIX)
        teller.connect(path)
        teller.sendall(b"%d\n" % os.getpid())

    def block(self) -> None:
        """The last step: with all of the event loop."""
        while True:
            signal.pause()

    def scribble(self, seed: int, where: str, how: str, count: int) -> None:
        """Spoil a part of what this worker may write. `how`: "bits", "bytes" or "words", `count` of them at random
        places; "zeros", "ones": all of it."""
        view, start, length = self._parts()[where]
        part = view[start : start + length]
        rng = random.Random(seed)
        if how in ("zeros", "ones"):
            part[:] = bytes([0 if how == "zeros" else 0xFF]) * length
            return
        for _ in range(count):
            if how == "words":
                at = rng.randrange(length // 8) * 8
                part[at : at + 8] = rng.randbytes(8)
            else:
                at = rng.randrange(length)
                part[at] = part[at] ^ 1 << rng.randrange(8) if how == "bits" else rng.randrange(256)

    def _parts(self) -> dict[str, tuple[memoryview, int, int]]:
        slot, board = self.memory.slots[self.slot].view(), self.memory.scoreboard.segment.view()
        requests = ring.DescriptorReader(self.memory, self.slot)
        blocks = ring.Arena(self.memory, self.slot).at(0)
        assert blocks is not None
        return {
            "sleeping word": (slot, 0, 8),
            "descriptors": (slot, requests.data_offset, requests.size),
            "frames": (slot, self.out.data_offset, self.out.size),
            "ring indices": (slot, requests.words_offset, self.out.words_offset + RING_BYTES - requests.words_offset),
            "request table": (slot, ring.RequestTable(self.memory, slot=self.slot).offset, 16 * TABLE_ROW),
            "returned blocks": (slot, blocks - PAGE, PAGE),
            "blocks": (slot, blocks, 1 << 20),
            "the reactor's sleeping word": (slot, 64, 8),
            "scoreboard": (board, PAGE * (1 + self.slot), PAGE),
        }

    def frame(self, type: int, flags: int, status: int, request_id: int, length: int, head: str, body_len: int,
              payload: str = "") -> None:
        """A response frame; `payload` in hexadecimal."""
        rest = head.encode() + bytes.fromhex(payload)
        size = -(-(FRAME.size + len(rest)) // 8) * 8
        fields = FRAME.pack(size, type, flags, status, request_id, length, len(head), body_len)
        assert self.out.put((fields + rest).ljust(size, b"\0"))

    def raw(self, text: str) -> None:
        """These bytes, in hexadecimal, where a frame should be."""
        assert self.out.put(bytes.fromhex(text))

    def ring_head(self, value: int) -> None:
        """Publish up to this index."""
        view = self.memory.slots[self.slot].view()
        view[self.out.words_offset : self.out.words_offset + 8] = value.to_bytes(8, "little")

    def send(self, kind: str, request_id: int, path: str = "") -> None:
        """Pass on an fd of some kind."""
        opened = open_kind(kind, path)
        try:
            assert ring.send_file(self.memory.worker_channels[self.slot][0], opened[0], request_id)
        finally:
            for fd in opened:
                os.close(fd)

    def message_of(self, request_id: int) -> None:
        """A message in the name of a request, without its file."""
        self.message(request_id.to_bytes(8, "little").hex(), 0)

    def message(self, text: str, files: int) -> None:
        """A message of these bytes, with so many fds."""
        fds = [os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC) for _ in range(files)]
        with socket.socket(fileno=os.dup(self.memory.worker_channels[self.slot][0])) as end:
            end.sendmsg([bytes.fromhex(text)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else [])
        for fd in fds:
            os.close(fd)


def open_kind(kind: str, path: str) -> list[int]:
    """The fd, and those that must be closed with it."""
    if kind == "pipe":
        return list(os.pipe2(os.O_CLOEXEC))
    if kind == "socket":
        return [end.detach() for end in socket.socketpair()]
    if kind == "device":
        return [os.open("/dev/zero", os.O_RDONLY | os.O_CLOEXEC)]
    if kind == "directory":
        return [os.open("/", os.O_RDONLY | os.O_CLOEXEC)]
    return [os.open(path, os.O_RDONLY | os.O_CLOEXEC)]


async def socket_of(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """A WebSocket."""
    own = {"SESSION": scope["swhttp.session"]}
    if scope["path"] == "/hostile":
        own["ID"] = Wild().own_id(b"/hostile")
    await receive()
    await send({"type": "websocket.accept"})
    if scope["path"] == "/hostile":
        await send({"type": "websocket.send", "text": "accepted"})
        Wild().do(json.loads(parse_qs(scope["query_string"].decode())["plan"][0]), own)
        await asyncio.Event().wait()
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def asgi(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """ASGI 3."""
    if scope["type"] == "websocket":
        await socket_of(scope, receive, send)
        return
    if scope["type"] == "http" and scope["path"] == "/id":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        body = b"%d\n" % Wild().own_id(b"/id")
        await send({"type": "http.response.body", "body": body, "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    if scope["type"] != "http" or scope["path"] != "/hostile":
        await bodies.asgi(scope, receive, send)
        return
    plan = json.loads(parse_qs(scope["query_string"].decode())["plan"][0])
    Wild().do(plan)
    if plan[-1] != ["answer"]:
        await asyncio.Event().wait()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"well"})


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """WSGI, where a plan is answered as /pid is."""
    if environ["PATH_INFO"] == "/hostile":
        Wild().do(json.loads(parse_qs(environ["QUERY_STRING"])["plan"][0]))
    return bodies.wsgi(environ, start_response)
