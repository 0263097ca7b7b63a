"""What comes over the control socket and over the channels between master, manager and workers: pure Python.

    how u8 | bytes

how % 3 = 0    a stream to the decoder of the control protocol, cut at `how`: messages or BadMessage, the same uncut
          1    packets, each behind its length u8, from a worker's channel: messages, each with a kind
          2    a text, which must fit into a message whatever it holds
"""

from __future__ import annotations

import json

from swhttp import controlproto, limits, messages

TRACED = ("/swhttp/",)
MAX_BYTES = 4096


def one(data: bytes) -> None:
    """Do what the first byte says."""
    if len(data) < 2:
        return
    if data[0] % 3 == 0:
        at = data[0] * len(data) // 256
        whole = _decode([data[1:]])
        assert whole == _decode([data[1:at], data[at:]] if at > 1 else [data[1:]])
        for message in whole[0]:
            assert _decode([controlproto.encode(message)])[0] == [message]
    elif data[0] % 3 == 1:
        _channel(data[1:])
    else:
        _text(data[1:].decode("utf-8", "surrogateescape"))


def _decode(pieces: list[bytes]) -> tuple[list[controlproto.Message], str]:
    decoder = controlproto.Decoder(MAX_BYTES)
    found = []
    try:
        for piece in pieces:
            decoder.feed(piece)
            while (message := decoder.next()) is not None:
                found.append(message)
            assert 0 < decoder.missing <= MAX_BYTES + controlproto.LENGTH_BYTES
    except controlproto.BadMessage as error:
        return found, str(error)
    return found, ""


def _channel(data: bytes) -> None:
    ours, theirs = messages.Channel.pair()
    channel = messages.Channel(ours)
    theirs.setblocking(False)
    try:
        sent = 0
        while data and sent < limits.MESSAGES_A_TURN:
            packet, data = data[1 : 1 + data[0]], data[1 + data[0] :]
            if not packet:
                break
            theirs.send(packet)
            sent += 1
        received, is_open = channel.receive()
        assert is_open
        assert len(received) == sent
        for message in received:
            assert isinstance(message["kind"], str)
    finally:
        channel.close()
        theirs.close()


def _text(text: str) -> None:
    ours, theirs = messages.Channel.pair()
    channel, other = messages.Channel(ours), messages.Channel(theirs)
    try:
        channel.send("unfit", code=3, text=messages.fitting(text), traceback=messages.end_of(text))
        received, _ = other.receive()
        assert [message["kind"] for message in received] == ["unfit"], received
        assert len(json.dumps(received[0])) <= limits.MAX_MESSAGE_BYTES
    finally:
        channel.close()
        other.close()
