"""The client for WebSockets, against servers that do right and servers that do wrong.

They speak by wsproto, which refuses frames that a client must not send; what is wrong is written by hand.
"""

from __future__ import annotations

import itertools
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import AcceptConnection, CloseConnection, Event, Ping, Pong, RejectConnection, Request, TextMessage

from loadtest import bare, scenario, servers, wsload
from loadtest.scenario import Messages

LONG_S = 60.0  # the loads here end by their number of messages
SIZE = 32


class Peer:
    """The server's end of one connection."""

    def __init__(self, server: Server, client: socket.socket) -> None:
        self.server = server
        self.client = client
        self.protocol = WSConnection(ConnectionType.SERVER)
        self.got: list[str] = []  # whole messages, pieces put together

    def write(self, *events: Event) -> None:
        self.client.sendall(b"".join(self.protocol.send(event) for event in events))

    def run(self) -> None:
        piece = ""
        while data := self.client.recv(65_536):
            self.protocol.receive_data(data)
            for event in self.protocol.events():
                if isinstance(event, Request):
                    self.write(self.server.verdict)
                elif isinstance(event, TextMessage):
                    piece += event.data
                    if event.message_finished:
                        self.got.append(piece)
                        self.server.answer(self, len(self.got), piece)
                        piece = ""
                elif isinstance(event, CloseConnection):
                    self.server.codes.append(event.code)
                    if self.protocol.state is ConnectionState.REMOTE_CLOSING:  # else it answers ours
                        self.write(event.response())
                else:
                    self.server.others.append(event)


Answer = Callable[[Peer, int, str], None]


class Server:
    """Takes connections and lets `answer` see to each message: the peer, its number from 1 and its text."""

    def __init__(self, answer: Answer, verdict: Event) -> None:
        self.answer, self.verdict = answer, verdict
        self.peers: list[Peer] = []
        self.others: list[Event] = []
        self.codes: list[int] = []
        self.failures: list[BaseException] = []
        self.threads: list[threading.Thread] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])

    def accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.peers.append(Peer(self, client))
            self.threads.append(threading.Thread(target=self.serve, args=(self.peers[-1],)))
            self.threads[-1].start()

    def serve(self, peer: Peer) -> None:
        try:
            with peer.client:
                peer.run()
        except OSError:
            pass  # clients that have seen a fault go at once
        except BaseException as error:  # what wsproto says of the client
            self.failures.append(error)


@contextmanager
def serving(answer: Answer, verdict: Event | None = None) -> Iterator[Server]:
    server = Server(answer, verdict or AcceptConnection())
    accepting = threading.Thread(target=server.accept)
    accepting.start()
    try:
        yield server
    finally:
        server.listener.shutdown(socket.SHUT_RDWR)
        server.listener.close()
        accepting.join()
        for thread in server.threads:
            thread.join()
    assert server.failures == []


def echo(peer: Peer, number: int, text: str) -> None:
    peer.write(TextMessage(data=text))


def test_every_message_is_sent_received_and_counted_once() -> None:
    with serving(echo) as server:
        with wsload.opened(server.port, 5, Messages("echo", SIZE)) as client:
            first, second = client.load(LONG_S, 200), client.load(LONG_S, 30)
        assert (first.messages, second.messages) == (200, 30)
        assert first.faults == second.faults == ()
        assert 0 < first.p50_us <= first.p99_us <= first.seconds * 1e6 * 1.04  # latencies are kept to 1/32
        assert first.cpu_s > 0
    assert sum(len(peer.got) for peer in server.peers) == 230 + 5
    assert {len(text) for peer in server.peers for text in peer.got} == {SIZE}
    assert server.codes == [1000] * 5


@pytest.mark.parametrize("size", [1, 125, 126, 65_535, 65_536])
def test_messages_have_the_size_asked_for_and_neighbours_differ(size: int) -> None:
    with serving(echo) as server, wsload.opened(server.port, 1, Messages("echo", size)) as client:
        assert client.load(LONG_S, 40).faults == ()
    got = server.peers[0].got
    assert {len(text) for text in got} == {size}
    assert size < 8 or not any(one == other for one, other in itertools.pairwise(got))


def test_as_many_messages_are_underway_as_asked_for() -> None:
    def hold_back(peer: Peer, number: int, text: str) -> None:
        if number == 1:
            echo(peer, number, text)
        elif (number - 1) % 16 == 0:  # nothing comes back before all 16 are here
            peer.write(*(TextMessage(data=text) for text in peer.got[-16:]))

    with serving(hold_back) as server, wsload.opened(server.port, 2, Messages("echo", SIZE, depth=16)) as client:
        seen = client.load(LONG_S, 320)
    assert (seen.messages, seen.faults) == (320, ())


def test_answers_may_come_in_fragments_byte_by_byte_and_with_pings_between() -> None:
    def crumble(peer: Peer, number: int, text: str) -> None:
        events = TextMessage(data=text[:5], message_finished=False), Ping(payload=b"%d" % number), TextMessage(
            data=text[5:])
        for event in events:
            for byte in peer.protocol.send(event):
                peer.client.sendall(bytes([byte]))

    with serving(crumble) as server, wsload.opened(server.port, 1, Messages("echo", SIZE)) as client:
        seen = client.load(LONG_S, 20)
    assert (seen.messages, seen.faults) == (20, ())
    assert [event.payload for event in server.others if isinstance(event, Pong)] == [b"%d" % n for n in range(1, 22)]


def frame(first: int, content: str, masked: bool = False) -> bytes:
    return bytes([first, len(content) | masked << 7]) + b"\0" * 4 * masked + content.encode()


