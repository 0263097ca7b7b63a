"""One step of each handshake at a time: what each word says and who is told."""

from __future__ import annotations

import ctypes
import faulthandler
import mmap
import os
import resource
import signal
from collections.abc import Callable

import pytest

from swhttp.ipc import ring
from swhttp.ipc.memory import Segment, SharedMemory
from swhttp.ipc.ring import RequestTable, Sleeper

MADV_REMOVE = 9  # Python does not name it


def written(sleeper: Sleeper) -> int:
    """What the sleeper's eventfd holds; it holds nothing afterwards."""
    try:
        return os.eventfd_read(sleeper.fd)
    except BlockingIOError:
        return 0


@pytest.fixture(params=[None, 0], ids=["slot", "reactor"])
def sleeper(request: pytest.FixtureRequest, memory: SharedMemory) -> Sleeper:
    """Each kind of sleeper."""
    return Sleeper(memory, slot=0, reactor=request.param)


def test_nobody_wakes_who_is_awake(sleeper: Sleeper) -> None:
    assert not sleeper.wake()
    sleeper.begin()
    sleeper.end()
    assert not sleeper.wake()
    assert written(sleeper) == 0


def test_one_sleep_is_ended_by_one_wakeup(sleeper: Sleeper) -> None:
    sleeper.begin()
    assert sleeper.wake()
    assert not sleeper.wake()
    assert written(sleeper) == 1
    assert sleeper.value == 0


@pytest.mark.parametrize("tick", [False, True])
def test_only_a_sleeper_with_a_tick_may_be_left_alone(sleeper: Sleeper, tick: bool) -> None:
    sleeper.begin(tick=tick)
    assert sleeper.wake(quiet=True) is not tick
    assert sleeper.value == (2 if tick else 0)
    assert sleeper.wake() is tick
    assert written(sleeper) == 1


def test_a_claim_without_its_write_leaves_a_sleeper_that_only_an_unconditional_write_wakes(sleeper: Sleeper) -> None:
    """What a process killed between the two leaves behind: see ring.h."""
    sleeper.begin()
    assert sleeper.claim()
    assert not sleeper.wake()
    assert written(sleeper) == 0


def test_draining_takes_all_wakeups_and_never_blocks(sleeper: Sleeper) -> None:
    for _ in range(3):
        sleeper.begin()
        assert sleeper.wake()
    sleeper.drain()
    sleeper.drain()
    assert written(sleeper) == 0


@pytest.fixture
def table(memory: SharedMemory) -> RequestTable:
    """The request table of reactor 0."""
    return RequestTable(memory)


A, B = ring.request_id(1, 5), ring.request_id(2, 5)  # two requests in the same entry, one after the other


def test_a_taken_request_cannot_be_revoked(table: RequestTable) -> None:
    table.queue(A)
    assert table.state(A) == ring.QUEUED
    assert table.take(A)
    assert table.state(A) == ring.TAKEN
    assert not table.revoke(A)
    assert not table.take(A)


def test_a_revoked_request_cannot_be_taken(table: RequestTable) -> None:
    table.queue(A)
    assert table.revoke(A)
    assert table.state(A) == ring.REVOKED
    assert not table.take(A)


def test_a_late_swap_never_hits_an_entry_given_out_again(table: RequestTable) -> None:
    table.queue(A)
    assert table.revoke(A)
    table.queue(B)
    assert not table.take(A)
    assert not table.revoke(A)
    assert table.state(A) == ring.FREE
    assert table.take(B)


def test_a_free_entry_belongs_to_nobody(table: RequestTable) -> None:
    table.queue(A)
    table.free(A)
    assert not table.take(A)
    assert not table.revoke(A)
    assert table.state(A) == ring.FREE


def test_the_last_entry_is_there_and_none_after_it(table: RequestTable) -> None:
    last = ring.request_id(1, table.memory.geometry.table_entries - 1)
    table.queue(last)
    assert table.take(last)
    with pytest.raises(IndexError):
        table.queue(last + 1)


