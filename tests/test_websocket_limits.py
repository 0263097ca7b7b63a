"""What WebSockets may take: of memory, of messages, of time; in both directions, and when workers are stuck or die."""

from __future__ import annotations

import select
import signal
import socket
import time
from collections.abc import Iterator

import pytest

from swhttp import limits
from tests.support import tight, tight_requests
from tests.support.counters import Since, gauge, totals
from tests.support.fleet import Start
from tests.support.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    PING,
    PONG,
    RSV1,
    TEXT,
    NotOpened,
    Peer,
    closing,
    deflated,
    frame,
    handshake,
    opened,
)
from tests.support.memory import MEBIBYTE, Growth
from tests.support.pace import Pace
from tests.support.processes import wait_until, wait_until_stopped
from tests.support.server import Server
from tests.support.standstill import standstill

QUEUE = 50
PIECE_BYTES = 65536


@pytest.fixture(scope="module")
def site(module_server: Start) -> Server:
    """Two workers, whose clients may send few messages ahead, and are cut soon when they take nothing."""
    return module_server("pressed:app", "--workers", "2", "--reactors", "1", "--ws-max-queue", str(QUEUE),
                         "--write-timeout", "2")


@pytest.fixture
def stuck(site: Server) -> Iterator[Peer]:
    """A WebSocket whose worker does nothing before the test is over."""
    with site.gate() as gate, Peer(site, f"/stuck?{gate.path}") as peer:
        assert peer.heard() == "in"
        gate.entered()
        yield peer


# ---- a worker that does not read ----


def test_a_stuck_worker_loses_no_message_and_no_connection(server: Start) -> None:
    count = 1000
    site = server("pressed:app", "--workers", "1", "--reactors", "1", "--ws-ping-interval", "0.2",
                  "--ws-ping-timeout", "2")
    with site.gate() as gate, Peer(site, f"/stuck?{gate.path}") as peer, Growth(site) as growth:
        assert peer.heard() == "in"
        visitor = gate.entered()
        pinged, sent = 0, 0
        while pinged < 5:  # each time ours was answered, and the pong to the last one was heard, or none would follow
            for _ in range(count // 5):
                peer.send(frame(BINARY, bytes(sent % 100)))
                sent += 1
            peer.send(frame(PING, b"%d" % pinged))
            while (found := peer.next()).opcode != PING:
                assert (found.opcode, found.payload) == (PONG, b"%d" % pinged)
            peer.send(frame(PONG))
            pinged += 1
        visitor.release()
        heard = []
        while len(heard) < count:
            found = peer.next()
            if found.opcode == PING:
                peer.send(frame(PONG))
            elif found.opcode == TEXT:
                heard.append(int(found.payload))
        assert heard == [nth % 100 for nth in range(count)]
        peer.send(closing(1000))
        assert peer.rest()[-1].opcode == CLOSE
    growth.within(8 * MEBIBYTE)
    assert totals(site)["ws_ping_timeout"] == 0


def test_past_the_queue_nothing_is_read(site: Server) -> None:
    since = Since(site)
    with site.gate() as gate, Peer(site, f"/deaf?{gate.path}") as peer:
        assert peer.heard() == "in"
        visitor = gate.entered()
        peer.send(b"".join(frame(TEXT, b"x" * nth) for nth in range(3 * QUEUE)))
        since.becomes(ws_received=QUEUE)
        opened(site)
        assert since["ws_received"] == QUEUE + 1
        visitor.release()
        assert [peer.heard() for _ in range(3 * QUEUE)] == [str(nth) for nth in range(3 * QUEUE)]


def test_what_was_not_read_is_when_we_close(server: Start) -> None:
    """Behind messages that may not wait here lies the client's Close: it is found when ours is out."""
    site = server("pressed:app", "--workers", "1", "--reactors", "1", "--ws-max-queue", str(QUEUE))
    since = Since(site)
    with site.gate() as gate, Peer(site, f"/deaf?{gate.path}") as peer:
        assert peer.heard() == "in"
        visitor = gate.entered()
        peer.send(b"".join(frame(TEXT, b"x" * nth) for nth in range(3 * QUEUE)) + closing(1000))
        since.becomes(ws_received=QUEUE)
        site.kill(signal.SIGTERM)
        assert peer.ending() == 1001
        peer.connection.expect_end(limits.WS_CLOSE_TIMEOUT_S / 2)
        visitor.release()
    site.finish()


def test_what_is_behind_an_error_does_not_reset_the_connection(server: Start) -> None:
    """There is more of it than is read at once, and the client's end, so that both sides have ended with our Close."""
    site = server("pressed:app", "--workers", "1", "--reactors", "1", "--ws-max-queue", str(QUEUE),
                  binds=("unix:{dir}/socket",))
    since = Since(site)
    with site.gate() as gate, Peer(site, f"/deaf?{gate.path}") as peer:
        assert peer.heard() == "in"
        visitor = gate.entered()
        peer.send(frame(TEXT, b"x") * QUEUE)
        since.becomes(ws_received=QUEUE)
        peer.connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * PIECE_BYTES)
        peer.send(frame(TEXT, b"x", masked=False) + bytes(3 * PIECE_BYTES))
        peer.connection.half_close()
        visitor.release()
        *answers, last = peer.rest()
        assert (last.opcode, last.payload[:2]) == (CLOSE, (1002).to_bytes(2, "big"))
        assert not peer.connection.was_reset
        # An answer that is made when ours is out already comes to nobody.
        assert {(answer.opcode, answer.payload) for answer in answers} <= {(TEXT, b"1")}


