"""The response arena of a slot: whoever takes a block has it alone, until it is given back, and none is ever lost.

The race fails in every run when a reactor gives back by load and store, and when the worker takes the returned list by
load and store (tried on two x86 cores).
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from swhttp.ipc.memory import SharedMemory
from swhttp.ipc.ring import Arena
from swhttp.ipc.stress import run_arena_reactor, run_arena_worker
from tests.ipc.conftest import Make, tiny
from tests.ipc.race import Race

PAGE = 4096
CLASSES = ((PAGE, 3), (2 * PAGE, 2), (4 * PAGE, 1))
BLOCKS = sum(count for _, count in CLASSES)
NO_BLOCK = 0xFFFFFFFF


def class_of(block: int) -> int:
    for number, (_, count) in enumerate(CLASSES):
        if block < count:
            return number
        block -= count
    raise AssertionError("no such block")


def bytes_of(block: int) -> int:
    return CLASSES[class_of(block)][0]


def everything(arena: Arena, length: int = 1) -> list[int]:
    """Take until nothing is left: the numbers."""
    taken = []
    while (block := arena.take(length)) is not None:
        taken.append(block[0])
    return taken


@pytest.fixture
def memory(memory_of: Make) -> SharedMemory:
    return memory_of(arena_classes=CLASSES)


class AnArena(RuleBasedStateMachine):
    """The model: of each class the blocks never taken, those given back, and the worker's own free ones, as stacks."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = tiny(arena_classes=CLASSES)
        self.worker, self.reactor = Arena(self.memory), Arena(self.memory)
        self.held: dict[int, int] = {}
        self.taken = 0

    def teardown(self) -> None:
        self.memory.close()

    @initialize()
    def all_free(self) -> None:
        firsts = [sum(count for _, count in CLASSES[:number]) for number in range(len(CLASSES))]
        self.fresh = [list(range(first, first + CLASSES[n][1]))[::-1] for n, first in enumerate(firsts)]
        self.returned: list[list[int]] = [[] for _ in CLASSES]
        self.free: list[list[int]] = [[] for _ in CLASSES]

    def expected(self, length: int) -> int | None:
        """The smallest class that holds so much, else larger ones, else smaller ones, the largest of them first."""
        fit = next((n for n, (size, _) in enumerate(CLASSES) if size >= length), len(CLASSES) - 1)
        for number in [*range(fit, len(CLASSES)), *range(fit)[::-1]]:
            self.free[number] += self.returned[number]
            self.returned[number] = []
            for stack in (self.free[number], self.fresh[number]):
                if stack:
                    return stack.pop()
        return None

    @rule(length=st.integers(0, 5 * PAGE))
    def take(self, length: int) -> None:
        block, expected = self.worker.take(length), self.expected(length)
        if expected is None:
            assert block is None
            assert len(self.held) == BLOCKS
            return
        assert block == (expected, bytes_of(expected))
        assert expected not in self.held, "handed out twice"
        self.taken += 1
        self.held[expected] = self.taken
        self.mark(expected)

    def mark(self, block: int) -> None:
        start = self.reactor.at(block)
        assert start is not None
        self.memory.slots[0].view()[start : start + bytes_of(block)] = bytes([self.taken % 251]) * bytes_of(block)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), by_reactor=st.booleans())
    def give(self, data: st.DataObject, by_reactor: bool) -> None:
        block = data.draw(st.sampled_from(sorted(self.held)))
        del self.held[block]
        if by_reactor:
            self.reactor.give(block)
            self.returned[class_of(block)].append(block)
        else:
            self.worker.take_back(block)
            self.free[class_of(block)].append(block)

    @rule(keep=st.integers(0, 3 * PAGE))
    def trim(self, keep: int) -> None:
        """Of each class what is behind the last one held is fresh again, but for so many bytes, the lowest are next."""
        dropped = 0
        for number, (size, count) in enumerate(CLASSES):
            first = sum(count for _, count in CLASSES[:number])
            before = end = first + count - len(self.fresh[number])
            least = first + keep // size
            if before <= least:
                continue
            self.free[number] += self.returned[number]
            self.returned[number] = []
            while end > least and end - 1 not in self.held:
                end -= 1
                self.fresh[number].append(end)
            if end < before:
                self.free[number] = sorted((block for block in self.free[number] if block < end), reverse=True)
            dropped += (before - end) * size
        assert self.worker.trim(keep) == dropped

    @invariant()
    def a_held_block_is_its_holders(self) -> None:
        view = self.memory.slots[0].view()
        for block, number in self.held.items():
            start = self.reactor.at(block)
            assert start is not None
            assert view[start] == view[start + bytes_of(block) - 1] == number % 251


AnArena.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestArena = AnArena.TestCase


def test_what_is_trimmed_is_gone_and_nothing_else(memory: SharedMemory) -> None:
    arena, view = Arena(memory), memory.slots[0].view()
    blocks = everything(arena)
    for block in blocks:
        start = arena.at(block)
        assert start is not None
        view[start : start + bytes_of(block)] = b"x" * bytes_of(block)
    for block in blocks[1:]:  # the first is held: the lowest of its class
        arena.give(block)
    assert arena.trim(PAGE) == sum(map(bytes_of, blocks[1:]))
    for block in blocks:
        start = arena.at(block)
        assert start is not None
        content = b"x" if block == blocks[0] else b"\0"
        assert bytes(view[start : start + bytes_of(block)]) == content * bytes_of(block)
    assert sorted(everything(arena)) == sorted(blocks[1:])


