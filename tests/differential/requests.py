"""Generates what clients send: requests, almost requests, and how they are cut into pieces.

A request is drawn as a `Draft`, lines with their ends and a body as framed; then it stays as it is, or some of its
lines are bent (ends, doubling, folding, spaces, lengths), or some of its bytes. Simple things come first in every
choice, for hypothesis shrinks towards them. Targets never name a route of the reference app.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st

from tests.differential.grammar import METHODS as KNOWN_METHODS
from tests.differential.witness import Delivery

CRLF = b"\r\n"
TCHARS = "aZ09-!#$%&'*+.^_`|~"
VISIBLE = [bytes([code]) for code in range(0x21, 0x7F)]
ODD_BYTES = [b"\r", b"\n", b"\r\n", b" ", b"\t", b"\0", b":", b";", b",", b"\x0b", b"\x0c", b"\x1f", b"\x7f", b"\x80",
             b"\xff", b"0", b"5", b"a", b"/", b"%", b"#", b"\\", b'"', b"_", b"HTTP/1.1", b"\r\n\r\n", b"0\r\n\r\n"]


@dataclass
class Draft:
    """A request in its parts: lines without their ends, the ends, the end of the head, the body as framed."""

    lines: list[bytes]
    ends: list[bytes]
    last: bytes
    content: bytes

    def render(self) -> bytes:
        """As it goes on the wire."""
        head = b"".join(line + end for line, end in zip(self.lines, self.ends, strict=True))
        return head + self.last + self.content


def _text(alphabet: str, most: int, least: int = 0) -> st.SearchStrategy[bytes]:
    return st.text(alphabet, min_size=least, max_size=most).map(lambda text: text.encode("latin-1"))


def _origin(segments: list[bytes], queries: list[bytes]) -> st.SearchStrategy[bytes]:
    path = st.lists(st.sampled_from(segments), max_size=4).map(lambda found: b"/" + b"/".join(found))
    return st.tuples(path, st.sampled_from(queries)).map(b"".join)


def _absolute(schemes: list[bytes], hosts: st.SearchStrategy[bytes], rest: st.SearchStrategy[bytes]) \
        -> st.SearchStrategy[bytes]:
    return st.tuples(st.sampled_from(schemes), hosts, rest | st.sampled_from([b"", b"?a=b"])).map(b"".join)


def _fields(names: st.SearchStrategy[bytes], values: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    spaces = st.sampled_from([b" ", b"", b"  ", b"\t", b" \t "])
    return st.tuples(names, st.just(b":"), spaces, values, st.sampled_from([b"", b" ", b"\t"])).map(b"".join)


# What is right

SEGMENTS = [b"a", b"b%20c", b"%C3%A9", b"..", b".", b"", b"~x;y=z", b"%zz", b"%2F", b"a:b@c", b"!$&'()*+,", b"*", b"%"]
QUERIES = [b"", b"?", b"?a=b", b"?a=b&c=%20d", b"?x?y", b"?/"]
HOSTS = st.sampled_from([b"a", b"a.example:80", b"127.0.0.1:8000", b"[::1]", b"[::1]:80", b"under_score", b"a:",
                         b"A.EXAMPLE", b"a%41"])
METHODS = (st.sampled_from([b"GET", b"POST", b"PUT", b"OPTIONS", b"DELETE", b"HEAD"])
           | st.sampled_from(sorted(KNOWN_METHODS)))
ORIGINS = _origin(SEGMENTS, QUERIES)
TARGETS = ORIGINS | _absolute([b"http://", b"https://", b"HTTP://"], HOSTS, ORIGINS)
TOKENS = _text(TCHARS, 6, 1)
NAMES = st.sampled_from([b"X-A", b"x-a", b"X-B", b"Cookie", b"Content-Type", b"Accept", b"X_A", b"Proxy", b"TE",
                         b"Authorization", b"User-Agent", b"Hos", b"Content-Length2", b"Trailer"]) | TOKENS
VALUES = st.sampled_from([b"a", b"", b"a b", b"a\tb", b"a, b", b"a,b", b'"a\\"b"', b"\xe9\xff", b"v" * 300, b"a;b=c"]) \
    | _text("ab ,;=\"\t\x80\xff:", 12).map(lambda value: value.strip(b" \t"))
CONNECTIONS = st.sampled_from([
    b"Connection: close", b"Connection: keep-alive", b"connection: Close, X-A", b"Connection: keep-alive, close",
    b"Connection: closed", b"Connection: close;", b"Connection:", b"Connection: , close ,", b"Connection: a close",
    b"Expect: 100-continue", b"Expect: 100-Continue", b"Connection: upgrade", b"Upgrade: h2c", b"Upgrade: TLS/1.0",
    b"Connection: Upgrade, HTTP2-Settings", b"Proxy-Connection: close", b"Proxy-Connection: keep-alive",
    b"Keep-Alive: timeout=5", b"Trailer: X-A",
])
FIELDS = _fields(NAMES, VALUES) | CONNECTIONS
BODIES = st.sampled_from([b"", b"x", b"hello", b"0\r\n\r\n", b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", b"\r\n",
                          bytes(range(256)), b"ab" * 3000]) | st.binary(max_size=24)
SIZES = [b"%x", b"%X", b"0%x", b"0000000000000%x"]
EXTENSIONS = st.sampled_from([b"", b"", b"", b";a", b";a=b", b';a="b c"', b";a=b;c=d", b';a="\\""',
                              b";a=" + b"b" * 300])
TRAILERS = st.lists(st.sampled_from([b"X-T: a", b"X-T:", b"X-T: \xe9", b"x: y z", b"Host: b", b"Connection: close",
                                     b"Connection: upgrade", b"Upgrade: h2c"]), max_size=2)

# What is odd, most of it wrong

ODD_METHODS = st.sampled_from([b"CONNECT", b"get", b"BREW", b"PRI", b"GE", b"ANNOUNCE", b"X-Y"]) | TOKENS
ODD_VERSIONS = st.sampled_from([b"HTTP/1.2", b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.10", b"http/1.1", b"HTTP/1", b"HTTP/1.",
                                b"HTTP/11", b"HTTP 1.1", b"HTTP/1.1 ", b"", b"HTTP/-1.1"])
ODD_HOSTS = st.sampled_from([b"", b"a b", b"a,b", b"u@a", b"a:x", b"a:99999", b"[::1", b"[]", b"[g]", b"a%4", b"\xe9",
                             b"a/b", b"*", b":80"])
ODD_SEGMENTS = [b"%00", b"[x]", b'"<>', b"{|}^`", b"#f", b"\\", *SEGMENTS[:3]]
ODD_TARGETS = (
    _origin(ODD_SEGMENTS, [*QUERIES, b"?#", b"?[]"])
    | _absolute([b"http://", b"ftp://", b"http:/", b"//"], ODD_HOSTS, ORIGINS)
    | st.sampled_from([b"*", b"a:80", b"a", b"?", b"//a/b", b"/" + b"a" * 8160, b"/" + b"a" * 8175])
    | st.lists(st.sampled_from(VISIBLE), min_size=1, max_size=6).map(b"".join)
)
ODD_FIELDS = _fields(NAMES, st.sampled_from([b"a\x01b", b"a\x7f", b"\x0b", b"a\0", b"a\x0c"])) | st.sampled_from([
    b"Expect: 200-ok", b"Expect:", b"Expect: 100-continue, a", b"Host: a", b"Host: b", b"Content-Length: 0", b"X",
    b"Content-Length: 1", b"Transfer-Encoding: chunked", b"X-Long: " + b"v" * 16370, b"X-Long: " + b"v" * 16400,
    b": a", b"X : a", b"X A: a", b"X\xe9: a", b"X\x01: a", b"X: a\r", b"X(: a",
])
LENGTHS = st.sampled_from([b"0", b"1", b"5", b"00005", b"+5", b"-1", b"5 5", b"5,5", b"5, 5", b"5,6", b"", b"0x5",
                           b"5.0", b"\xb2", b"65536", b"65537", b"1" * 18, b"1" * 19, b"9" * 20, b"1" * 21, b"5_0"])
CODINGS = st.sampled_from([b"chunked", b"Chunked", b"chunked\t", b"CHUNKED", b"gzip", b"gzip, chunked", b"identity",
                           b"", b"chunked, chunked", b"chunked;a=b", b"xchunked", b"chunked\x0b", b'"chunked"',
                           b"chunked,"])
ODD_SIZES = [b"0x%x", b"-%x", b"+%x", b"%x ", b" %x", b"", b"1%x", b"%xg", b"%x\r", b"f" * 15 + b"%x",
             b"0" * 21 + b"%x"]
ODD_EXTENSIONS = st.sampled_from([b" ;a", b"; a", b";", b" ", b"\t", b";a b", b";=", b";a=", b';a="', b";a\x01",
                                  b";\xe9", b";a=" + b"b" * 4095, b";a\nb", b";a\rb", b"a", b"\0"])
ODD_TRAILERS = st.lists(st.sampled_from([b"Content-Length: 5", b"Content-Length: x", b"Transfer-Encoding: chunked",
                                         b"X T: a", b": a", b" X: a", b"X-T: a\x01", b"X", b"X: a\r\n b", b"X: a\ny: b",
                                         b"X: a\r", b"X: " + b"v" * 16380]), min_size=1, max_size=2)


@st.composite
def _chunked(draw: st.DrawFn, body: bytes, odd: bool) -> bytes:
    flaw = draw(st.sampled_from(["size", "extension", "trailer", "flood"])) if odd else ""
    count = 6 if flaw == "flood" else draw(st.sampled_from([1, 2, 3]))
    step = -(-len(body) // count) or 1
    sizes, extensions = st.sampled_from(SIZES), EXTENSIONS
    if flaw == "size":  # the same for all chunks: one that is lax then shows
        sizes = st.just(draw(st.sampled_from(ODD_SIZES)))
    elif flaw == "extension":
        extensions = st.just(draw(ODD_EXTENSIONS))
    elif flaw == "flood":  # each line within its limit
        extensions = st.just(b";a=" + b"b" * 3900)
    lines = []
    for at in range(0, len(body), step):
        piece = body[at : at + step]
        size = draw(sizes)
        lines.append((size % len(piece) if size else b"") + draw(extensions) + CRLF + piece + CRLF)
    trailers = draw(ODD_TRAILERS if flaw == "trailer" else TRAILERS)
    return b"".join(lines) + b"0" + draw(extensions) + CRLF + b"".join(line + CRLF for line in trailers) + CRLF


PARTS = ["method", "target", "version", "host", "fields", "length", "coding", "both", "chunks", "chunks"]


@st.composite
def _frames(draw: st.DrawFn, framing: str, odd: bool) -> tuple[list[bytes], bytes]:
    """Field lines that frame a body, and the body as framed."""
    body = draw(BODIES)
    length = draw(LENGTHS) if odd else b"%d" % len(body)
    coding = draw(CODINGS if odd and framing != "chunks" else st.sampled_from([b"chunked", b"Chunked"]))
    if framing == "length":
        return [b"Content-Length: " + length], body
    if framing in ("coding", "chunks"):
        return [b"Transfer-Encoding: " + coding], draw(_chunked(body, odd and framing == "chunks"))
    if framing == "both":
        return [b"Content-Length: " + length, b"Transfer-Encoding: " + coding], draw(_chunked(body, False))
    return [], b""


@st.composite
def drafts(draw: st.DrawFn, odd: bool = False) -> Draft:
    """A request that is right; odd: with one part of it that need not be."""
    part = draw(st.sampled_from(PARTS)) if odd else ""
    version = draw(ODD_VERSIONS if part == "version" else st.sampled_from([b"HTTP/1.1"] * 3 + [b"HTTP/1.0"]))
    method = draw(ODD_METHODS if part == "method" else METHODS)
    target = draw(ODD_TARGETS if part == "target" else TARGETS)
    lines = [b" ".join([method, target, version]), *draw(st.lists(FIELDS, max_size=4))]
    if part == "fields":
        lines.append(draw(ODD_FIELDS))
    if version == b"HTTP/1.1" or draw(st.booleans()):
        lines.insert(draw(st.integers(1, len(lines))), b"Host: " + draw(ODD_HOSTS if part == "host" else HOSTS))
    if part in ("length", "coding", "both", "chunks"):
        framing, content = draw(_frames(part, True))
    else:
        kinds = ["none", "length", "coding"] if version == b"HTTP/1.1" else ["none", "length"]
        framing, content = draw(_frames(draw(st.sampled_from(kinds)), False))
    lines += framing
    return Draft(lines, [CRLF] * len(lines), CRLF, content)


# Bending lines

def _other_end(draft: Draft, at: int, draw: st.DrawFn) -> None:
    draft.ends[at] = draw(st.sampled_from([b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r\n\r\n", b"\r\n \r\n", b""]))


def _other_last(draft: Draft, at: int, draw: st.DrawFn) -> None:
    draft.last = draw(st.sampled_from([b"\n", b"", b"\r", b"\r\r\n", b"\n\n", b" \r\n", b"\r\n\r\n"]))


def _double(draft: Draft, at: int, draw: st.DrawFn) -> None:
    draft.lines.insert(at, draft.lines[at])
    draft.ends.insert(at, CRLF)


def _fold(draft: Draft, at: int, draw: st.DrawFn) -> None:
    middle = len(draft.lines[at]) // 2
    space = draw(st.sampled_from([b"\r\n ", b"\r\n\t", b"\n ", b"\r\n  "]))
    draft.lines[at] = draft.lines[at][:middle] + space + draft.lines[at][middle:]


def _merge(draft: Draft, at: int, draw: st.DrawFn) -> None:
    draft.lines[at] += b"," + draft.lines[at].partition(b":")[2]


def _swap(draft: Draft, at: int, draw: st.DrawFn) -> None:
    draft.lines[at], draft.lines[-1] = draft.lines[-1], draft.lines[at]


def _drop(draft: Draft, at: int, draw: st.DrawFn) -> None:
    if len(draft.lines) > 1:
        del draft.lines[at], draft.ends[at]


def _respace(draft: Draft, at: int, draw: st.DrawFn) -> None:
    mark = draw(st.sampled_from([b" ", b":", b"/"]))
    space = draw(st.sampled_from([b"  ", b"\t", b" :", b"", b"\x0b", b": ", b" \t"]))
    draft.lines[at] = draft.lines[at].replace(mark, space, 1)


def _surround(draft: Draft, at: int, draw: st.DrawFn) -> None:
    before, after = draw(st.sampled_from([(b" ", b""), (b"", b" "), (b"\t", b""), (b"", b"\t"), (b"\x0b", b"")]))
    draft.lines[at] = before + draft.lines[at] + after


def _many(draft: Draft, at: int, draw: st.DrawFn) -> None:
    count = draw(st.sampled_from([95, 100, 101]))
    draft.lines += [b"X-%d: v" % number for number in range(count)]
    draft.ends += [CRLF] * count


def _large(draft: Draft, at: int, draw: st.DrawFn) -> None:
    count = draw(st.sampled_from([7, 8]))
    draft.lines += [b"X-Large: " + b"v" * 9000] * count
    draft.ends += [CRLF] * count


def _lead(draft: Draft, at: int, draw: st.DrawFn) -> None:
    draft.lines[0] = CRLF * draw(st.sampled_from([1, 2, 4, 5])) + draft.lines[0]


BENDINGS: list[Callable[[Draft, int, st.DrawFn], None]] = [
    _other_end, _other_last, _double, _fold, _merge, _swap, _drop, _respace, _surround, _many, _large, _lead]


@st.composite
def bent(draw: st.DrawFn) -> bytes:
    """A request with one to three of its lines bent."""
    draft = draw(drafts())
    for bending in draw(st.lists(st.sampled_from(BENDINGS), min_size=1, max_size=3)):
        bending(draft, draw(st.integers(0, len(draft.lines) - 1)), draw)
    return draft.render()


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A request with one to three of its bytes, or slices, changed."""
    data = draw(drafts()).render()
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        change = draw(st.sampled_from(["insert", "replace", "truncate", "remove", "flip", "repeat"]))
        if change == "insert":
            data = data[:at] + draw(st.sampled_from(ODD_BYTES)) + data[at:]
        elif change == "replace":
            data = data[:at] + draw(st.sampled_from(ODD_BYTES)) + data[at + 1 :]
        elif change == "truncate":
            data = data[:at]
        elif change == "remove":
            data = data[:at] + data[at + draw(st.integers(1, 8)) :]
        elif change == "flip" and at < len(data):
            data = data[:at] + bytes([data[at] ^ (1 << draw(st.integers(0, 7)))]) + data[at + 1 :]
        elif change == "repeat":
            data = data[:at] + data[max(0, at - draw(st.integers(1, 40))) : at] + data[at:]
    return data


@st.composite
def unfinished(draw: st.DrawFn) -> bytes:
    """A request whose body stops somewhere."""
    draft = draw(drafts(odd=draw(st.booleans())))
    draft.content = draft.content[: draw(st.integers(0, len(draft.content)))]
    return draft.render()


PLAIN = drafts().map(Draft.render)
ODD = drafts(odd=True).map(Draft.render)
ONE = PLAIN | ODD | ODD | bent() | broken() | unfinished() | st.binary(min_size=1, max_size=12)
PIPELINED = st.tuples(PLAIN, ONE).map(b"".join) | st.tuples(ONE, PLAIN).map(b"".join)


@st.composite
def deliveries(draw: st.DrawFn, requests: st.SearchStrategy[bytes]) -> Delivery:
    """Some bytes and the writes in which they go out."""
    data = draw(requests.filter(bool))
    if len(data) < 200 and draw(st.integers(0, 9)) == 9:
        return Delivery(data, tuple(range(1, len(data))), False, draw(st.booleans()))
    cuts = draw(st.lists(st.integers(1, max(1, len(data) - 1)), max_size=4))
    return Delivery(data, tuple(cuts), draw(st.booleans()) if cuts else False, draw(st.booleans()))
