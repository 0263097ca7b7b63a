"""Files below a --static prefix, over real sockets: what is served, what never is, and that no worker is involved.

It is long because nearly all of it asks one server about one tree of files, which a second module would make again.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import re
import resource
import signal
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from swhttp import limits
from swhttp.errors import ExitCode
from swhttp.reactor.iothreads import in_memory
from tests.support import bodies, otheruser, processes, upload
from tests.support.bodies import RANDOM, write_sparse
from tests.support.client import Closed, Connection, Response
from tests.support.counters import Since, gauge
from tests.support.fleet import Start
from tests.support.server import EXIT_FILE, Server
from tests.test_control import run

OPTIONS = ("--workers", "1", "--reactors", "1")
LONG_AGO_S = 1_700_000_000
LONG_AGO = "Tue, 14 Nov 2023 22:13:20 GMT"
LATER = "Tue, 14 Nov 2023 22:13:21 GMT"
EARLIER = "Tue, 14 Nov 2023 22:13:19 GMT"
CONTENT = RANDOM[:1000]
MORE = RANDOM * (-(-(4 << 20) // len(RANDOM)))
HUGE = 100 << 20
SMALL_BUFFER = 16 << 10
SECRET = b"nobody shall read this"


@dataclass
class Tree:
    """A directory to serve, and what lies beside it."""

    top: Path

    def write(self, name: str, content: bytes, at_s: int = LONG_AGO_S) -> Path:
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (at_s, at_s))
        return path


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    base = tmp_path_factory.mktemp("site")
    (base / "secret").write_bytes(SECRET)
    (base / "public-not").mkdir()
    (base / "public-not" / "secret").write_bytes(SECRET)
    tree = Tree(base / "public")
    tree.write("a.bin", CONTENT)
    tree.write("empty.txt", b"")
    tree.write("sub/index.html", b"<p>index")
    tree.write("sub/page.HTML", b"<p>page")
    tree.write("sub/deep er/index.html", b"deep")
    tree.write("bare/a.txt", b"a")
    tree.write(".env", SECRET)
    tree.write(".git/config", SECRET)
    tree.write(".well-known/security.txt", b"known")
    tree.write("back\\slash", b"back")
    tree.write("app.js", b"plain" * 1000)
    tree.write("app.js.br", b"brotli", LONG_AGO_S)
    tree.write("app.js.gz", b"gzip", LONG_AGO_S + 5)
    tree.write("old.css", b"plain")
    tree.write("old.css.gz", b"of another content", LONG_AGO_S - 1)
    tree.write("photo.png", b"png")
    tree.write("photo.png.br", b"never looked for")
    (tree.top / "index-is-a-directory" / "index.html").mkdir(parents=True)
    (tree.top / "inside").symlink_to("sub/../a.bin")
    (tree.top / "outside").symlink_to("../secret")
    (tree.top / "absolute").symlink_to(base / "secret")
    (tree.top / "up").symlink_to("..")
    (tree.top / "loop").symlink_to("loop")
    (tree.top / "process").symlink_to("/proc/self/environ")
    os.mkfifo(tree.top / "fifo")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(tree.top / "socket"))
        yield tree


@pytest.fixture(scope="module")
def wsgi_site(module_server: Start, tree: Tree) -> Server:
    return module_server("reference:wsgi", *OPTIONS, "--static", f"/static={tree.top}")


@pytest.fixture(scope="module")
def site(module_server: Start, tree: Tree) -> Server:
    return module_server(
        "reference:asgi", *OPTIONS, "--static", f"/static={tree.top}", "--static", f"/static/sub/more={tree.top}/bare",
        "--static-cache-control", "public, max-age=60", "--header", "X-Own: yes")


def get(site: Server, target: str, *fields: tuple[str, str], method: str = "GET") -> Response:
    """On a connection of its own, with any fields."""
    with site.connect() as client:
        client.send_request(method, target, list(fields))
        return client.response(method)


# What there is


def test_a_file_comes_with_all_that_is_known_of_it(site: Server) -> None:
    answer = get(site, "/static/a.bin")
    assert (answer.status, answer.body) == (200, CONTENT)
    assert answer.header("content-type") == "application/octet-stream"
    assert answer.header("last-modified") == LONG_AGO
    assert re.fullmatch(r'"[0-9a-f]+-3e8"', answer.header("etag") or "")
    assert answer.header("accept-ranges") == "bytes"
    assert answer.header("cache-control") == "public, max-age=60"
    assert answer.header("x-content-type-options") == "nosniff"
    assert answer.header("server") == "swhttp"
    assert answer.header("x-own") == "yes"
    assert answer.header("date") is not None
    assert not any("static" in target for target in site.seen())


def test_what_is_refused_is_not_for_caches(site: Server) -> None:
    for status, target, method, fields in (
        (416, "/static/a.bin", "GET", [("Range", "bytes=1000-")]), (412, "/static/a.bin", "GET", [("If-Match", '"x"')]),
        (406, "/static/app.js", "GET", [("Accept-Encoding", "*;q=0")]), (405, "/static/a.bin", "POST", []),
        (404, "/static/missing", "GET", [])):
        answer = get(site, target, *fields, method=method)
        assert answer.status == status
        for name in ("cache-control", "etag", "last-modified"):
            assert answer.header(name) is None, (status, name)


def test_what_is_asked_for_is_what_is_served(site: Server) -> None:
    for target, body, media in (
        ("/static/empty.txt", b"", "text/plain; charset=utf-8"),
        ("/static/sub/", b"<p>index", "text/html; charset=utf-8"),
        ("/static/sub/page.HTML?v=1", b"<p>page", "text/html; charset=utf-8"),
        ("/%73tatic/sub/deep%20er/", b"deep", "text/html; charset=utf-8"),
        ("/static/inside", CONTENT, "application/octet-stream"),
        ("/static/back%5Cslash", b"back", "application/octet-stream"),
        ("/static/.well-known/security.txt", b"known", "text/plain; charset=utf-8"),
        ("/static/sub/more/a.txt", b"a", "text/plain; charset=utf-8"),
        ("http://test/static/empty.txt", b"", "text/plain; charset=utf-8")):
        answer = get(site, target)
        assert (target, answer.status, answer.body, answer.header("content-type")) == (target, 200, body, media)


def test_a_directory_has_a_slash_at_its_end(site: Server) -> None:
    for target, location in (
        ("/static", "./static/"), ("/static/sub", "./sub/"), ("/static/sub?a=/b", "./sub/?a=/b"),
        ("/static/sub/deep%20er", "./deep%20er/"), ("/static/sub/more", "./more/")):
        answer = get(site, target)
        assert (answer.status, answer.header("location")) == (301, location)
    quotes = '"' * (limits.MAX_LOCATION_BYTES // 3)  # each is three bytes there
    assert get(site, f"/static/sub?{quotes[100:]}").status == 301
    assert get(site, f"/static/sub?{quotes}").status == 404


def test_nothing_else_is_ever_served(site: Server) -> None:
    for target in (
        "/static/missing", "/static/a.bin/", "/static/a.bin/x", "/static/bare/", "/static/index-is-a-directory/",
        "/static/.env", "/static/.git/config", "/static/sub/../.env",
        "/static/../secret", "/static/..%2fsecret", "/static/%2e%2e/secret", "/static/.%2e%2fsecret",
        "/static/%252e%252e/secret", "/static/%c0%ae%c0%ae/secret", "/static/..%c0%afsecret", "/static/..%5csecret",
        "/static/sub/..%2f..%2fsecret", "/static//etc/passwd", "/static/sub//index.html", "/static/%2fetc%2fpasswd",
        "/static/./a.bin", "/static/%", "/static/%g0",
        "/static/../public-not/secret", "/static/%2e%2e/public-not/secret",
        "/static/outside", "/static/absolute", "/static/up/secret", "/static/loop", "/static/process",
        "/static/fifo", "/static/socket", "/static/" + "a" * 256, "/static/" + "a/" * 2500, "/static/%ff%fe"):
        answer = get(site, target)
        assert (target, answer.status, answer.body) == (target, 404, b"file-not-found")
        assert answer.keeps_open
        assert not any("static" in target for target in site.seen())


def test_what_is_no_target_is_not_even_looked_for(site: Server) -> None:
    for target in (
        "/static/a.bin%00", "/static/a.bin%00.html", "/static/\x00", "/static/ ..", "static/a.bin", "/static/\x7f"):
        with site.connect() as client:
            client.send_while_open(f"GET {target} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
            assert client.response().status == 400
        assert not any("static" in target for target in site.seen())


def test_all_other_paths_are_the_apps(site: Server) -> None:
    for target in ("/", "/Static/a.bin", "/stati", "/x/../stati", "//stati"):
        before = len(site.seen())
        assert get(site, target).status == 200
        assert site.seen()[before:] == [target]


# Methods, versions, connections


def test_head_says_what_get_would(site: Server) -> None:
    head, whole = get(site, "/static/app.js", method="HEAD"), get(site, "/static/app.js")
    assert (head.status, head.body) == (200, b"")
    skipped = ("date",)
    assert [pair for pair in head.headers if pair[0] not in skipped] == [
        pair for pair in whole.headers if pair[0] not in skipped]
    assert get(site, "/static/app.js", ("Range", "bytes=0-1"), method="HEAD").status == 200
    assert get(site, "/static/missing", method="HEAD").header("content-length") == "14"


def test_a_file_can_only_be_read(site: Server) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        with site.connect() as client:
            client.send_request(method, "/static/a.bin", body=b"x" * 1000)
            answer = client.response(method)
            assert (answer.status, answer.header("allow")) == (405, "GET, HEAD")
            assert client.get("/static/empty.txt").status == 200  # the body was read over


BOTH = pytest.mark.parametrize("interface", ["asgi", "wsgi"])


@BOTH
@pytest.mark.parametrize("framing", [("Content-Length", "3000000"), ("Transfer-Encoding", "chunked")])
def test_a_body_that_nobody_wants_is_not_asked_for(
    site: Server, wsgi_site: Server, interface: str, framing: tuple[str, str]
) -> None:
    for target in ("/static/a.bin", "/static/missing", "/static/../x"):
        with (site if interface == "asgi" else wsgi_site).connect() as client:
            client.send_request("POST", target, [("Expect", "100-continue"), framing])
            answer = client.response()
            assert (answer.status, answer.interim, answer.header("connection")) == (405, [], "close")


@BOTH
def test_a_large_body_is_streamed_to_nowhere(site: Server, wsgi_site: Server, interface: str) -> None:
    site = site if interface == "asgi" else wsgi_site
    since = Since(site)
    with site.connect() as client:
        size = limits.INLINE_BODY_BYTES + 1000
        client.send_request("POST", "/static/a.bin", [("Content-Length", str(size))], b"x" * size)
        assert client.response().status == 405
        assert client.get("/static/empty.txt").status == 200
    with site.connect() as client:  # whose body never comes
        client.send_request("POST", "/static/a.bin", [("Content-Length", "3000000")])
        assert client.response().status == 405
    since.becomes(static=3, body_files=0)


def test_files_and_answers_of_the_app_come_in_order(site: Server) -> None:
    names = ["/static/a.bin", "/app", "/static/missing", f"/static/{uuid.uuid4().hex}", "/app", "/static/app.js"]
    with site.connect() as client:
        client.send(b"".join(f"GET {name} HTTP/1.1\r\nHost: test\r\n\r\n".encode() for name in names))
        answers = [client.response() for _ in names]
    assert [answer.status for answer in answers] == [200, 200, 404, 404, 200, 200]
    assert answers[0].body == CONTENT
    assert answers[5].body == b"plain" * 1000


def test_http_1_0_is_answered_and_closed_unless_asked_not_to(site: Server) -> None:
    with site.connect() as client:
        client.send(b"GET /static/a.bin HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        answer = client.response()
        assert (answer.body, answer.header("connection")) == (CONTENT, "keep-alive")
        client.send(b"GET /static/a.bin HTTP/1.0\r\n\r\n")
        answer = client.response()
        assert (answer.body, answer.header("connection")) == (CONTENT, "close")
        with pytest.raises(Closed):
            client.response()


def test_a_client_that_has_said_all_gets_its_file(site: Server) -> None:
    with site.connect() as client:
        client.send_request("GET", f"/static/{uuid.uuid4().hex}")  # by way of an I/O thread
        client.half_close()
        assert client.response().status == 404


# Conditions


def test_who_has_the_file_is_told_so(site: Server) -> None:
    tag = get(site, "/static/a.bin").header("etag") or ""
    for fields in (
            [("If-None-Match", tag)], [("If-None-Match", f"W/{tag}")], [("If-None-Match", f'"x", {tag}')],
            [("If-None-Match", '"x"'), ("If-None-Match", tag)], [("If-None-Match", "*")],
            [("If-Modified-Since", LONG_AGO)], [("If-Modified-Since", LATER)],
            [("If-None-Match", tag), ("If-Modified-Since", EARLIER)], [("If-None-Match", tag), ("Range", "bytes=0-1")]):
        answer = get(site, "/static/a.bin", *fields)
        assert (answer.status, answer.body, answer.header("etag")) == (304, b"", tag), fields
        assert answer.header("cache-control") == "public, max-age=60"
        assert answer.header("content-length") is None
    for fields in (
            [("If-None-Match", '"x"')], [("If-None-Match", '"x"'), ("If-Modified-Since", LATER)],
            [("If-Modified-Since", EARLIER)], [("If-Modified-Since", "yesterday")],
            [("If-Modified-Since", LATER), ("If-Modified-Since", LATER)]):
        assert get(site, "/static/a.bin", *fields).body == CONTENT, fields


def test_who_means_another_file_is_told_so(site: Server) -> None:
    tag = get(site, "/static/a.bin").header("etag") or ""
    for fields in (
            [("If-Match", '"x"')], [("If-Match", f"W/{tag}")], [("If-Unmodified-Since", EARLIER)],
            [("If-Match", '"x"'), ("If-Unmodified-Since", LATER)], [("If-Match", '"x"'), ("If-None-Match", tag)]):
        answer = get(site, "/static/a.bin", *fields)
        assert (answer.status, answer.body) == (412, b"precondition-failed"), fields
    for fields in (
            [("If-Match", tag)], [("If-Match", f'"x", {tag}')], [("If-Match", "*")],
            [("If-Unmodified-Since", LONG_AGO)], [("If-Match", tag), ("If-Unmodified-Since", EARLIER)]):
        assert get(site, "/static/a.bin", *fields).status == 200, fields
    assert get(site, "/static/missing", ("If-None-Match", "*")).status == 404


def test_a_file_that_was_just_changed_may_change_again_and_is_known_by_nothing(site: Server, tree: Tree) -> None:
    tree.write("fresh.txt", b"fresh").touch()
    for fields in ([("If-Range", LATER)], []):
        answer = get(site, "/static/fresh.txt", ("Range", "bytes=0-0"), *fields)
        assert (answer.status, answer.body) == (200, b"fresh")
    assert answer.header("etag") is None
    assert answer.header("last-modified") is None
    ahead_s = 4_000_000_000
    tree.write("fresh.txt", b"fresh", ahead_s)
    answer = get(site, "/static/fresh.txt")
    assert answer.header("etag") is not None
    assert answer.header("last-modified") is None


# Ranges


def test_a_part_of_a_file(site: Server) -> None:
    for text, first, last in (("0-0", 0, 0), ("990-", 990, 999), ("-10", 990, 999),
                                                         ("0-999,2000-", 0, 999)):
        answer = get(site, "/static/a.bin", ("Range", f"bytes={text}"))
        assert (answer.status, answer.body) == (206, CONTENT[first:last + 1])
        assert answer.header("content-range") == f"bytes {first}-{last}/1000"
        assert answer.header("content-type") == "application/octet-stream"


def test_several_parts_of_a_file(site: Server, tree: Tree) -> None:
    content = MORE[:300_000]
    tree.write("parts.bin", content)
    answer = get(site, "/static/parts.bin", ("Range", "bytes=200000-299999, 0-9, -0, 100-100099"))
    assert answer.status == 206
    kind = re.fullmatch(r"multipart/byteranges; boundary=([0-9a-f]{32})", answer.header("content-type") or "")
    assert kind
    assert answer.header("content-range") is None
    expected = b""
    for first, last in ((200000, 299999), (0, 9), (100, 100099)):
        expected += (f"\r\n--{kind[1]}\r\ncontent-type: application/octet-stream\r\n"
                     f"content-range: bytes {first}-{last}/300000\r\n\r\n").encode() + content[first:last + 1]
    assert answer.body == (expected + f"\r\n--{kind[1]}--\r\n".encode()).removeprefix(b"\r\n")
    again = get(site, "/static/parts.bin", ("Range", "bytes=0-1,3-4"))
    assert kind[1] not in (again.header("content-type") or "")


def test_a_range_outside_of_the_file(site: Server) -> None:
    answer = get(site, "/static/a.bin", ("Range", "bytes=1000-"))
    assert (answer.status, answer.body) == (416, b"range-not-satisfiable")
    assert answer.header("content-range") == "bytes */1000"
    assert answer.header("x-content-type-options") == "nosniff"
    answer = get(site, "/static/empty.txt", ("Range", "bytes=0-"))
    assert (answer.status, answer.body) == (200, b"")


def test_a_part_is_for_who_has_the_rest_of_this_very_file(site: Server) -> None:
    tag = get(site, "/static/a.bin").header("etag") or ""
    part = ("Range", "bytes=0-0")
    assert get(site, "/static/a.bin", part, ("If-Range", tag)).status == 206
    assert get(site, "/static/photo.png", part, ("If-Range", LONG_AGO)).status == 206
    # A sibling may have the same time: only the tag tells codings apart.
    for condition in ('"x"', f"W/{tag}", EARLIER, LATER, LONG_AGO, "x"):
        assert get(site, "/static/a.bin", part, ("If-Range", condition)).body == CONTENT
    assert get(site, "/static/app.js", part, ("If-Range", LONG_AGO), ("Accept-Encoding", "br")).body == b"brotli"
    many = ",".join(f"{n}-{n}" for n in range(limits.MAX_RANGES + 1))
    for text in ("bytes=0-1,1-2", "bytes=2-1", "items=0-1", f"bytes={many}"):
        assert get(site, "/static/a.bin", ("Range", text)).body == CONTENT
    assert get(site, "/static/a.bin", part, part).body == CONTENT


# Siblings


def test_the_coding_that_the_client_likes_best_is_served(site: Server) -> None:
    tags = set()
    for accepted, coding, body in (
            ("gzip, br", "br", b"brotli"), ("gzip", "gzip", b"gzip"), ("br;q=0.5, gzip", "gzip", b"gzip"),
            ("zstd", None, b"plain" * 1000), ("identity, br;q=0.9", None, b"plain" * 1000)):
        answer = get(site, "/static/app.js", ("Accept-Encoding", accepted))
        assert (answer.header("content-encoding"), answer.body) == (coding, body)
        assert answer.header("content-type") == "text/javascript; charset=utf-8"
        assert answer.header("vary") == "accept-encoding"
        tags.add(answer.header("etag"))
        assert get(site, "/static/app.js", ("Accept-Encoding", accepted),
                   ("If-None-Match", answer.header("etag") or "")).header("vary") == "accept-encoding"
    assert len(tags) == 3
    part = get(site, "/static/app.js", ("Accept-Encoding", "br"), ("Range", "bytes=1-3"))
    assert (part.body, part.header("content-encoding")) == (b"rot", "br")
    parts = get(site, "/static/app.js", ("Accept-Encoding", "br"), ("Range", "bytes=0-0,2-3"))
    assert (parts.status, parts.body, parts.header("content-encoding")) == (200, b"brotli", "br")
    assert get(site, "/static/app.js").header("vary") == "accept-encoding"


def test_a_sibling_of_an_older_content_is_none(site: Server) -> None:
    answer = get(site, "/static/old.css", ("Accept-Encoding", "gzip"))
    assert (answer.body, answer.header("content-encoding")) == (b"plain", None)


def test_what_no_coding_makes_smaller_has_no_siblings(site: Server) -> None:
    for accepted in ("br", "br, *;q=0"):
        answer = get(site, "/static/photo.png", ("Accept-Encoding", accepted))
        assert (answer.status, answer.body, answer.header("vary")) == (200, b"png", None)


def test_who_takes_nothing_that_there_is_gets_nothing(site: Server) -> None:
    for name, accepted in (
        ("old.css", "gzip, identity;q=0"), ("app.js", "*;q=0")):
        answer = get(site, f"/static/{name}", ("Accept-Encoding", accepted))
        assert (answer.status, answer.body) == (406, b"no-acceptable-coding")


# Without workers


def test_workers_have_no_part_in_it(server: Start, tree: Tree) -> None:
    site = server("reference:wsgi", *OPTIONS, "--static", f"/static={tree.top}", "--replay", "never")
    with site.gate() as gate, site.connect() as waiting:
        waiting.send_request("GET", gate.target)
        visitor = gate.entered()
        assert get(site, "/static/a.bin").body == CONTENT  # the only worker is busy
        os.kill(visitor.pid, signal.SIGSTOP)
        assert get(site, "/static/a.bin").body == CONTENT
        os.kill(visitor.pid, signal.SIGKILL)
        assert get(site, "/static/a.bin").body == CONTENT
        assert waiting.response().status == 502
    site.expect_log("Worker")
    site.wait_for_workers(1, {visitor.pid})


def test_sixty_four_at_once(site: Server, tree: Tree) -> None:
    content = MORE[:100 << 10]
    tree.write("hundred.bin", content)
    clients = [site.connect() for _ in range(64)]
    for _ in range(3):
        for client in clients:
            client.send_request("GET", "/static/hundred.bin")
        assert all(client.response().body == content for client in clients)
    for client in clients:
        client.close()
    gauge(site, "files")


# Large files, and what happens to them meanwhile


@contextmanager
def under_way(site: Server, target: str) -> Iterator[tuple[Connection, Response]]:
    """A client that has the head of an answer, and takes no more at the moment than its buffers hold."""
    with site.connect(buffer_bytes=SMALL_BUFFER) as client:
        client.send_request("GET", target)
        yield client, client.head()


def test_a_slow_client_costs_a_file_and_no_memory(site: Server, tree: Tree) -> None:
    before_kib = own_kib(site.pid)
    write_sparse(tree.top / "huge.bin", HUGE)
    os.utime(tree.top / "huge.bin", (LONG_AGO_S, LONG_AGO_S))
    with under_way(site, "/static/huge.bin") as (client, answer):
        gauge(site, "files", 1)
        assert get(site, "/static/a.bin").body == CONTENT
        client.receive_bytes = 1 << 18
        size = 0
        for piece in client.pieces(answer):
            size += len(piece)
        assert size == HUGE
    with under_way(site, "/static/huge.bin"):
        gauge(site, "files", 1)
    gauge(site, "files")  # the client has left half-way
    with contextlib.ExitStack() as opened:
        for _ in range(20):
            opened.enter_context(under_way(site, "/static/huge.bin"))
        gauge(site, "files", 20)
        assert own_kib(site.pid) - before_kib < HUGE / 1024 / 4, "of twenty times 100 MiB that wait"


def test_a_file_that_is_cut_short_cuts_its_connections(site: Server, tree: Tree) -> None:
    path = tree.top / "cut.bin"
    write_sparse(path, HUGE)
    since = Since(site)
    with under_way(site, "/static/cut.bin") as (client, answer):
        os.truncate(path, 1 << 20)
        client.receive_bytes = 1 << 18
        with pytest.raises(Closed):
            for _ in client.pieces(answer):
                pass
    since.becomes(cut=1)
    assert len(site.wait_for_log(r"\[WARNING\] reason=file-shortened client=\S+ file=\".*/cut\.bin\"$")) == 1


def test_a_file_that_is_replaced_is_sent_as_it_was(site: Server, tree: Tree) -> None:
    path = tree.top / "replaced.bin"
    old = MORE * 2
    path.write_bytes(old)
    with under_way(site, "/static/replaced.bin") as (client, answer):
        other = tree.top / "replaced.new"
        other.write_bytes(b"new")
        os.replace(other, path)
        client.receive_bytes = 1 << 18
        assert b"".join(client.pieces(answer)) == old
    assert get(site, "/static/replaced.bin").body == b"new"


def own_kib(pid: int) -> int:
    """Memory that is the process's alone."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))


