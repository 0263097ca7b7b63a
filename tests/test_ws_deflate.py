"""permessage-deflate (RFC 7692): both ways against wsproto and zlib, and never more at once than was asked for."""

from __future__ import annotations

import random
import zlib

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage

from swhttp import limits
from swhttp.reactor import wsprobe
from swhttp.reactor.wsdeflate import Deflation
from swhttp.reactor.wsprobe import Bad, Data, Decoder
from tests.fuzz.websocket import frame
from tests.support.wsoracle import Agreed, wsprotos

TAIL = b"\x00\x00\xff\xff"
BINARY = 2
chance = random.Random(7)
WORDS = [chance.randbytes(chance.randrange(2, 12)) for _ in range(400)]


def message(size: int) -> bytes:
    """It refers to what is as far away as a window may be."""
    found = bytearray()
    while len(found) < size:
        found += chance.choice(WORDS)
    return bytes(found[:size])


MESSAGES = [b"", b"x", message(40), message(300), b"", message(300), message(5000), message(40_000), message(300),
            bytes(70_000), message(40_000)[::-1], b""]


def inflated(deflation: Deflation, data: bytes, most: int = 1 << 16) -> bytes:
    found, more = wsprobe.inflate(deflation, data, most=most)
    assert found is not None
    while more:
        piece, more = wsprobe.inflate(deflation, b"", most=most)
        assert piece is not None
        assert len(piece) <= most
        found += piece
    return found


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("bits", range(9, 16))
def test_wsproto_reads_what_we_write_and_we_what_it_writes(bits: int, fresh: bool) -> None:
    agreed = Agreed(bits, bits, fresh, fresh)
    server, client = agreed.ours(), Connection(ConnectionType.CLIENT, [agreed.extension()])
    packed = [wsprobe.deflate(server, data) for data in MESSAGES]
    stream = b"".join(wsprobe.header(BINARY, len(data), compressed=True) + data for data in packed)
    heard = wsprotos(stream, agreed, client=True)
    assert heard is not None
    assert [data for _, _, data in heard.whole] == MESSAGES
    assert sum(map(len, packed)) < sum(map(len, MESSAGES)) * 0.8
    decoder = Decoder(deflation=server)
    events = decoder.feed(b"".join(client.send(BytesMessage(data)) for data in MESSAGES))
    found, whole = b"", []
    for event in events:
        assert isinstance(event, Data)
        found += event.data
        if event.last:
            whole.append(found)
            found = b""
    assert whole == MESSAGES


@pytest.mark.parametrize("bits", range(8, 16))
def test_nothing_refers_further_back_than_the_receivers_window(bits: int) -> None:
    # A byte at a time, zlib's window is all that it has.
    unpacker = zlib.decompressobj(-bits)
    deflation = Deflation(server_max_window_bits=bits)
    for data in (message(3000), message(100), bytes(3000), message(60_000)):
        rest, found = wsprobe.deflate(deflation, data) + TAIL, bytearray()
        while rest:
            found += unpacker.decompress(rest, 1)
            rest = unpacker.unconsumed_tail
        while piece := unpacker.decompress(b"", 1):
            found += piece
        assert bytes(found) == data
    assert zlib.decompress(wsprobe.deflate_shared(message(9000), bits) + TAIL + b"\1\0\0\xff\xff", -15)


def test_a_message_may_be_compressed_in_pieces() -> None:
    deflation, reader = Deflation(), Deflation()
    data = message(3000)
    for _ in range(2):
        packed = b"".join(wsprobe.deflate(deflation, data[at : at + 700], last=False) for at in range(0, 3000, 700))
        packed += wsprobe.deflate(deflation, b"")
        assert inflated(reader, packed) == data
    assert len(wsprobe.deflate(deflation, data)) < 500, "it does not remember"


def test_a_message_may_be_inflated_in_pieces() -> None:
    writer, reader = Deflation(client_max_window_bits=15), Deflation()
    data = message(20_000)
    for _ in range(2):
        packed = wsprobe.deflate(writer, data)
        found = b""
        for at in range(0, len(packed), 100):
            piece, more = wsprobe.inflate(reader, packed[at : at + 100], last=False)
            assert piece is not None
            assert not more
            found += piece
        assert found + inflated(reader, b"") == data
        assert inflated(reader, wsprobe.deflate(writer, b"next"), most=1) == b"next"


