"""What decides whether and how a response is compressed, without a server: negotiation, media types, coders, options;
and what a worker does when its reactor is slow, its ring is full, or it has too much to compress."""

from __future__ import annotations

import importlib.util
import random
import re
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swhttp import compressing, limits
from swhttp.adapters import coders
from swhttp.adapters.accepting import choose, weights_of
from swhttp.adapters.mediatypes import MediaTypes
from swhttp.compressing import Compressing
from swhttp.config import Config
from swhttp.errors import ExitCode, ServerError
from swhttp.ipc import ring
from tests.adapters.rig import Flight, working
from tests.support.decoding import decoded, reader

ALL = ("zstd", "br", "gzip")
SETTINGS = Compressing(("gzip",), None, 100, compressing.TYPES)

# Negotiation


@pytest.mark.parametrize(("field", "coding"), [
    (b"gzip", "gzip"), (b"gzip, deflate, br, zstd", "zstd"), (b"br;q=1.0, gzip;q=0.8", "br"), (b"x-gzip", "gzip"),
    (b"GZip", "gzip"), (b"gzip;q=0", None), (b"gzip; Q=0.5", "gzip"), (b"gzip ;\tq=0.001 ", "gzip"), (b"", None),
    (b"*", "zstd"), (b"*;q=0.1, br;q=0", "zstd"), (b"zstd;q=0, *", "br"), (b"*;q=0", None), (b"*;q=0, gzip", "gzip"),
    (b"identity", None), (b"identity;q=0", None), (b"identity, gzip", "gzip"), (b"identity, gzip;q=0.9", None),
    (b"identity;q=0.5, gzip;q=0.4, br;q=0.6", "br"), (b"gzip;q=0.4, br;q=0.399", "gzip"), (b"compress, exi", None),
    (b",, ,gzip,", "gzip"), (b"gzip;q=1, gzip;q=0", None), (b"*, gzip;q=2", "zstd"), (b"gzip;q=1.001", None),
    (b"gzip;q=0.0001", None), (b"gzip;q=-1", None), (b"gzip;level=9", None), (b"gzip;q=", None), (b"gz ip", None),
    (b"gzip;q=0.5;x=1", None), (b"\xb2;q=1, gzip;q=\xb2", None), (b"gzip;q=1.", "gzip"), (b"gzip;q=0.", None),
    (b"x-gzip, gzip;q=0", None), (b"*;q=x", None), (b"gzip\n", None),
])
def test_the_client_weighs_and_the_server_prefers(field: bytes, coding: str | None) -> None:
    assert choose(field, ALL) == coding


@given(st.lists(st.tuples(st.sampled_from([*ALL, "identity", "*", "x"]), st.integers(0, 1000)), max_size=8))
def test_nobody_gets_what_he_weighs_less_than_something_else(elements: list[tuple[str, int]]) -> None:
    field = ", ".join(f"{name};q={weight / 1000:.3f}" for name, weight in elements).encode()
    least = {name: min(weight for other, weight in elements if other == name) for name, _ in elements}
    assert {name.decode(): weight for name, weight in weights_of(field).items()} == least
    weights = [(least.get(coding, least.get("*", 0)), -number) for number, coding in enumerate(ALL)]
    best, number = max(weights)
    expected = ALL[-number] if best and best >= least.get("identity", 0) else None
    assert choose(field, ALL) == expected


@given(st.binary(max_size=60))
def test_whatever_is_sent_it_is_read(field: bytes) -> None:
    assert choose(field, ALL) in {None, *ALL}


def test_a_field_that_takes_long_to_read_accepts_nothing() -> None:
    most = limits.MAX_ACCEPT_ENCODING_BYTES
    assert choose(b"gzip".rjust(most), ALL) == "gzip"
    assert choose(b"gzip".rjust(most + 1), ALL) is None


# Media types


@pytest.mark.parametrize(("value", "holds"), [
    (b"text/html", True), (b"Text/HTML; charset=utf-8", True), (b"text/html ;x=y", True), (b"text/event-stream", False),
    (b"text/event-stream; charset=utf-8", False), (b"application/json", True), (b"application/ld+json", True),
    (b"image/svg+xml", True), (b"image/png", False), (b"application/jsonp", False), (b"texts/html", False),
    (b"text", False), (b"", False), (b"application/octet-stream", False),
    (b"multipart/mixed; boundary=text/html", False),
])
def test_types_that_are_compressed_by_default(value: bytes, holds: bool) -> None:
    assert MediaTypes(compressing.TYPES).holds(value) is holds