# Disks


def evict(path: Path) -> None:
    """Have nothing of a file in memory."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


def can_evict(path: Path) -> bool:
    evict(path)
    fd = os.open(path, os.O_RDONLY)
    try:
        os.preadv(fd, [bytearray(1)], 0, os.RWF_NOWAIT)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def test_what_is_not_in_memory_is_read_by_a_thread_that_may_wait(site: Server, tree: Tree) -> None:
    content = MORE
    path = tree.write("cold.bin", content)
    if not can_evict(tree.write("probe.bin", content)):
        pytest.skip("files here are always in memory")
    since = Since(site)
    evict(path)
    assert get(site, "/static/cold.bin").body == content
    assert since["io_reads"] >= 1
    small = tree.write("small.txt", b"small")
    evict(small)
    assert get(site, "/static/small.txt").body == b"small"
    assert since["io_reads"] >= 2
    evict(path)
    answer = get(site, "/static/cold.bin", ("Range", "bytes=3000000-3999999,0-9"))
    assert content[3000000:4000000] in answer.body
    evict(path)
    with site.connect() as client:  # which leaves before its file has been read
        client.send_request("GET", "/static/cold.bin")
    gauge(site, "files")


def prime(path: Path, *offsets: int) -> None:
    """Have these bytes of a file in memory, and nothing around them."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        for offset in offsets:
            os.pread(fd, 1, offset)
    finally:
        os.close(fd)