def test_blocks_lie_beside_each_other_in_the_segment_and_behind_the_rings(memory: SharedMemory) -> None:
    arena = Arena(memory)
    places = []
    for block in range(BLOCKS):
        start = arena.at(block, bytes_of(block))
        assert start is not None
        assert start % PAGE == 0
        places.append((start, start + bytes_of(block)))
    assert all(end == start for (_, end), (start, _) in itertools.pairwise(places))
    assert places[-1][1] <= memory.slots[0].size
    assert places[0][0] > PAGE + 512, "the sleeping word and the rings come first"


@pytest.mark.parametrize("block", [BLOCKS, BLOCKS + 1, 1 << 31, NO_BLOCK])
def test_a_number_that_is_no_block_is_refused(memory: SharedMemory, block: int) -> None:
    arena = Arena(memory)
    assert arena.at(block) is None
    with pytest.raises(IndexError):
        arena.give(block)


@pytest.mark.parametrize("block", range(BLOCKS))
def test_a_length_beyond_the_block_is_refused(memory: SharedMemory, block: int) -> None:
    arena = Arena(memory)
    assert arena.at(block, bytes_of(block)) is not None
    assert arena.at(block, bytes_of(block) + 1) is None
    assert arena.at(block, (1 << 64) - 1) is None


def test_all_blocks_of_all_sizes_serve_before_the_arena_is_full(memory: SharedMemory) -> None:
    arena = Arena(memory)
    assert sorted(everything(arena, 4 * PAGE)) == list(range(BLOCKS))
    assert arena.take(1) is None


def test_what_was_given_back_last_is_taken_first(memory: SharedMemory) -> None:
    arena = Arena(memory)
    assert [arena.take(1) for _ in range(3)] == [(0, PAGE), (1, PAGE), (2, PAGE)]
    for block in (1, 2, 0):
        arena.give(block)
    assert [arena.take(1) for _ in range(3)] == [(0, PAGE), (2, PAGE), (1, PAGE)]


def test_a_block_that_was_taken_back_is_taken_again(memory: SharedMemory) -> None:
    arena = Arena(memory)
    assert arena.take(1) == (0, PAGE)
    arena.take_back(0)
    assert arena.take(1) == (0, PAGE)


def test_an_arena_of_a_new_generation_is_all_free(memory: SharedMemory) -> None:
    worker, reactor = Arena(memory), Arena(memory)
    for block in everything(worker):
        reactor.give(block)
    memory.reset_slot(0)
    assert sorted(everything(Arena(memory))) == list(range(BLOCKS))


def test_arenas_of_two_slots_do_not_touch(memory: SharedMemory) -> None:
    first, second = Arena(memory, 0), Arena(memory, 1)
    assert sorted(everything(first)) == sorted(everything(second))
    first.give(0)
    assert first.take(1) == (0, PAGE)
    assert second.take(1) is None


@pytest.mark.parametrize("chain", [{1: 2}, {1: 1}, {1: 3, 3: 1}, {1: BLOCKS + 1}, {1: NO_BLOCK}, {1: 5}])
def test_lists_that_a_worker_has_spoilt_are_its_own_loss(memory: SharedMemory, chain: dict[int, int]) -> None:
    """It names one block twice, or scribbles over the links: taking comes to an end, within the arena."""
    worker = Arena(memory)
    everything(worker)
    start = worker.at(0)
    assert start is not None
    links = start - PAGE + 256  # one page: four list heads, then a link of each block
    view = memory.slots[0].view()
    for block, after in chain.items():
        view[links + 4 * (block - 1) : links + 4 * block] = after.to_bytes(4, "little")
    view[start - PAGE : start - PAGE + 4] = (1).to_bytes(4, "little")
    for _ in range(2 * BLOCKS):
        block = worker.take(1)
        assert block is None or worker.at(block[0], block[1]) is not None
    Arena(memory).give(0)


def test_a_block_that_is_given_back_twice_leaves_the_other_sizes_whole(memory: SharedMemory) -> None:
    worker, reactor = Arena(memory), Arena(memory)
    everything(worker)
    for block in (0, 0, 3, 4, 5):
        reactor.give(block)
    found = [worker.take(2 * PAGE) for _ in range(3)]
    assert sorted(block[0] for block in found if block) == [3, 4, 5]
    for _ in range(2 * BLOCKS):
        block = worker.take(1)
        assert block is None or block[0] == 0


class ArenaRace(Race):
    """One worker, which takes and names blocks; `reactors` that give them back at once or later."""

    def sides(self, _counts: Any) -> dict[str, Any]:
        sides = {"worker 0": partial(run_arena_worker, self.memory, 0, self.reactors, self.total, jitter=self.jitter)}
        for reactor in range(self.reactors):
            sides[f"reactor {reactor}"] = partial(run_arena_reactor, self.memory, 0, reactor, jitter=self.jitter,
                                                  seed=2 + reactor)
        return sides


@pytest.mark.alone  # where two sides do not run at the same time they do not race, and both spin
@pytest.mark.parametrize("jitter", [0, 9])
@pytest.mark.parametrize("reactors", [1, 2])
def test_no_block_is_lost_or_doubled_while_reactors_give_back(memory_of: Make, reactors: int, jitter: int) -> None:
    memory = memory_of(reactors=reactors, arena_classes=((PAGE, 4), (2 * PAGE, 2), (4 * PAGE, 1)))
    race = ArenaRace(memory, total=400_000, outstanding=0, reactors=reactors, jitter=jitter)
    race.run()
    board = memory.scoreboard
    assert board.slots[0]["taken"] == race.total
    assert sum(reactor["responses"] for reactor in board.reactors) == race.total
    assert board.slots[0]["lost"] > 0, "the arena was never empty: the run has shown nothing"
