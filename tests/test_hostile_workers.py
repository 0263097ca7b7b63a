"""A worker that publishes what cannot be is replaced, and only its own requests are lost; the master holds nothing of
it. Each case is a plan that tests/apps/hostile.py carries out inside a worker."""

from __future__ import annotations

import contextlib
import json
import signal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from swhttp import limits
from swhttp.ipc.ring import CREDIT, HEAD, INTERIM, LAST, NO_LENGTH, SHM, SMALL, TMPFILE, TRAILERS
from swhttp.limits import ARENA_CLASSES
from tests.support.client import Closed, Connection, Reset
from tests.support.counters import gauge
from tests.support.fleet import Start
from tests.support.frames import CLOSE, TEXT, Peer, closing
from tests.support.processes import wait_until
from tests.support.server import Server
from tests.support.survivors import both_serve

REPLACED = r"\[ERROR\] Worker has written what cannot be into its memory: slot \d+, pid {pid}\b"
BLOCKS = sum(count for _, count in ARENA_CLASSES)
LINE = "HTTP/1.1 200 OK\r\n"
FILE = Path(__file__).read_bytes()


@pytest.fixture(scope="module")
def site(module_server: Start) -> Server:
    """Two workers and one reactor."""
    return module_server("hostile:asgi", "--workers", "2", "--reactors", "1")


def block(number: int) -> str:
    """A reference to a block of the arena."""
    return (number.to_bytes(4, "little") + bytes(4)).hex()


def part(offset: int, length: int, passed: int = 1) -> str:
    """A reference to a part of a file."""
    return (offset.to_bytes(8, "little") + length.to_bytes(8, "little") + passed.to_bytes(8, "little")).hex()


def head(type: int, body_len: int, payload: str, *, flags: int = HEAD | LAST, length: int = NO_LENGTH) -> list[Any]:
    """A frame with a response head."""
    return ["frame", type, flags, 200, "ID", length, LINE, body_len, payload]


def rest(type: int, body_len: int, payload: str, *, flags: int = LAST) -> list[Any]:
    """A frame without one."""
    return ["frame", type, flags, 0, "ID", NO_LENGTH, "", body_len, payload]


BEGUN = head(SMALL, 4, b"body".hex(), flags=HEAD)
CREDITED = ["frame", CREDIT, 0, 0, "ID", 1000, "", 0]

