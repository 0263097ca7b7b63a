"""What crosses between processes comes out as it went in, and what cannot be right is refused."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swhttp.ipc import ring
from swhttp.ipc.geometry import Geometry
from swhttp.ipc.memory import SharedMemory
from swhttp.ipc.ring import (
    BrokenRing,
    Consumer,
    Descriptor,
    DescriptorReader,
    DescriptorWriter,
    Frame,
    FrameReader,
    FrameWriter,
    Producer,
    block_client,
    read_block,
    write_block,
)
from tests.ipc.conftest import Make, tiny

U16 = st.integers(0, 2**16 - 1)
U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
FRAME = struct.Struct("=IBBHQqII")  # as drawn in frame.h
BLOCK = struct.Struct("=10IHBBIQQ")
SMALL = 1


@given(serial=st.integers(0, 2**46 - 1), index=st.integers(0, 2**16 - 1))
def test_a_request_id_holds_serial_and_index(serial: int, index: int) -> None:
    request_id = ring.request_id(serial, index)
    assert request_id >> 16 == serial
    assert ring.index_of(request_id) == index


def test_no_request_id_of_a_possible_table_looks_like_a_wrap_marker() -> None:
    with pytest.raises(ValueError, match="65535"):
        Geometry(table_entries=65536)
    last = ring.request_id(0xFFFF, Geometry(table_entries=65535).table_entries - 1)
    assert last & 0xFFFFFFFF != 0xFFFFFFFF


LAST, TRAILERS, INTERIM = 2, 64, 128  # SW_FRAME_ of frame.h


def fits(flags: int, status: int, head: int, body: int) -> bool:
    """Whether a small frame with these flags may have such a head and body."""
    if flags & INTERIM:
        return flags == INTERIM and body == 0 and head > 0 and 100 <= status < 200 and status != 101
    if flags & TRAILERS:
        return flags == TRAILERS | LAST and body == 0
    return head > 0 and 200 <= status <= 999 if flags & ring.HEAD else head == 0


class TestWithMemory:
    """Properties over one piece of shared memory, whose rings begin anew for each example."""

    memory: SharedMemory

    @pytest.fixture(autouse=True, scope="class")
    @staticmethod
    def shared(request: pytest.FixtureRequest) -> object:
        memory = tiny(response_ring_bytes=4096, block_classes=((4096, 2),))  # type: ignore[arg-type]
        request.cls.memory = memory
        yield
        memory.close()

    @given(request_id=U64.filter(lambda value: value & 0xFFFFFFFF != 0xFFFFFFFF), block=U32, kind=U16)
    def test_descriptors_come_out_as_they_went_in(self, request_id: int, block: int, kind: int) -> None:
        self.memory.reset_slot(0)
        writer, reader = DescriptorWriter(self.memory), DescriptorReader(self.memory)
        assert writer.post(request_id, block, kind)
        assert reader.pop() == Descriptor(request_id, block, kind)
        assert reader.pop() is None

    @given(
        request_id=U64,
        status=st.integers(200, 999),
        flags=st.integers(0, 63).map(lambda flags: flags | ring.HEAD),
        content_length=st.integers(-1, 2**63 - 1),
        head=st.binary(min_size=1, max_size=900),
        body=st.binary(max_size=1000),
    )
    def test_frames_come_out_as_they_went_in(
        self, request_id: int, status: int, flags: int, content_length: int, head: bytes, body: bytes
    ) -> None:
        self.memory.reset_slot(0)
        writer, reader = FrameWriter(self.memory), FrameReader(self.memory)
        written = writer.write(
            request_id, status=status, flags=flags, content_length=content_length, head=head, body=body
        )
        assert written
        assert reader.read() == Frame(request_id, status, flags, content_length, head, body)
        assert reader.read() is None

    @given(
        fields=st.tuples(
            U32 | st.integers(0, 16).map(lambda n: n * 8),
            st.integers(0, 255) | st.just(SMALL),
            st.integers(0, 255),
            U16,
            U64,
            st.integers(-(2**63), 2**63 - 1),
            U32 | st.integers(0, 64),
            U32 | st.integers(0, 64),
        ),
        payload=st.integers(0, 8).map(lambda n: n * 8),
    )
    def test_a_frame_is_read_if_and_only_if_it_is_one(
        self, fields: tuple[int, int, int, int, int, int, int, int], payload: int
    ) -> None:
        self.memory.reset_slot(0)
        size, kind, flags, status, request_id, length, head, body = fields
        producer = Producer(self.memory, responses=True)
        raw = FRAME.pack(*fields) + bytes(payload)
        if size == 0xFFFFFFFF:
            return  # the wrap marker, which is the ring's
        assert producer.put(raw)
        right = (
            kind == SMALL
            and size == (FRAME.size + head + body + 7) // 8 * 8
            and size <= len(raw)
            and length >= ring.NO_LENGTH
            and fits(flags, status, head, body)
        )
        reader = FrameReader(self.memory)
        if right:
            assert reader.read() == Frame(request_id, status, flags, length, bytes(head), bytes(body))
        else:
            with pytest.raises(BrokenRing):
                reader.read()

    @given(
        block=st.sampled_from([0, 64]),
        method=st.binary(min_size=1, max_size=20),
        target=st.binary(min_size=1, max_size=300),
        headers=st.lists(st.tuples(st.binary(max_size=40), st.binary(max_size=80)), max_size=12),
        body=st.binary(max_size=500),
        numbers=st.tuples(st.integers(0, 1), st.integers(0, 7), U32, U64, U64),
        origin=st.none() | st.tuples(st.binary(max_size=45), U16, st.binary(max_size=261), U16),
    )
    def test_request_blocks_come_out_as_they_went_in(
        self,
        block: int,
        method: bytes,
        target: bytes,
        headers: list[tuple[bytes, bytes]],
        body: bytes,
        numbers: tuple[int, int, int, int, int],
        origin: tuple[bytes, int, bytes, int] | None,
    ) -> None:
        minor, flags, session, generation, ready_ns = numbers
        write_block(
            self.memory, 0, block, method=method, target=target, headers=headers, body=body, http_minor=minor,
            flags=flags, session=session, session_generation=generation, ready_ns=ready_ns, origin=origin,
        )  # fmt: skip
        path, _, query = target.partition(b"?")
        assert read_block(self.memory, 0, block) == {
            "method": method, "target": target, "path": path, "query": query, "headers": headers, "body": body,
            "http_minor": minor, "flags": flags | (64 if origin else 0), "session": session,
            "session_generation": generation, "ready_ns": ready_ns, "origin": origin,
        }  # fmt: skip
        assert block_client(self.memory, 0, block) == (origin[:2] if origin and origin[0] else None)

    @given(scribble=st.binary(min_size=BLOCK.size, max_size=256))
    def test_a_block_of_any_bytes_is_read_within_the_arena_or_refused(self, scribble: bytes) -> None:
        arena = self.memory.blocks[0].view()
        arena[: len(scribble)] = scribble
        try:
            found = read_block(self.memory, 0, 0)
        except ValueError:
            return
        assert all(len(part) <= len(arena) for part in found.values() if isinstance(part, bytes))

    def test_a_block_outside_the_arena_is_refused(self) -> None:
        units = self.memory.blocks[0].size // 64
        with pytest.raises(ValueError, match="no block"):
            read_block(self.memory, 0, units)
        with pytest.raises(ValueError, match="past the end"):
            write_block(self.memory, 0, units - 1, target=b"/")


def test_a_block_is_laid_out_as_drawn(memory: SharedMemory) -> None:
    size = write_block(memory, 0, 1, method=b"PUT", target=b"/a?b", headers=[(b"host", b"x")], body=b"hello")
    raw = bytes(memory.blocks[0].view()[64 : 64 + size])
    fields = BLOCK.unpack_from(raw)
    assert raw[BLOCK.size :] == b"PUT/a?b" + struct.pack("=HH", 4, 1) + b"hostx" + b"hello"
    assert fields[:2] == (3, 4)
    assert raw[fields[2] :][: fields[3]] == b"/a"
    assert raw[fields[4] :][: fields[5]] == b"b"
    assert raw[fields[8] :][: fields[9]] == b"hello"


def test_a_frame_that_can_never_fit_is_refused(memory_of: Make) -> None:
    writer = FrameWriter(memory_of(response_ring_bytes=128))
    assert writer.max_frame == 64
    assert writer.write(1, flags=ring.LAST, body=bytes(32))
    with pytest.raises(ValueError, match="72 bytes"):
        writer.write(1, flags=ring.LAST, body=bytes(33))


def test_a_piece_too_short_for_a_frame_is_refused(memory: SharedMemory) -> None:
    Producer(memory, responses=True).put(bytes(24))
    assert Consumer(memory, responses=True).peek() == (0, 24)
    with pytest.raises(BrokenRing):
        FrameReader(memory).read()
