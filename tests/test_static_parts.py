"""What decides about a file's answer, without a server: paths, ranges, codings, conditions, types, --static itself."""

from __future__ import annotations

import posixpath
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from swhttp import limits, statics
from swhttp.config import Config
from swhttp.errors import BadValue
from swhttp.reactor.iothreads import accepted
from swhttp.reactor.staticcodings import codings_of
from swhttp.reactor.staticconditions import date_of, date_text, tag_is_in
from swhttp.reactor.staticranges import ranges_of
from swhttp.reactor.staticsite import Site
from swhttp.reactor.statictarget import target_of

NOW_S = int(datetime(2026, 5, 1, tzinfo=UTC).timestamp())


def site_of(*prefixes: bytes, index: bytes = b"index.html") -> Site:
    """Prefixes without their last slash; the nth has the directory n."""
    return Site([(prefix, n, True) for n, prefix in enumerate(prefixes)], statics.types(), (b"x/y", True), index, b"")


SITE = site_of(b"/static", b"/static/deep", b"/.own")
ROOT = site_of(b"")


# Paths


@pytest.mark.parametrize(("path", "meaning"), [
    (b"/", "other"), (b"/statics/a", "other"), (b"/Static/a", "other"), (b"*", "other"), (b"", "other"),
    (b"//static/a", "other"), (b"/x/../static/a", "other"), (b"/./static/a", "other"), (b"/static%2fa", "other"),
    (b"/static", ("directory", 0)), (b"/static/", ("file", 0, b"index.html")),
    (b"/static/a.css", ("file", 0, b"a.css")), (b"/%73tatic/a%20b", ("file", 0, b"a b")),
    (b"/static/a/", ("file", 0, b"a/index.html")), (b"/static/deep/a", ("file", 1, b"a")),
    (b"/static/deeper", ("file", 0, b"deeper")), (b"/static/a\\..\\b", ("file", 0, b"a\\..\\b")),
    (b"/static/%c0%ae%c0%ae/a", ("file", 0, b"\xc0\xae\xc0\xae/a")), (b"/static/%252e%252e/a",
                                                                      ("file", 0, b"%2e%2e/a")),
    (b"/static/.well-known/a", ("file", 0, b".well-known/a")), (b"/.own/a", ("file", 2, b"a")),
    *((b"/static" + rest, "nothing") for rest in (
        b"/..", b"/../a", b"/a/../b", b"/.", b"/./a", b"//a", b"/a//b", b"/%2e%2e/a", b"/.%2E/a", b"/a%2fb", b"/a%2Fb",
        b"/%00", b"/a%00.css", b"/%", b"/%4", b"/%zz", b"/.git/config", b"/a/.env", b"/.well-knownx", b"/.well-know",
        b"/" + b"a" * limits.MAX_STATIC_PATH_BYTES, b"/" + b"a/" * limits.MAX_STATIC_PATH_BYTES)),
])  # fmt: skip
def test_a_path_leads_to_one_place_or_to_none(path: bytes, meaning: object) -> None:
    assert target_of(SITE.address, path) == meaning


def test_the_root_can_be_served_and_no_name_of_a_host_comes_of_it() -> None:
    assert target_of(ROOT.address, b"/") == ("file", 0, b"index.html")
    assert target_of(ROOT.address, b"/a") == ("file", 0, b"a")
    assert target_of(ROOT.address, b"//evil.test") == "nothing"
    assert target_of(ROOT.address, b"/..") == "nothing"


def test_without_an_index_directories_are_nothing() -> None:
    site = site_of(b"/static", index=b"")
    assert [target_of(site.address, path) for path in (b"/static", b"/static/", b"/static/a/")] == ["nothing"] * 3


@given(st.lists(st.sampled_from([
    b"/", b".", b"..", b"a", b"%2e", b"%2F", b"%5c", b"\\", b"%00", b"%", b"static", b"\xff", b"%c0%af"])))
@example([b"/", b"a"])
def test_whatever_is_asked_for_is_below_the_directory(pieces: list[bytes]) -> None:
    path = b"/static/" + b"".join(pieces)
    meaning = target_of(SITE.address, path)
    if meaning != "nothing":
        assert isinstance(meaning, tuple)
        assert len(meaning) == 3
        name = meaning[2]
        assert b"\0" not in name
        assert posixpath.normpath(b"/static/" + name) == b"/static/" + name
        assert name.removesuffix(b"index.html") == unquote_to_bytes(path)[len(b"/static/"):]


# Ranges


