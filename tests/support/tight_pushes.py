"""`python -m tests.support.tight_pushes` is the `swhttp` command with the smallest rings, and room for two large pieces
in each worker: what is pushed waits for room, and news for those who wait are lost, all the time."""

from __future__ import annotations

from tests.support import tight

if __name__ == "__main__":
    tight.main(arena_classes=((65536, 2),), table_entries=64, sessions=32, block_classes=((8192, 64), (163840, 16)))