BEFORE_ITS_HEAD = {
    "no frame": [["raw", "ee" * 64]],
    "a frame of nothing": [["raw", "00" * 32]],
    "published past the ring": [["ring_head", 1 << 40]],
    "published in the middle of a word": [["ring_head", 9]],
    "a block that does not exist": [head(SHM, 100, block(BLOCKS))],
    "a block far away": [head(SHM, 100, block(0xFFFFFFFF))],
    "more than a block holds": [head(SHM, ARENA_CLASSES[0][0] + 1, block(0))],
    "4 GiB in a block": [head(SHM, 0xFFFFFFFF, block(0))],
    "nothing in a block": [head(SHM, 0, block(0))],
    "a file that was not sent": [head(TMPFILE, 0, part(0, 10))],
    "the last file, when there was none": [head(TMPFILE, 0, part(0, 10, passed=0))],
    "a file and a length beside it": [head(TMPFILE, 10, part(0, 10))],
    "a pipe": [["send", "pipe", "ID"], head(TMPFILE, 0, part(0, 10))],
    "a socket": [["send", "socket", "ID"], head(TMPFILE, 0, part(0, 10))],
    "a device": [["send", "device", "ID"], head(TMPFILE, 0, part(0, 10))],
    "a directory": [["send", "directory", "ID"], head(TMPFILE, 0, part(0, 10))],
    "a pipe after a good start": [["send", "pipe", "ID"], CREDITED, head(TMPFILE, 0, part(0, 10))],
    "the file of another request": [["send", "file", 77, __file__], head(TMPFILE, 0, part(0, 10))],
    "many files in one message": [["message", "4d" * 8, 50], head(TMPFILE, 0, part(0, 10))],
    "messages of any length": [["message", "", 0], ["message", "4d", 3], ["message", "4d" * 100, 2],
                               head(TMPFILE, 0, part(0, 10))],
    "a file further than files go": [["send", "file", "ID", __file__], head(TMPFILE, 0, part(1 << 63, 1 << 63))],
    "a body before the head": [rest(SMALL, 4, b"body".hex())],
    "trailers before the head": [["frame", SMALL, LAST | TRAILERS, 0, "ID", NO_LENGTH, "x: 1\r\n", 0]],
    "an interim response that is final": [["frame", SMALL, INTERIM, 204, "ID", NO_LENGTH, LINE, 0]],
    "an interim response with a body": [["frame", SMALL, INTERIM, 103, "ID", NO_LENGTH, LINE, 4, b"body".hex()]],
    "a negative credit": [["frame", CREDIT, 0, 0, "ID", -1, "", 0]],
    "a request that does not exist": [["frame", SMALL, HEAD | LAST, 200, 1 << 40, NO_LENGTH, LINE, 0]],
    "a length below none": [head(SMALL, 0, "", length=-2)],
    "a status below 200": [["frame", SMALL, HEAD | LAST, 99, "ID", NO_LENGTH, LINE, 0]],
    "a head without a byte": [["frame", SMALL, HEAD | LAST, 200, "ID", NO_LENGTH, "", 0]],
    "files that nobody names": [*[["send", "device", "ID"]] * 20, ["raw", "00" * 32]],
}
WS_OPEN, WS_MESSAGE, WS_CLOSE, WS_MESSAGE_SHM, WS_SESSION, WS_SESSION_SHM, WS_DONE, WS_DONE_SHM = 10, 11, *range(12, 18)
WS_TEXT, WS_BINARY, WS_MORE, WS_PUSH, WS_BROADCAST, WS_JOIN, WS_LEAVE, WS_END, WS_OVERFLOW = 1, 2, 1, 1, 2, 3, 4, 5, 6
BEFORE_ITS_HEAD |= {
    "a message of a WebSocket": [["frame", WS_MESSAGE, WS_MORE, WS_TEXT, "ID", NO_LENGTH, "", 4, b"text".hex()]],
    "4 GiB of one": [["frame", WS_MESSAGE_SHM, WS_MORE, WS_TEXT, "ID", NO_LENGTH, "", 0xFFFFFFFF, block(0)]],
    "a handshake where there is none": [["frame", WS_OPEN, 0, 0, "ID", NO_LENGTH, "x: 1\r\n", 0]],
    "the end of a WebSocket": [["frame", WS_CLOSE, LAST, 1000, "ID", NO_LENGTH, "", 0]],
    "an event that was none": [["frame", WS_DONE, LAST, 0, "ID", 1, "", 0]],
    "state in a block": [["frame", WS_DONE_SHM, 1 | LAST, 0, "ID", 1, "", 0x7FFFFFFF, block(0)]],
}
ON_A_SOCKET = {
    "another acceptance": [["frame", WS_OPEN, 0, 0, "ID", NO_LENGTH, "x: 1\r\n", 0]],
    "a response": [head(SMALL, 4, b"body".hex())],
    "a message of no kind": [["frame", WS_MESSAGE, 0, 8, "ID", NO_LENGTH, "", 4, b"text".hex()]],
    "a message with a head": [["frame", WS_MESSAGE, 0, WS_TEXT, "ID", NO_LENGTH, "x: 1\r\n", 4, b"text".hex()]],
    "flags of a response": [["frame", WS_MESSAGE, LAST, WS_TEXT, "ID", NO_LENGTH, "", 4, b"text".hex()]],
    "half of a text, half of something else": [
        ["frame", WS_MESSAGE, WS_MORE, WS_TEXT, "ID", 8, "", 4, b"text".hex()],
        ["frame", WS_MESSAGE, 0, WS_BINARY, "ID", NO_LENGTH, "", 4, b"text".hex()]],
    "a block that does not exist": [["frame", WS_MESSAGE_SHM, 0, WS_TEXT, "ID", NO_LENGTH, "", 9, block(BLOCKS)]],
    "more than a block holds": [["frame", WS_MESSAGE_SHM, 0, WS_TEXT, "ID", NO_LENGTH, "", 0xFFFFFFFF, block(0)]],
    "a code that nobody may send": [["frame", WS_CLOSE, 0, 1005, "ID", NO_LENGTH, "", 0]],
    "a reason too long": [["frame", WS_CLOSE, 0, 1000, "ID", NO_LENGTH, "", 124, "61" * 124]],
    "blocks read that never were": [["has_read", "ID", 1], ["frame", CREDIT, 0, 0, "ID", 1, "", 0]],
    "blocks that are not read any more": [["has_read", "ID", 0xFFFFFFFF], ["frame", CREDIT, 0, 0, "ID", 1, "", 0]],
    "the end of an event": [["frame", WS_DONE, LAST, 0, "ID", 1, "", 0]],
    "no verb": [["frame", WS_SESSION, 0, WS_TEXT, 0, "SESSION", "", 4, b"text".hex()]],
    "a verb that is none": [["frame", WS_SESSION, 7, WS_TEXT, 0, "SESSION", "", 4, b"text".hex()]],
    "a policy that is none": [["frame", WS_SESSION, WS_PUSH | 4 << 4, WS_TEXT, 0, "SESSION", "", 4, b"text".hex()]],
    "another that is none": [["frame", WS_SESSION, WS_OVERFLOW, 3, 0, "SESSION", "", 0]],
    "a push of no kind": [["frame", WS_SESSION, WS_PUSH, 9, 0, "SESSION", "", 4, b"text".hex()]],
    "a push of text that is none": [["frame", WS_SESSION, WS_PUSH, WS_TEXT, 0, "SESSION", "", 1, "ff"]],
    "a push from a block that does not exist": [
        ["frame", WS_SESSION_SHM, WS_PUSH, WS_BINARY, 0, "SESSION", "", 9, block(BLOCKS)]],
    "a push too long": [["frame", WS_SESSION_SHM, WS_PUSH, WS_BINARY, 0, "SESSION", "", 524289, block(BLOCKS - 1)]],
    "a broadcast to nobody": [["frame", WS_SESSION, WS_BROADCAST, WS_TEXT, 0, NO_LENGTH, "", 4, b"text".hex()]],
    "a group without a name": [["frame", WS_SESSION, WS_JOIN, 0, 0, "SESSION", "", 0]],
    "a group with a long name": [["frame", WS_SESSION, WS_JOIN, 0, 0, "SESSION", "x" * 256, 0]],
    "an end that nobody may send": [["frame", WS_SESSION, WS_END, 1006, 0, "SESSION", "", 0]],
    "an end that is not UTF-8": [["frame", WS_SESSION, WS_END, 1000, 0, "SESSION", "", 1, "ff"]],
}
AFTER_ITS_HEAD = {
    "another head": [BEGUN, BEGUN],
    "an interim response": [BEGUN, ["frame", SMALL, INTERIM, 103, "ID", NO_LENGTH, LINE, 0]],
    "trailers that are not the end": [BEGUN, ["frame", SMALL, TRAILERS, 0, "ID", NO_LENGTH, "x: 1\r\n", 0]],
    "a block that does not exist": [BEGUN, rest(SHM, 100, block(BLOCKS))],
    "a file that was not sent": [BEGUN, rest(TMPFILE, 0, part(0, 10))],
    "a frame after the end": [head(SMALL, 4, b"body".hex(), flags=HEAD | LAST), rest(SMALL, 4, b"more".hex())],
}