@pytest.mark.parametrize(("text", "found"), [
    (b"bytes=0-0", [(0, 1)]), (b"bytes=0-", [(0, 100)]), (b"bytes=-1", [(99, 1)]), (b"bytes=-1000", [(0, 100)]),
    (b"bytes=10-1000", [(10, 90)]), (b"Bytes= 0-1 ,\t3-4 ", [(0, 2), (3, 2)]), (b"bytes=5-6,0-1", [(5, 2), (0, 2)]),
    (b"bytes=0-1,200-300", [(0, 2)]), (b"bytes=,0-1,", [(0, 2)]), (b"bytes=0-9999999999999999999999", [(0, 100)]),
    (b"bytes=100-", "outside"), (b"bytes=-0", "outside"), (b"bytes=99999999999999999999-", "outside"),
    (b"bytes=0-1,1-2", "none"), (b"bytes=0-,-1", "none"), (b"bytes=2-1", "none"), (b"bytes=", "none"),
    (b"bytes=,", "none"), (b"bytes=a-b", "none"), (b"bytes=1", "none"), (b"bytes=-", "none"), (b"bytes=0-1-2", "none"),
    (b"bytes=0 -1", "none"), (b"bytes 0-1", "none"), (b"lines=0-1", "none"), (b"bytes=+0-1", "none"), (b"", "none"),
    (b"bytes=" + b",".join(b"%d-%d" % (n, n) for n in range(limits.MAX_RANGES + 1)), "none"),
])  # fmt: skip
def test_a_range_field_asks_for_parts_or_for_all(text: bytes, found: object) -> None:
    assert ranges_of(text, 100) == found


@pytest.mark.parametrize("text", [b"bytes=0-", b"bytes=-5", b"bytes=5-"])
def test_of_an_empty_file_the_whole_is_no_mistake(text: bytes) -> None:
    assert ranges_of(text, 0) == "none"


@given(st.integers(0, 1000), st.lists(st.tuples(
    st.none() | st.integers(0, 1100), st.none() | st.integers(0, 1100)), min_size=1, max_size=limits.MAX_RANGES))
def test_ranges_are_within_the_file_and_never_overlap(size: int, asked: list[tuple[int | None, int | None]]) -> None:
    texts = ["".join(("" if first is None else str(first), "-", "" if last is None else str(last)))
             for first, last in asked]
    found = ranges_of(f"bytes={','.join(texts)}".encode(), size)
    if isinstance(found, list):
        got = [byte for first, length in found for byte in range(first, first + length)]
        assert all(length > 0 for _, length in found)
        assert len(set(got)) == len(got)
        wanted = set()
        for first, last in asked:
            if first is None:
                assert last is not None
                wanted |= set(range(max(0, size - last), size))
            else:
                wanted |= set(range(first, size if last is None else min(last + 1, size)))
        assert set(got) == wanted


@given(st.binary(max_size=60), st.integers(0, 1 << 62))
def test_any_bytes_ask_for_what_is_in_the_file(text: bytes, size: int) -> None:
    found = ranges_of(b"bytes=" + text, size)
    assert isinstance(found, str) or all(0 <= first < first + length <= size for first, length in found)


# Codings


@pytest.mark.parametrize(("text", "found"), [
    (b"gzip, deflate, br, zstd", ["br", "zstd", "gzip", "identity"]), (b"", ["identity"]), (b"deflate", ["identity"]),
    (b"gzip", ["gzip", "identity"]), (b"x-gzip", ["gzip", "identity"]), (b"GZIP ; Q=0.5", ["gzip", "identity"]),
    (b"br;q=0.1, gzip;q=0.9", ["gzip", "br", "identity"]), (b"*", ["br", "zstd", "gzip", "identity"]),
    (b"*;q=0", []), (b"identity;q=0", []), (b"gzip, identity;q=0", ["gzip"]), (b"gzip, *;q=0", ["gzip"]),
    (b"identity, gzip;q=0.5", ["identity", "gzip"]), (b"br;q=0, *", ["zstd", "gzip", "identity"]),
    (b"br;q=0", ["identity"]), (b"br;q=2, gzip;q=1.001, zstd;q=x, identity", ["identity"]),
    (b"br;level=1, gzip", ["gzip", "identity"]), (b"\"br\", gzip", ["gzip", "identity"]),
    (b"gzip;q=0.0001", ["identity"]), (b"*;q=0, identity;q=0.5", ["identity"]),
    (b"gzip;q=0, gzip", ["identity"]), (b"gzip, gzip;q=0", ["identity"]), (b"*, br;q=2", ["zstd", "gzip", "identity"]),
    (b"gzip, identity;q=2", ["gzip", "identity"]),
])  # fmt: skip
def test_codings_come_in_the_order_in_which_the_client_takes_them(text: bytes, found: list[str]) -> None:
    assert codings_of(text) == found


@given(st.binary(max_size=60))
def test_any_bytes_ask_for_each_coding_at_most_once(text: bytes) -> None:
    found = codings_of(text)
    assert len(set(found)) == len(found)


# Dates and tags


@pytest.mark.parametrize("text", [
    b"Sun, 06 Nov 1994 08:49:37 GMT", b"Sunday, 06-Nov-94 08:49:37 GMT", b"Sun Nov  6 08:49:37 1994"])
