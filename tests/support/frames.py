"""A WebSocket client of raw frames (RFC 6455 §5), for what no library would send, or would not show.

It knows nothing that it was not told: it answers no ping and no Close. What the server sends is checked: no masks, the
shortest lengths, control frames in one piece.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any, NamedTuple

from tests.support.client import Closed, Connection
from tests.support.server import Server

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FIN, RSV1 = 0x80, 0x40
KEY = b"\x11\x22\x33\x44"
NO_CODE = 1005


class Frame(NamedTuple):
    """One that has come."""

    opcode: int
    payload: bytes
    first: int  # its first byte


class NotOpened(Exception):
    """The handshake was answered by an ordinary response."""

    def __init__(self, response: Any) -> None:
        super().__init__(response)
        self.response = response


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv1: bool = False, masked: bool = True) -> bytes:
    """The bytes of one."""
    length = len(payload)
    mask = 0x80 if masked else 0
    head = bytes([opcode | (FIN if fin else 0) | (RSV1 if rsv1 else 0)])
    if length < 126:
        head += bytes([mask | length])
    elif length < 65536:
        head += struct.pack("!BH", mask | 126, length)
    else:
        head += struct.pack("!BQ", mask | 127, length)
    if not masked:
        return head + payload
    keys = int.from_bytes((KEY * (length // 4 + 1))[:length], "little")
    return head + KEY + (int.from_bytes(payload, "little") ^ keys).to_bytes(length, "little")


def closing(code: int, reason: bytes = b"") -> bytes:
    """A Close with this code."""
    return frame(CLOSE, code.to_bytes(2, "big") + reason)


def deflated(payload: bytes) -> bytes:
    """As permessage-deflate has it (RFC 7692 §7.2.1)."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -12)
    return (packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def handshake(target: str, *, deflate: bool = False) -> bytes:
    """The request."""
    extension = "sec-websocket-extensions: permessage-deflate\r\n" if deflate else ""
    return (f"GET {target} HTTP/1.1\r\nhost: test\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            f"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{extension}\r\n").encode()


class Peer:
    """The client's end of an open WebSocket."""

    def __init__(self, site: Server, target: str = "/echo", *, deflate: bool = False, buffer_bytes: int = 0) -> None:
        self.connection: Connection = site.connect(buffer_bytes=buffer_bytes)
        self.send(handshake(target, deflate=deflate))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.connection.raw(1)
            if len(head) == 12 and not head.endswith(b"101"):
                self.connection.buffer = head + self.connection.buffer
                raise NotOpened(self.connection.response())
        self.deflate = b"permessage-deflate" in head
        assert self.deflate == deflate, head

    def send(self, data: bytes) -> None:
        """These bytes."""
        self.connection.send(data)

    def say(self, text: str) -> None:
        """A message."""
        self.send(frame(TEXT, text.encode()))

    def next(self) -> Frame:
        """The next frame; Closed at the end."""
        first, second = self.connection.raw(2)
        length = second
        assert second < 128, "a server's frame has no mask"
        if length == 126:
            (length,) = struct.unpack("!H", self.connection.raw(2))
            assert length >= 126
        elif length == 127:
            (length,) = struct.unpack("!Q", self.connection.raw(8))
            assert length >= 65536
        if first & 8:
            assert first & FIN, "a control frame is whole"
            assert length <= 125, "a control frame is short"
        return Frame(first & 15, self.connection.raw(length) if length else b"", first)

    def heard(self) -> str:
        """The next frame is a text in one piece: this one."""
        found = self.next()
        assert (found.opcode, found.first & (FIN | RSV1)) == (TEXT, FIN), found
        return found.payload.decode()

    def ending(self) -> int:
        """The code of the next frame, which is a Close."""
        found = self.next()
        assert found.opcode == CLOSE, found
        return int.from_bytes(found.payload[:2], "big") if found.payload else NO_CODE

    def ended(self) -> int:
        """The same, then the end of the connection."""
        code = self.ending()
        self.connection.expect_end()
        return code

    def rest(self) -> list[Frame]:
        """Whatever comes up to the end."""
        found = []
        try:
            while True:
                found.append(self.next())
        except Closed:
            return found

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()


def opened(site: Server, text: str = "others") -> None:
    """A WebSocket is opened, used and closed as if nothing were."""
    with Peer(site) as peer:
        peer.say(text)
        assert peer.heard() == text
        peer.send(closing(1000))
        assert peer.ended() == 1000