def test_event_streams_are_compressed_if_they_are_named() -> None:
    assert MediaTypes(compressing.parse_types("text/*, TEXT/Event-Stream")).holds(b"text/event-stream")


# Coders


def standard_zstd() -> coders.Maker:
    """By Python's own library, or the one that has its interface in older Pythons."""
    library = importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    return coders.standard_zstd(library, 3)


MAKERS: dict[str, Callable[[], coders.Maker]] = {
    "gzip": lambda: coders.maker("gzip", 4), "br": lambda: coders.maker("br", 4),
    "zstd": lambda: coders.maker("zstd", 3), "zstd of Python": standard_zstd}


@pytest.mark.parametrize("name", MAKERS)
@given(pieces=st.lists(st.tuples(st.binary(max_size=3000), st.booleans()), max_size=6), known=st.booleans())
def test_what_goes_in_comes_out_and_what_was_flushed_can_be_read(
    name: str, pieces: list[tuple[bytes, bool]], known: bool
) -> None:
    coding = name.split()[0]
    whole = b"".join(piece for piece, _ in pieces)
    coder = MAKERS[name]()(len(whole) if known else coders.UNKNOWN)
    read, out, got, given_in = reader(coding), b"", b"", b""
    for piece, flush in pieces:
        made = coder.feed(piece, coders.FLUSH if flush else coders.MORE)
        out, given_in = out + made, given_in + piece
        got += read(made) if made else b""
        if flush:
            assert got == given_in
    out += coder.feed(b"", coders.END)
    assert decoded(out, coding) == whole


@pytest.mark.parametrize("name", MAKERS)
def test_a_body_that_was_left_half_way_harms_no_other(name: str) -> None:
    maker = MAKERS[name]()
    for size in (5000, 70_000, 300, 200_000) * 3:
        data = random.Random(size).randbytes(size // 2) * 2
        left, coder = maker(coders.UNKNOWN), maker(size)
        left.feed(b"left behind", coders.FLUSH)
        assert decoded(coder.feed(data, coders.END), name.split()[0]) == data
        del left


def test_brotli_may_come_from_either_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "brotlicffi", importlib.import_module("brotli"))
    monkeypatch.setitem(sys.modules, "brotli", None)
    assert decoded(coders.maker("br", 1)(9).feed(b"some text", coders.END), "br") == b"some text"


# Options


def without(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """These modules are not installed."""
    find: Any = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name in names else find(name))


def test_without_libraries_auto_is_gzip_and_to_name_them_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Config("a:b", compress="auto").compression
    assert settings is not None
    assert settings.codings == ALL
    without(monkeypatch, "zstandard", "brotli", "brotlicffi", "_zstd")
    settings = Config("a:b", compress="auto").compression
    assert settings is not None
    assert settings.codings == ("gzip",)
    for coding, library in (("zstd", "zstandard"), ("br", "brotli")):
        with pytest.raises(ServerError) as failure:
            Config("a:b", compress=f"gzip,{coding}")
        assert str(failure.value) == (
            f"--compress: {coding} needs {library}, which is not installed: pip install 'swhttp[compress]'")
        assert failure.value.exit_code is ExitCode.VALUE


@pytest.mark.parametrize(("values", "named"), [
    ({"compress": "deflate"}, "--compress"), ({"compress": ""}, "--compress"), ({"compress": "gzip,"}, "--compress"),
    ({"compress": "gzip,gzip"}, "--compress"), ({"compress": "auto,gzip"}, "--compress"),
    ({"compress_level": 0}, "--compress-level"), ({"compress_level": 10}, "--compress-level"),
    ({"compress_min_bytes": -1}, "--compress-min-bytes"),
    ({"compress_min_bytes": limits.MOST_COMPRESS_MIN_BYTES + 1}, "--compress-min-bytes"),
    ({"compress_types": ""}, "--compress-types"), ({"compress_types": "html"}, "--compress-types"),
    ({"compress_types": "*/*"}, "--compress-types"), ({"compress_types": "text/html;q=1"}, "--compress-types"),
])
def test_options_that_cannot_be(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ServerError) as failure:
        Config("a:b", **values)
    assert str(failure.value).startswith(f"{named}: ")


@pytest.mark.parametrize(("text", "said"), [
    ("gzip,off", "'off' stands alone"), ("auto,gzip", "'auto' stands alone"), ("brotli", "did you mean 'br'?"),
    ("gzpi", "did you mean 'gzip'?")])
def test_a_coding_that_cannot_be_is_told_from_one_that_cannot_be_there(text: str, said: str) -> None:
    with pytest.raises(ServerError, match=re.escape(said)):
        Config("a:b", compress=text)


