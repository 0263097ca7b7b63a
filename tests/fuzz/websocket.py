"""What a WebSocket client sends, cut anywhere: our codec finds in it what wsproto does, fails it with the same code.

    how u8 | window u8 | cut u8 | cut u8 | the bytes of one stream, or a program of frames

`how`: bits of HOW. A program's frames: | first byte | what u8 | length u8 | payload |, where `what` says how the length
is written, whether there is a mask, and whether the payload is compressed with what was compressed before, or as it is.
What differs from wsproto on purpose is in `tests.support.wsoracle`.
"""

from __future__ import annotations

import itertools
import zlib

from tests.support.wsoracle import Agreed, difference

DEFLATE, FRESH, PROGRAM, BYTEWISE = 1, 2, 4, 8  # of HOW
PACKED, FLUSHED, UNMASKED, LONGER, LONGEST, MORE = 1, 2, 4, 8, 16, 32  # of `what`
KEY = b"\x0f\xf0\xa5\x5a"
TAIL = b"\x00\x00\xff\xff"
MOST_BYTEWISE = 600


def one(data: bytes) -> None:
    """Judge one stream."""
    if len(data) < 5:
        return
    how, raw = data[0], data[4:]
    agreed = None
    if how & DEFLATE:
        agreed = Agreed(client_max_window_bits=9 + data[1] % 7, client_no_context_takeover=bool(how & FRESH))
    if how & PROGRAM:
        raw = _stream(raw, 9 + data[1] % 7)
    if how & BYTEWISE:
        bounds = [*range(min(len(raw), MOST_BYTEWISE)), len(raw)]
    else:
        bounds = [0, *sorted((data[2] * len(raw) // 256, data[3] * len(raw) // 256)), len(raw)]
    found = difference(raw, [raw[start:end] for start, end in itertools.pairwise(bounds)], agreed)
    assert not found, f"{found}\nof {raw!r} in {bounds[:4]}, {agreed}"


def _stream(program: bytes, bits: int) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, -bits)
    stream = bytearray()
    at = 0
    while at + 3 <= len(program):
        first, what, length = program[at : at + 3]
        payload = program[at + 3 : at + 3 + length]
        at += 3 + len(payload)
        if what & MORE:
            payload *= 300
        if what & PACKED:
            payload = packer.compress(payload)
            if what & FLUSHED:
                payload = (payload + packer.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)
        stream += frame(first, payload, masked=not what & UNMASKED,
                        length_bytes=8 if what & LONGEST else 2 if what & LONGER else None)
    return bytes(stream)


def frame(first: int, payload: bytes, *, masked: bool = True, length_bytes: int | None = None) -> bytes:
    """A client's frame, right or not. `length_bytes`: of its extended length; None: as many as it takes."""
    size = len(payload)
    if length_bytes is None:
        length_bytes = 0 if size < 126 else 2 if size < 65536 else 8
    short = {0: size & 0x7F, 2: 126, 8: 127}[length_bytes]
    head = bytes((first, (0x80 if masked else 0) | short))
    if length_bytes:
        head += (size & (1 << 8 * length_bytes) - 1).to_bytes(length_bytes, "big")
    if not masked:
        return head + payload
    return head + KEY + bytes(byte ^ KEY[nth & 3] for nth, byte in enumerate(payload))