def test_the_ends_of_a_part_say_nothing_of_what_is_between_them(site: Server, tree: Tree) -> None:
    content = MORE[:limits.SEND_PER_TURN_BYTES]
    path, step = tree.write("primed.bin", content), 64 << 10
    if not can_evict(path):
        pytest.skip("files here are always in memory")
    fd = os.open(path, os.O_RDONLY)
    try:
        evict(path)
        prime(path, 0, len(content) - 1)
        assert in_memory(fd, 0, len(content)) == (False, False)
        evict(path)
        prime(path, *range(0, len(content), step), len(content) - 1)  # which no client can do: see sw_in_steps
        whole, by_steps = in_memory(fd, 0, len(content))
        assert by_steps
        assert not whole or not knows_pages(fd)
    finally:
        os.close(fd)
    evict(path)
    prime(path, 0, len(content) - 1)
    since = Since(site)
    assert get(site, "/static/primed.bin").body == content
    assert since["io_reads"] == 1
    evict(path)
    assert get(site, "/static/primed.bin", ("Range", "bytes=70000-70000")).status == 206
    fd = os.open(path, os.O_RDONLY)
    try:
        assert in_memory(fd, step, step) == (True, True)  # what an I/O thread has read is the whole step
    finally:
        os.close(fd)


def knows_pages(fd: int) -> bool:
    """Whether the kernel has cachestat, and tells it."""
    libc = ctypes.CDLL(None, use_errno=True)
    about = (ctypes.c_uint64 * 7)(0, 1)
    found: int = libc.syscall(ctypes.c_long(451), ctypes.c_long(fd), about, ctypes.byref(about, 16), ctypes.c_long(0))
    return found == 0


