"""The callback API on the worker's side: events in, and what handlers make of them out, in order."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from swhttp import limits
from swhttp.ipc import ring
from swhttp.worker.application import BootFailure
from swhttp.worker.sockethandler import SocketHandler
from tests.adapters.apps import handlers
from tests.adapters.rig import Flight, Rig, working

SESSION = 5 << 22 | 3 << 6
STATE, BAD = 1, 4
TEXT, BINARY = 1, 2
AGAIN = 2


def event(kind: int, *, sequence: int = 0, state: bytes = b"", code: int = 0, records: bytes = b"") -> bytes:
    """The body of an event's block."""
    head = struct.pack("=QQIIHHI", SESSION, sequence, len(state), len(records), kind, code, 0)
    return head + state.ljust(-(-len(state) // 8) * 8, b"\0") + records


def records(*messages: str | bytes, again: bool = False) -> bytes:
    found = b""
    for nth, message in enumerate(messages):
        data = message.encode() if isinstance(message, str) else message
        opcode = TEXT if isinstance(message, str) else BINARY
        found += struct.pack("=IBBH", len(data), opcode, AGAIN if again and nth == 0 else 0, 0)
        found += data.ljust(-(-len(data) // 8) * 8, b"\0")
    return found


class Handled:
    """A worker with a handler."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig

    def open(self, target: bytes = b"/", **block: Any) -> Flight:
        self.rig.said.clear()
        return self.rig.answer(target, type=ring.WS_OPEN, body=event(ring.WS_OPEN), **block)

    def message(self, *messages: str | bytes, sequence: int = 1, state: bytes = b"", again: bool = False) -> Flight:
        self.rig.said.clear()
        body = event(ring.WS_MESSAGE, sequence=sequence, state=state, records=records(*messages, again=again))
        return self.rig.answer(b"/room?a=b", type=ring.WS_MESSAGE, body=body)

    def said(self) -> list[bytes]:
        return [frame.body for frame in self.rig.said]


@pytest.fixture(params=["wsgi:Plain", "asgi:Plain", "asgi:Coroutines"])
def handled(request: pytest.FixtureRequest) -> Iterator[Handled]:
    interface, handler = request.param.split(":")
    with working(f"handlers:{interface}", interface, ws_handler=f"handlers:{handler}") as rig:
        yield Handled(rig)


def done(flight: Flight) -> list[tuple[int, int, bytes]]:
    assert all(frame.type in (ring.WS_DONE, ring.WS_DONE_SHM) for frame in flight.frames)
    return [(frame.flags, frame.content_length, frame.body) for frame in flight.frames]


def test_what_on_open_says_is_said_after_the_handshake_is_accepted(handled: Handled) -> None:
    flight = handled.open()
    assert [frame.type for frame in flight.frames] == [ring.WS_OPEN, ring.WS_DONE]
    assert flight.frames[0].head == b""
    assert flight.last.flags == ring.LAST
    flight = handled.open(b"/speaks")
    assert [frame.type for frame in flight.frames] == [ring.WS_OPEN, ring.WS_DONE]
    assert [(frame.flags, frame.status) for frame in handled.rig.said] == [(3, 0), (1, TEXT), (6, 2)]
    flight = handled.open(b"/accepts", headers=[(b"sec-websocket-protocol", b"superchat, chat"), (b"x-test", b"1"),
                                                (b"x-test", b"2")])
    assert flight.frames[0].head == b"sec-websocket-protocol: chat\r\nx-app: yes\r\nx-more: 1\r\n"
    assert (flight.last.flags, flight.last.body) == (ring.LAST | STATE, b"opened")
    assert json.loads(handled.said()[0]) == ["1, 2", ["superchat", "chat"]]


def test_a_handshake_can_be_refused(handled: Handled) -> None:
    for target, status in ((b"/refused", 403), (b"/denied", 404), (b"/raises", 500), (b"/splits", 500),
                           (b"/denied-and-accepted", 500)):
        flight = handled.open(target)
        assert [(frame.type, frame.status, frame.flags) for frame in flight.frames] == [
            (ring.SMALL, status, ring.HEAD | ring.LAST)]
        assert b"\r\ncontent-length: 0\r\n" in flight.head.head
    flight = handled.open(b"/speaks-and-refuses")
    assert [(frame.type, frame.flags) for frame in flight.frames] == [
        (ring.WS_OPEN, 0), (ring.WS_DONE, ring.LAST | BAD)]
    log = handled.rig.log()
    assert log.count("exception in on_open of the WebSocket handler") == 4
    assert "handling.py" not in log


def test_each_message_is_done_with_in_order_with_the_state_that_it_has_left(handled: Handled) -> None:
    flight = handled.message("tell", "state 3", "tell", b"\0\1", "state 0", sequence=7, state=b"before", again=True)
    assert done(flight) == [(0, 7, b""), (STATE, 8, b"sss"), (0, 9, b""), (0, 10, b""), (ring.LAST | STATE, 11, b"")]
    first, second, third = handled.said()
    assert json.loads(first) == ["/room", "a=b", None, 7, True, "before"]
    assert json.loads(second) == ["/room", "a=b", None, 9, False, "sss"]
    assert third == b"\0\1"


def test_pushes_come_before_the_end_of_their_message(handled: Handled) -> None:
    rig = handled.rig
    flight = rig.begin(b"/", type=ring.WS_MESSAGE, body=event(
        ring.WS_MESSAGE, sequence=1, records=records(*[bytes(30)] * 50)))
    order = []
    while not flight.done:
        frame = rig.frame()
        order.append("done" if frame is flight else "push")
    assert order == ["push", "done"] * 50


def test_a_failure_ends_the_event_without_its_state_and_is_logged_once(handled: Handled) -> None:
    for verb in ("raise", "exit"):
        assert done(handled.message("tell", verb, "tell")) == [(0, 1, b""), (ring.LAST | BAD, 2, b"")]
        assert len(handled.said()) == 1
    log = handled.rig.log()
    assert log.count("exception in on_message of the WebSocket handler") == 2
    assert "handling.py" not in log
    assert handled.message("tell").done
    assert handled.rig.counters()["app_errors"] == 2


def test_what_comes_after_a_close_is_not_delivered(handled: Handled) -> None:
    assert done(handled.message("close 4001", "tell")) == [(ring.LAST, 1, b"")]
    assert [(frame.flags, frame.status, frame.body) for frame in handled.rig.said] == [(5, 4001, b"enough")]
    assert done(handled.message("close 1006", "tell")) == [(ring.LAST | BAD, 1, b"")]


def test_a_state_has_a_bound_and_the_largest_one_arrives(handled: Handled) -> None:
    flight = handled.message(f"state {limits.WS_STATE_BYTES}")
    assert flight.last.type == ring.WS_DONE_SHM
    assert flight.last.body == b"s" * limits.WS_STATE_BYTES
    assert done(handled.message(f"state {limits.WS_STATE_BYTES + 1}")) == [(ring.LAST | BAD, 1, b"")]


def test_on_close_has_the_code(handled: Handled) -> None:
    body = event(ring.WS_CLOSE, sequence=4, code=1001, state=b"last")
    assert done(handled.rig.answer(b"/room", type=ring.WS_CLOSE, body=body)) == [(ring.LAST, 4, b"")]
    assert handled.said() == [b'1001 ["/room", "", null, 4, false, "last"]']


def test_a_session_that_is_kept_can_be_pushed_to_but_has_no_state(handled: Handled) -> None:
    handled.message("keep")
    handled.message("kept", "thread later", sequence=2)
    while len(handled.rig.said) < 2:
        handled.rig.frame()
    assert handled.said()[0].startswith(b"a session's state can be set only while")
    assert handled.said()[1] == b"later"


def test_requests_are_served_beside(handled: Handled) -> None:
    assert handled.rig.answer().body == b"plain"


def test_coroutines_can_await_room() -> None:
    with working("handlers:asgi", "asgi", ws_handler="handlers:Coroutines") as rig:
        handled = Handled(rig)
        assert done(handled.message("await")) == [(ring.LAST, 1, b"")]
        assert handled.said() == [b"awaited"]


def test_messages_without_a_handler_for_them_are_passed_over() -> None:
    with working("handlers:wsgi", "wsgi", ws_handler="handlers:Pusher") as rig:
        assert done(Handled(rig).message("tell", "tell")) == [(ring.LAST, 1, b"")]


@pytest.mark.parametrize(("handler", "interface", "text"), [
    ("Misspelt", "asgi", "neither on_open nor on_message, but on_mesage"),
    ("Strict", "asgi", r"Strict.on_message cannot be called with 2 arguments: on_message\(session, data\)"),
    ("Coroutines", "wsgi", "a coroutine function, and the workers of a WSGI application have no event loop"),
    ("Missing", "asgi", "--ws-handler: module 'tests.adapters.apps.handlers' has no 'Missing'"),
])
def test_a_handler_that_cannot_work_is_refused_at_the_start(handler: str, interface: str, text: str) -> None:
    with pytest.raises(BootFailure, match=text):
        SocketHandler.load(f"tests.adapters.apps.handlers:{handler}", None, interface)


def test_a_handler_is_a_module_an_object_or_a_class() -> None:
    assert SocketHandler.load(handlers.Plain(), None, "wsgi").on_close is not None
    assert SocketHandler.load("tests.adapters.apps.handlers:Plain", None, "wsgi").on_open is not None
    module = ModuleType("chat")
    vars(module)["on_message"] = handlers.Plain().on_message
    assert SocketHandler.load(module, None, "wsgi").on_message is not None


def test_a_name_that_is_nearly_right_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Nearly(handlers.Plain):
        def on_closed(self, session: Any) -> None:
            """Never."""

    SocketHandler(Nearly(), "nearly", "wsgi").report()
    assert "nearly.on_closed is never called: there is no such handler; did you mean 'on_close'" in caplog.text