def test_a_bomb_gives_no_more_at_once_than_was_asked_for() -> None:
    size = 50 * 1024 * 1024
    packer = zlib.compressobj(9, wbits=-15)
    packed = (packer.compress(bytes(size)) + packer.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)
    assert len(packed) < size // 900
    deflation = Deflation()
    first, more = wsprobe.inflate(deflation, packed, most=4096)
    assert more
    assert first == bytes(4096)
    stopped = Decoder(max_message_bytes=100_000, deflation=Deflation()).feed(frame(0xC2, packed))
    assert stopped[-1] == Bad(1009, "ws-message-too-large")
    assert sum(len(event.data) for event in stopped if isinstance(event, Data)) <= 100_000


@pytest.mark.parametrize("most", [1, 2, 3, 64, 299, 300, 301])
def test_what_is_left_comes_with_the_next_call(most: int) -> None:
    writer, reader = Deflation(), Deflation()
    for data in (message(300), b"", bytes(3000), b"y"):
        assert inflated(reader, wsprobe.deflate(writer, data), most) == data
    # A stored block that was cut takes the tail for what it lacks; then there must not be another one.
    assert inflated(reader, b"\x00\x05\x00\xfa\xffa", most) == b"a" + TAIL
    assert inflated(reader, wsprobe.deflate_shared(b"next"), most) == b"next"


def test_what_is_corrupt_is_said_to_be() -> None:
    assert wsprobe.inflate(Deflation(), b"\xff\xff\xff") == (None, False)
    assert Decoder(deflation=Deflation()).feed(frame(0xC2, b"\xff\xff\xff")) == [Bad(1007, "ws-bad-deflate")]
    # It refers to what a fresh context does not have.
    writer = Deflation()
    data = message(300)
    _, second = wsprobe.deflate(writer, data), wsprobe.deflate(writer, data)
    assert wsprobe.inflate(Deflation(), second) == (None, False)


def test_a_client_may_end_its_deflate_stream_with_each_message() -> None:
    # RFC 7692 §7.2.3.5: a final block, and a byte for the empty one that the tail belongs to. Not all send that.
    for after in (b"\0", b""):
        reader = Deflation()
        for data in (message(300), b"", message(300)):
            packer = zlib.compressobj(wbits=-15)
            packed = packer.compress(data) + packer.flush() + after
            assert inflated(reader, packed) == data
            assert inflated(reader, packed, 7) == data
    end = zlib.compressobj(wbits=-15).flush()
    assert wsprobe.inflate(Deflation(), end * limits.MAX_WS_STREAM_ENDS) == (b"", False)
    assert wsprobe.inflate(Deflation(), end * (limits.MAX_WS_STREAM_ENDS + 1)) == (None, False)


def test_contexts_are_let_go_of_and_nobody_notices() -> None:
    writer, reader = Deflation(), Deflation()
    data = message(2000)
    first = wsprobe.deflate(writer, data)
    assert len(wsprobe.deflate(writer, data)) < 60
    for forget in (wsprobe.rest, wsprobe.forget_deflate):
        forget(writer)
        again = wsprobe.deflate(writer, data)
        assert again == first, "it refers to what is forgotten"
        assert len(wsprobe.deflate(writer, data)) < 60
    # What a client has sent is remembered, unless it has promised to refer to nothing.
    peer = zlib.compressobj(wbits=-15)
    for _ in range(2):
        packed = (peer.compress(data) + peer.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)
        assert inflated(reader, packed) == data
        wsprobe.rest(reader)
    fresh = Deflation(client_no_context_takeover=True)
    assert inflated(fresh, first) == data
    assert wsprobe.inflate(fresh, packed) == (None, False), "it remembers"


@pytest.mark.parametrize("bits", range(8, 16))
def test_one_message_is_compressed_for_many(bits: int) -> None:
    for data in MESSAGES:
        packed = wsprobe.deflate_shared(data, bits)
        for remembered in (b"", message(500)):
            reader = Deflation(client_max_window_bits=bits)
            assert inflated(reader, wsprobe.deflate_shared(remembered)) == remembered
            assert inflated(reader, packed) == data


def test_an_empty_message_is_one_byte() -> None:
    deflation = Deflation()
    assert wsprobe.deflate(deflation, b"") == b"\0"
    wsprobe.deflate(deflation, b"abc")
    assert wsprobe.deflate(deflation, b"") == b"\0"
    assert wsprobe.deflate_shared(b"") == b"\0"


def test_windows_that_are_none_are_refused() -> None:
    for bits in (7, 16):
        with pytest.raises(ValueError, match=f"windows of {bits} and 15 bits"):
            Deflation(server_max_window_bits=bits)
        with pytest.raises(ValueError, match=f"windows of 15 and {bits} bits"):
            Deflation(client_max_window_bits=bits)
