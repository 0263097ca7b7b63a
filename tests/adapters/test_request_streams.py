"""Request bodies that reach an ASGI app in chunks, as fast as it reads them."""

from __future__ import annotations

import hashlib
import json

import pytest

from swhttp import limits
from swhttp.ipc import ring
from tests.adapters.rig import CHUNKS, Flight, Rig, working

WINDOW = limits.CREDIT_WINDOW_BYTES


class Upload:
    """A client that sends a body, and a reactor that posts what credit lets it."""

    def __init__(self, rig: Rig, body: bytes, first: int, step: int, target: bytes = b"/reads") -> None:
        self.rig, self.body, self.step = rig, body, step
        self.posted = first
        self.nth = 0
        self.flight = rig.begin(target, type=ring.START, flags=ring.MORE_BODY, body=body[:first])
        self.ended = False

    def more(self) -> None:
        """Post what there is credit for; at most half of the blocks, which is what the reactor does, are ahead."""
        while not self.ended and not self.flight.done and self.posted < self.flight.credit:
            read = self.flight.credit - WINDOW
            if self.posted - read > (limits.MAX_CHUNKS_AHEAD - 1) * self.step:
                return
            data = self.body[self.posted : min(self.posted + self.step, self.flight.credit)]
            self.posted += len(data)
            self.ended = self.posted == len(self.body)
            self.rig.chunk(self.flight, data, self.nth, last=self.ended)
            self.nth += 1

    def finish(self) -> None:
        while not self.flight.done:
            self.rig.frame()
            self.more()


def told(flight: Flight) -> list[list[object]]:
    events, digest = json.loads(flight.body)
    flight.body = bytearray(digest.encode())
    return events  # type: ignore[no-any-return]


@pytest.mark.parametrize("first", [0, 1, 3000])
@pytest.mark.parametrize("step", [100, 7777, 65536])
def test_a_body_arrives_whole(first: int, step: int) -> None:
    body = bytes(range(251)) * (2000 if step > 100 else 100)
    with working("flows:asgi", "asgi") as rig:
        upload = Upload(rig, body, first, step)
        upload.finish()
        events = told(upload.flight)
        assert upload.flight.body.decode() == hashlib.sha256(body).hexdigest()
        assert [more for _, _, more in events] == [True] * (len(events) - 1) + [False]
        assert len(events) == upload.nth + bool(first)
        credits = [frame.content_length for frame in upload.flight.frames if frame.type == ring.CREDIT]
        assert credits[0] == first + WINDOW
        assert credits == sorted(set(credits))
        assert rig.counters()["credits"] == len(credits)


def test_an_empty_end_is_an_event_of_its_own() -> None:
    with working("flows:asgi", "asgi") as rig:
        flight = rig.begin(b"/reads", type=ring.START, flags=ring.MORE_BODY, body=b"12")
        assert rig.frame().credit == 2 + WINDOW
        rig.chunk(flight, b"345", 0)
        rig.chunk(flight, b"", 1, last=True)
        rig.finish(flight)
        assert told(flight) == [["http.request", 2, True], ["http.request", 3, True], ["http.request", 0, False]]


def test_an_empty_end_behind_what_was_credited_brings_no_credit() -> None:
    with working("flows:asgi", "asgi") as rig:
        flight = rig.begin(b"/reads", type=ring.START, flags=ring.MORE_BODY, body=b"12")
        assert rig.frame().credit == 2 + WINDOW
        rig.chunk(flight, b"345", 0)
        assert rig.frame().credit == 5 + WINDOW
        rig.chunk(flight, b"", 1, last=True)
        rig.finish(flight)
        assert [frame.type for frame in flight.frames].count(ring.CREDIT) == 2


def test_what_is_not_read_gets_no_credit() -> None:
    with working("flows:asgi", "asgi") as rig:
        flight = rig.answer(b"/unread", type=ring.START, flags=ring.MORE_BODY, body=b"12")
        assert [frame.type for frame in flight.frames] == [ring.SMALL]
        assert flight.body == b"unread"
        assert json.loads(rig.answer(b"/closed").body) == ["http.disconnect"]


def test_what_comes_late_is_not_looked_at() -> None:
    with working("flows:asgi", "asgi") as rig:
        for target in (b"/unread", b"/first"):
            flight = rig.answer(target, type=ring.START, flags=ring.MORE_BODY, body=b"12")
            for type in (ring.CHUNK, ring.CHUNK, ring.END):
                rig.post(flight.request_id, 0xFFFFFFF0, type)  # no block of ours: a look at it would be the last
        assert rig.answer(b"/size?5").body == bytes(range(5))


def test_a_client_that_goes_while_it_sends() -> None:
    with working("flows:asgi", "asgi") as rig:
        flight = rig.begin(b"/reads", type=ring.START, flags=ring.MORE_BODY, body=b"12")
        rig.frame()
        rig.chunk(flight, b"345", 0)
        while flight.credit < 5 + WINDOW:
            rig.frame()
        rig.close(flight)
        rig.finish(flight)
        assert flight.last.flags == ring.LAST | ring.ABORT
        assert rig.answer(b"/size?5").body == bytes(range(5))


@pytest.mark.parametrize("type", [ring.PACKAGE, ring.START])
def test_an_answer_to_a_client_that_waits_for_100_continue(type: int) -> None:
    flags = ring.EXPECTS | (ring.MORE_BODY if type == ring.START else 0)
    body = b"12" if type == ring.PACKAGE else b""
    with working("flows:asgi", "asgi") as rig:
        for target in (b"/unread", b"/raises"):
            flight = rig.answer(target, type=type, flags=flags, body=body)
            assert flight.head.flags & ring.CLOSE_CONNECTION
        for target in (b"/first", b"/early"):
            flight = rig.begin(target, type=type, flags=flags, body=body)
            if type == ring.START:
                assert rig.frame().frames[0].type == ring.CREDIT
                rig.chunk(flight, b"12", 0, last=True)
            rig.finish(flight)
            assert not flight.head.flags & ring.CLOSE_CONNECTION
        assert not rig.answer(b"/unread").head.flags & ring.CLOSE_CONNECTION


@pytest.mark.parametrize("ring_bytes", [512, 1024])
def test_credit_waits_for_room_in_the_ring(ring_bytes: int) -> None:
    body = bytes(range(251)) * 40
    with working("flows:asgi", "asgi", response_ring_bytes=ring_bytes) as rig:
        for _ in range(20):
            uploads = [Upload(rig, body, 10, 2000, b"/reads") for _ in range(CHUNKS // 4)]
            for number, upload in enumerate(uploads):
                upload.nth = number * 1000
            others = [rig.begin(b"/size?3000") for _ in range(4)]
            # Blocks are shared: one body after the other, while the other responses fill the ring.
            for upload in uploads:
                while not upload.flight.done:
                    upload.more()
                    rig.frame()
                told(upload.flight)
                assert upload.flight.body.decode() == hashlib.sha256(body).hexdigest()
            rig.finish(*others)