def test_what_waits_for_an_app_is_in_few_blocks(site: Server) -> None:
    most = (limits.WS_BLOCKS_AHEAD + 1) * limits.WS_BLOCK_BYTES
    with Growth(site) as growth, site.gate() as gate, Peer(site, f"/deaf?{gate.path}") as peer:
        assert peer.heard() == "in"
        visitor = gate.entered()
        before = totals(site)["received_bytes"]
        peer.connection.socket.setblocking(False)
        message = memoryview(frame(BINARY, bytes(16 * MEBIBYTE - 100)))
        at = 0
        while True:  # until neither we nor the kernel hold any more
            try:
                at += peer.connection.socket.send(message[at:])
            except BlockingIOError:
                taken = totals(site)["received_bytes"]
                if not wait_writable(peer, 0.3) and totals(site)["received_bytes"] == taken:
                    break
        assert totals(site)["received_bytes"] - before <= most + 2 * PIECE_BYTES
        visitor.release()
        peer.connection.socket.setblocking(True)
        peer.send(message[at:])
        assert peer.heard() == str(len(message) - 14)
    growth.within(40 * MEBIBYTE)


def wait_writable(peer: Peer, timeout_s: float) -> bool:
    """Whether its socket takes more, in time."""
    poller = select.poll()
    poller.register(peer.connection.socket, select.POLLOUT)
    return bool(poller.poll(timeout_s * 1000))


def test_who_closes_is_let_go_although_its_worker_is_stuck(stuck: Peer) -> None:
    stuck.send(frame(TEXT, b"unread") * 3 + closing(1000))
    assert stuck.ended() == 1000


# ---- a client that does not read ----


def test_who_sends_waits_for_a_slow_reader(site: Server) -> None:
    with Growth(site) as growth, Peer(site, "/pour?400", buffer_bytes=4096) as peer:
        opened(site)
        for _ in range(400):
            found = peer.next()
            assert (found.opcode, len(found.payload)) == (BINARY, PIECE_BYTES)
        assert peer.heard() == "poured"
    growth.within(8 * MEBIBYTE)