def wreak(client: Connection, plan: list[list[Any]], **request: Any) -> None:
    """Have a worker carry out a plan."""
    client.send_request("POST", "/hostile?plan=" + quote(json.dumps(plan)), **request)


def replaced(site: Server, before: list[int]) -> None:
    """One worker has been replaced, for the reason that the log gives; both serve."""
    site.expect_log(REPLACED.format(pid=r"\d+"))
    (new,) = site.wait_for_workers(1, other_than=set(before))
    (old,) = set(before) - set(site.workers())
    site.wait_for_log(REPLACED.format(pid=old))
    assert f"pid {old}, signal 9" in site.log.text()
    assert len(site.workers()) == 2
    both_serve(site, new)


def bad_frames(site: Server) -> int:
    return int(site.counters().reactors[0]["bad_frames"])


@pytest.mark.parametrize("case", BEFORE_ITS_HEAD)
def test_a_worker_that_publishes_this_is_replaced_and_its_request_answered(site: Server, case: str) -> None:
    before, bad = site.workers(), bad_frames(site)
    with site.gate() as gate, site.connect() as bystander, site.connect() as client:
        bystander.send_request("POST", gate.target.replace("/hold", "/upload"), body=b"x")
        visitor = gate.entered()
        wreak(client, BEFORE_ITS_HEAD[case])
        assert client.response().status == 502
        assert bad_frames(site) == bad + 1
        visitor.release()
        assert bystander.response().json()["pid"] == visitor.pid
    replaced(site, before)


