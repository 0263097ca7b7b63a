"""`python -m tests.support.tight_table` is the `swhttp` command with request tables of 16 entries."""

from __future__ import annotations

from tests.support import tight

if __name__ == "__main__":
    tight.main(table_entries=16, sessions=64, request_ring_bytes=4096)