def test_who_takes_nothing_is_cut_at_the_write_timeout(site: Server) -> None:
    before = site.notes().count("/pour cut")
    with Growth(site) as growth, Peer(site, "/pour?400", buffer_bytes=4096) as peer:
        wait_until(lambda: site.notes().count("/pour cut") == before + 1, "send() to fail")
        assert "poured" not in str(peer.connection.buffer)
    growth.within(8 * MEBIBYTE)


def test_pushes_for_a_slow_client_are_dropped(site: Server) -> None:
    since = Since(site)
    with Growth(site) as growth, Peer(site, "/push?drop", buffer_bytes=4096) as peer:
        since.passes("ws_dropped")
        wait_until(lambda: "pushed" in site.notes(), "all to be pushed")
        heard = 0
        while (found := peer.next()).opcode == BINARY:
            heard += 1
        assert found.payload == b"pushed"
        assert heard == 64 - since["ws_dropped"]
        peer.say("well")
        assert peer.heard() == "well"
    growth.within(8 * MEBIBYTE)


def test_pushes_for_a_slow_client_close_it(site: Server) -> None:
    with Peer(site, "/push?close", buffer_bytes=4096) as peer:
        gauge(site, "websockets", 0)  # it is closed, before this one begins to read
        while (found := peer.next()).opcode == BINARY:
            pass
        assert (found.opcode, found.payload) == (CLOSE, b"\x03\xf5too slow")
        peer.send(closing(1013))
        peer.connection.expect_end()
    wait_until(lambda: "/push 1013" in site.notes(), "the app to hear of it")


def test_who_pushes_waits_for_a_slow_client(site: Server) -> None:
    """Also when it is 12 MiB, and nobody can see at first that the client is slow."""
    since = Since(site)
    with (site.gate() as gate, Growth(site) as growth,
          Peer(site, f"/push?block&{gate.path}", buffer_bytes=4096) as peer):
        visitor = gate.entered()
        with standstill(site):
            visitor.release()
        opened(site)
        for _ in range(192):
            assert peer.next().opcode == BINARY
        assert peer.heard() == "pushed"
        assert since["ws_dropped"] == 0
    growth.within(8 * MEBIBYTE)


def test_what_is_pushed_into_a_message_comes_behind_it_and_before_a_close(site: Server) -> None:
    with Peer(site, "/torn", buffer_bytes=4096) as peer:
        wait_until(lambda: "torn" in site.notes(), "all to be said, of which nothing can have come")
        length, fin = 0, 0
        while not fin:
            found = peer.next()
            assert found.opcode == (CONTINUATION if length else BINARY)
            length += len(found.payload)
            fin = found.first & FIN
        assert length == 16 * MEBIBYTE
        assert peer.heard() == "pushed"
        assert peer.next()[:2] == (CLOSE, b"\x0f\xa0enough")
        peer.send(closing(4000))
        peer.connection.expect_end()
    wait_until(lambda: "/torn 4000" in site.notes(), "the app to hear of it")


def test_pushes_for_a_quick_client_are_not_dropped(site: Server) -> None:
    """Those of one turn leave at its end: more than the high-water mark does not make their client a slow one."""
    since = Since(site)
    with Peer(site, "/push?drop") as peer:
        heard = 0
        while peer.next().opcode == BINARY:
            heard += 1
        assert heard == 64 - since["ws_dropped"]
        assert heard > limits.HIGH_WATER_BYTES // PIECE_BYTES + 1


def test_a_session_is_in_so_many_groups_and_no_more(site: Server) -> None:
    site.expect_log("reason=ws-too-many-groups")
    with Peer(site, f"/groups?{limits.WS_GROUPS + 2}") as peer:
        assert [peer.heard() for _ in range(limits.WS_GROUPS)] == [str(nth) for nth in range(limits.WS_GROUPS)]
        peer.say("what follows")
        assert peer.heard() == "what follows"
    site.wait_for_log(r'reason=ws-too-many-groups client=127.0.0.1:\d+ request="GET /groups')


