"""What a worker says about WebSockets, from any of its threads, as the frames that reach the reactor."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import swhttp
from swhttp import limits
from swhttp.ipc import ring
from tests.adapters.apps.pushing import SESSION
from tests.adapters.rig import Rig, working
from tests.support.processes import wait_until

PUSH, BROADCAST, JOIN, LEAVE, END = 1, 2, 3, 4, 5
TEXT, BINARY = 1, 2
INTERFACES = pytest.mark.parametrize("interface", ["asgi", "wsgi"])


@contextlib.contextmanager
def pushing(interface: str, **sizes: int) -> Iterator[Rig]:
    with working(f"pushing:{interface}", interface, **sizes) as rig:
        yield rig


def answer(rig: Rig, query: str) -> str:
    return rig.answer(b"/?" + query.encode()).body.decode()


@INTERFACES
def test_each_verb_is_a_frame_before_the_response(interface: str) -> None:
    with pushing(interface) as rig:
        for query in ("verb=push&text=caf%C3%A9", "verb=push&size=3&overflow=close", "verb=broadcast&text=all",
                      "verb=join&group=people", "verb=leave", "verb=close&code=4000&reason=bye"):
            assert answer(rig, query) == "said"
        assert [(frame.type, frame.flags, frame.status, frame.content_length, frame.head, frame.body)
                for frame in rig.said] == [
            (ring.WS_SESSION, PUSH, TEXT, SESSION, b"", "café".encode()),
            (ring.WS_SESSION, PUSH | 2 << 4, BINARY, SESSION, b"", bytes(3)),
            (ring.WS_SESSION, BROADCAST, TEXT, SESSION, b"people", b"all"),
            (ring.WS_SESSION, JOIN, 0, SESSION, b"people", b""),
            (ring.WS_SESSION, LEAVE, 0, SESSION, b"people", b""),
            (ring.WS_SESSION, END, 4000, SESSION, b"", b"bye"),
        ]


@INTERFACES
def test_a_large_one_goes_through_the_arena_and_inline_when_that_is_full(interface: str) -> None:
    with pushing(interface, response_ring_bytes=262144, arena_classes=((65536, 1),)) as rig:
        rig.responses.keeps_blocks = True
        assert answer(rig, "verb=push&size=40000&count=3") == "said"
        assert [frame.type for frame in rig.said] == [ring.WS_SESSION_SHM, ring.WS_SESSION, ring.WS_SESSION]
        assert all(frame.body == bytes(40000) for frame in rig.said)


@pytest.mark.parametrize(("interface", "where"), [("wsgi", "thread"), ("wsgi", "request"), ("asgi", "thread")])
def test_in_a_thread_who_finds_no_room_waits(interface: str, where: str) -> None:
    count = limits.PUSH_BACKLOG_BYTES // 10000 + 20 if interface == "asgi" else 50
    with pushing(interface) as rig:
        flight = rig.begin(f"/?verb=push&size=10000&count={count}&in={where}".encode())
        while len(rig.said) < count or not flight.done:
            rig.frame()
        assert answer(rig, "verb=join&group=after") == "said"
        assert [len(frame.body) for frame in rig.said] == [10000] * count + [0]


def test_on_the_loop_it_never_waits_but_awaits() -> None:
    count = limits.PUSH_BACKLOG_BYTES // 10000 + 20
    with pushing("asgi") as rig:
        # As many as it takes: some are read before the first has to wait, how many depends on who is quicker.
        flight = rig.begin(b"/?verb=push&size=10000&count=1000000")
        rig.finish(flight)
        assert flight.body.startswith(b"BufferError: ")
        while len(rig.said) <= limits.PUSH_BACKLOG_BYTES // 10300:
            rig.frame()
        assert answer(rig, "verb=join&group=after") == "said"  # behind all that waits
        while rig.said[-1].flags != JOIN:
            rig.frame()
        rig.said.clear()
        flight = rig.begin(f"/?verb=push&size=10000&count={count}&in=await".encode())
        rig.finish(flight)
        assert flight.body == b"said"
        while len(rig.said) < count:
            rig.frame()


@INTERFACES
def test_a_push_to_a_session_that_is_full_waits_if_it_is_to_block(interface: str) -> None:
    with pushing(interface) as rig:
        rig.session(3, 5)
        rig.full(SESSION, True)
        assert answer(rig, "verb=join&group=others") == "said"
        assert answer(rig, "verb=push&text=dropped&overflow=drop") == "said"
        flight = rig.begin(b"/?verb=push&text=waits&in=thread")
        if interface == "wsgi":
            rig.finish(flight)
        else:
            assert answer(rig, "verb=push&text=now").startswith("BufferError: the client is slow")
        assert answer(rig, "verb=leave") == "said"
        assert b"waits" not in [frame.body for frame in rig.said]
        rig.full(SESSION, False)
        while rig.said[-1].body != b"waits":
            rig.frame()
        rig.finish(flight)


AHEAD = limits.PUSH_AHEAD_BYTES // (60000 + limits.PUSH_COST_BYTES)


@pytest.mark.parametrize(("asked", "blocks"), [("&overflow=block", False), ("", True)])
def test_on_the_loop_no_more_is_under_way_than_may_wait(asked: str, blocks: bool) -> None:
    with pushing("asgi") as rig:
        rig.session(3, 5)
        if blocks:
            rig.full(SESSION, False)
        done = rig.counters()["done"]
        flight = rig.begin(f"/?verb=push&size=60000&count=100{asked}".encode())
        wait_until(lambda: rig.counters()["done"] > done, "an answer, of which nothing is read before")
        rig.finish(flight)
        assert flight.body.startswith(b"BufferError: too much is under way")
        assert len(rig.said) == AHEAD
        assert answer(rig, "verb=push&text=when+that+is+read" + asked) == "said"


@pytest.mark.parametrize("size", [60000, limits.WS_PUSH_BYTES])
@pytest.mark.parametrize(("interface", "where"),
                         [("asgi", "await"), ("asgi", "thread"), ("wsgi", "thread"), ("wsgi", "request")])
def test_who_is_to_block_waits_until_what_is_under_way_is_read(
    interface: str, where: str, size: int,
) -> None:
    count = 30
    most = limits.PUSH_AHEAD_BYTES // (size + limits.PUSH_COST_BYTES) or 1
    with pushing(interface) as rig:
        rig.session(3, 5)
        before = rig.counters()["frames"]
        flight = rig.begin(f"/?verb=push&size={size}&count={count}&overflow=block&in={where}".encode())
        read = 0
        while len(rig.said) < count or not flight.done:
            assert rig.counters()["frames"] - before - read <= most + 1  # and the response
            rig.frame()
            read += 1
        assert [len(frame.body) for frame in rig.said] == [size] * count


def test_who_waits_goes_on_also_where_another_has_seen_that_it_is_read(tmp_path: Path) -> None:
    goes_on = tmp_path / "goes-on"
    with pushing("asgi") as rig:
        rig.session(3, 5)
        counted = rig.counters()
        waits = rig.begin(f"/?verb=push&size=60000&count={AHEAD + 1}&overflow=block&in=await".encode())
        wait_until(lambda: rig.counters()["frames"] == counted["frames"] + AHEAD, "all that may be under way")
        other = rig.begin(f"/?until={goes_on}".encode())
        wait_until(lambda: rig.counters()["taken"] == counted["taken"] + 2, "the loop to stand still")
        while len(rig.said) < AHEAD:
            rig.frame()  # of which nobody is told: the worker is awake
        goes_on.touch()
        rig.finish(other)
        rig.finish(waits)


def test_nothing_is_left_of_those_who_have_given_up_waiting() -> None:
    with pushing("asgi") as rig:
        rig.session(3, 5)
        rig.full(SESSION, True)
        assert int(answer(rig, "in=tries")) < 50


@INTERFACES
def test_one_that_is_gone_is_not_waited_for(interface: str) -> None:
    with pushing(interface) as rig:
        rig.full(SESSION, True)  # no such connection is open
        assert answer(rig, "verb=push&text=to+nobody") == "said"


@INTERFACES
def test_what_cannot_be_is_refused(interface: str) -> None:
    with pushing(interface) as rig:
        for query, error in ((f"verb=push&size={limits.WS_PUSH_BYTES + 1}", "ValueError"),
                             ("verb=join&group=", "ValueError"),
                             (f"verb=join&group={'g' * 256}", "ValueError"),
                             ("verb=close&code=1005", "ValueError"),
                             ("verb=push&overflow=perhaps", "ValueError")):
            assert answer(rig, query).startswith(error), query
        assert not rig.said


def test_outside_of_a_server_there_is_nobody_to_push_to() -> None:
    with pytest.raises(RuntimeError, match="no swhttp server"):
        swhttp.push(1, "hello")


def test_a_reason_is_text() -> None:
    with pytest.raises(TypeError, match="a reason is a str"):
        swhttp.close_session(1, 1000, b"bytes")  # type: ignore[arg-type]