def test_a_way_that_the_kernel_does_not_know_is_found_by_a_thread(site: Server, tree: Tree) -> None:
    since = Since(site)
    name = uuid.uuid4().hex
    assert get(site, f"/static/{name}").status == 404
    since.becomes(io_opens=1, static=1, dispatched=0)
    assert get(site, f"/static/{name}").status == 404  # now the kernel knows that there is none
    since.becomes(io_opens=1, static=2)
    with site.connect() as client:
        client.send_request("GET", f"/static/{uuid.uuid4().hex}")  # leaves at once: nobody gets its answer
    since.passes("io_opens", 2)
    gauge(site, "open")


def test_without_fds_the_answer_is_503_and_then_there_are_some_again(site: Server) -> None:
    with site.connect() as client:
        assert client.get("/static/a.bin").status == 200
        gauge(site, "files")  # what is about to be closed would leave a place below the limit
        gauge(site, "open", 1)
        limit = resource.prlimit(site.pid, resource.RLIMIT_NOFILE)
        taken = processes.fds_of(site.pid)
        lowest = next(fd for fd in itertools.count() if fd not in taken)
        since, mark, started_s = Since(site), site.log.mark(), time.monotonic()
        site.expect_log("file-not-opened")
        try:
            resource.prlimit(site.pid, resource.RLIMIT_NOFILE, (lowest, limit[1]))
            for _ in range(20):
                answer = client.get("/static/a.bin")
                assert (answer.status, answer.body) == (503, b"file-not-opened")
                assert answer.header("retry-after") == "1"
        finally:
            resource.prlimit(site.pid, resource.RLIMIT_NOFILE, limit)
        assert client.get("/static/a.bin").body == CONTENT
    since.becomes(files_lost=20)
    lines = site.wait_for_log("503 reason=file-not-opened", since=mark)
    assert len(lines) <= time.monotonic() - started_s + 1


