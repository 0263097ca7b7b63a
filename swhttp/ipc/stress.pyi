from mmap import mmap

from swhttp.ipc.memory import SharedMemory

FAULTS: dict[int, str]

def run_worker(
    memory: SharedMemory,
    slot: int,
    reactors: int,
    owned: mmap,
    *,
    jitter: int = 0,
    frames: int = 1,
    high: int = 0,
    hold: int = 0,
    quiet: bool = False,
    seed: int = 1,
) -> str: ...
def run_reactor(
    memory: SharedMemory,
    reactor: int,
    slots: int,
    total: int,
    outstanding: int,
    owned: mmap,
    *,
    jitter: int = 0,
    frames: int = 1,
    high: int = 0,
    revoke_of_16: int = 0,
    seed: int = 2,
) -> str: ...
def run_arena_worker(
    memory: SharedMemory, slot: int, reactors: int, total: int, *, jitter: int = 0, seed: int = 1
) -> str: ...
def run_arena_reactor(memory: SharedMemory, slot: int, reactor: int, *, jitter: int = 0, seed: int = 2) -> str: ...
