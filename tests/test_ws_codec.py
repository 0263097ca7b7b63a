"""The WebSocket codec: what a client's frames may be, and what ours are. wsproto is the oracle; what it differs in on
purpose is in `tests.support.wsoracle`.
"""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto import events
from wsproto.connection import Connection, ConnectionType

from swhttp import limits
from swhttp.reactor import wsprobe
from swhttp.reactor.wsprobe import Bad, Close, Data, Decoder, Ping, Pong
from tests.fuzz.websocket import frame
from tests.support.wsoracle import Agreed, difference, ours, wsprotos

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def cut(data: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(bounds)]


sizes = st.sampled_from((0, 1, 3, 7, 16, 33, 125, 126, 127, 300, 65535, 65536, 70001))
places = st.lists(st.integers(0, 1 << 20), max_size=6)
agreements = st.none() | st.builds(Agreed, st.integers(9, 15), st.integers(9, 15), st.booleans(), st.booleans())
texts = st.text(max_size=20) | st.builds(lambda piece, times: piece * times, st.text(max_size=5), st.integers(0, 2000))
sent = st.one_of(
    st.builds(events.TextMessage, texts),
    st.builds(lambda size: events.BytesMessage(bytes(range(256)) * (size // 256) + bytes(size % 256)), sizes),
    st.builds(events.Ping, st.binary(max_size=125)),
    st.builds(events.Pong, st.binary(max_size=125)),
)


@st.composite
def conversations(draw: st.DrawFn) -> list[events.Event]:
    """Messages, some of them in fragments with control frames between, and perhaps a close."""
    found: list[events.Event] = []
    for event in draw(st.lists(sent, max_size=6)):
        if isinstance(event, events.TextMessage | events.BytesMessage) and draw(st.booleans()):
            data, kind = event.data, type(event)
            at = draw(st.integers(0, len(data)))
            found.append(kind(data[:at], message_finished=False))
            found.extend(draw(st.lists(st.builds(events.Ping, st.binary(max_size=9)), max_size=2)))
            if draw(st.booleans()):
                found.append(kind(data[:0], message_finished=False))
            found.append(kind(data[at:]))
        else:
            found.append(event)
    if draw(st.booleans()):
        found.append(events.CloseConnection(draw(st.sampled_from((1000, 1001, 1011, 3000, 4999))), draw(
            st.text(max_size=30))))
    return found


@settings(max_examples=60, deadline=None)
@given(conversations(), agreements, places)
def test_what_a_client_says_is_heard(said: list[events.Event], agreed: Agreed | None, cuts: list[int]) -> None:
    client = Connection(ConnectionType.CLIENT, [agreed.extension()] if agreed else [])
    data = b"".join(client.send(event) for event in said)
    assert difference(data, cut(data, cuts), agreed) == ""
    heard = ours(cut(data, cuts), agreed)
    assert heard.verdict == ("closed" if said and isinstance(said[-1], events.CloseConnection) else "open")
    wanted = [event for event in said if getattr(event, "message_finished", True)]
    assert len(heard.whole) == len(wanted)


@settings(max_examples=150, deadline=None)
@given(conversations(), agreements, places,
       st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=3), st.binary(max_size=20))
def test_what_is_bent_is_refused_as_wsproto_does(said: list[events.Event], agreed: Agreed | None, cuts: list[int],
                                                 bends: list[tuple[int, int]], more: bytes) -> None:
    client = Connection(ConnectionType.CLIENT, [agreed.extension()] if agreed else [])
    data = bytearray(b"".join(client.send(event) for event in said[:3]))
    for place, byte in bends:
        if data:
            data[place % len(data)] = byte
    data += more
    assert difference(bytes(data), cut(bytes(data), cuts), agreed) == ""


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), agreements, places)
def test_any_bytes_are_judged_as_wsproto_does(data: bytes, agreed: Agreed | None, cuts: list[int]) -> None:
    assert difference(data, cut(data, cuts), agreed) == ""


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 100_000])
def test_a_client_takes_our_frames(size: int) -> None:
    data = bytes(size)
    control = wsprobe.header(PING, 4) + b"ping"
    stream = (wsprobe.header(BINARY, size, fin=False) + data + control + wsprobe.header(0, size) + data
              + wsprobe.header(CLOSE, 5) + b"\x03\xe8bye")
    heard = wsprotos(stream, client=True)
    assert heard is not None
    assert heard.whole == [("ping", 0, b"ping"), ("message", BINARY, data * 2), ("close", 1000, b"bye")]
    assert len(wsprobe.header(BINARY, size)) == (2 if size < 126 else 4 if size < 65536 else 10)



def test_a_compressed_frame_is_marked() -> None:
    assert wsprobe.header(TEXT, 5, compressed=True) == b"\xc1\x05"
    assert wsprobe.header(TEXT, 5, fin=False) == b"\x01\x05"
    assert wsprobe.header(BINARY, 1 << 40) == b"\x82\x7f" + (1 << 40).to_bytes(8, "big")


