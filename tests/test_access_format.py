"""What a format of the access log may be, what it comes to, and that a value can never leave its place in a line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swhttp import accessformat, limits
from swhttp.accessformat import Kind, Part, parse
from swhttp.config import Config
from swhttp.errors import ExitCode, ServerError
from swhttp.reactor.accesslog import escaped
from tests.support.accesslog import AccessLog
from tests.support.fleet import Start

ROOM = 1 << 16


def kinds(text: str) -> list[Kind]:
    """The parts of a format but its texts."""
    return [part.kind for part in parse(text).parts if part.kind is not Kind.TEXT]


# Formats


def test_combined_is_common_and_two_fields() -> None:
    common, combined = parse("common").parts, parse("combined").parts
    assert common[:-1] == combined[: len(common) - 1]
    assert [part.text for part in combined if part.kind is Kind.REQUEST_FIELD] == [b"referer", b"user-agent"]


@pytest.mark.parametrize("name", accessformat.NAMED)
def test_every_line_ends_once(name: str) -> None:
    parts = parse(name).parts
    assert parts[-1].text.endswith(b"\n")
    assert b"".join(part.text for part in parts).count(b"\n") == 1


@pytest.mark.parametrize(
    ("apache", "gunicorn"),
    [
        ("%h %l %u %t", "%(h)s %(l)s %(u)s %(t)s"),
        ('"%r" %>s %b', '"%(r)s" %(s)s %(b)s'),
        ("%B %D %T %{ms}T", "%(B)s %(D)s %(T)s %(M)s"),
        ("%m %U %H <%P>", "%(m)s %(U)s %(H)s %(p)s"),
        ("%{Referer}i %{User-Agent}i", "%(f)s %(a)s"),
        ("%{X-Forwarded-For}i %{Server}o", "%({x-forwarded-for}i)s %({server}o)s"),
        ("100%% %a", "100%% %(h)s"),
    ],
)
def test_gunicorns_atoms_mean_what_apaches_do(apache: str, gunicorn: str) -> None:
    assert parse(apache) == parse(gunicorn)


def test_the_query_has_its_question_mark_in_apaches_spelling_only() -> None:
    assert kinds("%q %(q)s") == [Kind.QUERY, Kind.BARE_QUERY]


def test_atoms_that_are_written_together_or_at_the_ends_are_all_taken() -> None:
    assert kinds("%h%>s%{ms}T%%%(L)s") == [Kind.CLIENT, Kind.STATUS, Kind.DURATION_MS, Kind.DURATION_DECIMAL]


def test_a_time_may_be_that_of_the_end() -> None:
    assert parse("%{%F}t").parts[0] == Part(Kind.TIME, b"%F")
    assert parse("%{begin:%F}t").parts[0] == Part(Kind.TIME, b"%F")
    assert parse("%{end:%F}t").parts[0] == Part(Kind.TIME, b"%F", ends=True)
    assert parse("%{end:usec_frac}t").parts[0] == Part(Kind.MICRO_PART, ends=True)
    assert parse("%{}t").parts[0] == parse("%t").parts[0]


def test_backslashes_of_a_configuration_file_are_understood() -> None:
    assert parse(r"\"%h\"\t\\").parts == (
        Part(Kind.TEXT, b'"'), Part(Kind.CLIENT), Part(Kind.TEXT, b'"\t\\\n'))  # fmt: skip


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("%h %z", "'%z'"),
        ("%h %{Cookie}C", "'%{Cookie}C'"),
        ("%{PATH}e", "'%{PATH}e'"),
        ("%{no space}i", "'%{no space}i'"),
        ("%{}i", "'%{}i'"),
        ("%400{Referer}i", "'%4'"),
        ("%{h}T", "'%{h}T'"),
        ("%(z)s", "'%(z)s'"),
        ("%({x}e)s", "'%({x}e)s'"),
        ("%(h)d", "'%('"),
        ("%{Referer", "'%{'"),
        ("%h %", "lone %"),
        ("%h\n%r", r"'\n'"),
        ("%h\x7f", r"'\x7f'"),
        ("", "combined"),
        ("x" * (limits.ACCESS_FORMAT_BYTES + 1), "4096 bytes"),
        ("%h " * limits.ACCESS_FORMAT_PARTS, "64 are the most"),
        ("".join(f"%{{x-{n}}}i" for n in range(limits.ACCESS_FORMAT_NAMES + 1)), "16 different"),
    ],
)
def test_what_is_not_understood_is_named(text: str, named: str) -> None:
    with pytest.raises(ServerError, match=re.escape(named)) as failure:
        Config("myapp:app", access_log_format=text)
    assert failure.value.exit_code is ExitCode.VALUE
    assert "--access-log-format" in str(failure.value)


def test_a_server_runs_with_as_many_times_as_a_format_may_have(server: Start, tmp_path: Path) -> None:
    most = limits.ACCESS_FORMAT_NAMES
    site = server("reference:wsgi", "--workers", "1", "--access-log", str(tmp_path / "log"),
                  "--access-log-format", " ".join(["%{%Y}t"] * (most - 2) + [f"%{{{'%Y' * n}}}t" for n in (31, 32)]))
    site.get("/")
    line = AccessLog(str(tmp_path / "log"), from_start=True).texts(1)[0]
    assert re.fullmatch(rf"(\d{{4}} ){{{most - 2}}}(\d{{4}}){{31}} ", line), "a time of ACCESS_TIME_BYTES is none"
    with pytest.raises(ServerError, match=f"more than {most} times"):
        Config("myapp:app", access_log_format="%{%Y}t" * (most + 1))


@given(st.lists(st.sampled_from(["%r", "%U", "%{a}i", "%{b}o", "%t", "%D", "text", " "]), min_size=1, max_size=40))
def test_the_longest_values_fit_in_a_line(pieces: list[str]) -> None:
    parsed = parse("".join(pieces))
    values = sum(part.kind in accessformat.VALUES for part in parsed.parts)
    rest = sum(
        len(part.text) if part.kind is Kind.TEXT
        else limits.ACCESS_TIME_BYTES if part.kind in accessformat.TIMES
        else accessformat.NUMBER_BYTES
        for part in parsed.parts if part.kind not in accessformat.VALUES)  # fmt: skip
    assert parsed.field_bytes >= limits.ACCESS_FIELD_LEAST_BYTES
    assert values * parsed.field_bytes + rest <= limits.ACCESS_LINE_BYTES


# Escaping

LETTERS = {"b": 8, "t": 9, "n": 10, "v": 11, "r": 13, '"': 34, "\\": 92}


def unescaped(text: str) -> bytes:
    """What Apache's escapes stand for."""

    def one(match: re.Match[str]) -> str:
        return chr(int(match[1][1:], 16) if match[1][0] == "x" else LETTERS[match[1]])

    return re.sub(r"\\(x[0-9a-f]{2}|[btnvr\"\\])", one, text).encode("latin-1")