def test_short_messages_are_not_compressed(site: Server) -> None:
    least = limits.WS_COMPRESS_LEAST_BYTES
    with Peer(site, deflate=True) as peer:
        for size in (least - 1, least):
            peer.send(frame(TEXT, b"x" * size))
            found = peer.next()
            assert bool(found.first & RSV1) == (size == least)


# ---- time ----


def test_a_client_that_is_not_heard_is_pinged_and_given_up(server: Start) -> None:
    site = server("pressed:app", "--workers", "1", "--reactors", "1", "--ws-ping-interval", "0.2",
                  "--ws-ping-timeout", "1")
    since = Since(site)
    with Peer(site) as peer:
        for _ in range(2):
            assert peer.next().opcode == PING
            peer.send(frame(PONG))
        assert peer.next().opcode == PING
        assert peer.next() == (CLOSE, b"\x03\xf3ping timeout", 0x88)
        peer.connection.expect_end()
    since.becomes(ws_ping_timeout=1, websockets=0)
    wait_until(lambda: "/echo 1006" in site.notes(), "the app to hear of it")


@pytest.mark.parametrize("last", [closing(1000), frame(3, b"bad")], ids=["a close", "a bad frame"])
def test_who_ends_it_gets_the_rest_in_the_time_that_writing_has(server: Start, last: bytes) -> None:
    site = server("pressed:app", "--workers", "1", "--reactors", "1", "--ws-ping-interval", "0.5",
                  "--ws-ping-timeout", "0.5")
    since = Since(site)
    with Peer(site, "/pour?400", buffer_bytes=4096) as peer:
        since.passes("clients_slow")
        peer.send(last)
        time.sleep(1.2)  # what is looked for is that nothing happens at what was due of the open socket
        assert peer.rest()[-1].opcode == CLOSE


def test_with_an_interval_of_0_nobody_is_pinged(server: Start) -> None:
    site = server("pressed:app", "--workers", "1", "--reactors", "1", "--ws-ping-interval", "0",
                  "--ws-ping-timeout", "0.1")
    with Peer(site) as peer:
        assert not peer.connection.wait_readable(0.5)  # what is looked for is that nothing comes
        peer.say("here")
        assert peer.heard() == "here"


PARTS = {
    "of a frame": frame(BINARY, bytes(1000))[:500],
    "of a large frame": frame(BINARY, bytes(300_000))[:200_000],
    "in a fragment": frame(TEXT, b"and", fin=False),
    "in a fragment behind whole ones": frame(TEXT, b"whole") * 3 + frame(TEXT, b"and", fin=False),
    "compressed": frame(BINARY, deflated(bytes(1000)), rsv1=True)[:-1],
}


@pytest.fixture(scope="module", params=["asgi", "calls"])
def brief(request: pytest.FixtureRequest, module_server: Start) -> Server:
    """Half a second for a message to be whole, of an ASGI app and of a handler."""
    app = ("pressed:app",) if request.param == "asgi" else ("reference:wsgi", "--ws-handler", "handled:handler")
    return module_server(*app, "--workers", "1", "--reactors", "1", "--body-timeout", "0.5", "--ws-ping-interval", "0")


def late(site: Server, peer: Peer) -> None:
    """Whose message does not go on is told so, and nothing of it is kept."""
    site.expect_log(r"reason=ws-message-timeout client=127.0.0.1:\d+ request=\"GET /")
    while (found := peer.next()).opcode != CLOSE:
        assert found.payload in (b"whole", b"?")
    assert found.payload == b"\x03\xf0"
    peer.send(closing(1008))
    peer.connection.expect_end()


@pytest.mark.parametrize("part", PARTS)
def test_a_message_that_does_not_go_on_is_1008(brief: Server, part: str) -> None:
    heard = sum(line.endswith(" 1008") for line in brief.notes())
    with Peer(brief, deflate=part == "compressed") as peer:
        peer.send(PARTS[part])
        late(brief, peer)
    wait_until(lambda: sum(line.endswith(" 1008") for line in brief.notes()) == heard + 1, "the app to hear of it")
    gauge(brief, "blocks")