BAD = {
    "ws-reserved-bits": [frame(0xC1, b"x"), frame(0xA1, b""), frame(0x91, b""), frame(0xC9, b"")],
    "ws-unmasked-frame": [frame(0x81, b"x", masked=False), frame(0x89, b"", masked=False)],
    "ws-unknown-opcode": [frame(0x80 | opcode, b"") for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)],
    "ws-fragmented-control-frame": [frame(PING, b""), frame(CLOSE, b"")],
    "ws-long-control-frame": [frame(0x89, bytes(126)), frame(0x8A, b"x", length_bytes=2)],
    "ws-nothing-to-continue": [frame(0x80, b"x"), frame(0x00, b"x"), frame(0x81, b"x") + frame(0x80, b"y")],
    "ws-message-not-ended": [frame(TEXT, b"x") + frame(0x81, b"y"), frame(BINARY, b"") + frame(0x82, b"")],
    "ws-length-not-minimal": [frame(0x82, bytes(125), length_bytes=2), frame(0x82, bytes(65535), length_bytes=8)],
    "ws-length-out-of-range": [b"\x82\xff\x80" + bytes(7)],
    "ws-bad-close": [frame(0x88, b"\x03")],
    "ws-bad-close-code": [frame(0x88, code.to_bytes(2, "big")) for code in (
        0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)],
}


@pytest.mark.parametrize("why", BAD)
def test_a_protocol_error_is_1002(why: str) -> None:
    for stream in BAD[why]:
        got = Decoder().feed(stream)
        assert got[-1] == Bad(1002, why)
        assert [event for event in Decoder().feed(stream + frame(0x81, b"after")) if isinstance(event, Bad)] == got[-1:]
        bytewise = Decoder()
        assert [event for byte in stream for event in bytewise.feed(bytes([byte]))][-1] == Bad(1002, why)


def test_with_deflate_only_a_messages_first_frame_may_be_marked_as_compressed() -> None:
    agreed = Agreed()
    packed = wsprobe.deflate(agreed.ours(), b"hello")
    assert Decoder(deflation=agreed.ours()).feed(frame(0xC1, packed)) == [Data(TEXT, b"hello", True, True)]
    for stream in (frame(0x41, packed) + frame(0xC0, b""), frame(0xC9, b""), frame(0xE1, b""), frame(0xD1, b"")):
        assert Decoder(deflation=agreed.ours()).feed(stream)[-1] == Bad(1002, "ws-reserved-bits")


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999])
def test_a_close_code_is_told(code: int) -> None:
    stream = frame(0x88, code.to_bytes(2, "big") + "tschüß".encode())
    assert Decoder().feed(stream + frame(0x81, b"after")) == [Close(code, "tschüß".encode())]
    assert wsprobe.close_code_is_sendable(code)


def test_a_close_without_a_code_is_1005() -> None:
    assert Decoder().feed(frame(0x88, b"")) == [Close(1005, b"")]
    assert not any(wsprobe.close_code_is_sendable(code) for code in (-1, 0, 999, 1004, 1005, 1006, 1015, 2999, 5000))


def test_a_close_reason_that_is_no_text_is_1007() -> None:
    for reason in (b"\xff", b"\xed\xa0\x80", b"half\xe2\x82"):
        assert Decoder().feed(frame(0x88, b"\x03\xe8" + reason)) == [Bad(1007, "ws-bad-close-reason")]


def test_control_frames_come_between_fragments() -> None:
    stream = frame(TEXT, b"a") + frame(0x89, bytes(125)) + frame(0, b"") + frame(0x8A, b"") + frame(0x80, b"b")
    wanted = [Data(TEXT, b"a", True, False), Ping(bytes(125)), Pong(b""), Data(TEXT, b"b", False, True)]
    assert Decoder().feed(stream) == wanted


@pytest.mark.parametrize("size", [0, 1, 2, 5, 124, 125])
def test_a_control_frame_is_whole_wherever_it_is_cut(size: int) -> None:
    payload = b"\x03\xe8" + bytes(range(65, 91)) * 5
    wanted: list[object] = [Ping(payload[:size]), Pong(payload[:size])]
    wanted.append(Close(1000, payload[2:size]) if size >= 2 else Data(TEXT, b"x", True, True))
    end = frame(0x88, payload[:size]) if size >= 2 else frame(0x81, b"x")
    stream = frame(0x89, payload[:size]) + frame(0x8A, payload[:size]) + end
    for at in range(len(stream) + 1):
        decoder = Decoder()
        assert decoder.feed(stream[:at]) + decoder.feed(stream[at:]) == wanted
    bytewise = Decoder()
    assert [event for byte in stream for event in bytewise.feed(bytes([byte]))] == wanted


@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
def test_a_control_frame_over_125_bytes_is_refused_wherever_it_is_cut(opcode: int) -> None:
    for stream in (frame(0x80 | opcode, bytes(126)), frame(0x80 | opcode, bytes(5), length_bytes=2),
                   frame(0x80 | opcode, bytes(300)), frame(0x80 | opcode, b"", length_bytes=8)):
        for at in range(len(stream) + 1):
            decoder = Decoder()
            assert decoder.feed(stream[:at]) + decoder.feed(stream[at:]) == [Bad(1002, "ws-long-control-frame")]