# Mostly what needs no escape, so that long runs of it are met too.
VALUES = st.one_of(
    st.binary(max_size=200),
    st.lists(st.one_of(st.just(b"plain text of a usual kind"), st.binary(max_size=3)), max_size=12).map(b"".join))


@given(VALUES)
def test_a_value_is_printable_and_can_be_had_back(value: bytes) -> None:
    text, whole = escaped(value, False, ROOM)
    assert whole
    assert re.fullmatch(rb"(?:[ !#-\[\]-~]|\\[^\n])*", text), "a quote, or what is not printable, stands by itself"
    assert unescaped(text.decode("ascii")) == value


@given(VALUES)
def test_a_value_in_json_is_a_string_and_can_be_had_back(value: bytes) -> None:
    text, whole = escaped(value, True, ROOM)
    assert whole
    assert text.isascii()
    assert b"\n" not in text
    assert json.loads(b'"' + text + b'"').encode("latin-1") == value


@given(VALUES, st.booleans(), st.integers(0, 300))
def test_a_value_that_is_too_long_is_cut_between_bytes(value: bytes, in_json: bool, most: int) -> None:
    whole, _ = escaped(value, in_json, ROOM)
    text, is_whole = escaped(value, in_json, most)
    assert is_whole is (len(whole) <= most)
    assert len(text) <= most
    assert whole.startswith(text)
    back = json.loads(b'"' + text + b'"').encode("latin-1") if in_json else unescaped(text.decode("ascii"))
    assert value.startswith(back), "an escape is cut in two"
    assert is_whole or len(text) > most - 6


@pytest.mark.parametrize("byte", range(256))
def test_each_byte_is_written_as_apache_does(byte: int) -> None:
    letters = {8: b"\\b", 9: b"\\t", 10: b"\\n", 11: b"\\v", 13: b"\\r", 34: b'\\"', 92: b"\\\\"}
    plain = bytes([byte]) if 0x20 <= byte < 0x7F else b"\\x%02x" % byte
    expected = letters.get(byte, plain)
    for before in range(9):  # wherever it stands in the eight bytes that are looked at together
        text, _ = escaped(b"a" * before + bytes([byte]) + b"a" * 9, False, ROOM)
        assert text == b"a" * before + expected + b"a" * 9