def test_slow_clients_of_files_leave_the_last_fds_to_others(server: Start, tree: Tree) -> None:
    fds = 256
    write_sparse(str(tree.top / "large.bin"), HUGE)
    site = server("uploads:wsgi", *OPTIONS, "--static", f"/static={tree.top}",
                  via=("prlimit", f"--nofile={fds}:{fds}"))
    with ExitStack() as stack:
        found: list[int] = []
        while 503 not in found[:-20]:  # the last of them have connections, and nothing more
            client = stack.enter_context(site.connect(buffer_bytes=SMALL_BUFFER))
            client.send_request(target="/static/large.bin")
            found.append(client.head().status)
        assert set(found) == {200, 503}
        assert found == sorted(found), "one was refused before another was not"
        size = limits.MEMORY_BODY_BYTES + 1
        for _ in range(limits.STATIC_SPARED_FDS // 2):  # bodies in files
            client = stack.enter_context(site.connect())
            client.send(upload.head("/upload", size), bodies.body(size - 1))
        gauge(site, "files", found.count(200) + limits.STATIC_SPARED_FDS // 2)
        client.send(bodies.body(1, size - 1))
        assert client.response().json()["total"] == size
        assert get(site, "/static/a.bin").body == CONTENT  # sent at once: it holds none
    site.expect_log("file-not-opened")


def test_in_a_crowd_files_are_the_last_answers_of_their_connections(server: Start, tree: Tree) -> None:
    site = server("reference:wsgi", *OPTIONS, "--static", f"/static={tree.top}", "--max-connections", "1",
                  "--keep-alive", "3600")
    with site.connect() as first, site.connect() as second:
        first.send(b"GET /static/a.bin HTTP/1.1\r\n")
        second.send_request(target="/static/a.bin")
        site.wait_for_log("reason=accept-paused there is no place for another one")
        first.send(b"Host: a\r\n\r\n")
        answer = first.response()
        assert (answer.body, answer.keeps_open) == (CONTENT, False)
        first.half_close()
        assert second.response().body == CONTENT


# A server's life


@pytest.mark.parametrize("mode", ["atomic", "rolling"])
def test_a_reload_serves_what_has_taken_the_directorys_place(server: Start, tmp_path: Path, mode: str) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "version.txt").write_text(name)
    current = tmp_path / "current"
    current.symlink_to("one")
    site = server("reference:wsgi", *OPTIONS, "--static", f"/static={current}", "--reload-mode", mode,
                  "--control", "{dir}/control")
    assert get(site, "/static/version.txt").body == b"one"
    (tmp_path / "next").symlink_to("two")
    os.replace(tmp_path / "next", current)
    assert get(site, "/static/version.txt").body == b"one"
    site.kill(signal.SIGUSR1)
    processes.wait_until(lambda: get(site, "/static/version.txt").body == b"two", "the new release")
    processes.wait_until(lambda: len(site.workers()) == 1, "the old worker to leave")
    current.unlink()
    workers = site.workers()
    site.expect_log("not reloading")
    done = run("reload", "--control", os.path.join(site.directory, "control"), "--wait")
    assert (done.returncode, site.workers()) == (12, workers)
    assert "cannot be opened again: No such file or directory" in done.stderr
    assert get(site, "/static/version.txt").body == b"two"


def test_a_reload_that_fails_leaves_the_directories_to_the_old_code(server: Start, tmp_path: Path) -> None:
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "version.txt").write_text("old")
    code = tmp_path / "released.py"
    code.write_text("def app(environ, start_response):\n    start_response('204 No Content', [])\n    return []\n")
    site = server("released:app", *OPTIONS, "--app-dir", str(tmp_path), "--static", f"/static={tmp_path}/public")
    (tmp_path / "public").rename(tmp_path / "before")
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "version.txt").write_text("new")
    code.write_text("1 / 0\n")
    for expected in ("The reload failed", "Cannot serve the application", "Traceback"):
        site.expect_log(expected)
    site.kill(signal.SIGUSR1)
    site.wait_for_log("The reload failed")
    assert get(site, "/static/version.txt").body == b"old"


