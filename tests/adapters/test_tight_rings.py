"""A worker whose rings and clients are far too small for its responses: it waits for room and for acknowledgements
all the time, with no tick anywhere, so a wake-up that is lost stops it for good.
"""

from __future__ import annotations

import random

import pytest

from swhttp import limits
from swhttp.ipc import ring
from tests.adapters.rig import Flight, working


@pytest.mark.parametrize("arena", [((4096, 1),), ((65536, 2), (1048576, 1))])
@pytest.mark.parametrize("spool_max", [0, 300_000])
@pytest.mark.parametrize(("interface", "threads"), [("asgi", 1), ("wsgi", 1), ("wsgi", 4)])
@pytest.mark.parametrize("ring_bytes", [1024, 4096, 65536])
def test_every_response_is_whole(
    interface: str, threads: int, ring_bytes: int, spool_max: int, arena: tuple[tuple[int, int], ...]
) -> None:
    dice = random.Random(ring_bytes + threads + spool_max)
    beyond = limits.HIGH_WATER_BYTES * 3
    sizes = [dice.choice((1, 200, 5000, 40_000, 300_000, beyond)) for _ in range(40)]
    waiting = [(size, dice.choice((1, 3, 50)), dice.random() < 0.3) for size in sizes]
    with working(f"bulk:{interface}", interface, threads=threads, spool_max=spool_max, arena_classes=arena,
                 request_ring_bytes=512, response_ring_bytes=ring_bytes) as rig:
        expected: dict[int, int] = {}

        def begin() -> None:
            size, count, full = waiting.pop()
            flight = rig.begin(b"/%d/%d" % (size, count), full=full)
            expected[flight.request_id] = size

        for _ in range(6):
            begin()
        done: list[Flight] = []
        while len(done) < len(sizes):
            flight = rig.frame()
            if not flight.done:
                continue
            done.append(flight)
            assert not flight.last.flags & ring.ABORT
            assert len(flight.body) == expected[flight.request_id]
            assert all(flight.body[at] == at % 251 for at in range(0, len(flight.body), 97))
            if waiting:
                begin()