def test_it_is_off_unless_it_is_asked_for() -> None:
    assert Config("a:b").compression is None


# In a worker

FIELDS = [(b"accept-encoding", b"gzip")]
BOTH = pytest.mark.parametrize("interface", ["wsgi", "asgi"])


def random_text(size: int) -> bytes:
    """Of which no coder makes much less."""
    return random.Random(7).randbytes(size)


def is_packed(flight: Flight, whole: bytes) -> bool:
    assert b"content-encoding: gzip\r\n" in flight.head.head
    return decoded(bytes(flight.body), "gzip") == whole and flight.last.flags & (ring.LAST | ring.ABORT) == ring.LAST


@BOTH
@pytest.mark.parametrize("step", [50_000, 2_000_000])
def test_nothing_is_lost_in_a_narrow_ring_before_a_slow_client(interface: str, step: int) -> None:
    narrow: dict[str, Any] = {"response_ring_bytes": 4096, "arena_classes": ((4096, 2), (65536, 1))}
    with working(f"packed:{interface}", interface, compressing=SETTINGS, **narrow) as rig:
        for size in (2_000_000, 500_000):
            target = b"/random?%d&%d" % (size, step)
            flight = rig.answer(target, headers=FIELDS, full=True)
            assert is_packed(flight, random_text(size))
            # What is there at once, and not too large, has its length; the rest goes in pieces.
            assert (flight.head.content_length == len(flight.body)) is (size == 500_000 and step > size)


@BOTH
def test_the_client_is_slow_by_what_leaves_not_by_what_the_app_gives(interface: str) -> None:
    with working(f"packed:{interface}", interface, compressing=SETTINGS) as rig:
        rig.acks = False
        size = 40 * limits.HIGH_WATER_BYTES
        flight = rig.answer(b"/zeros?%d&100000" % size, headers=FIELDS, full=True)
        assert is_packed(flight, bytes(size))
        assert len(flight.body) < limits.HIGH_WATER_BYTES


@pytest.mark.parametrize("size", [1_000_000, 4_000_000])
def test_others_have_their_turn_while_much_is_compressed(size: int) -> None:
    with working("packed:asgi", "asgi", compressing=SETTINGS) as rig:
        assert is_packed(rig.answer(b"/counted?%d&%d" % (size, size), headers=FIELDS), bytes(size))
        assert int(rig.answer(b"/turns").body) >= size // 65536 - 1


def test_so_many_are_compressed_at_once_and_no_more() -> None:
    most = limits.MAX_PACKERS
    with working("packed:asgi", "asgi", compressing=SETTINGS, blocks=most + 2) as rig:
        waiting = [rig.begin(b"/waits", headers=FIELDS) for _ in range(most)]
        while not all(flight.body for flight in waiting):
            rig.frame()
        flight = rig.answer(b"/zeros?1000&1000", headers=FIELDS)
        assert bytes(flight.body) == bytes(1000)
        assert b"content-encoding" not in flight.head.head
        assert b"vary: Accept-Encoding\r\n" in flight.head.head
        for one in waiting:
            rig.close(one)
        rig.finish(*waiting)
        assert is_packed(rig.answer(b"/zeros?1000&1000", headers=FIELDS), bytes(1000))


@pytest.mark.parametrize(("coding", "level"), [("br", 9), ("zstd", 9)])
def test_what_takes_much_memory_is_compressed_less_often_at_once(coding: str, level: int) -> None:
    most = limits.MAX_PACKERS_BYTES // coders.cost_bytes(coding, level)
    assert 1 <= most < limits.MAX_PACKERS
    fields = [(b"accept-encoding", coding.encode())]
    settings = Compressing((coding,), level, 100, compressing.TYPES)
    with working("packed:asgi", "asgi", compressing=settings, blocks=most + 2) as rig:
        waiting = [rig.begin(b"/waits", headers=fields) for _ in range(most)]
        while not all(flight.body for flight in waiting):
            rig.frame()
        flight = rig.answer(b"/zeros?1000&1000", headers=fields)
        assert bytes(flight.body) == bytes(1000)
        for one in waiting:
            rig.close(one)
        rig.finish(*waiting)
        assert decoded(bytes(rig.answer(b"/zeros?1000&1000", headers=fields).body), coding) == bytes(1000)


def test_at_usual_levels_the_number_is_what_counts() -> None:
    for coding, level in compressing.USUAL.items():
        assert coders.cost_bytes(coding, level) * limits.MAX_PACKERS <= limits.MAX_PACKERS_BYTES