@pytest.mark.parametrize(
    ("wire", "fault"),
    [
        (lambda text: frame(0x81, text[:-1] + "x"), "1 wrong answers, the first: content"),
        (lambda text: frame(0x81, text[:-1]), "1 wrong answers, the first: a message that is too short"),
        (lambda text: frame(0x81, text + "x"), "1 wrong answers, the first: a frame that is not"),
        (lambda text: frame(0x82, text), "1 wrong answers, the first: a frame that is not"),
        (lambda text: frame(0xC1, text), "1 wrong answers, the first: a frame that is not"),
        (lambda text: frame(0x81, text, masked=True), "1 wrong answers, the first: a frame that is not"),
        (lambda text: frame(0x88, "\x03\x73"), "1 connections lost, the first: closed with 883"),
        (lambda text: frame(0x89, "x" * 126), "1 wrong answers"),
        (lambda text: None, "1 connections lost, the first: cut"),
    ],
    ids=["content", "short", "long", "binary", "compressed", "masked", "closed", "ping", "cut"],
)  # fmt: skip
def test_what_a_server_does_wrong_is_a_fault(wire: Callable[[str], bytes | None], fault: str) -> None:
    def answer(peer: Peer, number: int, text: str) -> None:
        if number < 10:
            echo(peer, number, text)
        elif number == 10:
            bad = wire(text)
            peer.client.sendall(bad) if bad else peer.client.shutdown(socket.SHUT_WR)

    with serving(answer) as server, wsload.opened(server.port, 1, Messages("echo", SIZE)) as client:
        seen = client.load(LONG_S, 1000)
    assert seen.messages == 8
    assert seen.faults[0].startswith(fault)
    assert seen.faults[1:] == ("1 messages without an answer",)


def to_all(peer: Peer, number: int, text: str) -> None:
    if number == 1:
        echo(peer, number, text)
    else:
        for member in peer.server.peers:
            member.write(TextMessage(data=text))


def test_a_broadcast_reaches_everybody_in_order() -> None:
    with serving(to_all) as server, wsload.opened(server.port, 7, Messages("broadcast", SIZE, depth=3)) as client:
        first, second = client.load(LONG_S, 50), client.load(LONG_S, 50)
    assert (first.messages, second.messages, first.faults, second.faults) == (350, 350, (), ())
    assert sorted(len(peer.got) for peer in server.peers) == [1] * 6 + [101]
    assert len({text for peer in server.peers for text in peer.got[1:]}) == 100


def test_a_broadcast_that_leaves_one_out_is_a_fault() -> None:
    def forgetful(peer: Peer, number: int, text: str) -> None:
        if number == 1:
            echo(peer, number, text)
        else:
            for member in peer.server.peers:
                if member is peer or number != 5:
                    member.write(TextMessage(data=text))

    what = Messages("broadcast", SIZE, depth=3)
    with serving(forgetful) as server, wsload.opened(server.port, 2, what) as client:
        assert client.load(LONG_S, 50).faults[0].startswith("1 wrong answers, the first: content")


def test_idle_connections_that_a_server_closes_or_writes_to_are_told() -> None:
    with serving(echo) as server, wsload.opened(server.port, 4, Messages("idle", SIZE)) as client:
        assert client.look().faults == ()
        server.peers[0].write(TextMessage(data="unasked"))
        server.peers[1].write(CloseConnection(code=1001))
        server.peers[2].write(Ping())
        for peer in server.peers[:2]:  # gone, as the client has seen both
            server.threads[server.peers.index(peer)].join()
        told = client.look().faults
    assert [fault[:20] for fault in told] == ["1 wrong answers, the", "1 connections lost"]


def test_a_server_that_denies_is_an_error_that_says_how() -> None:
    with serving(echo, RejectConnection(status_code=403)) as server, pytest.raises(
        wsload.WsloadError, match=r"connection [12] of 2: the handshake is answered by HTTP/1\.1 403"
    ), wsload.opened(server.port, 2, Messages("echo", SIZE)):
        pass


def test_a_server_that_is_not_there_is_an_error() -> None:
    nobody = servers.free_port()
    with pytest.raises(wsload.WsloadError, match="1 of 2: Connection refused"), wsload.opened(
        nobody, 2, Messages("echo", SIZE)
    ):
        pass


REPORT = {"messages": 4, "seconds": 2.0, "cpu_s": 0.5, "p50_us": 1.0, "p99_us": 2.0, "pings": 0, "wrong": 0, "lost": 0,
          "unanswered": 0, "first_fault": ""}  # fmt: skip


def test_a_report_is_read_and_one_that_lacks_a_figure_refused() -> None:
    seen = wsload.parse(json.dumps(REPORT), expects_messages=True)
    assert (seen.per_second, seen.client_us, seen.faults) == (2.0, 125_000.0, ())
    assert wsload.parse(json.dumps(REPORT | {"messages": 0}), expects_messages=True).faults
    assert wsload.parse(json.dumps(REPORT | {"unanswered": 3}), expects_messages=True).faults
    with pytest.raises(wsload.WsloadError):
        wsload.parse(json.dumps({"messages": 4}), expects_messages=True)


@pytest.mark.parametrize("name", ["ws-echo-32", "ws-echo-64k", "ws-pipelined", "ws-broadcast-16"])
def test_the_floor_does_what_is_measured(name: str) -> None:
    what = scenario.load(name)
    assert what.messages is not None
    with servers.running("wsfloor", what) as server, wsload.opened(server.port, 20, what.messages) as client:
        assert client.load(LONG_S, 400).faults == ()


def test_what_an_app_takes_is_measured_while_it_waits() -> None:
    assert 1.0 < bare.kib("loadtest.scenarios.ws_echo_32:app", 1_000) < 10.0
    with pytest.raises(bare.BareError):
        bare.kib("loadtest.scenarios.raw_asgi:app", 10)
