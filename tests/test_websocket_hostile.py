"""Clients of WebSockets that do harm: each gets the right code, in bounded memory, and nobody else notices."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from swhttp import limits
from tests.support import hasty
from tests.support.counters import Since, gauge, totals
from tests.support.fleet import Start
from tests.support.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Peer,
    closing,
    deflated,
    frame,
    handshake,
    opened,
)
from tests.support.memory import MEBIBYTE, Growth
from tests.support.processes import wait_until
from tests.support.server import Server

MOST_BYTES = 1 << 20
FRAGMENTS = limits.MAX_WS_FRAGMENTS
PINGS = 10_000


@pytest.fixture(scope="module")
def site(module_server: Start) -> Server:
    """Two workers, who take messages up to 1 MiB, and give up soon on those who owe a Close."""
    return module_server("pressed:app", "--workers", "2", "--reactors", "1", "--ws-max-size", str(MOST_BYTES),
                         module=hasty.__name__)


@pytest.fixture
def bystander(site: Server) -> Iterator[Peer]:
    """One who was there before, and is well in the end."""
    with Peer(site) as peer:
        peer.say("before")
        assert peer.heard() == "before"
        yield peer
        peer.say("after")
        assert peer.heard() == "after"
        peer.send(closing(1000))
        assert peer.ended() == 1000


WRONG = {
    "without a mask": (frame(TEXT, b"x", masked=False), 1002),
    "reserved bits": (frame(TEXT, b"x", rsv1=True), 1002),
    "an unknown opcode": (frame(3, b"x"), 1002),
    "a ping in pieces": (frame(PING, b"x", fin=False), 1002),
    "nothing to continue": (frame(CONTINUATION, b"x"), 1002),
    "a message within another": (frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"), 1002),
    "a length that is not the shortest": (b"\x81\xfe\x00\x01" + bytes(5), 1002),
    "text that is not": (frame(TEXT, b"ab\xff"), 1007),
    "text that ends within a character": (frame(TEXT, b"\xe2\x82"), 1007),
    "half of a surrogate, in two frames": (frame(TEXT, b"\xed", fin=False) + frame(CONTINUATION, b"\xa0\x80"), 1007),
    "a reason that is not UTF-8": (closing(1000, b"\xff"), 1007),
    "a code that is nobody's": (closing(999), 1002),
    "a code that is never sent": (closing(1006), 1002),
    "half of a code": (frame(CLOSE, b"\x03"), 1002),
    "a length beyond the limit": (b"\x82\xff" + (MOST_BYTES + 1).to_bytes(8, "big") + bytes(4), 1009),
    "fragments beyond the limit": (frame(BINARY, bytes(MOST_BYTES // 2), fin=False)
                                   + frame(CONTINUATION, bytes(MOST_BYTES // 2 + 1)), 1009),
    "empty fragments": (frame(TEXT, b"x", fin=False)
                        + frame(CONTINUATION, fin=False) * (limits.MAX_WS_EMPTY_FRAGMENTS + 1), 1009),
}
AFTER_A_CLOSE = {"text": frame(TEXT, b"more"), "a ping": frame(PING), "noise": b"\xff" * 1000, "another": closing(1001)}
PARTS = {
    "a byte": b"\x81", "most of a frame": frame(TEXT, b"half")[:7], "half a message": frame(TEXT, b"half", fin=False),
    "most of a ping": b"\x89\x85" + bytes(6), "a byte of a Close": b"\x88",
}


@pytest.mark.parametrize("case", WRONG)
def test_what_a_client_may_not_send_closes_with_the_right_code(site: Server, bystander: Peer, case: str) -> None:
    data, code = WRONG[case]
    before = site.notes().count(f"/echo {code}")
    with Peer(site) as peer:
        peer.send(data + frame(TEXT, b"and on"))
        assert peer.ended() == code
    wait_until(lambda: site.notes().count(f"/echo {code}") == before + 1, "the app to hear of it")


def test_a_bomb_ends_at_the_size_of_a_message(site: Server, bystander: Peer) -> None:
    bomb = deflated(bytes(64 << 20))
    with Growth(site) as growth, Peer(site, "/lengths", deflate=True) as peer:
        peer.send(frame(BINARY, deflated(bytes(MOST_BYTES)), rsv1=True))
        assert int(peer.heard()) == MOST_BYTES
        peer.send(frame(BINARY, bomb, rsv1=True))
        opened(site)
        assert peer.ended() == 1009
    growth.within(8 * MEBIBYTE)


def test_what_cannot_be_compressed_may_be_as_large_as_what_can(site: Server, bystander: Peer) -> None:
    noise = random.Random(7).randbytes(MOST_BYTES)
    packed = deflated(noise)
    assert len(packed) > MOST_BYTES
    with Peer(site, "/lengths", deflate=True) as peer:
        peer.send(frame(BINARY, packed, rsv1=True))
        assert int(peer.heard()) == MOST_BYTES
        peer.send(frame(BINARY, packed[:MOST_BYTES], fin=False, rsv1=True) + frame(CONTINUATION, packed[MOST_BYTES:]))
        assert int(peer.heard()) == MOST_BYTES
        peer.send(frame(BINARY, deflated(noise + b"x"), rsv1=True))
        assert peer.ended() == 1009
    with Peer(site, deflate=True) as peer:
        peer.send(frame(BINARY, bytes(2 * MOST_BYTES + 65), rsv1=True)[:14])
        assert peer.ended() == 1009
    with Peer(site, deflate=True) as peer:
        peer.send(frame(BINARY, packed[:MOST_BYTES], fin=False, rsv1=True)
                  + frame(CONTINUATION, bytes(MOST_BYTES + 65))[:14])
        assert peer.ended() == 1009


def test_a_compressed_message_that_is_none_closes_with_1007(site: Server, bystander: Peer) -> None:
    with Peer(site, deflate=True) as peer:
        peer.send(frame(BINARY, b"\xff" * 40, rsv1=True))
        assert peer.ended() == 1007


def test_fragments_of_one_byte_are_one_message(site: Server, bystander: Peer) -> None:
    count = 100_000
    with Growth(site) as growth, Peer(site, "/lengths") as peer:
        peer.send(frame(TEXT, b"x", fin=False) + frame(CONTINUATION, b"x", fin=False) * (count - 2))
        opened(site)
        peer.send(frame(CONTINUATION, b"x"))
        assert int(peer.heard()) == count
        peer.send(closing(1000))
        assert peer.ended() == 1000
    growth.within(8 * MEBIBYTE)


def test_fragments_have_a_bound(site: Server, bystander: Peer) -> None:
    with Peer(site, "/lengths") as peer:
        peer.send(frame(TEXT, b"x", fin=False) + frame(CONTINUATION, b"x", fin=False) * (FRAGMENTS - 2))
        peer.send(frame(CONTINUATION, b"x"))
        assert int(peer.heard()) == FRAGMENTS
        peer.send(frame(TEXT, b"x", fin=False) + frame(CONTINUATION, b"x", fin=False) * FRAGMENTS)
        assert peer.ended() == 1009


def test_a_burst_of_pings_is_answered_without_a_burst_of_calls(site: Server, bystander: Peer) -> None:
    with Growth(site) as growth, Peer(site, buffer_bytes=4096) as peer:
        peer.send(b"".join(frame(PING, str(nth).encode()) for nth in range(PINGS)))
        opened(site)
        pongs = [peer.next()]
        while pongs[-1].payload != str(PINGS - 1).encode():
            pongs.append(peer.next())
        assert {pong.opcode for pong in pongs} == {PONG}
        numbers = [int(pong.payload) for pong in pongs]
        assert numbers == sorted(numbers)
    growth.within(4 * MEBIBYTE)


def test_of_pings_that_pile_up_the_last_is_answered(site: Server, bystander: Peer) -> None:
    rounds = 40
    with Growth(site) as growth, Peer(site, "/pour?1000", buffer_bytes=4096) as peer:
        for nth in range(rounds):  # the worker's messages fill the socket: nothing of this leaves
            peer.send(frame(PING, b"%125d" % nth) * 500)
        peer.send(frame(PING, b"last"))
        opened(site)
        pongs = 0
        found = peer.next()
        while found.payload != b"last":
            pongs += found.opcode == PONG
            found = peer.next()
        assert found.opcode == PONG
        assert pongs < rounds * 500
    growth.within(12 * MEBIBYTE)


def test_who_does_not_answer_a_close_is_cut(site: Server, bystander: Peer) -> None:
    with Peer(site, "/close?4000") as peer:
        assert peer.ending() == 4000
        peer.send(frame(TEXT, b"not yet") * 3 + frame(PING, b"?"))
        assert peer.rest() == []


def test_who_does_not_close_the_connection_is_cut(site: Server, bystander: Peer) -> None:
    with Peer(site, "/close?4001") as peer:
        assert peer.ending() == 4001
        peer.send(closing(4001))
        peer.connection.expect_end()  # our side is shut down; then nothing more of the socket is left
        gauge(site, "open", 1)


@pytest.mark.parametrize("after", AFTER_A_CLOSE)
def test_what_follows_a_close_is_not_looked_at(site: Server, bystander: Peer, after: str) -> None:
    before = site.notes().count("/echo 4002")
    with Peer(site) as peer:
        peer.send(closing(4002, b"gone") + AFTER_A_CLOSE[after])
        assert peer.ended() == 4002
    wait_until(lambda: site.notes().count("/echo 4002") == before + 1, "the app to hear the code")


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("how", ["close", "reset", "half_close"])
def test_who_goes_in_the_middle_of_a_frame_is_gone(site: Server, bystander: Peer, how: str, part: str) -> None:
    before = site.notes().count("/echo 1006")
    with Peer(site) as peer:
        peer.say("here")
        assert peer.heard() == "here"
        peer.send(PARTS[part])
        getattr(peer.connection, how)()
        wait_until(lambda: site.notes().count("/echo 1006") == before + 1, "the app to hear 1006")


def test_who_vanishes_during_the_handshake_takes_nobody_along(site: Server, bystander: Peer) -> None:
    workers = site.workers()
    for _ in range(200):
        with site.connect() as client:
            client.send(handshake("/echo") + frame(TEXT, b"early"))
            client.reset()
    gauge(site, "open", 1)
    assert site.workers() == workers


def test_messages_that_come_with_the_handshake_are_heard(site: Server) -> None:
    with site.connect() as client:
        client.send(handshake("/echo") + frame(TEXT, b"early"))
        assert client.raw(12) == b"HTTP/1.1 101"
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.raw(1)
        assert client.raw(7) == b"\x81\x05early"


def test_an_app_hears_the_rest_when_its_client_has_gone(site: Server) -> None:
    """More blocks than its window has: it reads on, and answers nobody, until it has come to the end."""
    before = site.notes().count("/deaf 1006")
    with site.gate() as gate, Peer(site, f"/deaf?{gate.path}") as peer:
        assert peer.heard() == "in"
        visitor = gate.entered()
        for _ in range(limits.WS_BLOCKS_AHEAD + 1):
            peer.send(frame(BINARY, bytes(60_000)))
        wait_until(lambda: site.counters().reactors[0]["ws_received"] >= limits.WS_BLOCKS_AHEAD, "all to be read")
        peer.connection.close()
        visitor.release()
        wait_until(lambda: site.notes().count("/deaf 1006") == before + 1 or "/deaf cut" in site.notes(),
                   "the app to end")
    gauge(site, "in_flight")


def test_an_app_reads_all_that_came_before_the_close(site: Server) -> None:
    """More blocks than its window has, then a Close: it gets all of them, and its code."""
    with site.gate() as gate, Peer(site, f"/rest?{gate.path}") as peer:
        assert peer.heard() == "in"
        visitor = gate.entered()
        for _ in range(limits.WS_BLOCKS_AHEAD + 1):
            peer.send(frame(BINARY, bytes(60_000)))
        peer.send(frame(8, (4001).to_bytes(2, "big")))
        assert peer.next().opcode == 8
        peer.connection.close()
        visitor.release()
        wait_until(lambda: any(line.startswith("/rest") for line in site.notes()), "the app to end")
        rest = [line for line in site.notes() if line.startswith("/rest")]
        assert rest == [f"/rest 4001 {limits.WS_BLOCKS_AHEAD + 1}"]


def test_counters_of_open_sockets_come_back(site: Server) -> None:
    since = Since(site)
    for _ in range(10):
        opened(site)
    with Peer(site) as peer:
        since.becomes(websockets=1)
        peer.connection.reset()
    since.becomes(websockets=0)


# ---- the callback API ----


@pytest.fixture(scope="module")
def handled(module_server: Start) -> Server:
    """One worker with one thread, whose handler gets few messages at once."""
    return module_server("reference:wsgi", "--workers", "1", "--threads", "1", "--reactors", "1",
                         "--ws-max-queue", "10", "--ws-handler", "handled:handler")


def with_workers(site: Server) -> int:
    """Requests and events that are with workers, or wait for one."""
    return totals(site)["in_flight"] + totals(site)["waiting"]


def test_who_vanishes_while_its_handshake_waits_for_a_handler_takes_nobody_along(handled: Server) -> None:
    with handled.gate() as gate, handled.connect() as holder:
        holder.send_request(target=gate.target)
        visitor = gate.entered()
        for _ in range(5):  # with the worker, which has not begun with it, or not yet
            with handled.connect() as client:
                client.send(handshake("/"))
                wait_until(lambda: with_workers(handled) == 2, "it to be read")
                client.reset()
                wait_until(lambda: with_workers(handled) == 1, "it to be gone")
        visitor.release()
        assert holder.response().status == 200
    opened(handled)


def test_who_vanishes_while_a_handler_welcomes_it_is_bidden_farewell(handled: Server) -> None:
    before, workers = handled.notes().count("closed 1006"), handled.workers()
    with handled.gate() as gate, handled.connect() as client:
        client.send(handshake(f"/held?{gate.path}"))
        visitor = gate.entered()
        client.reset()
        gauge(handled, "open")
        visitor.release()
        wait_until(lambda: handled.notes().count("closed 1006") == before + 1, "the handler to hear of the end")
    opened(handled)
    assert handled.workers() == workers


def test_who_vanishes_before_a_handler_refuses_it_never_was(handled: Server) -> None:
    before, workers = handled.notes(), handled.workers()
    with handled.gate() as gate, handled.connect() as client:
        client.send(handshake(f"/denied?{gate.path}"))
        visitor = gate.entered()
        client.reset()
        gauge(handled, "open")
        visitor.release()
        gauge(handled, "in_flight")
    assert handled.notes() == before
    opened(handled)
    assert handled.workers() == workers


def test_a_session_that_the_next_worker_does_not_want_is_closed(server: Start) -> None:
    site = server("reference:wsgi", "--workers", "2", "--reactors", "1", "--ws-handler", "handled:handler")
    site.expect_log("Worker died")
    with Peer(site, f"/fickle?{site.directory}/there") as peer:
        assert peer.ending() == 1008
        peer.send(closing(1008))
        peer.connection.expect_end()
    site.wait_for_workers(2)
    assert site.notes() == []


def test_more_messages_than_may_wait_all_come(handled: Server) -> None:
    with handled.gate() as gate, Peer(handled, f"/busy?{gate.path}") as peer:
        peer.send(b"".join(frame(TEXT, b"%d" % nth) for nth in range(100)))
        gate.entered().release()
        assert [peer.heard() for _ in range(100)] == [str(nth) for nth in range(100)]
        peer.send(closing(1000))
        assert peer.ended() == 1000