def test_entries_do_not_touch(table: RequestTable) -> None:
    for index in range(table.memory.geometry.table_entries):
        table.queue(ring.request_id(9, index))
        table.ack(ring.request_id(9, index), index, closed=index % 2 == 1)
    for index in range(table.memory.geometry.table_entries):
        assert table.acked(ring.request_id(9, index)) == index
        assert table.closed(ring.request_id(9, index)) is (index % 2 == 1)
        assert table.take(ring.request_id(9, index))


@pytest.mark.parametrize("closed", [False, True])
def test_an_ack_wakes_who_asked_and_only_once(table: RequestTable, closed: bool) -> None:
    table.queue(A)
    assert not table.ack(A, 10)
    table.want_ack(A)
    assert table.ack(A, 20, closed=closed)
    assert not table.ack(A, 30)
    assert table.acked(A) == 30
    assert table.closed(A) is closed


def test_an_entry_given_out_again_remembers_nothing(table: RequestTable) -> None:
    table.queue(A)
    table.want_ack(A)
    table.ack(A, 20, closed=True)
    table.want_ack(A)
    table.queue(B)
    assert table.acked(B) == 0
    assert not table.closed(B)
    assert not table.ack(B, 1)


def test_a_segment_cannot_be_shrunk_under_its_users(memory: SharedMemory) -> None:
    with pytest.raises(PermissionError):
        os.ftruncate(memory.slots[0].fd, 0)


def test_a_segment_that_cannot_be_made_closes_nothing_of_others() -> None:
    with pytest.raises((OSError, ValueError, OverflowError)):
        Segment("x" * 300, 4096)  # the name is too long for memfd_create(2)
    os.fstat(0)


def test_a_worker_cannot_write_what_is_not_its_own(memory: SharedMemory) -> None:
    assert faulted(memory, lambda: memory.blocks[0].view().__setitem__(0, 1))
    assert faulted(memory, lambda: memory.sessions[0].view().__setitem__(0, 1))
    assert faulted(memory, lambda: memory.scoreboard.set_slot(1, pid=1))
    assert not faulted(memory, lambda: memory.scoreboard.set_slot(0, pid=1))
    assert not faulted(memory, lambda: memory.slots[0].view().__setitem__(0, 1))


def test_a_worker_cannot_make_more_of_it_writable(memory: SharedMemory) -> None:
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory.blocks[0].view()))

    def write_all_the_same() -> None:
        if ctypes.CDLL(None).mprotect(ctypes.c_void_p(address), 4096, mmap.PROT_READ | mmap.PROT_WRITE) == 0:
            os._exit(0)
        memory.blocks[0].view()[0] = 1

    assert faulted(memory, write_all_the_same, memory.keep_for_manager)
    memory.blocks[0].view()[0] = 1


def test_what_others_only_read_can_be_given_back_to_the_kernel(memory: SharedMemory) -> None:
    assert not faulted(memory, lambda: None, memory.keep_for_manager)
    blocks = memory.blocks[0]
    blocks.view()[0] = 1
    assert os.fstat(blocks.fd).st_blocks > 0
    address = ctypes.addressof(ctypes.c_char.from_buffer(blocks.view()))
    assert ctypes.CDLL(None).madvise(ctypes.c_void_p(address), ctypes.c_size_t(blocks.size), MADV_REMOVE) == 0
    assert os.fstat(blocks.fd).st_blocks == 0


def test_a_child_of_a_worker_does_not_have_its_slot(memory: SharedMemory) -> None:
    def write_in_a_child() -> None:
        pid = os.fork()
        if pid == 0:
            memory.slots[0].view()[0] = 1
            os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGSEGV:
            os.kill(os.getpid(), signal.SIGSEGV)

    assert faulted(memory, write_in_a_child)


def faulted(memory: SharedMemory, write: object, before: Callable[[], None] = lambda: None) -> bool:
    """Whether a write kills a process that keeps only what the worker of slot 0 needs. `before`: what it was before."""
    pid = os.fork()
    if pid == 0:
        try:
            faulthandler.disable()
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            before()
            memory.keep_for_worker(0)
            write()  # type: ignore[operator]
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, -11), status
    return status == -11