def test_all_three_forms_of_a_date_are_read(text: bytes) -> None:
    assert date_of(text, NOW_S) == int(datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC).timestamp())


@pytest.mark.parametrize("text", [
    b"", b"now", b"0", b"Sun, 06 Nov 1994 08:49:37", b"Sun, 06 Nov 1994 08:49:37 CET", b"Sun, 31 Feb 1994 08:49:37 GMT",
    b"Sun, 06 nov 1994 08:49:37 GMT", b"Sun, 06 Nov 1994 24:00:00 GMT", b"Sun, 6 Nov 1994 08:49:37 GMT ",
    b"Sun, -6 Nov 1994 08:49:37 GMT", b"Sun, 29 Feb 2100 08:49:37 GMT", b"Sunday, 06-Nov-9x 08:49:37 GMT"])
def test_what_is_no_date_is_none(text: bytes) -> None:
    assert date_of(text, NOW_S) is None


@given(st.integers(0, int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())))
def test_a_time_is_written_as_python_does_and_read_back(at_s: int) -> None:
    text = date_text(at_s)
    assert text.decode() == format_datetime(datetime.fromtimestamp(at_s, UTC), usegmt=True)
    assert date_of(text, NOW_S) == at_s


@pytest.mark.parametrize(("texts", "weakly", "found"), [
    (b'"a"', False, True), (b'"b", "a"', False, True), (b'W/"a"', False, False), (b'W/"a"', True, True),
    (b"*", False, True), (b'"A"', True, False), (b'"b"', True, False), (b"a", True, False), (b'"a', True, False),
    (b"", True, False), (b',, "a"', True, True), (b'"x", y, "a"', True, False), (b'"b,", "a"', True, True)])
def test_a_tag_is_looked_for_in_a_list(texts: bytes, weakly: bool, found: bool) -> None:
    assert tag_is_in(b'"a"', texts, weakly) == found


@given(st.binary(max_size=60))
def test_any_bytes_are_a_list_of_tags_or_none(text: bytes) -> None:
    assert tag_is_in(b'"a"', b'"a",' + text, False)
    assert not tag_is_in(b'"a"', text.replace(b"a", b"").replace(b"*", b""), True)


# The queue of the I/O threads


def test_the_queue_has_an_end_for_files_to_be_opened_and_counts_no_others() -> None:
    opens, reads, most = True, False, limits.IO_QUEUE
    wanted = [reads, reads, *[opens] * most, reads, opens, opens, reads]
    assert accepted(most, wanted) == [True] * (most + 3) + [False, False, True]


# --static and the types


@pytest.mark.parametrize("text", [
    "", "static", "/static", "/static=", "static={dir}", "/a//b={dir}", "/a/../b={dir}", "/a b={dir}", "/a%20b={dir}",
    "/a?b={dir}", "/a={dir}/missing", "/a={dir}/file", "=/tmp", "/\udcff={dir}"])
def test_what_cannot_be_served_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"."):
        statics.parse([text.format(dir=tmp_path)])


def test_prefixes_lose_their_last_slash_and_are_said_once(tmp_path: Path) -> None:
    assert statics.parse([f"/a/={tmp_path}", f"/={tmp_path}", f"/é={tmp_path}"]) == (
        statics.Mount("/a", str(tmp_path)), statics.Mount("/", str(tmp_path)), statics.Mount("/é", str(tmp_path)))
    with pytest.raises(ValueError, match="there are two"):
        statics.parse([f"/a={tmp_path}", f"/a/={tmp_path}"])
    with pytest.raises(ValueError, match="at most"):
        statics.parse([f"/{n}={tmp_path}" for n in range(limits.MAX_STATIC_MOUNTS + 1)])


@pytest.mark.parametrize(("option", "value"), [
    ("static", ("/static=/nowhere/at/all",)), ("static_index", "a/b"), ("static_index", ".."),
    ("static_index", "a" * 256),
    ("static_cache_control", "a\r\nb: c"), ("static_cache_control", " a"), ("static_cache_control", "a" * 1025)])
def test_a_bad_value_names_its_option(option: str, value: object) -> None:
    with pytest.raises(BadValue, match="--" + option.replace("_", "-")):
        Config("myapp:app", **{option: value})  # type: ignore[arg-type]


def test_types_are_those_that_browsers_need() -> None:
    known = {suffix: (media, coded) for suffix, media, coded in statics.types()}
    assert known[b"html"] == (b"text/html; charset=utf-8", True)
    assert known[b"js"] == known[b"mjs"] == (b"text/javascript; charset=utf-8", True)
    assert known[b"wasm"] == (b"application/wasm", True)
    assert known[b"svg"] == (b"image/svg+xml", True)
    assert [known[suffix][1] for suffix in (b"png", b"webp", b"avif", b"woff2", b"mp4", b"gz", b"zip")] == [False] * 7
    assert all(suffix == suffix.lower() for suffix in known)
