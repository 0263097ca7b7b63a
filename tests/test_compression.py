"""--compress over real connections: what clients get of what an app answers.

Negotiation, media types and coders have pure tests in tests/adapters/test_compressing.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from tests.apps.compressible import FIRST, text
from tests.apps.site_parts import LONG_TEXT
from tests.frameworks.sites import migrate
from tests.support.client import Closed, Response
from tests.support.counters import Since, gauge
from tests.support.decoding import decoded, reader
from tests.support.fleet import Start
from tests.support.server import EXIT_BOOT_FAILED, Server

OPTIONS = ("--workers", "1", "--reactors", "1")
BROWSER = "gzip, deflate, br, zstd"
LONG = 20_000
TAG = '"v1"'


@pytest.fixture(scope="module", params=["wsgi", "asgi"])
def interface(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def site(interface: str, module_server: Start) -> Server:
    return module_server(f"compressible:{interface}", *OPTIONS, "--compress", "br,zstd,gzip")


def ask(site: Server, path: str = "/body", method: str = "GET", accept: str | None = BROWSER, version: str = "HTTP/1.1",
        fields: tuple[tuple[str, str], ...] = (), h: tuple[str, ...] = (), **query: Any) -> Response:
    """The answer to one request on a connection of its own. `h`: fields of the response."""
    target = path + "?" + urlencode({"type": "text/plain", "h": h, **query}, doseq=True)
    headers = [*fields] if accept is None else [("Accept-Encoding", accept), *fields]
    with site.connect() as client:
        client.send_request(method, target, headers, version=version)
        return client.response(method)


def plain(answer: Response) -> bool:
    return answer.header("content-encoding") is None


@pytest.mark.parametrize(("accept", "coding"), [
    ("gzip", "gzip"), ("zstd", "zstd"), (BROWSER, "br"), ("*", "br"), ("gzip, br;q=0.5, zstd;q=0.9", "gzip")])
def test_a_body_at_once_is_compressed_and_has_its_new_length(site: Server, accept: str, coding: str) -> None:
    answer = ask(site, size=LONG, measured="", accept=accept, h=(f"ETag:{TAG}", "Accept-Ranges:bytes", "X-Other:1"))
    assert answer.header("content-encoding") == coding
    assert answer.framing == "length"
    assert len(answer.body) < LONG / 5
    assert decoded(answer.body, coding) == text(LONG)
    assert answer.header("vary") == "Accept-Encoding"
    assert answer.header("etag") == f"W/{TAG}"
    assert answer.header("accept-ranges") is None
    assert answer.header("content-type") == "text/plain"
    assert answer.header("x-other") == "1"


@pytest.mark.parametrize("accept", [None, "", "identity", "gzip;q=0, br;q=0, zstd;q=0", "deflate", "*;q=0"])
def test_who_does_not_want_it_gets_the_body_as_it_is(site: Server, accept: str | None) -> None:
    answer = ask(site, size=LONG, measured="", accept=accept, h=(f"ETag:{TAG}", "Accept-Ranges:bytes", "Vary:Cookie"))
    assert plain(answer)
    assert answer.body == text(LONG)
    assert answer.header("content-length") == str(LONG)
    assert answer.header("vary") == "Cookie, Accept-Encoding"
    assert answer.header("etag") == TAG
    assert answer.header("accept-ranges") == "bytes"


@pytest.mark.parametrize("query", [
    {"h": ("Content-Encoding:gzip",)}, {"h": ("Content-Encoding:identity",)}, {"h": ("Trailer:x, Repr-Digest",)},
    {"h": ("Cache-Control:public, No-Transform",)}, {"h": ("Repr-Digest:sha-256=:AAAA:",)},
    {"h": ("Digest:sha-256=AAAA",)}, {"h": ("Content-MD5:AAAA",)}, {"h": ("Content-Digest:sha-256=:AAAA:",)},
    {"status": 206, "type": "image/png"}, {"type": "image/png"}, {"type": ""}, {"type": "text/event-stream"},
    {"size": 1023}, {"size": 1023, "measured": ""}, {"size": 0},
])
def test_some_responses_are_let_alone(site: Server, query: dict[str, Any]) -> None:
    answer = ask(site, **{"size": LONG, **query})
    assert [f"Content-Encoding:{coding}" for coding in answer.all("content-encoding")] == [
        field for field in query.get("h", ()) if field.startswith("Content-Encoding")]
    assert answer.body == text(query.get("size", LONG))
    assert answer.header("vary") is None


@pytest.mark.parametrize("query", [
    {"h": ("Content-Range:bytes 0-19999/20001",), "status": 206}, {"h": ("Content-Range:bytes 0-1/2",)},
    {"status": 206}, {"status": 206, "size": 10, "measured": ""}])
def test_a_part_stays_as_it_is_and_says_that_the_whole_would_not(site: Server, query: dict[str, Any]) -> None:
    answer = ask(site, **{"size": LONG, **query})
    assert plain(answer)
    assert answer.body == text(query.get("size", LONG))
    assert answer.header("vary") == "Accept-Encoding"


@pytest.mark.parametrize("query", [
    {"status": 404}, {"status": 500}, {"size": 1024}, {"type": "application/problem+json; charset=utf-8"},
    {"type": "TEXT/HTML;charset=x"}, {"pieces": 7}, {"pieces": 7, "measured": ""}, {"size": 200_000},
    {"size": 1_048_577, "measured": ""}, {"size": 1_000_000, "pieces": 3}, {"path": "/written", "pieces": 3},
    {"path": "/wrapped"}, {"path": "/again"},
])
def test_others_are_compressed_whatever_comes_of_their_shape(site: Server, query: dict[str, Any]) -> None:
    answer = ask(site, **{"size": LONG, **query})
    assert answer.header("content-encoding") == "br"
    assert decoded(answer.body, "br") == text(query.get("size", LONG))
    assert answer.header("vary") == "Accept-Encoding"
    assert answer.keeps_open


@pytest.mark.parametrize(("fields", "vary"), [
    (("Vary:Cookie",), ["Cookie, Accept-Encoding"]), (("Vary:accept-encoding",), ["accept-encoding"]),
    (("Vary:*",), ["*"]), (("Vary:Cookie", "Vary:Origin"), ["Cookie, Origin, Accept-Encoding"]),
    (("Vary:Cookie", "Vary:Accept-Encoding"), ["Cookie", "Accept-Encoding"]),
])
def test_vary_is_extended_once(site: Server, fields: tuple[str, ...], vary: list[str]) -> None:
    for accept in (BROWSER, None):
        assert ask(site, size=LONG, h=fields, accept=accept).all("vary") == vary


def test_weak_tags_stay_as_they_are(site: Server) -> None:
    assert ask(site, size=LONG, h=(f"ETag:W/{TAG}",)).header("etag") == f"W/{TAG}"


def test_a_head_has_the_fields_of_a_get_but_for_its_length(site: Server) -> None:
    with site.connect() as client:
        for query in ("size=20000&measured", "size=0&promised=20000", "size=0"):
            client.send_request("HEAD", f"/body?type=text/plain&{query}&h=ETag:%22v1%22",
                                [("Accept-Encoding", "gzip")])
            answer = client.response("HEAD")
            assert (answer.header("content-encoding"), answer.header("etag")) == ("gzip", f"W/{TAG}")
            assert answer.header("content-length") is None
        assert client.get("/body?type=text/plain&size=10").body == text(10)
    assert ask(site, size=LONG, measured="", method="HEAD", accept=None).header("content-length") == str(LONG)


def test_a_304_speaks_of_the_tag_that_its_client_has(site: Server) -> None:
    for held, tag in ((f"W/{TAG}", f"W/{TAG}"), (TAG, TAG), (f'"x", W/{TAG}', f"W/{TAG}")):
        answer = ask(site, status=304, type="", h=(f"ETag:{TAG}", "Vary:Cookie"), fields=(("If-None-Match", held),))
        assert answer.header("etag") == tag
        assert answer.header("vary") == "Cookie, Accept-Encoding"
        assert plain(answer)


@pytest.mark.parametrize(("query", "vary"), [
    ({}, "Accept-Encoding"), ({"h": ("Vary:accept-encoding",)}, "accept-encoding"), ({"type": "image/png"}, None),
    ({"h": ("Cache-Control:no-transform",)}, None)])
def test_a_304_varies_as_the_200_would(site: Server, query: dict[str, Any], vary: str | None) -> None:
    assert ask(site, **{"status": 304, "type": "", **query}).header("vary") == vary


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
@pytest.mark.parametrize("path", ["/gated", "/head"])
def test_each_piece_can_be_read_before_the_next_one_is_made(site: Server, path: str, coding: str) -> None:
    read = reader(coding)
    with site.gate() as gate, site.connect() as client:
        client.send_request("GET", f"{path}?type=text/plain&gate={quote(gate.path)}", [("Accept-Encoding", coding)])
        answer = client.head()
        assert answer.header("content-encoding") == coding
        pieces = client.pieces(answer)
        for number, piece in enumerate(FIRST):
            if number or path == "/head":
                gate.entered().release()
            got = b""
            while got != piece:
                got += read(next(pieces))
                assert piece.startswith(got)
        assert not any(read(rest) for rest in pieces)


def test_the_client_of_http_1_0_gets_it_too(site: Server) -> None:
    answer = ask(site, size=LONG, version="HTTP/1.0", accept="gzip")
    assert answer.framing == "length"
    assert decoded(answer.body, "gzip") == text(LONG)
    answer = ask(site, size=LONG, pieces=5, version="HTTP/1.0", accept="gzip")
    assert answer.framing == "close"
    assert decoded(answer.body, "gzip") == text(LONG)


def test_a_file_goes_as_it_is_unless_something_was_compressed_before_it(site: Server, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(text(300_000))
    answer = ask(site, "/file", file=path, measured="", promised=300_000)
    assert plain(answer)
    assert answer.body == text(300_000)
    answer = ask(site, "/piece-and-file", file=path)
    assert decoded(answer.body, "br") == FIRST[0] + text(300_000)
    answer = ask(site, "/piece-and-file", file=path, promised=300_016)
    assert decoded(answer.body, "br") == FIRST[0] + text(300_000)


def test_a_response_that_is_longer_than_promised_is_cut_there(site: Server) -> None:
    since = len(site.log.lines)
    site.expect_log("longer than its Content-Length")
    for pieces in (1, 4):
        answer = ask(site, size=LONG, pieces=pieces, promised=LONG - 100)
        assert decoded(answer.body, "br") == text(LONG - 100)
    site.wait_for_log("longer than its Content-Length", since=since, count=2)


@pytest.mark.parametrize("query", [
    {"pieces": 1, "promised": LONG + 100}, {"pieces": 4, "promised": LONG + 100}, {"path": "/raises", "pieces": 3},
])
def test_a_response_that_stays_behind_its_promise_does_not_look_whole(site: Server, query: dict[str, Any]) -> None:
    site.expect_log("shorter than its Content-Length|exception in the|on purpose|Traceback|RuntimeError|^  ")
    with pytest.raises(Closed):
        ask(site, size=LONG, **query)
    assert decoded(ask(site, size=LONG).body, "br") == text(LONG)


def test_trailers_follow_a_compressed_body(interface: str, site: Server) -> None:
    if interface == "wsgi":
        return  # it has none
    for promise in ({}, {"measured": ""}):
        answer = ask(site, "/trailers", size=LONG, pieces=2, **promise)
        assert decoded(answer.body, "br") == text(LONG)
        assert answer.trailers == [("x-sum", str(LONG))]
    site.expect_log("1 bytes shorter than its Content-Length")
    with pytest.raises(Closed):
        ask(site, "/trailers", size=LONG, promised=LONG + 1)


def test_what_a_client_that_left_was_to_get_is_not_compressed_to_its_end(site: Server) -> None:
    with site.gate() as gate:
        client = site.connect()
        client.send_request("GET", f"/gated?type=text/plain&gate={quote(gate.path)}", [("Accept-Encoding", "br")])
        visitor = gate.entered()
        since = Since(site)
        client.close()
        gauge(site, "open")
        visitor.release()
        since.becomes(slot_dropped=1)
    assert decoded(ask(site, size=LONG).body, "br") == text(LONG)


# Options


def test_level_size_and_types_are_what_was_said(server: Start) -> None:
    site = server("compressible:asgi", *OPTIONS, "--compress", "gzip", "--compress-level", "9",
                  "--compress-min-bytes", "10", "--compress-types", "text/event-stream,+json")
    assert plain(ask(site, size=LONG))
    assert plain(ask(site, size=9, type="a/b+json"))
    assert decoded(ask(site, size=10, type="a/b+json").body, "gzip") == text(10)
    assert ask(site, size=LONG, type="a/b+json", accept="br, zstd").header("vary") == "Accept-Encoding"
    best = ask(site, size=LONG, type="a/b+json").body
    assert best[8] == 2  # RFC 1952 §2.3.1: the compressor used maximum compression
    read = reader("gzip")
    with site.gate() as gate, site.connect() as client:
        target = f"/gated?type=text/event-stream&gate={quote(gate.path)}"
        client.send_request("GET", target, [("Accept-Encoding", "gzip")])
        answer = client.head()
        assert answer.header("content-encoding") == "gzip"
        pieces = client.pieces(answer)
        first = gate.entered()
        got = b""
        while got != FIRST[0]:
            got += read(next(pieces))
        first.release()
        gate.entered().release()
        assert b"".join(map(read, pieces))


def test_a_library_that_is_there_and_broken_is_named(server: Start, tmp_path: Path) -> None:
    (tmp_path / "brotli.py").write_text("raise ImportError('no such symbol')")
    (tmp_path / "page.py").write_text("def app(environ, start_response):\n    return []\n")
    site = server("page:app", *OPTIONS, "--compress", "br", "--app-dir", str(tmp_path), ready=False)
    site.wait_for_log("--compress: a library cannot be used: no such symbol")
    site.expect_log("--compress|Cannot serve")
    site.finish(expect=EXIT_BOOT_FAILED)


# Frameworks


@pytest.mark.parametrize(("app", "by"), [
    ("flask_site:app", "server"), ("django_site.wsgi:application", "framework"),
    ("starlette_site:app", "framework"), ("quart_site:app", "server")])
def test_a_response_of_a_framework_is_compressed_once(server: Start, tmp_path: Path, app: str, by: str) -> None:
    if app.startswith("django"):
        migrate(tmp_path / "db")
    site = server(app, *OPTIONS, "--compress", "zstd,gzip", env={"SITE_DB": str(tmp_path / "db")})
    with site.connect() as client:
        client.send_request("GET", "/text", [("Accept-Encoding", "gzip, zstd")], host="localhost")
        answer = client.response()
        assert answer.header("content-encoding") == ("zstd" if by == "server" else "gzip")
        assert decoded(answer.body, answer.header("content-encoding") or "").decode() == LONG_TEXT
        assert "accept-encoding" in ", ".join(answer.all("vary")).lower()
        client.send_request("GET", "/text", host="localhost")
        answer = client.response()
        assert answer.body.decode() == LONG_TEXT
        assert "accept-encoding" in ", ".join(answer.all("vary")).lower()
