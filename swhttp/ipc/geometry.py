"""The sizes of everything in shared memory: one immutable value, made once from the configuration.

Tests use tiny ones, so that every wrap, every full ring and every empty pool is met.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from swhttp import limits

MOST_ARENA_BYTES: Final = 0xFFFFFFFF * 64  # a block's offset is a 32-bit number of units of 64 bytes


@dataclass(frozen=True)
class Geometry:
    """Sizes of the shared memory of one server. Raises ValueError for sizes that cannot work."""

    reactors: int = 1
    slots: int = 2
    request_ring_bytes: int = limits.REQUEST_RING_BYTES
    response_ring_bytes: int = limits.RESPONSE_RING_BYTES
    """Half of it is the longest frame: 32 bytes and, of a response whose head is longer than the rest, nothing."""
    table_entries: int = limits.REQUEST_TABLE_ENTRIES
    sessions: int = limits.MAX_SESSIONS
    block_classes: tuple[tuple[int, int], ...] = limits.BLOCK_CLASSES
    """(bytes, count) of each size of request block, smallest first."""
    arena_classes: tuple[tuple[int, int], ...] = limits.ARENA_CLASSES
    """(bytes, count) of each size of response block, smallest first; a slot."""

    def __post_init__(self) -> None:
        for name in ("request_ring_bytes", "response_ring_bytes"):
            size = getattr(self, name)
            if size < 128 or size & (size - 1):
                raise ValueError(f"{name} must be a power of two of at least 128, not {size}")
        if not 1 <= self.reactors <= limits.MAX_REACTORS or not 1 <= self.slots <= limits.MAX_SLOTS:
            raise ValueError(f"{self.reactors} reactors and {self.slots} slots are out of range")
        # Not 65536: the low half of a request_id with index 65535 can be the rings' wrap marker.
        if not 1 <= self.table_entries <= 65535:
            raise ValueError(f"a request table has 1 to 65535 entries, not {self.table_entries}")
        if self.sessions < 1:
            raise ValueError("there must be a row for a connection")
        if any(count < 1 for _, count in (*self.block_classes, *self.arena_classes)):
            raise ValueError("of each size of block there must be one")
        sizes = [size for size, _ in self.block_classes]
        if not 1 <= len(sizes) <= 8 or sizes != sorted(set(sizes)) or any(size % 64 for size in sizes):
            raise ValueError("there are 1 to 8 sizes of request blocks, growing, multiples of 64 bytes")
        if self.arena_bytes > MOST_ARENA_BYTES:
            raise ValueError(f"request blocks take at most {MOST_ARENA_BYTES} bytes, not {self.arena_bytes}")
        sizes = [size for size, _ in self.arena_classes]
        if not 1 <= len(sizes) <= 4 or sizes != sorted(set(sizes)) or any(size % 4096 for size in sizes):
            raise ValueError("there are 1 to 4 sizes of response blocks, growing, whole pages")

    @property
    def arena_bytes(self) -> int:
        """Bytes of one reactor's request blocks."""
        return sum(size * count for size, count in self.block_classes)

    @property
    def arena_blocks(self) -> int:
        """How many blocks a slot's response arena has."""
        return sum(count for _, count in self.arena_classes)
