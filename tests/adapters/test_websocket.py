"""WebSockets of ASGI apps, frame by frame: what comes in blocks, what goes, and how each ends."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from swhttp import limits
from swhttp.ipc import ring
from tests.adapters.rig import CHUNKS, Flight, Rig, working

TEXT, BINARY = ring.TEXT, ring.BINARY
ACCEPT = {"type": "websocket.accept"}
CONNECTED = {"type": "websocket.connect"}
LEFT = {"type": "websocket.disconnect", "code": 1006, "reason": ""}
Record = tuple[int, bytes, int, int]


def text(data: str, flags: int = 0) -> Record:
    return TEXT, data.encode(), flags, 0


def binary(data: bytes, flags: int = 0) -> Record:
    return BINARY, data, flags, 0


def connect(rig: Rig, target: bytes = b"/echo", **block: Any) -> Flight:
    """Until it is accepted."""
    flight = rig.begin(target, type=ring.WS_OPEN, **block)
    assert rig.frame() is flight
    assert flight.last.type == ring.WS_OPEN
    return flight


def begin(rig: Rig, *steps: Any) -> Flight:
    return rig.begin(b"/steps?" + quote(json.dumps(steps)).encode(), type=ring.WS_OPEN)


def leave(rig: Rig, flight: Flight, code: int, reason: bytes | None = None) -> None:
    """The client closes: with a record of its close frame, or without one."""
    rig.table.ack(flight.request_id, flight.acked, closed=True)
    if reason is None:
        rig.post(flight.request_id, type=ring.WS_CLOSE, code=code)
    else:
        rig.messages(flight, (ring.CLOSING, reason, 0, code), type=ring.WS_CLOSE)


def notes(rig: Rig, target: bytes = b"/notes") -> Any:
    return json.loads(rig.answer(target).body)


def ended(flight: Flight) -> tuple[int, int, int]:
    return flight.last.type, flight.last.flags, flight.last.status


# ---- what comes

def test_messages_go_back_in_order_and_of_their_type() -> None:
    with working("sockets:app", "asgi") as rig:
        flight = connect(rig)
        rig.messages(flight, text("one"))
        rig.messages(flight, text("zwölf"), binary(b"\x00\xff"), text(""))
        rig.messages(flight, binary(b""))
        while len(flight.messages) < 5:
            rig.frame()
        assert flight.messages == [
            (TEXT, b"one"), (TEXT, "zwölf".encode()), (BINARY, b"\x00\xff"), (TEXT, b""), (BINARY, b"")]
        assert rig.table.read(flight.request_id) == 3
        leave(rig, flight, 1001, "tschüß".encode())
        rig.finish(flight)
        assert ended(flight) == (ring.WS_CLOSE, ring.LAST, 1000)
        assert notes(rig) == [{"type": "websocket.disconnect", "code": 1001, "reason": "tschüß"}]
        assert rig.log() == ""


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_pieces_are_read_as_they_come_and_given_whole(opcode: int) -> None:
    whole = "aé€😀".encode() * 300
    with working("sockets:app", "asgi") as rig:
        flight = connect(rig)
        steps = range(0, len(whole), 97)
        assert len(steps) > CHUNKS  # more blocks than there are: they must be given back before the message is whole
        for nth, at in enumerate(steps, 1):
            more = at != steps[-1]
            rig.messages(flight, (opcode, whole[at : at + 97], ring.MORE_RECORDS if more else 0, 0))
            while more and flight.credit < nth:
                rig.frame()
        while not flight.messages:
            rig.frame()
        assert flight.messages == [(opcode, whole)]
        assert rig.table.read(flight.request_id) == len(steps)
        # The last record of a block begins what the next one ends.
        rig.messages(flight, text("a"), (opcode, b"b", ring.MORE_RECORDS, 0))
        rig.messages(flight, (opcode, b"c", 0, 0), text("d"))
        while len(flight.messages) < 4:
            rig.frame()
        assert flight.messages[1:] == [(TEXT, b"a"), (opcode, b"bc"), (TEXT, b"d")]
        leave(rig, flight, 1000)
        rig.finish(flight)


def test_who_waits_for_more_says_what_it_has_read_unless_a_frame_has_done_so() -> None:
    with working("sockets:app", "asgi") as rig:
        flight = begin(rig, "receive", ACCEPT, "receive", "receive")
        rig.frame()
        rig.messages(flight, text("one"))
        rig.frame()
        assert (flight.last.type, flight.credit) == (ring.CREDIT, 1)
        rig.messages(flight, text("two"))
        rig.finish(flight)
        assert [frame.type for frame in flight.frames] == [ring.WS_OPEN, ring.CREDIT, ring.WS_CLOSE]
        flight = connect(rig)
        for nth in range(1, 5):
            rig.messages(flight, text("back"))
            while len(flight.messages) < nth:
                rig.frame()
        assert [frame.type for frame in flight.frames] == [ring.WS_OPEN] + [ring.WS_MESSAGE] * 4
        leave(rig, flight, 1000)
        rig.finish(flight)


def test_messages_wait_for_their_app_and_come_before_the_end() -> None:
    with working("sockets:app", "asgi") as rig:
        flight = begin(rig, "receive", ACCEPT, "gate", *["receive"] * (CHUNKS + 1))
        rig.frame()
        for nth in range(CHUNKS - 1):
            rig.messages(flight, text(str(nth)))
        leave(rig, flight, 1000, b"bye")
        assert notes(rig, b"/open") == [CONNECTED]
        rig.finish(flight)
        left = {"type": "websocket.disconnect", "code": 1000, "reason": "bye"}
        assert notes(rig) == [{"type": "websocket.receive", "text": str(nth)} for nth in range(CHUNKS - 1)] + [left] * 2


def test_an_end_that_is_the_last_record_of_a_message_block() -> None:
    with working("sockets:app", "asgi") as rig:
        flight = begin(rig, "receive", ACCEPT, *["receive"] * 3)
        rig.frame()
        rig.messages(flight, text("one"), (ring.CLOSING, b"enough", 0, 4000))
        rig.finish(flight)
        left = {"type": "websocket.disconnect", "code": 4000, "reason": "enough"}
        assert notes(rig)[1:] == [{"type": "websocket.receive", "text": "one"}, left, left]


def test_what_comes_after_the_final_frame_is_not_looked_at() -> None:
    with working("sockets:app", "asgi") as rig:
        flight = begin(rig, "receive", ACCEPT)
        rig.finish(flight)
        for type in (ring.WS_MESSAGE, ring.WS_CLOSE):
            rig.post(flight.request_id, 0xFFFFFFF0, type)  # no block of ours: a look at it would be the last
        assert notes(rig) == [CONNECTED]


def test_receive_in_tasks_with_timeouts_and_several_at_once() -> None:
    with working("sockets:app", "asgi") as rig:
        flight = connect(rig, b"/tasks")
        while not flight.messages:
            rig.frame()
        for word in ("one", "two", "three"):
            rig.messages(flight, text(word))
        rig.messages(flight, text("c"), text("b"))
        rig.messages(flight, text("a"))
        while len(flight.messages) < 2:
            rig.frame()
        rig.messages(flight, text("last"))
        rig.finish(flight)
        assert json.loads(flight.messages[2][1]) == [
            "timeout", "timeout", "timeout", "one", "twoinner", "three", "a", "b", "c",
            "coroutine is being awaited already", "last", True, "ours", True, None,
        ]
        assert rig.log() == ""


def test_others_have_their_turns_while_messages_are_there() -> None:
    with working("sockets:app", "asgi") as rig:
        for word, least in (("", 500 // 16 - 1), ("back", 2 * 500 // 16 - 2)):
            flight = connect(rig, b"/turns")
            rig.messages(flight, *[text(word)] * 500, text("end"))
            rig.answer(b"/open")
            rig.finish(flight)
            assert notes(rig)[0] >= least


# ---- what goes

@pytest.mark.parametrize("size", [limits.MAX_SMALL_FRAME_BYTES - 100, 65536, 1 << 20, 3_000_000])
def test_large_messages(size: int) -> None:
    data = bytes(range(251)) * (size // 251 + 1)
    with working("sockets:app", "asgi") as rig:
        flight = connect(rig)
        for at in range(0, size, 65536):
            piece = data[at : min(at + 65536, size)]
            rig.messages(flight, binary(piece, ring.MORE_RECORDS if at + len(piece) < size else 0))
            while rig.table.read(flight.request_id) < at // 65536 + 1:
                rig.frame()
        while not flight.messages:
            rig.frame()
        assert flight.messages == [(BINARY, data[:size])]
        frames = [frame for frame in flight.frames if frame.body]
        lengths = [frame.content_length for frame in frames]
        assert lengths == ([size] if len(frames) > 1 else [ring.NO_LENGTH]) + [ring.NO_LENGTH] * (len(frames) - 1)
        assert {frame.type for frame in frames} == {ring.WS_MESSAGE if size < 65536 else ring.WS_MESSAGE_SHM}
        assert rig.counters()["shm_frames"] == (0 if size < 65536 else len(frames))
        leave(rig, flight, 1000)
        rig.finish(flight)


@pytest.mark.parametrize("arena", [((4096, 1),), ((65536, 2), (1048576, 1))])
@pytest.mark.parametrize("ring_bytes", [1024, 65536])
def test_messages_of_several_tasks_stay_whole_where_there_is_little_room(
    ring_bytes: int, arena: tuple[tuple[int, int], ...]
) -> None:
    with working("sockets:app", "asgi", arena_classes=arena, response_ring_bytes=ring_bytes) as rig:
        for size in (1, 700, 600_000):
            flights = [rig.begin(b"/both?%d" % size, type=ring.WS_OPEN) for _ in range(2)]
            rig.finish(*flights)
            for flight in flights:
                sent = sorted(data for _, data in flight.messages)
                assert sent == [byte * size for byte in (b"a", b"b", b"c") for _ in range(3)]
                assert ended(flight) == (ring.WS_CLOSE, ring.LAST, 1000)


def test_a_message_whose_send_was_cancelled_half_way_goes_out_whole() -> None:
    with working("sockets:app", "asgi") as rig:
        rig.acks = False
        flight = connect(rig, b"/gives_up")
        rig.frame()
        assert flight.last.flags == ring.MORE
        opened = rig.begin(b"/open")
        rig.finish(opened)
        rig.acks = True
        rig.finish(flight)
        assert flight.messages == [(BINARY, b"a" * 3_000_000), (TEXT, b"after")]
        assert notes(rig) == [True]


SEND, CLOSE, START = {"type": "websocket.send"}, {"type": "websocket.close"}, {"type": "websocket.http.response.start"}
BODY = {"type": "websocket.http.response.body"}
REFUSED: list[tuple[list[dict[str, Any]], dict[str, Any], str]] = [  # what is sent before, the message, its error
    ([], SEND, "before websocket.accept"),
    ([], BODY, "before websocket.http.response.start"),
    ([], {"type": "http.response.start"}, "unexpected ASGI message"),
    ([], {**ACCEPT, "headers": [["sec-websocket-protocol", "x"]]}, "subprotocol"),
    ([], {**ACCEPT, "headers": [["Sec-WebSocket-Accept", "x"]]}, "not the app's"),
    ([], {**ACCEPT, "headers": [["a b", "x"]]}, "bad header name"),
    ([], {**ACCEPT, "headers": [["a", "x\r\ny"]]}, "bad value"),
    ([], {**ACCEPT, "headers": [["a", "x"]], "times": 4000}, "header-lines-too-large"),
    ([], {**ACCEPT, "subprotocol": "a b"}, "bad subprotocol"),
    ([ACCEPT], ACCEPT, "had been answered"),
    ([ACCEPT], {**START, "status": 200}, "had been answered"),
    ([ACCEPT], SEND, "neither bytes nor text"),
    ([ACCEPT], {**SEND, "text": "a", "hex": "00"}, "both bytes and text"),
    ([ACCEPT], {**SEND, "text": 1}, "expected a str"),
    ([ACCEPT], {**SEND, "bytes": "a"}, "expected a byte string"),
    ([ACCEPT], {**SEND, "text": "\ud800"}, "surrogates"),
    ([ACCEPT], {**CLOSE, "code": 1006}, "1006"),
    ([ACCEPT], {**CLOSE, "code": 999}, "999"),
    ([ACCEPT], {**CLOSE, "code": 1 << 40}, "is not one that can be sent"),
    ([ACCEPT], {**CLOSE, "code": "1000"}, "'1000'"),
    ([ACCEPT], {**CLOSE, "reason": "ä" * 62}, "at most 123 bytes"),
    ([ACCEPT], {**CLOSE, "reason": 1}, "expected a str"),
    ([ACCEPT, CLOSE], {**SEND, "text": "a"}, "after websocket.close"),
    ([ACCEPT, CLOSE], CLOSE, "after websocket.close"),
    ([{**START, "status": 200}], ACCEPT, "had been answered"),
]


def test_messages_that_cannot_be_are_refused_where_the_app_sends_them() -> None:
    with working("sockets:app", "asgi") as rig:
        for before, message, error in REFUSED:
            flight = begin(rig, *before, message)
            rig.finish(flight)
            ((_, _, told),) = notes(rig)
            assert error in told
            assert [frame.status for frame in flight.frames if frame.type == ring.WS_MESSAGE] == []


# ---- the handshake

def test_the_scope_and_what_is_accepted_with_it() -> None:
    headers = [(b"host", b"a"), (b"sec-websocket-protocol", b"one, two"), (b"sec-websocket-protocol", b" ,\t, three ,")]
    with working("sockets:app", "asgi") as rig:
        flight = connect(rig, b"/scopes?a=%20", headers=headers, session=3, session_generation=7)
        assert flight.last.head == b"sec-websocket-protocol: three\r\n"
        rig.finish(flight)
        scope = json.loads(flight.messages[0][1])
        assert scope == {
            "type": "websocket", "asgi": {"version": "3.0", "spec_version": "2.5"}, "http_version": "1.1",
            "scheme": "ws", "path": "/scopes", "raw_path": "/scopes", "query_string": "a=%20", "root_path": "",
            "headers": [[name.decode(), value.decode()] for name, value in headers],
            "client": None, "server": None, "state": {}, "subprotocols": ["one", "two", "three"],
            "extensions": {"websocket.http.response": {}},
            "swhttp.session": 7 << 22 | 3 << 6,
        }


def test_the_apps_fields_are_accepted_without_those_of_the_connection() -> None:
    fields = [["X-One", "1"], ["connection", "close"], ["Content-Length", "7"], ["Set-Cookie", "a=b"]]
    with working("sockets:app", "asgi") as rig:
        flight = begin(rig, {**ACCEPT, "subprotocol": "chat", "headers": fields})
        rig.finish(flight)
        assert flight.frames[0].head == b"sec-websocket-protocol: chat\r\nX-One: 1\r\nSet-Cookie: a=b\r\n"


def test_a_close_before_the_handshake_is_answered_is_a_403() -> None:
    with working("sockets:app", "asgi") as rig:
        flight = begin(rig, "receive", {"type": "websocket.close", "code": 4000}, "receive")
        rig.finish(flight)
        assert (flight.status, bytes(flight.body)) == (403, b"")
        assert b"content-length: 0\r\n" in flight.head.head
        assert notes(rig) == [CONNECTED, LEFT]
        assert rig.log() == ""


def test_a_response_refuses() -> None:
    start = {**START, "status": 418, "headers": [["x-tea", "pot"]]}
    with working("sockets:app", "asgi") as rig:
        flight = begin(rig, start, {**BODY, "hex": "61", "times": 40000, "more_body": True}, {**BODY, "hex": "62"},
                       "receive", "receive")
        rig.finish(flight)
        assert (flight.status, bytes(flight.body)) == (418, b"a" * 40000 + b"b")
        assert b"x-tea: pot\r\n" in flight.head.head
        assert notes(rig) == [CONNECTED, LEFT]
        for steps, status, cut in (([start], 500, 0),
                                   ([start, {**BODY, "hex": "61", "more_body": True}], 418, ring.ABORT)):
            flight = begin(rig, *steps)
            rig.finish(flight)
            assert (flight.status, flight.last.flags & ring.ABORT) == (status, cut)
        assert rig.log().count("returned without completing its response") == 2


@pytest.mark.parametrize("waits", [True, False])
def test_a_client_that_leaves_in_its_handshake(waits: bool) -> None:
    with working("sockets:app", "asgi") as rig:
        flight = begin(rig, "receive", *(["receive"] if waits else ["gate"]), ACCEPT, "receive")
        while notes(rig) != [CONNECTED]:
            pass
        rig.close(flight)
        if not waits:
            rig.table.ack(flight.request_id, 0, closed=True)
            rig.answer(b"/open")
            rig.frame()
            leave(rig, flight, 1006)  # the reactor's answer to whoever accepts too late
        rig.finish(flight)
        assert notes(rig) == [LEFT] * (1 + waits)
        assert rig.log() == ""


# ---- ends

def test_an_app_that_closes_goes_on_until_it_returns() -> None:
    close = {"type": "websocket.close", "code": 3001, "reason": "schön"}
    with working("sockets:app", "asgi") as rig:
        flight = begin(rig, ACCEPT, close, "receive", "receive", "receive")
        rig.frame()
        rig.frame()
        assert (*ended(flight), flight.last.body) == (ring.WS_CLOSE, 0, 3001, "schön".encode())
        rig.messages(flight, text("crossed it"))
        leave(rig, flight, 3001, "schön".encode())
        rig.finish(flight)
        assert [note["type"] for note in notes(rig)] == [
            "websocket.connect", "websocket.receive", "websocket.disconnect"]
        assert ended(flight) == (ring.WS_CLOSE, ring.LAST, 1000)
        flight = begin(rig, ACCEPT, {"type": "websocket.close"})
        rig.finish(flight)
        assert flight.frames[1].status == 1000
        flight = begin(rig, ACCEPT, {"type": "websocket.close", "code": 1005, "reason": "dropped"})
        rig.finish(flight)
        assert (flight.frames[1].status, flight.frames[1].body) == (0, b"")
        assert rig.log() == ""


@pytest.mark.parametrize(("steps", "final", "logged"), [
    (["raise"], 500, "RuntimeError: on purpose"),
    ([], 500, "returned without an answer to a WebSocket's handshake"),
    ([ACCEPT, "raise"], 1011, "RuntimeError: on purpose"),
    ([ACCEPT], 1000, ""),
])
def test_how_it_ends_when_the_app_does(steps: list[Any], final: int, logged: str) -> None:
    with working("sockets:app", "asgi") as rig:
        flight = begin(rig, *steps)
        rig.finish(flight)
        assert flight.last.status == final
        assert flight.last.flags & ring.LAST
        assert rig.log().count("Traceback") == ("raise" in steps)
        assert logged in rig.log()
        assert bool(rig.log()) == bool(logged)
        assert rig.counters()["app_errors"] == bool(logged)


def test_send_raises_when_the_client_has_left() -> None:
    with working("sockets:app", "asgi") as rig:
        for query, dropped in ((b"", 0), (b"listens", 4)):
            flight = connect(rig, b"/sends_on?" + query)
            while notes(rig) != ["ready"]:
                pass
            leave(rig, flight, 1001)
            rig.answer(b"/open")
            rig.finish(flight)
            assert notes(rig) == [[dropped, "ClientDisconnected"]]
            assert flight.messages == []
        assert rig.log() == ""


def test_send_raises_at_once_in_the_task_that_has_been_told_of_the_end() -> None:
    message = {"type": "websocket.send", "text": "on"}
    with working("sockets:app", "asgi") as rig:
        flight = begin(rig, "receive", ACCEPT, "receive", message, {"type": "websocket.close"})
        rig.frame()
        leave(rig, flight, 1001)
        rig.finish(flight)
        _, end, (raised, is_os_error, _) = notes(rig)
        assert (end["code"], raised, is_os_error) == (1001, "ClientDisconnected", True)
        assert flight.messages == []


def test_who_waits_for_a_slow_client_hears_that_it_has_left() -> None:
    with working("sockets:app", "asgi") as rig:
        rig.acks = False
        flight = begin(rig, ACCEPT, *[{"type": "websocket.send", "text": "a" * 50}] * 3, "receive")
        rig.finish(begin(rig))  # 500, and the other is accepted by now
        big = connect(rig, b"/both?600000")
        while len(big.frames) < 2:
            rig.frame()
        leave(rig, big, 1001)
        rig.finish(big)
        assert ended(big)[1] == ring.LAST
        rig.messages(flight, text("on"))
        rig.finish(flight)


def test_an_exception_that_tells_of_the_end_is_not_logged() -> None:
    with working("sockets:app", "asgi") as rig:
        flight = connect(rig, b"/disconnects")
        leave(rig, flight, 1001)
        rig.finish(flight)
        assert rig.log() == ""
        flight = connect(rig, b"/disconnects")
        rig.messages(flight, text("no end"))
        rig.finish(flight)
        assert flight.last.status == 1011
        assert "WebSocketDisconnect" in rig.log()
