"""Rings of tiny sizes against a model that is a deque, and against a peer that scribbles."""

from __future__ import annotations

import struct
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swhttp.ipc.memory import SharedMemory
from swhttp.ipc.ring import BrokenRing, Consumer, DescriptorReader, DescriptorWriter, FrameReader, Producer
from tests.ipc.conftest import Make, tiny

SIZES = [128, 256, 1024]
WRAP = 0xFFFFFFFF
WORDS = 128  # bytes of a ring's head


def words(memory: SharedMemory, end: Consumer | Producer) -> memoryview:
    """A ring's head and tail, as its peer could write them."""
    return memory.slots[end.slot].view()[end.words_offset : end.words_offset + WORDS]


def data(memory: SharedMemory, end: Consumer | Producer) -> memoryview:
    """A ring's bytes."""
    return memory.slots[end.slot].view()[end.data_offset : end.data_offset + end.size]


def frame(number: int, length: int) -> bytes:
    """A frame of `length` bytes that says how long it is and which one it is."""
    return struct.pack("=II", length, number) + bytes([number & 0xFF]) * (length - 8)


@pytest.fixture(params=SIZES)
def size(request: pytest.FixtureRequest) -> int:
    """Bytes of the ring."""
    return int(request.param)


STEPS = st.lists(
    st.tuples(st.just("put"), st.integers(1, 64))
    | st.tuples(st.just("take"), st.integers(1, 4))
    | st.tuples(st.just("release"), st.just(0)),
    max_size=120,
)