def test_the_access_log_has_a_line_for_each(server: Start, tree: Tree, tmp_path: Path) -> None:
    log = tmp_path / "access"
    site = server(
        "reference:wsgi", *OPTIONS, "--static", f"/static={tree.top}", "--access-log", str(log),
        "--access-log-format", "%m %U %>s %B %P %{content-type}o")
    assert get(site, "/static/a.bin").status == 200
    assert get(site, "/static/missing").status == 404
    assert get(site, "/static/a.bin", method="HEAD").status == 200
    site.stop()
    assert log.read_text().splitlines() == [
        "GET /static/a.bin 200 1000 - application/octet-stream", "GET /static/missing 404 14 - text/plain",
        "HEAD /static/a.bin 200 0 - application/octet-stream"]


def patched(line: str) -> tuple[str, ...]:
    """A command that executes the server's, in a kernel that lacks something."""
    code = ("import runpy, sys\nfrom swhttp import statics\n" + line + "\nsys.argv = ['swhttp', *sys.argv[4:]]\n"
            "runpy.run_module('swhttp', run_name='__main__', alter_sys=True)")
    return sys.executable, "-c", code


def test_without_lookups_in_memory_all_files_are_opened_by_threads(server: Start, tree: Tree) -> None:
    site = server("reference:wsgi", *OPTIONS, "--static", f"/static={tree.top}",
                  via=patched("statics._knows_cached = lambda fd: False"))
    since = Since(site)
    assert get(site, "/static/a.bin").body == CONTENT
    assert get(site, "/static/app.js", ("Accept-Encoding", "br")).body == b"brotli"
    assert get(site, "/static/sub").status == 301
    assert get(site, "/static/index-is-a-directory/").status == 404
    assert get(site, "/static/old.css", ("Accept-Encoding", "*;q=0")).status == 406
    with site.connect() as client:
        client.send_request("POST", "/static/a.bin", body=b"x" * 100)
        assert client.response().status == 405
        client.send(b"GET /static/a.bin HTTP/1.1\r\nHost: test\r\n\r\n" * 20)
        assert [client.response().body for _ in range(20)] == [CONTENT] * 20
    since.becomes(io_opens=25, static=26)


def test_without_openat2_there_is_no_server(server: Start, tree: Tree) -> None:
    site = server("reference:wsgi", *OPTIONS, "--static", f"/static={tree.top}", ready=False,
                  via=patched("statics._OPENAT2 = 100000"))
    site.expect_log("--static needs openat2")
    site.finish(expect=ExitCode.PLATFORM)
    assert "--static needs openat2" in site.log.text()


def test_a_directory_that_cannot_be_opened_ends_the_start(server: Start, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("who becomes another user is root first")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    site = server("reference:wsgi", *OPTIONS, "--static", f"/static={closed}", "--user", "nobody", ready=False,
                  env=otheruser.environment(), owner=otheruser.NOBODY)
    site.expect_log("cannot open")
    site.finish(expect=EXIT_FILE)