def test_neither_a_byte_now_and_then_nor_pings_keep_a_message(brief: Server) -> None:
    pace = Pace(20)
    with Peer(brief) as peer:
        peer.send(frame(TEXT, b"a", fin=False))
        for _ in range(400):
            pace.take(1)
            peer.connection.send_while_open(frame(PING, b"?"), frame(CONTINUATION, b"a", fin=False))
            if peer.next().opcode == CLOSE:
                break
        else:
            pytest.fail("it was kept for 20 s")
    brief.expect_log("ws-message-timeout")


def test_a_steady_message_may_take_longer(brief: Server) -> None:
    piece, pace = bytes(200), Pace(4000)
    with Peer(brief) as peer:
        peer.send(frame(BINARY, bytes(20 * len(piece)))[:8])
        for _ in range(20):
            pace.take(len(piece))
            peer.send(piece)
        found = peer.next()
        assert (found.opcode, len(found.payload)) == (BINARY, 20 * len(piece))


def test_a_message_that_came_in_time_leaves_no_deadline(brief: Server) -> None:
    with Peer(brief) as peer, Peer(brief) as other:
        whole = frame(TEXT, b"whole")
        since = Since(brief)
        peer.send(whole[:-1])
        since.becomes(received_bytes=len(whole) - 1)
        peer.send(whole[-1:])
        assert peer.heard() == "whole"
        other.send(whole[:-1])
        late(brief, other)
        peer.say("still")
        assert peer.heard() == "still"


def test_who_is_not_read_has_no_deadline(server: Start) -> None:
    """Its app reads nothing: so we do not either, and what is missing of its message may be in the socket."""
    site = server("pressed:app", "--workers", "1", "--reactors", "1", "--body-timeout", "0.5")
    most = (limits.WS_BLOCKS_AHEAD + 1) * limits.WS_BLOCK_BYTES
    message = frame(BINARY, bytes(2 * most))
    since = Since(site)
    with site.gate() as gate, Peer(site, f"/deaf?{gate.path}") as peer:
        assert peer.heard() == "in"
        visitor = gate.entered()
        peer.send(message[:most + 3 * PIECE_BYTES])
        since.passes("received_bytes", most)
        for _ in range(3):  # time passes: others are held to the same deadline
            with Peer(site) as other:
                other.send(message[:100])
                late(site, other)
        visitor.release()
        peer.send(message[most + 3 * PIECE_BYTES:])
        assert peer.heard() == str(2 * most)


# ---- ends of workers and of the server ----


def test_the_sockets_of_a_worker_that_dies_are_closed_with_1011(site: Server) -> None:
    with Peer(site) as one, Peer(site) as other:
        for peer in (one, other):
            peer.say("here")
            assert peer.heard() == "here"
        site.expect_log(r"Worker died|Worker was killed|worker-lost|died")
        site.kill(signal.SIGKILL, site.workers()[0])
        ends = {}

        def closed() -> bool:
            ends.update({peer: peer.ending() for peer in (one, other) if peer.connection.wait_readable(0)})
            return bool(ends)

        wait_until(closed, "a socket to be closed")
        assert set(ends.values()) == {1011}
        for peer in ends:
            peer.send(closing(1011))
            peer.connection.expect_end()
        for peer in {one, other} - set(ends):
            peer.say("still")
            assert peer.heard() == "still"
    site.wait_for_workers(2)
    opened(site)


