"""Masks and UTF-8 (wsbytes.h), against the plain way to do either."""

from __future__ import annotations

import codecs
import itertools
import os

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from swhttp.reactor.wsprobe import UTF8_BAD, UTF8_WHOLE, unmask, utf8

KEY = b"\x01\x80\xfe\x37"


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("phase", range(4))
def test_a_mask_is_taken_off(phase: int, in_place: bool) -> None:
    data = os.urandom(300)
    for offset, length in itertools.product((0, 1, 2, 3, 4, 7, 8, 15), (*range(100), 127, 128, 129, 255, 300)):
        plain = bytes(byte ^ KEY[(nth + phase) & 3] for nth, byte in enumerate(data[:length]))
        assert unmask(data[:length], KEY, phase, offset=offset, in_place=in_place) == plain


def verdict(data: bytes) -> str:
    """Python's: "whole", "within" a character, or "bad"."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(data)
    except UnicodeDecodeError:
        return "bad"
    held = decoder.getstate()[0]
    # It holds the first two bytes of a surrogate, for those who want one (surrogatepass).
    if len(held) == 2 and held[0] == 0xED and held[1] >= 0xA0:
        return "bad"
    return "within" if held else "whole"


def said(state: int) -> str:
    return "whole" if state == UTF8_WHOLE else "bad" if state == UTF8_BAD else "within"


def test_every_beginning_of_a_character_is_judged_as_python_does() -> None:
    edges = (0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC2, 0xE0, 0xF0, 0xFF)
    for first, second in itertools.product(range(256), repeat=2):
        for rest in ((), (0x80,), (0xBF,)):
            data = bytes((first, second, *rest))
            assert said(utf8(UTF8_WHOLE, data)) == verdict(data), data
    for data in itertools.product((0xE0, 0xE1, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF4, 0xF5), edges, edges, edges):
        assert said(utf8(UTF8_WHOLE, bytes(data))) == verdict(bytes(data)), data


pieces = st.text(max_size=12).map(str.encode) | st.binary(max_size=4) | st.sampled_from(
    (b"a" * 8, b"b" * 15, b"c" * 40, b"\xed\xa0", b"\xf4\x90", b"\xe2\x82", "д€😀".encode() * 9))


@settings(max_examples=300, deadline=None)
@given(st.lists(pieces, max_size=6).map(b"".join), st.lists(st.integers(0, 200), max_size=4))
@example(b"a" * 15 + b"\xed\xa0\x80" + b"b" * 20, [17])
def test_texts_are_judged_as_python_does_however_they_are_cut(data: bytes, cuts: list[int]) -> None:
    state = UTF8_WHOLE
    bounds = [0, *sorted(min(place, len(data)) for place in cuts), len(data)]
    for start, end in itertools.pairwise(bounds):
        state = utf8(state, data[start:end])
        assert said(state) == verdict(data[:end])


@settings(max_examples=100, deadline=None)
@given(st.lists(pieces, max_size=6).map(b"".join))
def test_a_text_fails_no_later_than_it_must(data: bytes) -> None:
    state = UTF8_WHOLE
    for end in range(1, len(data) + 1):
        state = utf8(state, data[end - 1 : end])
        assert said(state) == verdict(data[:end])
