"""What is said on the control socket, who is told of a reload, and what people are shown: without any process."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swhttp import tables
from swhttp.controlproto import BadMessage, Decoder, encode, encode_rows
from swhttp.reloads import Reloads

MESSAGES = st.lists(
    st.dictionaries(st.text(max_size=3), st.none() | st.integers() | st.text(max_size=8), max_size=2), max_size=3)


@settings(max_examples=60)
@given(MESSAGES, st.lists(st.integers(1, 20)), st.booleans())
def test_messages_come_out_as_they_went_in_however_they_are_cut(
    messages: list[dict[str, Any]], cuts: list[int], exactly: bool
) -> None:
    decoder, found = Decoder(1 << 20), []
    stream = b"".join(map(encode, messages))
    while stream:
        size = min(cuts.pop() if cuts else len(stream), decoder.missing if exactly else len(stream))
        decoder.feed(stream[:size])
        stream = stream[size:]
        while (message := decoder.next()) is not None:
            found.append(message)
            assert not exactly or decoder.missing == 4, "nothing of the next one is taken"
    assert found == messages


@given(st.binary(max_size=64))
def test_any_bytes_are_a_message_or_wait_or_are_refused(data: bytes) -> None:
    decoder = Decoder(40)
    decoder.feed(data)
    try:
        while (message := decoder.next()) is not None:
            assert isinstance(message, dict)
    except BadMessage:
        return
    assert decoder.missing > 0


@pytest.mark.parametrize("body", [b"{", b"[]", b"1", b"\xff\xfe", b"{}{}", b"[" * 30000, b'{"a": "\xed\xa0\x80"}'])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    decoder = Decoder(1 << 16)
    decoder.feed(len(body).to_bytes(4, "big") + body)
    with pytest.raises(BadMessage):
        decoder.next()


@pytest.mark.parametrize(("length", "good"), [(0, False), (1, True), (100, True), (101, False), (2**32 - 1, False)])
def test_a_length_is_looked_at_before_what_it_is_of(length: int, good: bool) -> None:
    decoder = Decoder(100)
    decoder.feed(length.to_bytes(4, "big"))
    if good:
        assert decoder.missing == length
    else:
        with pytest.raises(BadMessage):
            _ = decoder.missing


@pytest.mark.parametrize("rows", [[], [{}], [{"a": 1}, {"b": "\u20ac"}]])
@pytest.mark.parametrize("message", [{}, {"ok": True}])
def test_rows_that_are_encoded_already_make_the_same_message(message: dict[str, Any], rows: list[Any]) -> None:
    decoder = Decoder(1 << 20)
    decoder.feed(encode_rows(message, "rows", [json.dumps(row).encode() for row in rows]))
    assert decoder.next() == {**message, "rows": rows}


def test_whoever_waits_hears_of_the_reload_that_was_for_him() -> None:
    told: list[str] = []
    reloads = Reloads()
    reloads.asked(lambda ok, text: told.append("first"))
    reloads.began()
    reloads.asked()
    reloads.asked(lambda ok, text: told.append(f"second {ok} {text}"))
    reloads.ended(1, True, "", 1.0)
    assert (told, reloads.count, reloads.ok, reloads.running) == (["first"], 1, True, False)
    reloads.began()
    reloads.asked(lambda ok, text: told.append("third"))
    assert reloads.running
    reloads.ended(3, False, "why", 2.0)
    assert (told, reloads.count, reloads.ok, reloads.text) == (["first", "second False why"], 2, False, "why")
    reloads.abandon("the end")
    assert told == ["first", "second False why", "third"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (59, "59 s"), (60, "1 min 0 s"), (3700, "1 h 1 min"), (200000, "2 d 7 h")])
def test_how_long_it_is(seconds: float, text: str) -> None:
    assert tables.span(seconds) == text


def test_nothing_that_a_client_has_sent_reaches_the_terminal_as_a_command() -> None:
    row = {"age_s": 0.0005, "state": "taken", "slot": 1, "pid": 9, "method": "G\x1b[2J", "target": "/\n\x9b0m",
           "target_bytes": 300, "truncated": True, "client": "::1", "client_port": 80}
    text = tables.requests({"requests": [row], "truncated": True, "in_flight": 3})
    assert text.splitlines() == [
        "   age  slot  pid  state  client    method    path",
        "500 µs     1    9  taken  [::1]:80  G\\x1b[2J  /\\n\\x9b0m...",
        "and 2 younger ones"]