def test_who_is_not_read_when_its_worker_dies_can_close_as_all_can(server: Start) -> None:
    """A part of its message is still to be inflated, for which there was no room."""
    site = server("pressed:app", "--workers", "1", "--reactors", "1")
    most = (limits.WS_BLOCKS_AHEAD + 1) * limits.WS_BLOCK_BYTES
    message = frame(BINARY, deflated(bytes(2 * most)), rsv1=True)
    assert len(message) < PIECE_BYTES
    site.expect_log("died")
    with site.gate() as gate, Peer(site, f"/deaf?{gate.path}", deflate=True) as peer:
        assert peer.heard() == "in"
        visitor = gate.entered()
        since = Since(site)
        peer.send(message)
        since.becomes(received_bytes=len(message))
        site.kill(signal.SIGKILL, site.workers()[0])
        assert peer.ending() == 1011
        peer.send(closing(1011))
        peer.connection.expect_end(limits.WS_CLOSE_TIMEOUT_S / 2)
        visitor.release()
    site.wait_for_workers(1)
    opened(site)


def test_the_end_of_the_server_is_1001(server: Start) -> None:
    site = server("pressed:app", "--workers", "1", "--reactors", "2")
    peers = [Peer(site) for _ in range(4)]
    for peer in peers:
        peer.say("here")
        assert peer.heard() == "here"
    site.kill(signal.SIGTERM)
    for peer in peers:
        assert peer.ending() == 1001
        peer.send(closing(1001))
        peer.connection.expect_end()
    assert site.wait_exit() == 0
    assert site.notes().count("/echo 1001") == 4


# ---- when there is no room ----


