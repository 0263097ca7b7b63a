"""Bodies of any size that show what was lost, doubled or moved, made and checked piece by piece.

Byte n depends on n: the body is cut into blocks of 64 KiB, each of which begins with its number in 8 bytes and goes on
with random bytes, the same in every block (or with zeros, in a sparse file). A piece that is missing or twice shifts
what follows; two blocks that are swapped have the wrong numbers.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

BLOCK_BYTES = 65536
RANDOM = hashlib.shake_128(b"swhttp").digest(BLOCK_BYTES - 8)
ZEROS = bytes(BLOCK_BYTES - 8)


def body(size: int, at: int = 0, filling: bytes = RANDOM) -> bytes:
    """Bytes `at` to `at + size` of the endless body."""
    first, last = at // BLOCK_BYTES, (at + size - 1) // BLOCK_BYTES
    blocks = b"".join(part for number in range(first, last + 1) for part in (number.to_bytes(8, "big"), filling))
    start = at - first * BLOCK_BYTES
    return blocks[start : start + size]


def pieces(size: int, step: int) -> Iterator[bytes]:
    """The first `size` bytes in pieces of `step`, the last as long as it comes out."""
    return (body(min(step, size - at), at) for at in range(0, size, step))


def write_sparse(path: str, size: int) -> None:
    """A file of the body with zeros: takes 4 KiB on the disk for each 64."""
    with open(path, "wb") as file:
        file.truncate(size)
        for number in range(-(-size // BLOCK_BYTES)):
            mark = number.to_bytes(8, "big")[: size - number * BLOCK_BYTES]
            os.pwrite(file.fileno(), mark, number * BLOCK_BYTES)


class Check:
    """Takes a body as it comes. filling: RANDOM or ZEROS; taken: how many bytes so far, all of them right."""

    def __init__(self, filling: bytes = RANDOM) -> None:
        self.taken = 0
        self._filling = filling

    def feed(self, piece: bytes) -> None:
        """The next bytes; AssertionError where they begin to be wrong."""
        expected = body(len(piece), self.taken, self._filling)
        if piece != expected:
            wrong = next(n for n, (a, b) in enumerate(zip(piece, expected, strict=True)) if a != b)
            raise AssertionError(f"byte {self.taken + wrong} is wrong: {piece[wrong : wrong + 16]!r}")
        self.taken += len(piece)
