"""What is said on the control socket: JSON objects, each behind its length. Pure: bytes in, messages out.

One message, in both directions:

    0            4                     4 + length
    +------------+---------------------+
    | length u32 | JSON object, UTF-8  |        length: big-endian, of the object alone, 1 or more
    +------------+---------------------+

A client sends a request and gets one answer, any number of times, one after the other:

    request  {"verb": "scale", "workers": 4}                what each verb takes: docs/control.md
    answer   {"ok": true, ...}                              what was asked for
             {"ok": false, "error": "a sentence"}           why not

Of a length past the bound, or an object that is none, nothing more can be believed: the reader gives the connection
up. Neither side may ever trust the other's lengths.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

LENGTH_BYTES: Final = 4

Message = dict[str, Any]


class BadMessage(Exception):
    """What came is no message; the text says why, for a person."""


def framed(body: bytes) -> bytes:
    """The bytes of a message whose JSON is `body`."""
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def encode(message: Message) -> bytes:
    """The bytes of a message."""
    return framed(json.dumps(message).encode())


def encode_rows(message: Message, name: str, rows: Iterable[bytes]) -> bytes:
    """The bytes of a message with one more field, `name`: a list of objects that are JSON already."""
    head = json.dumps({**message, name: []}).encode().removesuffix(b"]}")
    return framed(head + b", ".join(rows) + b"]}")


class Decoder:
    """Makes messages of pieces of a stream. `max_bytes`: of a message without its length."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take what has come."""
        self._buffer += data

    @property
    def missing(self) -> int:
        """How many bytes must come before anything can be said of the next message. Who receives no more than that
        never holds a part of the one after it. Raises BadMessage."""
        if len(self._buffer) < LENGTH_BYTES:
            return LENGTH_BYTES - len(self._buffer)
        length = int.from_bytes(self._buffer[:LENGTH_BYTES], "big")
        if not 0 < length <= self._max_bytes:
            raise BadMessage(f"a message has 1 to {self._max_bytes} bytes, not {length}")
        return max(0, LENGTH_BYTES + length - len(self._buffer))

    def next(self) -> Message | None:
        """The next message that is whole; None: more must come. Raises BadMessage; nothing can follow that."""
        if self.missing > 0:
            return None
        end = LENGTH_BYTES + int.from_bytes(self._buffer[:LENGTH_BYTES], "big")
        body = bytes(self._buffer[LENGTH_BYTES:end])
        del self._buffer[:end]
        try:
            message = json.loads(body.decode())
        except (ValueError, RecursionError):
            raise BadMessage("it is not JSON") from None
        if not isinstance(message, dict):
            raise BadMessage("it is not a JSON object")
        return message
