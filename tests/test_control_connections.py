"""The control socket's connections, with a clock of the test's own: nobody makes the main thread wait, or stays."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swhttp import limits, listeners
from swhttp.control import Control, Question
from swhttp.controlproto import Decoder, encode


class Desk:
    """A control socket whose questions are kept until the test answers them. `turn`: of the main loop."""

    def __init__(self, path: Path) -> None:
        self.now_s = 100.0
        self.questions: list[Question] = []
        self.listener = listeners.open_control(str(path))
        self.control = Control(self.listener, self.questions.append, frozenset(), lambda: self.now_s)
        self.path = str(path)
        self.peers: list[socket.socket] = []

    def peer(self) -> socket.socket:
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(5)
        peer.connect(self.path)
        self.peers.append(peer)
        return peer

    def turn(self) -> None:
        """All that the main loop would do now: it must come to rest."""
        for _ in range(100):
            self.control.tick()
            if not select.select([self.control], [], [], 0)[0]:
                return
            self.control.on_events()
        raise AssertionError("the main loop does not come to rest")

    def later(self, seconds: float) -> None:
        self.now_s += seconds
        self.turn()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "c")
    yield made
    made.control.close()
    made.listener.close()
    for peer in made.peers:
        peer.close()


def said(peer: socket.socket) -> Any:
    """The next answer; None: the end."""
    decoder = Decoder(limits.CONTROL_ANSWER_BYTES)
    while (answer := decoder.next()) is None:
        try:
            data = peer.recv(decoder.missing)
        except ConnectionResetError:
            return None
        if not data:
            return None
        decoder.feed(data)
    return answer


def is_open(peer: socket.socket) -> bool:
    """Whether the server has not closed it, and has said nothing."""
    return not select.select([peer], [], [], 0)[0]


def test_one_connection_asks_one_thing_after_another(desk: Desk) -> None:
    peer = desk.peer()
    peer.sendall(encode({"verb": "a"}) + encode({"verb": "b"}) + encode({"verb": 3}))
    for verb in ("a", "b", ""):
        desk.turn()
        [question] = desk.questions
        assert question.verb == verb
        desk.questions.clear()
        desk.turn()
        assert desk.questions == [], "the next is not read before this is answered"
        question.answer(of=verb)
        desk.turn()
        assert said(peer) == {"ok": True, "of": verb}


def test_a_request_that_comes_in_pieces_is_one(desk: Desk) -> None:
    peer = desk.peer()
    for byte in encode({"verb": "a"}):
        assert desk.questions == []
        peer.sendall(bytes([byte]))
        desk.turn()
    assert [question.verb for question in desk.questions] == ["a"]


@pytest.mark.parametrize("sent", [b"", b"\0", encode({"verb": "a"})[:-1]])
def test_half_a_request_has_its_time_and_no_more(desk: Desk, sent: bytes) -> None:
    peer, other = desk.peer(), desk.peer()
    peer.sendall(sent)
    desk.turn()
    assert desk.control.next_tick_s() == desk.now_s + limits.CONTROL_TIMEOUT_S
    desk.later(limits.CONTROL_TIMEOUT_S - 1)
    assert is_open(peer)
    desk.later(1)
    assert said(peer) is None
    assert said(other) is None
    assert desk.control.next_tick_s() == float("inf")


def test_who_waits_for_an_answer_has_no_deadline(desk: Desk) -> None:
    peer = desk.peer()
    peer.sendall(encode({"verb": "a"}))
    desk.turn()
    desk.later(100 * limits.CONTROL_TIMEOUT_S)
    assert is_open(peer)
    desk.questions[0].refuse("no")
    desk.turn()
    assert said(peer) == {"ok": False, "error": "no"}


def test_who_only_shuts_down_his_sending_side_is_answered(desk: Desk) -> None:
    peer = desk.peer()
    peer.sendall(encode({"verb": "a"}))
    peer.shutdown(socket.SHUT_WR)
    desk.turn()
    desk.questions[0].answer()
    desk.turn()
    assert said(peer) == {"ok": True}
    assert said(peer) is None


def test_an_answer_to_somebody_who_has_left_goes_nowhere(desk: Desk) -> None:
    peer = desk.peer()
    peer.sendall(encode({"verb": "a"}))
    desk.turn()
    peer.close()
    desk.turn()
    other = desk.peer()  # which may get the same fd
    desk.turn()
    desk.questions[0].answer()
    desk.turn()
    assert is_open(other)


def test_who_does_not_take_his_answer_is_given_up(desk: Desk) -> None:
    peer = desk.peer()
    peer.sendall(encode({"verb": "a"}))
    desk.turn()
    desk.questions[0].answer(text="x" * (limits.CONTROL_ANSWER_BYTES - 100))
    desk.turn()
    desk.later(limits.CONTROL_TIMEOUT_S)
    assert said(peer) is None, "the answer is not whole"


def test_who_takes_his_answer_slowly_gets_all_of_it(desk: Desk) -> None:
    peer = desk.peer()
    peer.sendall(encode({"verb": "a"}))
    desk.turn()
    text = "x" * (limits.CONTROL_ANSWER_BYTES - 100)
    desk.questions[0].answer(text=text)
    decoder = Decoder(limits.CONTROL_ANSWER_BYTES)
    while (answer := decoder.next()) is None:
        desk.turn()
        decoder.feed(peer.recv(65536))
    assert answer == {"ok": True, "text": text}


def test_an_answer_past_the_bound_is_none(desk: Desk) -> None:
    peer = desk.peer()
    peer.sendall(encode({"verb": "a"}))
    desk.turn()
    desk.questions[0].answer(text="x" * limits.CONTROL_ANSWER_BYTES)
    desk.turn()
    assert said(peer) == {"ok": False, "error": "the answer is too long"}


def test_past_the_bound_connections_wait_until_one_ends(desk: Desk) -> None:
    first = [desk.peer() for _ in range(limits.CONTROL_CONNECTIONS)]
    late = desk.peer()
    late.sendall(encode({"verb": "late"}))
    desk.turn()
    assert desk.questions == []
    first[0].close()
    desk.turn()
    assert [question.verb for question in desk.questions] == ["late"]


def test_the_last_connections_are_for_those_who_do_not_wait(desk: Desk) -> None:
    def is_crowded() -> bool:
        peer = desk.peer()
        peer.sendall(encode({"verb": "a"}))
        desk.turn()
        return desk.questions[-1].crowded

    assert [is_crowded() for _ in range(limits.CONTROL_WAITING + 1)] == [False] * limits.CONTROL_WAITING + [True]
    for question in desk.questions[:2]:
        question.keep()  # who waits for our end waits too
        question.answer()
    desk.turn()
    assert is_crowded()
    for question in desk.questions[2:5]:
        question.answer()
    desk.turn()
    assert not is_crowded()
    for peer in desk.peers[:2]:
        peer.close()
    desk.turn()


def test_without_fds_it_looks_again_later(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def accept(listener: socket.socket) -> Any:
        raise OSError(24, "Too many open files")

    peer = desk.peer()
    peer.sendall(encode({"verb": "a"}))
    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "accept", accept)
        desk.turn()
    desk.turn()
    assert desk.questions == []
    assert desk.control.next_tick_s() == desk.now_s + limits.CONTROL_ACCEPT_PAUSE_S
    desk.later(limits.CONTROL_ACCEPT_PAUSE_S)
    assert [question.verb for question in desk.questions] == ["a"]
    assert desk.control.next_tick_s() == float("inf")


def test_who_is_kept_stays_when_the_socket_is_closed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the process has ended, which is the news that he waits for."""
    peer = desk.peer()
    peer.sendall(encode({"verb": "stop"}))
    desk.turn()
    desk.questions[0].keep()
    desk.questions[0].answer()
    desk.turn()
    assert said(peer) == {"ok": True}
    desk.later(100 * limits.CONTROL_TIMEOUT_S)
    detached: list[int] = []
    detach = socket.socket.detach
    monkeypatch.setattr(socket.socket, "detach", lambda one: detached.append(detach(one)) or detached[-1])
    desk.control.close()
    assert is_open(peer)
    [fd] = detached
    socket.socket(fileno=fd).close()
    assert said(peer) is None


@pytest.mark.parametrize(
    ("sent", "why"), [
        (b"\0\0\0\0", "a message has 1 to 65536 bytes, not 0"), (b"GET / HTTP/1.1\r\n\r\n", "not 1195725856"),
        (b"\0\1\0\1", "not 65537"), (b"\0\0\0\2[]", "it is not a JSON object"), (b"\0\0\0\2{,", "it is not JSON")])
def test_what_cannot_be_understood_is_said_and_ends_the_connection(desk: Desk, sent: bytes, why: str) -> None:
    peer = desk.peer()
    peer.sendall(sent)
    desk.turn()
    answer = said(peer)
    assert answer["ok"] is False
    assert why in answer["error"]
    assert said(peer) is None
