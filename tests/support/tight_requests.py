"""`python -m tests.support.tight_requests` is the `swhttp` command with rings for eight requests, and room for 16 in a
worker that reads them."""

from __future__ import annotations

from typing import Final

from tests.support import tight

DESCRIPTORS: Final = 8

if __name__ == "__main__":
    tight.main(table_entries=16, sessions=64, request_ring_bytes=16 * DESCRIPTORS)