@pytest.mark.parametrize("case", AFTER_ITS_HEAD)
def test_a_worker_that_publishes_this_behind_a_head_is_replaced_and_its_response_cut(site: Server, case: str) -> None:
    before, bad = site.workers(), bad_frames(site)
    with site.connect() as client:
        wreak(client, AFTER_ITS_HEAD[case])
        if case == "a frame after the end":
            assert client.response().body == b"body"
        else:
            cut = client.expect_cut()
            assert b"body" in cut.partial

        def is_noticed() -> bool:
            if case == "a frame after the end" and bad_frames(site) == bad:
                # Where nothing is in flight nothing is read: it is found with the next request there.
                with site.connect() as other, contextlib.suppress(Closed):
                    other.get("/")
            return bad_frames(site) == bad + 1

        wait_until(is_noticed, "the bad frame, which may come after a whole response")
    replaced(site, before)


@pytest.mark.parametrize("case", ON_A_SOCKET)
def test_a_worker_that_publishes_this_of_a_websocket_is_replaced_and_the_others_stay(site: Server, case: str) -> None:
    before, bad = site.workers(), bad_frames(site)
    with Peer(site, "/hostile?plan=" + quote(json.dumps(ON_A_SOCKET[case]))) as peer:
        while (found := peer.next()).opcode != CLOSE:
            assert found.opcode == TEXT
        assert found.payload == b"\x03\xf3"  # 1011
        peer.send(closing(1011))
        peer.connection.expect_end()
    assert bad_frames(site) == bad + 1
    replaced(site, before)


def test_what_is_pushed_into_a_message_that_does_not_end_has_a_bound(site: Server) -> None:
    """And so has what is pushed to a client that takes nothing: it is the same one."""
    before = site.workers()
    site.expect_log("reason=ws-push-overflow")
    waits = WS_PUSH | 3 << 4
    bytes_ = limits.WS_PUSH_BYTES
    pushers = len(site.counters().slots) + limits.MAX_USER_PROCESSES
    most = limits.HIGH_WATER_BYTES + pushers * limits.WS_PUSHER_BYTES
    plan = [["frame", WS_MESSAGE, WS_MORE, WS_TEXT, "ID", NO_LENGTH, "", 4, b"text".hex()],
            ["repeat", most // bytes_ + 2,
             ["frame", WS_SESSION_SHM, waits, WS_BINARY, 0, "ID", "", bytes_, block(BLOCKS - 1)], "SESSION"],
            ["raw", "ee" * 64]]
    with Peer(site, "/hostile?plan=" + quote(json.dumps(plan))) as peer:
        assert [found.payload for found in peer.rest()] == [b"accepted", b"text"]
    site.wait_for_log("reason=ws-push-overflow client=")
    replaced(site, before)


def test_what_one_worker_says_of_a_session_that_it_does_not_have_is_nobodys_loss(site: Server) -> None:
    """Ids of rows and reactors that do not exist, of sockets that are no more, of plain requests."""
    before = site.workers()
    ids = [0, 1, 5, 1 << 22, (1 << 63) - 1, (1 << 40) + 64, 63]
    plan = [["frame", WS_SESSION, verb, 1000 if verb == WS_END else WS_TEXT, 0, session,
             "" if verb in (WS_PUSH, WS_END) else "group", 2, b"hi".hex()]
            for session in ids for verb in (WS_PUSH, WS_JOIN, WS_LEAVE, WS_END)]
    with site.connect() as client:
        wreak(client, [*plan, head(SMALL, 4, b"well".hex()), ["raw", "ee" * 64]])
        assert client.response().body == b"well"  # all that was said before has been taken
    replaced(site, before)


def test_the_request_of_another_worker_is_not_answered(site: Server) -> None:
    before, bad = site.workers(), bad_frames(site)
    with site.connect() as other, site.connect() as client:
        other.send_request(target="/id")
        others = int(next(other.pieces(other.head())))
        assert other.raw(2) == b"\r\n"
        wreak(client, [["frame", SMALL, LAST, 0, others, NO_LENGTH, "", 4, b"lies".hex()]])
        assert client.response().status == 502
        assert bad_frames(site) == bad + 1
        assert not other.wait_readable(0)
    replaced(site, before)