@pytest.mark.parametrize("size", SIZES)
@given(steps=STEPS)
def test_a_ring_does_what_a_deque_does(size: int, steps: list[tuple[str, int]]) -> None:
    """The deque holds (frame, where it ends): a frame that does not fit before the ring's end leaves it unused."""
    memory = tiny(response_ring_bytes=size)
    try:
        producer, consumer = Producer(memory, responses=True), Consumer(memory, responses=True)
        model: deque[tuple[bytes, int]] = deque()
        end = taken = released = 0
        for number, (step, amount) in enumerate(steps):
            if step == "put":
                new = frame(number, 8 * (1 + amount % (size // 16)))
                to_end = size - end % size
                need = len(new) if len(new) <= to_end else to_end + len(new)
                fits = end + need - released <= size
                assert producer.put(new) is fits
                if fits:
                    end += need
                    model.append((new, end))
            elif step == "take":
                for _ in range(amount):
                    there = consumer.peek()
                    assert (there is not None) == bool(model)
                    assert consumer.has_more == bool(model)
                    if there is not None:
                        expected, taken = model.popleft()
                        assert consumer.take(len(expected)) == expected
            else:
                assert consumer.release() is False, "nobody asked for space"
                released = taken
        for expected, _ in model:
            assert consumer.take(len(expected)) == expected
        assert consumer.peek() is None
        consumer.release()
        assert producer.put(frame(0, producer.max_frame)), "an empty ring takes the largest frame"
    finally:
        memory.close()


@pytest.mark.parametrize("size", SIZES)
def test_the_largest_frame_fits_wherever_an_empty_ring_stands(memory_of: Make, size: int) -> None:
    memory = memory_of(response_ring_bytes=size)
    for before in range(0, size, 8):
        memory.reset_slot(0)
        producer, consumer = Producer(memory, responses=True), Consumer(memory, responses=True)
        for _ in range(before // 8):
            assert producer.put(frame(1, 8))
            assert consumer.take(8) == frame(1, 8)
            consumer.release()
        for number in range(3):
            largest = frame(number, producer.max_frame)
            assert producer.put(largest)
            assert consumer.take(len(largest)) == largest
            consumer.release()


def test_a_full_ring_of_descriptors_takes_no_more_until_one_is_released(memory: SharedMemory) -> None:
    writer, reader = DescriptorWriter(memory), DescriptorReader(memory)
    posted = 0
    while writer.post(posted):
        posted += 1
    assert posted == 256 // 16
    assert writer.unread == 256
    assert reader.pop() is not None
    assert not writer.post(posted), "read, but not given back"
    assert not reader.release(), "nobody asked for space"
    assert writer.post(posted)
    writer.want_space()
    assert reader.pop() is not None
    assert reader.release(), "the producer asked"
    assert reader.pop() is not None
    assert not reader.release(), "and is told once"


def test_a_reset_slot_begins_anew(memory: SharedMemory) -> None:
    writer, reader = DescriptorWriter(memory), DescriptorReader(memory)
    for number in range(5):
        writer.post(number)
        reader.pop()
    writer.want_space()
    memory.reset_slot(0)
    writer, reader = DescriptorWriter(memory), DescriptorReader(memory)
    assert reader.pop() is None
    assert not reader.release()
    assert writer.post(7)
    assert reader.pop() == (7, 0, 1)


def test_rings_of_different_slots_and_reactors_do_not_touch(memory_of: Make) -> None:
    memory = memory_of(reactors=3, slots=4, request_ring_bytes=128, response_ring_bytes=256)
    ends = [(slot, reactor) for slot in range(4) for reactor in range(3)]
    for slot, reactor in ends:
        for responses, length in ((False, 64), (True, 128)):
            producer = Producer(memory, slot, reactor, responses=responses)
            for number in range(2):
                assert producer.put(frame(slot * 100 + reactor * 10 + responses * 2 + number, length))
    for slot, reactor in ends:
        for responses, length in ((False, 64), (True, 128)):
            consumer = Consumer(memory, slot, reactor, responses=responses)
            for number in range(2):
                expected = frame(slot * 100 + reactor * 10 + responses * 2 + number, length)
                assert consumer.take(length) == expected
            assert consumer.peek() is None


@pytest.mark.parametrize(("slot", "reactor"), [(-1, 0), (2, 0), (0, 1), (0, -1)])
def test_there_is_no_ring_of_a_slot_or_reactor_that_does_not_exist(
    memory: SharedMemory, slot: int, reactor: int
) -> None:
    with pytest.raises(IndexError):
        Producer(memory, slot, reactor)


# ---- a peer that scribbles

HEADS = st.integers(0, 2**64 - 1) | st.integers(0, 2048) | st.integers(2**64 - 2048, 2**64 - 1)


@pytest.mark.parametrize("size", SIZES)
@given(head=HEADS)
def test_a_head_that_cannot_be_right_is_seen(size: int, head: int) -> None:
    memory = tiny(response_ring_bytes=size)
    try:
        consumer = Consumer(memory, responses=True)
        words(memory, consumer)[:8] = head.to_bytes(8, "little")
        if head > size or head % 8:
            with pytest.raises(BrokenRing):
                consumer.peek()
        else:
            assert consumer.peek() == ((0, head) if head else None)
    finally:
        memory.close()


@pytest.mark.parametrize("size", SIZES)
@given(tail=HEADS, published=st.integers(0, 8))
def test_a_tail_that_cannot_be_right_never_makes_room(size: int, tail: int, published: int) -> None:
    memory = tiny(response_ring_bytes=size)
    try:
        producer = Producer(memory, responses=True)
        own = 0
        while own < published * 8 or own < size:  # full, so that the next put must look at the tail
            assert producer.put(frame(1, 8))
            own += 8
        words(memory, producer)[64:72] = tail.to_bytes(8, "little")
        if producer.put(frame(2, 8)):
            assert own - size < tail <= own, "room that no consumer can have given back"
    finally:
        memory.close()


@pytest.mark.parametrize("place", [0, 8, 24])
def test_a_wrap_marker_where_none_can_be_is_seen(memory: SharedMemory, place: int) -> None:
    producer, consumer = Producer(memory, responses=True), Consumer(memory, responses=True)
    assert producer.put(frame(1, 64))
    if place:
        consumer.take(place)
    data(memory, consumer)[place : place + 4] = WRAP.to_bytes(4, "little")
    with pytest.raises(BrokenRing):
        consumer.peek()


SCRIBBLES = st.lists(
    st.tuples(st.just("data"), st.integers(0, 1023), st.binary(min_size=1, max_size=48))
    | st.tuples(st.just("words"), st.integers(0, WORDS - 1), st.binary(min_size=1, max_size=16))
    | st.tuples(st.just("head"), st.integers(0, 4096).map(lambda n: n * 8), st.just(b""))
    | st.tuples(st.just("wrap"), st.integers(0, 127).map(lambda n: n * 8), st.just(b"")),
    min_size=1,
    max_size=12,
)


@pytest.mark.parametrize("size", SIZES)
@settings(max_examples=200)
@given(scribbles=SCRIBBLES)
def test_a_reader_stays_within_its_ring_whatever_is_written_there(
    size: int, scribbles: list[tuple[str, int, bytes]]
) -> None:
    """Only the two ends of *this* ring are at risk: what is read lies within it, and reading comes to an end."""
    memory = tiny(response_ring_bytes=size)
    try:
        reader, writer = FrameReader(memory), Producer(memory, responses=True)
        ring, head = data(memory, reader), words(memory, reader)
        for what, at, junk in scribbles:
            if what == "data":
                at %= size
                ring[at : at + len(junk)] = junk[: size - at]
            elif what == "words":
                head[at : at + len(junk)] = junk[: WORDS - at]
            elif what == "head":
                head[:8] = at.to_bytes(8, "little")
            else:
                at %= size
                ring[at : at + 4] = WRAP.to_bytes(4, "little")
            try:
                for _ in range(2 * size // 32 + 2):
                    there = reader.peek()
                    if there is not None:
                        offset, ready = there
                        assert offset >= 0
                        assert offset + ready <= size
                        assert ready > 0
                    read = reader.read()
                    assert (read is None) == (there is None)
                    if read is None:
                        break
                    assert len(read.head) + len(read.body) <= ready - 32
                else:
                    raise AssertionError("reading one head's worth of frames does not come to an end")
            except BrokenRing:
                reader = FrameReader(memory)  # as for a worker put into the slot anew, over rings left as they are
            reader.release()
            writer.put(frame(0, 8))
    finally:
        memory.close()