def test_a_stream_may_end_within_a_control_frame() -> None:
    for at in range(len(stream := frame(0x89, bytes(125)))):
        assert Decoder().feed(frame(0x81, b"x") + stream[:at]) == [Data(TEXT, b"x", True, True)]


def test_an_empty_message_is_one_piece() -> None:
    assert Decoder().feed(frame(0x81, b"")) == [Data(TEXT, b"", True, True)]
    assert Decoder().feed(frame(BINARY, b"") + frame(0x80, b"")) == [Data(BINARY, b"", True, True)]


def test_a_message_past_the_limit_is_1009_at_its_header() -> None:
    bad = Bad(1009, "ws-message-too-large")
    assert Decoder(max_message_bytes=1000).feed(frame(0x82, bytes(1000)))[-1] == Data(BINARY, bytes(1000), True, True)
    assert Decoder(max_message_bytes=1000).feed(b"\x82\xfe\x03\xe9") == [bad]
    assert Decoder(max_message_bytes=1000).feed(b"\x82\xff\x7f" + b"\xff" * 7) == [bad]
    assert Decoder(max_message_bytes=0).feed(frame(0x82, b"")) == [Data(BINARY, b"", True, True)]
    pieces = Decoder(max_message_bytes=1000)
    assert len(pieces.feed(frame(BINARY, bytes(600)) + frame(0, bytes(400)) + frame(0, b""))) == 2
    assert pieces.feed(b"\x80\x81") == [bad]
    again = Decoder(max_message_bytes=1000)
    for _ in range(3):
        assert len(again.feed(frame(0x82, bytes(1000)))) == 1
    largest = Decoder(max_message_bytes=(1 << 64) - 1)
    assert largest.feed(b"\x02\xff\x7f" + b"\xff" * 7 + bytes(4) + b"xy") == [Data(BINARY, b"xy", True, False)]


def test_a_message_of_too_many_fragments_is_1009() -> None:
    decoder = Decoder(max_fragments=4)
    assert len(decoder.feed(frame(BINARY, b"a") + frame(0, b"b") * 2 + frame(0x80, b"d"))) == 4
    assert decoder.feed(frame(BINARY, b"a") + frame(0, b"b") * 3)[-1] == Data(BINARY, b"b", False, False)
    assert decoder.feed(frame(0x80, b"e")) == [Bad(1009, "ws-too-many-fragments")]
    bound = limits.MAX_WS_FRAGMENTS
    most = Decoder(max_fragments=bound)
    assert len(most.feed(frame(BINARY, b"a") + frame(0, b"b") * (bound - 1))) == bound
    assert most.feed(frame(0x80, b"")) == [Bad(1009, "ws-too-many-fragments")]


def test_fragments_without_a_byte_have_a_bound_of_their_own() -> None:
    decoder = Decoder()
    empty = frame(0, b"") * (limits.MAX_WS_EMPTY_FRAGMENTS - 1)
    assert decoder.feed(frame(BINARY, b"") + empty + frame(0, b"x")) == [Data(BINARY, b"x", True, False)]
    assert decoder.feed(frame(0, b"") + empty + frame(0x89, b"")) == [Ping(b"")]
    assert decoder.feed(frame(0x80, b"")) == [Bad(1009, "ws-too-many-empty-fragments")]


def test_a_text_fails_at_the_first_byte_that_makes_it_wrong() -> None:
    # Autobahn's 6.4: in one fragment after another, and within one frame.
    text = "κόσμε".encode()
    for wrong, at in ((b"\xf4\x90\x80\x80", 1), (b"\xed\xa0\x80", 1), (b"\xe0\x80\x80", 1), (b"\xc0\xaf", 0)):
        stream = frame(0x81, text + wrong + b"edited")
        decoder = Decoder()
        end = 6 + len(text) + at
        assert not any(isinstance(event, Bad) for event in decoder.feed(stream[:end]))
        assert decoder.feed(stream[end : end + 1]) == [Bad(1007, "ws-bad-utf8")]
        fragments = frame(TEXT, text + wrong[:at]) + frame(0, wrong[at : at + 1])
        assert Decoder().feed(fragments)[-1] == Bad(1007, "ws-bad-utf8")
    assert Decoder().feed(frame(TEXT, text[:-1]) + frame(0x80, text[-1:]))[-1] == Data(TEXT, text[-1:], False, True)
    assert Decoder().feed(frame(0x81, text[:-1])) == [Bad(1007, "ws-bad-utf8")]
    assert Decoder().feed(frame(0x82, b"\xff")) == [Data(BINARY, b"\xff", True, True)]


def test_a_stream_costs_little_memory() -> None:
    # Of each idle WebSocket the master has its stream's state in what it keeps of it, and the row of its connection.
    assert wsprobe.STATE_BYTES <= 64
    assert wsprobe.SOCKET_BYTES <= 272
    assert wsprobe.CONNECTION_BYTES <= 400