SPOILT = {
    "the head of the requests": ["word", "head of requests", 16 << 20],
    "a tail of the requests before their head": ["word", "tail of requests", 1 << 40],
    "the tail of the responses": ["word", "tail of responses", 8],
    "who owns a request": ["word", "owner", 4711],
}


@pytest.mark.parametrize("case", SPOILT)
def test_a_worker_that_spoils_what_nobody_reads_is_found_out(site: Server, case: str) -> None:
    before, bad = site.workers(), bad_frames(site)
    with site.connect() as client:
        wreak(client, [SPOILT[case], ["block"]])
        assert client.response().status == 502
    assert bad_frames(site) == bad + 1
    replaced(site, before)


@pytest.mark.parametrize("step", [["keep", "worker sleeps", 0], ["keep", "reactor sleeps", 0], ["fill"]],
                         ids=["the worker is awake", "the reactor is awake", "its eventfd is full"])
def test_who_is_not_woken_is_looked_at(site: Server, step: list[Any]) -> None:
    before = site.workers()
    with site.gate() as gate, site.connect() as bystander, site.connect() as client:
        bystander.send_request("POST", gate.target.replace("/hold", "/upload"), body=b"x")
        visitor = gate.entered()
        wreak(client, [step, ["answer"]])
        assert client.response().body == b"well"
        for _ in range(2):
            assert client.get("/pid").status == 200
        assert set(site.workers()) == set(before)
        visitor.release()
        assert bystander.response().json()["pid"] == visitor.pid
    put_an_end(site, before)


@pytest.mark.parametrize("kind", ["blocks", "files"])
def test_what_a_worker_sends_to_a_client_that_does_not_read_has_a_bound(
    site: Server, kind: str, tmp_path: Path
) -> None:
    before = site.workers()
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(1 << 26)
    steps: list[list[Any]] = [["repeat", 220, rest(SHM, 65536, block(0), flags=0), "ID"]]
    if kind == "files":  # behind what fills the socket
        steps = [["send", "file", "ID", str(large)], rest(TMPFILE, 0, part(0, 1 << 26), flags=0),
                 ["repeat", 2000, rest(TMPFILE, 0, part(0, 2, passed=0), flags=0), "ID"]]
    with site.connect(buffer_bytes=4096) as client:
        wreak(client, [head(SHM, 65536, block(0), flags=HEAD), *steps])
        cut = client.expect_cut()
        assert len(cut.partial) < 200 * 65536, "all of it"
    put_an_end(site, before)


def test_a_worker_that_hangs_up_on_files_does_not_hold_up_the_others(server: Start) -> None:
    site = server("hostile:wsgi", "--workers", "2", "--reactors", "1")
    before, body = site.workers(), bytes(1 << 21)
    with site.connect() as client:
        client.request("GET", "/hostile?plan=" + quote(json.dumps([["hang_up"]])))
        for _ in range(4):
            assert client.request("POST", "/upload", body=body).json()["length"] == len(body)
    replaced(site, before)


def test_a_credit_that_is_taken_back_replaces_the_worker(site: Server) -> None:
    before = site.workers()
    with site.connect() as client:
        plan = [CREDITED, ["frame", CREDIT, 0, 0, "ID", 999, "", 0]]
        wreak(client, plan, headers=[("Content-Length", "1000000")])
        assert client.response().status == 502
        client.expect_end()
    replaced(site, before)


def put_an_end(site: Server, before: list[int]) -> None:
    """To a worker whose hostile request the master takes for answered."""
    for pid in before:
        site.kill(signal.SIGKILL, pid)
    both_serve(site, site.wait_for_workers(2, other_than=set(before))[0])


