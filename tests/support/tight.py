"""`python -m tests.support.tight` is the `swhttp` command with shared memory as small as it can be.

Every ring is full after a few frames, every pool empty after a few requests, and an arena holds one block: what waits,
wraps, starves or takes another path does so all the time. The server itself knows nothing of it.
"""

from __future__ import annotations

import functools
from typing import Any, Final

SIZES: Final[dict[str, Any]] = {
    "request_ring_bytes": 128,
    "response_ring_bytes": 4096,  # the head of a response must fit in half of it
    "table_entries": 2,
    "sessions": 8,
    # The largest head, and behind it the largest body that an ASGI app gets whole, need a block of the larger size.
    # There is one for each request that a test has under way at once: who finds none is answered 503.
    "block_classes": ((1024, 2), (163840, 50)),
    "arena_classes": ((4096, 1),),
}


def main(**sizes: Any) -> None:
    """The command, with these sizes and else the smallest."""
    from swhttp import __main__, master
    from swhttp.ipc.geometry import Geometry

    vars(master)["Geometry"] = functools.partial(Geometry, **{**SIZES, **sizes})
    __main__.main()


if __name__ == "__main__":
    main()
