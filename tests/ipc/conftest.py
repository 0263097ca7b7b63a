"""Shared memory of tiny sizes, closed after each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from swhttp.ipc.geometry import Geometry
from swhttp.ipc.memory import SharedMemory

Make = Callable[..., SharedMemory]


def tiny(**sizes: int) -> SharedMemory:
    """A few pages of shared memory: rings of 256 bytes unless `sizes` says otherwise."""
    settings: dict[str, object] = {
        "request_ring_bytes": 256,
        "response_ring_bytes": 256,
        "table_entries": 64,
        "sessions": 4,
        "block_classes": ((1024, 8),),
        **sizes,
    }
    return SharedMemory(Geometry(**settings))  # type: ignore[arg-type]


@pytest.fixture
def memory_of() -> Iterator[Make]:
    """Makes `SharedMemory` of given sizes."""
    made: list[SharedMemory] = []

    def make(**sizes: int) -> SharedMemory:
        made.append(tiny(**sizes))
        return made[-1]

    yield make
    for memory in made:
        memory.close()


@pytest.fixture
def memory(memory_of: Make) -> SharedMemory:
    """Tiny shared memory of one reactor and two slots."""
    return memory_of()
