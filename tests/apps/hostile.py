"""A worker gone wild: /hostile puts into its own shared memory what no worker of ours would. The rest is bodies.py.

    /hostile?plan=<JSON>   a list of steps, each a list whose first item says what (see `Wild`); then it waits for ever

    /id                    the beginning of a response, its request's id; its end when the client has gone

`ID` in a plan is the request's own id.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import sys
from array import array
from collections.abc import Awaitable, Callable, MutableMapping
from types import FrameType
from typing import Any
from urllib.parse import parse_qs

from swhttp.ipc import ring
from swhttp.worker.context import WorkerContext
from tests.apps import bodies

Message = MutableMapping[str, Any]
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

    def do(self, plan: list[list[Any]]) -> None:
        request_id = self.own_id(b"/hostile")
        for what, *arguments in plan:
            getattr(self, what)(*(request_id if value == "ID" else value for value in arguments))
        ring.Sleeper(self.memory, reactor=0).wake()

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


async def asgi(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """ASGI 3."""
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
    Wild().do(json.loads(parse_qs(scope["query_string"].decode())["plan"][0]))
    await asyncio.Event().wait()