DELIVERED: dict[str, tuple[list[list[Any]], bytes]] = {
    "a block": ([head(SHM, 100, block(BLOCKS - 1))], bytes(100)),
    "a file": ([["send", "file", "ID", __file__], head(TMPFILE, 0, part(7, 100))], FILE[7:107]),
    "a file again": ([["send", "file", "ID", __file__], head(TMPFILE, 0, part(7, 100), flags=HEAD),
                      rest(TMPFILE, 0, part(0, 7, passed=0))], FILE[7:107] + FILE[:7]),
    "two files": ([["send", "file", "ID", __file__], ["send", "file", "ID", __file__],
                   head(TMPFILE, 0, part(0, 9), flags=HEAD), rest(TMPFILE, 0, part(0, 9))], FILE[:9] * 2),
    "one block twice": ([head(SHM, 100, block(0), flags=HEAD), rest(SHM, 100, block(0))], bytes(200)),
    "one block often": ([head(SHM, 100, block(5), flags=HEAD), *[rest(SHM, 65536, block(5), flags=0)] * 60,
                         rest(SHM, 100, block(5))], bytes(200 + 60 * 65536)),
}


@pytest.mark.parametrize("case", DELIVERED)
def test_what_can_be_is_delivered_whatever_the_worker_does_to_itself(site: Server, case: str) -> None:
    """That these plans work proves that the others fail for the reason that they should."""
    before, bad = site.workers(), bad_frames(site)
    plan, body = DELIVERED[case]
    with site.connect() as client:
        wreak(client, plan)
        answer = client.response()
        assert (answer.status, answer.body) == (200, body)
        assert answer.keeps_open
    assert bad_frames(site) == bad
    put_an_end(site, before)


@pytest.mark.parametrize("flags", [HEAD, HEAD | LAST], ids=["more follows", "last"])
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_a_file_shorter_than_its_frame_says_cuts_the_connection(site: Server, framing: str, flags: int) -> None:
    before, promised = site.workers(), len(FILE) + 1
    length, line = (promised, f"{LINE}content-length: {promised}\r\n") if framing == "length" else (NO_LENGTH, LINE)
    frame = ["frame", TMPFILE, flags, 200, "ID", length, line, 0, part(0, promised)]
    plan = [["send", "file", "ID", __file__], frame]
    with site.connect() as client:
        wreak(client, plan, version="HTTP/1.0" if framing == "close" else "HTTP/1.1")
        cut = client.expect_cut()
        assert FILE.startswith(cut.partial.partition(b"\r\n\r\n")[2].removeprefix(b"%x\r\n" % promised))
        assert framing != "close" or isinstance(cut, Reset), "an end in order would make it look whole"
    put_an_end(site, before)


def test_a_file_that_did_not_come_through_cuts_that_response_alone(site: Server) -> None:
    """As when the master has no fd free: the message is there, and the file is not."""
    before = site.workers()
    with site.connect() as client, site.connect() as other:
        wreak(client, [BEGUN, ["message_of", "ID"], rest(TMPFILE, 0, part(0, 10))])
        assert b"body" in client.expect_cut().partial
        site.wait_for_log("reason=response-file-lost")
        assert other.get("/pid").status == 200
    assert set(site.workers()) == set(before)
    put_an_end(site, before)


@pytest.mark.parametrize("then", [[], [rest(SMALL, 4, b"body".hex())]], ids=["last", "more follows"])
def test_a_response_whose_file_did_not_come_through_is_503(site: Server, then: list[Any]) -> None:
    before, flags = site.workers(), HEAD if then else HEAD | LAST
    with site.connect() as client:
        wreak(client, [["message_of", "ID"], head(TMPFILE, 0, part(0, 10), flags=flags), *then])
        answer = client.response()
        assert (answer.status, answer.body) == (503, b"response-file-lost")
        client.half_close()
        client.expect_end()
    gauge(site, "in_flight")
    assert set(site.workers()) == set(before)
    put_an_end(site, before)


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["fork", "preload"])
def test_one_that_talks_nonsense_to_the_manager_is_heard_no_more(server: Start, options: tuple[str, ...]) -> None:
    site = server("babbler:wsgi", "--workers", "1", "--reactors", "1", *options)
    with site.connect() as client:
        assert client.get("/babble").status == 200
        site.wait_for_log(r"\[WARNING\] Worker said what is not understood, and is not heard any more: slot 0, pid")
        for _ in range(3):
            pid = int(client.get("/babble").body)
        site.kill(signal.SIGKILL, pid)
    site.wait_for_log(rf"Worker died: slot 0, pid {pid}, signal 9")
    site.wait_for_workers(1, other_than={pid})
    assert site.log.text().count("not understood") == 1
