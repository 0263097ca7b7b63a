"""The three ways of a response body, and what happens when one of them is full, slow or broken."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from swhttp import limits
from swhttp.ipc import ring
from tests.adapters.rig import Flight, working
from tests.support.processes import wait_until

MIB = 1024 * 1024
BOTH = [("asgi", b"/size?%d"), ("wsgi", b"/sized?%d")]


def is_whole(flight: Flight, size: int) -> bool:
    pattern = bytes(range(251)) * (size // 251 + 1)
    return flight.body == pattern[:size] and flight.last.flags & (ring.LAST | ring.ABORT) == ring.LAST


@pytest.mark.parametrize(("interface", "target"), BOTH)
def test_a_body_goes_inline_as_long_as_it_fits_one_frame(interface: str, target: bytes) -> None:
    arena = ((4096, 8), (8192, 8))
    with working(f"flows:{interface}", interface, response_ring_bytes=4096, arena_classes=arena) as rig:
        room = 4096 // 2 - ring.FRAME_BYTES
        head = len(rig.answer(target % 1000).head.head)
        fits = room - head
        borders = [1, 2, 4095, 4096, 4097, 8191, 8192, 8193, 12287, 12288, 12289, 50_000]
        for size in [*range(fits - 3, fits + 4), *borders]:
            flight = rig.answer(target % size)
            assert is_whole(flight, size)
            assert len(flight.types) == 1 or size > 8192
            assert flight.types[0] == (ring.SMALL if size <= fits else ring.SHM)
            assert int(flight.head.content_length) == size
        counters = rig.counters()
        assert counters["shm_frames"] > 0
        assert counters["arena_full"] == counters["file_frames"] == 0


@pytest.mark.parametrize(("interface", "target"), BOTH)
def test_a_body_without_room_in_the_arena_goes_inline_if_it_must(interface: str, target: bytes) -> None:
    with working(f"flows:{interface}", interface, arena_classes=((65536, 1), (131072, 1))) as rig:
        rig.responses.keeps_blocks = True
        assert is_whole(rig.answer(target % 20_000), 20_000)
        assert is_whole(rig.answer(target % 20_000), 20_000)
        flight = rig.answer(target % 200_000)
        assert is_whole(flight, 200_000)
        assert set(flight.types) == {ring.SMALL}
        assert rig.counters()["arena_full"] > 0
        assert rig.responses.give_back() == 2
        flight = rig.answer(target % 200_000)
        assert is_whole(flight, 200_000)
        assert ring.SHM in flight.types


def test_the_arena_of_a_worker_full_spills_to_a_file(tmp_path: Path) -> None:
    with working("flows:wsgi", "wsgi", arena_classes=((65536, 1),), tmp_dir=str(tmp_path), spool_max=4 * MIB) as rig:
        rig.responses.keeps_blocks = True
        flight = rig.answer(b"/sized?3000000")
        assert is_whole(flight, 3_000_000)
        assert flight.types[0] == ring.SHM
        assert set(flight.types[1:]) == {ring.TMPFILE}
        assert rig.counters()["spilled_bytes"] == 3_000_000 - 65536
        assert rig.counters()["file_frames"] == len(flight.types) - 1
        rig.wait_closed(tmp_path)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", [b"/sized?5000000", b"/pieces?5000000&8000"])
def test_a_slow_client_sends_the_rest_to_a_file(tmp_path: Path, target: bytes) -> None:
    with working("flows:wsgi", "wsgi", tmp_dir=str(tmp_path), spool_max=16 * MIB) as rig:
        rig.acks = False
        flight = rig.begin(target)
        while flight.ahead <= limits.HIGH_WATER_BYTES:
            rig.frame()
        assert ring.TMPFILE not in flight.types
        rig.slow(flight)
        rig.finish(flight)
        assert is_whole(flight, 5_000_000)
        first = flight.types.index(ring.TMPFILE)
        assert set(flight.types[first:]) == {ring.TMPFILE}


def test_a_thread_waits_for_a_slow_client_without_a_spool() -> None:
    with working("flows:wsgi", "wsgi") as rig:
        flight = rig.answer(b"/sized?5000000", full=True)
        assert is_whole(flight, 5_000_000)
        assert ring.TMPFILE not in flight.types


@pytest.mark.parametrize("target", [b"/sized?5000000", b"/pieces?5000000&30000"])
def test_the_spool_of_a_response_has_its_limit(tmp_path: Path, target: bytes) -> None:
    most = 400_000
    with working("flows:wsgi", "wsgi", tmp_dir=str(tmp_path), spool_max=most) as rig:
        rig.acks = False
        flight = rig.begin(target, full=True)
        wait_until(lambda: any(str(tmp_path) in name for name in rig.fds()), "the spool")
        rig.acks = True
        while not flight.done:
            rig.frame()
            if flight.types and flight.types[-1] == ring.TMPFILE:
                assert flight.ahead <= most
        assert is_whole(flight, 5_000_000)
        # A file grows no larger than that either: then comes another one.
        assert rig.responses.passed >= 5


def limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))


@pytest.mark.parametrize("target", [b"/sized?5000000", b"/pieces?5000000&30000"])
def test_a_disk_that_is_full_costs_a_response_nothing_but_time(tmp_path: Path, target: bytes) -> None:
    with working("flows:wsgi", "wsgi", tmp_dir=str(tmp_path), spool_max=16 * MIB, before=limit_files) as rig:
        flight = rig.begin(target, full=True)
        wait_until(lambda: "spool-failed" in rig.log(), "the disk to be full")
        rig.finish(flight)
        assert is_whole(flight, 5_000_000)
        assert rig.counters()["spilled_bytes"] == 300_000
        assert is_whole(rig.answer(b"/sized?10"), 10)
        assert rig.log().count("reason=spool-failed") == 1


def test_no_place_for_a_spool_costs_a_response_nothing_but_time(tmp_path: Path) -> None:
    with working("flows:wsgi", "wsgi", tmp_dir=str(tmp_path / "none"), spool_max=16 * MIB) as rig:
        flight = rig.begin(b"/sized?5000000", full=True)
        wait_until(lambda: "spool-failed" in rig.log(), "the worker to look for a place")
        rig.finish(flight)
        assert is_whole(flight, 5_000_000)
        assert rig.log().count("reason=spool-failed") == 1


@pytest.mark.parametrize(("interface", "target"), BOTH)
def test_a_large_body_in_one_piece_waits_for_its_client(interface: str, target: bytes) -> None:
    with working(f"flows:{interface}", interface) as rig:
        flight = rig.begin(target % 5_000_000)
        while not flight.done:
            rig.frame()
            # Each frame may go past the mark, the next one waits.
            assert flight.ahead <= limits.HIGH_WATER_BYTES + MIB
        assert is_whole(flight, 5_000_000)
        assert set(flight.types[:-1]) == {ring.SHM}


@pytest.mark.parametrize("method", [b"HEAD"])
@pytest.mark.parametrize(("interface", "target"), BOTH)
def test_a_response_without_a_body_takes_neither_block_nor_file(interface: str, target: bytes, method: bytes) -> None:
    with working(f"flows:{interface}", interface, spool_max=MIB) as rig:
        flight = rig.answer(target % 3_000_000, method=method, flags=4, full=True)
        assert not flight.body
        assert flight.head.content_length == 3_000_000
        assert rig.counters()["shm_frames"] == rig.counters()["file_frames"] == 0


@pytest.mark.parametrize("spool_max", [0, MIB])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_client_that_goes_ends_a_response_in_any_place(tmp_path: Path, threads: int, spool_max: int) -> None:
    with working("flows:wsgi", "wsgi", threads=threads, tmp_dir=str(tmp_path), spool_max=spool_max) as rig:
        rig.acks = False
        for full in (False, True):
            flight = rig.begin(b"/sized?5000000", full=full)
            rig.frame()
            rig.close(flight)
            rig.finish(flight)
            assert flight.last.flags == ring.LAST | ring.ABORT
        assert is_whole(rig.answer(b"/sized?10"), 10)
        rig.wait_closed(tmp_path)