def test_messages_of_every_size_cross_the_smallest_memory(server: Start) -> None:
    site = server("pressed:app", "--workers", "1", "--reactors", "1", module=tight.__name__)
    sizes = (0, 1, 125, 126, 4000, 16384, 65535, 65536, 66560, 200_000)
    with Peer(site) as peer:
        for opcode in (TEXT, BINARY):
            for size in sizes:
                data = (b"%07d," % size * (size // 8 + 1))[:size]
                peer.send(frame(opcode, data))
                answer = b""
                found = peer.next()
                assert found.opcode == opcode
                answer += found.payload
                while not found.first & 0x80:
                    found = peer.next()
                    assert found.opcode == 0
                    answer += found.payload
                assert answer == data
        peer.send(b"".join(frame(TEXT, b"%d" % nth) for nth in range(300)))
        assert [peer.heard() for _ in range(300)] == [str(nth) for nth in range(300)]
        peer.send(closing(1000))
        assert peer.ended() == 1000


def test_without_a_block_a_handshake_is_503(server: Start) -> None:
    site = server("pressed:app", "--workers", "1", "--reactors", "1", module="tests.support.tight_blocks")
    site.expect_log("request-blocks-full")
    with site.gate() as gate, Peer(site, f"/deaf?{gate.path}") as peer:
        assert peer.heard() == "in"
        visitor = gate.entered()
        since = Since(site)
        peer.say("this has the one block there is")
        since.becomes(ws_received=1)
        with pytest.raises(NotOpened) as refused:
            Peer(site)
        assert refused.value.response.status == 503
        visitor.release()
        assert peer.heard() == "31"
        gauge(site, "blocks")
        peer.send(closing(1000))
        assert peer.ended() == 1000
    opened(site)


def test_messages_wait_for_a_block(server: Start) -> None:
    site = server("pressed:app", "--workers", "1", "--reactors", "1", module="tests.support.tight_blocks")
    with site.gate() as gate, Peer(site, f"/deaf?{gate.path}") as peer, Peer(site) as other:
        assert peer.heard() == "in"
        visitor = gate.entered()
        since = Since(site)
        peer.say("first")
        since.becomes(ws_received=1)
        other.say("second")
        since.becomes(received_bytes=len(frame(TEXT, b"first") + frame(TEXT, b"second")))
        assert since["ws_received"] == 1
        visitor.release()
        assert peer.heard() == "5"
        assert other.heard() == "second"


def test_the_end_of_a_websocket_waits_for_room_in_its_workers_ring(server: Start) -> None:
    site = server("pressed:app", "--workers", "1", "--reactors", "1", module=tight_requests.__name__)
    (worker,) = site.workers()
    fillers = [Peer(site) for _ in range(tight_requests.DESCRIPTORS // limits.WS_BLOCKS_AHEAD)]
    closers = {code: Peer(site) for code in (4001, 4002)}
    for peer in (*fillers, *closers.values()):
        peer.say("here")
        assert peer.heard() == "here"
    site.kill(signal.SIGSTOP, worker)
    wait_until_stopped(worker)
    since = Since(site)
    sent = 0
    for peer in fillers:
        for nth in range(limits.WS_BLOCKS_AHEAD):
            peer.say(str(nth))
            sent += 1
            since.becomes(ws_received=sent)  # so each is in a block of its own
    with site.connect() as late:
        late.send_request("GET", "/")
        wait_until(lambda: totals(site)["waiting"] == 1, "a request that finds the ring full")
        for code, peer in closers.items():
            peer.send(closing(code, b"and why" * (code % 2)))  # without a reason there is no block
            assert peer.ended() == code
        assert totals(site)["waiting"] == 1, "the ring is still full"
        site.kill(signal.SIGCONT, worker)
        assert late.response().json()["pid"] == worker
    wait_until(lambda: len(site.notes()) == len(closers), "the app to hear of the ends")
    assert sorted(site.notes()) == [f"/echo {code}" for code in sorted(closers)]
    for peer in fillers:
        assert [peer.heard() for _ in range(limits.WS_BLOCKS_AHEAD)] == [str(nth) for nth in range(4)]
        peer.send(closing(1000))
        assert peer.ended() == 1000


@pytest.mark.parametrize("timeout", [["--request-timeout", "0.4"], []], ids=["answered 504", "gone"])
def test_who_accepts_too_late_hears_of_it_when_there_is_room_in_its_workers_ring(
    server: Start, timeout: list[str]
) -> None:
    site = server("pressed:app", "--workers", "1", "--reactors", "1", *timeout, module=tight_requests.__name__)
    site.expect_log("Request timed out|Worker is stuck|reason=request-timeout")
    (worker,) = site.workers()
    site.kill(signal.SIGSTOP, site.manager())  # or it would replace the worker meanwhile
    with site.gate() as gate, Peer(site, "/groups?1") as witness, site.connect() as late:
        assert witness.heard() == "0"
        late.send(handshake(f"/late?{gate.path}"))
        visitor = gate.entered()
        others = [site.connect() for _ in range(tight_requests.DESCRIPTORS + 1)]
        for other in others:
            other.send_request("GET", "/")
        wait_until(lambda: totals(site)["waiting"] == 1, "a request that finds the ring full")
        if timeout:
            assert late.response().status == 504
        else:
            late.close()
            gauge(site, "open", 1 + len(others))
        visitor.release()
        visitor = gate.entered()
        assert witness.heard() == "accepted"  # so what was published before has been read, too
        assert totals(site)["waiting"] == 1, "the ring is still full"
        visitor.release()
        wait_until(lambda: site.notes() == ["/late 1006"], "the app to hear of the end")
        assert [other.response().json()["pid"] for other in others] == [worker] * len(others)
        witness.send(closing(1000))
        assert witness.ended() == 1000
    site.kill(signal.SIGCONT, site.manager())
    if timeout:
        site.wait_for_log("Worker left")
        site.wait_for_workers(1, other_than={worker})


def test_requests_find_room_beside_all_websockets_that_there_may_be(server: Start) -> None:
    site = server("pressed:app", "--workers", "1", "--reactors", "1", module="tests.support.tight_table")
    site.expect_log("too-many-websockets")
    most = 16 - 16 // limits.WS_SPARED_SHARE
    peers = [Peer(site) for _ in range(most)]
    with pytest.raises(NotOpened) as refused:
        Peer(site)
    assert (refused.value.response.status, refused.value.response.body) == (503, b"too-many-websockets")
    assert site.get("/")["pid"] in site.workers()
    peers[0].connection.close()
    gauge(site, "in_flight", most - 1)
    with Peer(site) as peer:
        peer.say("room")
        assert peer.heard() == "room"
    for peer in peers:
        peer.connection.close()
