"""`python -m tests.support.tight_blocks` is the `swhttp` command with one request block in each reactor."""

from __future__ import annotations

from tests.support import tight

if __name__ == "__main__":
    tight.main(block_classes=((163840, 1),))
