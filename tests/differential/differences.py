"""The table of allowed differences between the server and h11: every one has a name, a reason and an example.

Five kinds. STRICTER: h11 takes a request that the server refuses; where the entry applies the server *must* refuse,
for one of its reasons, unless the entry is `loose`. LAXER: h11 refuses bytes that the server reads over; the entry
says what remains of them. EARLIER: h11 still waits, but what has come can become no request, so the server may refuse
at once. LATER: h11 refuses what the server may still wait for. OPTIONS: the server takes another field for Connection.
How what is accepted looks to an app is in `presentation.py`.

`ruling` is the whole of what the test demands of one message. It counts in `fired` the entries that it needed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from swhttp import limits
from tests.differential import grammar, oracle
from tests.differential.oracle import ACCEPTED, INCOMPLETE, REFUSED, Reading

MAX_BODY_BYTES = 65536  # of the servers that the test starts
HOST_LINE = b"Host: a\r\n"

fired: Counter[str] = Counter()


@dataclass(frozen=True)
class Stricter:
    """h11 takes it, the server refuses it with one of `slugs`. loose: it may also take it."""

    name: str
    reason: str
    slugs: frozenset[str]
    applies: Callable[[Reading], bool]
    example: bytes
    loose: bool = False


@dataclass(frozen=True)
class Laxer:
    """h11 refuses it; the server reads it as if `rewrite` of it had been sent."""

    name: str
    reason: str
    rewrite: Callable[[bytes], bytes]
    example: bytes


@dataclass(frozen=True)
class Earlier:
    """h11 waits for more; the server may refuse at once."""

    name: str
    reason: str
    applies: Callable[[Reading], bool]
    example: bytes


@dataclass(frozen=True)
class Later:
    """h11 refuses it; the server may wait for more."""

    name: str
    reason: str
    applies: Callable[[Reading], bool]
    example: bytes


@dataclass(frozen=True)
class Options:
    """Another field whose elements count as connection options."""

    name: str
    reason: str
    field: bytes
    example: bytes


def _slugs(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _get(target: bytes = b"/", fields: bytes = b"", host: bytes = HOST_LINE, version: bytes = b"1.1") -> bytes:
    return b"GET " + target + b" HTTP/" + version + b"\r\n" + host + fields + b"\r\n"


def _chunked(content: bytes) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + content


def _fields(reading: Reading) -> list[tuple[bytes, bytes]]:
    return grammar.field_lines(reading.head)


def _method(reading: Reading) -> bytes:
    assert reading.request is not None
    return reading.request.method


def _version(reading: Reading) -> bytes:
    assert reading.request is not None
    return reading.request.http_version


def _target_is_bad(reading: Reading) -> bool:
    assert reading.request is not None
    return not grammar.is_target(reading.request.method, reading.request.target)


def _value_is_bad(reading: Reading) -> bool:
    assert reading.request is not None
    return any(grammar.CONTROL.search(value) for _, value in reading.request.headers)


def _host_is_bad(reading: Reading) -> bool:
    return any(not grammar.is_host(value) for value in reading.values(b"host"))


def _length_is_bad(reading: Reading) -> bool:
    values = [value for name, value in _fields(reading) if name == b"content-length"]
    return len(values) > 1 or any(not grammar.LENGTH.fullmatch(value) for value in values)


def _declared(reading: Reading) -> int:
    return int((reading.values(b"content-length") or [b"0"])[0])


def _body_is_too_large(reading: Reading) -> bool:
    if not reading.chunked:
        return _declared(reading) > MAX_BODY_BYTES
    sizes = [int(re.split(rb"[\t ;]", line)[0], 16) for line in grammar.chunk_lines(reading)]
    return sum(sizes) > MAX_BODY_BYTES


def _options(reading: Reading) -> set[bytes]:
    return reading.options(b"connection").union(*(reading.options(entry.field) for entry in OPTIONS))


def _upgrade_has_body(reading: Reading) -> bool:
    upgrades = b"upgrade" in _options(reading) and bool(reading.values(b"upgrade"))
    return upgrades and (reading.chunked or _declared(reading) > 0)


def _head_lines(reading: Reading) -> list[bytes]:
    return reading.head.split(b"\n")[:-2]  # without their LF, and without the empty line


def _extensions(reading: Reading) -> Iterator[bytes]:
    for line in grammar.chunk_lines(reading):
        match = grammar.CHUNK_LINE.fullmatch(line)
        assert match is not None
        yield match["extensions"] or b""


def _extensions_are_bad(reading: Reading) -> bool:
    return any(not grammar.EXTENSIONS.fullmatch(text) for text in _extensions(reading))


def _lines_are_out_of_proportion(reading: Reading) -> bool:
    excess = 0
    for line in grammar.chunk_lines(reading):
        excess += max(0, len(line) + 1 - 16 - int(re.split(rb"[\t ;]", line)[0], 16))
    return excess > limits.MAX_CHUNK_EXCESS_BYTES


def _trailer_lines(reading: Reading) -> list[bytes]:
    return grammar.trailer(reading).removesuffix(b"\r\n").split(b"\r\n")[:-1]


def _trailer_is_bad(reading: Reading) -> bool:
    text = grammar.trailer(reading)
    return bool(grammar.BARE_LF.search(text)) or any(
        not grammar.TRAILER_LINE.fullmatch(line) for line in _trailer_lines(reading)
    )


def _trailer_frames(reading: Reading) -> bool:
    names = {line.partition(b":")[0].lower() for line in _trailer_lines(reading)}
    return bool(names & {b"content-length", b"transfer-encoding"})


STRICTER = (
    Stricter("bare-lf", "RFC 9112 §2.2: a recipient MAY take a lone LF for a line end; it is how requests are smuggled",
             _slugs("bare-lf"), lambda r: bool(grammar.BARE_LF.search(r.head)),
             b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n"),
    Stricter("obs-fold", "RFC 9112 §5.2: a server MUST reject or replace obs-fold; we reject",
             _slugs("folded-field"), lambda r: bool(grammar.FOLD.search(r.head)), _get(fields=b"X: a\r\n b\r\n")),
    Stricter("control-in-value", "RFC 9110 §5.5: control characters in a value are invalid; h11 lets most pass",
             _slugs("bad-field-value bad-syntax"), _value_is_bad, _get(fields=b"X: a\x01b\r\n")),
    Stricter("version", "RFC 9110 §15.6.6: 505 for what is neither 1.0 nor 1.1; h11 leaves that to its caller",
             _slugs("unsupported-version"), lambda r: _version(r) not in (b"1.0", b"1.1"), _get(version=b"1.2")),
    Stricter("unknown-method", "RFC 9110 §9.1: 501 for a method that the server does not know",
             _slugs("unknown-method bad-syntax"), lambda r: _method(r) not in grammar.METHODS,
             b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n"),
    Stricter("connect", "RFC 9110 §9.3.6: no proxy, so CONNECT is 405",
             _slugs("connect-method"), lambda r: _method(r) == b"CONNECT",
             b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
    Stricter("target", "RFC 9112 §3.2: one of the request-target's forms, RFC 3986's characters; h11: any visible ones",
             _slugs("bad-target bad-host bad-syntax"), _target_is_bad, _get(b"/a#b")),
    Stricter("host", "RFC 9112 §3.2: 400 for a Host that is not valid; h11 counts them only",
             _slugs("bad-host"), _host_is_bad, _get(host=b"Host: a b\r\n")),
    Stricter("content-length", "RFC 9112 §6.3: a list of equal lengths MAY be rejected; and no body has 10^18 bytes",
             _slugs("bad-content-length bad-syntax"), _length_is_bad,
             b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nx"),
    Stricter("length-and-encoding", "RFC 9112 §6.1: a server MAY reject both at once; so are requests smuggled",
             _slugs("length-and-encoding bad-syntax"),
             lambda r: bool(r.values(b"content-length")) and r.chunked,
             b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    Stricter("encoding-in-http10", "RFC 9112 §6.1: Transfer-Encoding in HTTP/1.0 is faulty framing",
             _slugs("encoding-in-http10"), lambda r: r.chunked and _version(r) == b"1.0",
             b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    Stricter("tab-behind-coding", "RFC 9110 §5.5: the tab is no part of the value; httptools thinks it is",
             _slugs("bad-syntax"), lambda r: bool(re.search(rb"(?i)\ntransfer-encoding:[^\n]*\t *\r?\n", r.head)),
             b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n"),
    Stricter("expectation", "RFC 9110 §10.1.1: 417 for any expectation but 100-continue",
             _slugs("unknown-expectation"), lambda r: any(v != b"100-continue" for v in r.values(b"expect")),
             _get(fields=b"Expect: 200-ok\r\n")),
    Stricter("upgrade-with-body", "house: httptools takes the body of an upgrade for what follows it (DESIGN §3)",
             _slugs("upgrade-with-body"), _upgrade_has_body,
             b"POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\nx"),
    Stricter("line-limit", "RFC 9112 §3: 414 past a server's limit",
             _slugs("request-line-too-long"),
             lambda r: len(_head_lines(r)[0]) + 1 > limits.MAX_REQUEST_LINE_BYTES,
             _get(b"/" + b"a" * limits.MAX_REQUEST_LINE_BYTES)),
    Stricter("field-limit", "RFC 6585 §5: 431 past a server's limit",
             _slugs("field-too-long"),
             lambda r: any(len(line) + 1 > limits.MAX_FIELD_BYTES for line in _head_lines(r)[1:]),
             _get(fields=b"X: " + b"v" * limits.MAX_FIELD_BYTES + b"\r\n")),
    Stricter("fields-limit", "RFC 6585 §5: 431 past a server's limit",
             _slugs("too-many-fields"), lambda r: len(_head_lines(r)) - 1 > limits.MAX_FIELDS,
             _get(fields=b"X: y\r\n" * limits.MAX_FIELDS)),
    Stricter("head-limit", "RFC 6585 §5: 431 past a server's limit",
             _slugs("head-too-large"), lambda r: len(r.head) > limits.MAX_HEAD_BYTES,
             _get(fields=(b"X: " + b"v" * 9000 + b"\r\n") * 8)),
    Stricter("body-limit", "RFC 9110 §15.5.14: 413 past a server's limit",
             _slugs("body-too-large bad-chunk"), _body_is_too_large,
             b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n"),
    Stricter("chunk-extensions", "RFC 9112 §7.1.1: chunk-ext has a grammar, h11 reads over anything; httptools, which "
             "judges it, knows no BWS and is lax about empty names and values",
             # Which of the two depends on how much came at once.
             _slugs("bad-chunk bad-trailer"), _extensions_are_bad,
             _chunked(b"1;a b\r\nx\r\n0\r\n\r\n"), loose=True),
    Stricter("chunk-line-limit", "RFC 9112 §7.1.1: a recipient ought to limit the length of chunk extensions",
             _slugs("bad-chunk"),
             lambda r: any(len(line) + 1 > limits.MAX_CHUNK_LINE_BYTES for line in grammar.chunk_lines(r)),
             _chunked(b"1;a=" + b"b" * limits.MAX_CHUNK_LINE_BYTES + b"\r\nx\r\n0\r\n\r\n")),
    Stricter("chunk-lines-limit", "house: a small body must not carry a flood of extensions",
             _slugs("bad-chunk"), _lines_are_out_of_proportion,
             _chunked((b"1;a=" + b"b" * 4000 + b"\r\nx\r\n") * 6 + b"0\r\n\r\n")),
    Stricter("trailer-line", "RFC 9112 §7.1.2: field lines, held to what holds in a head: no bare LF, fold or control",
             _slugs("bad-trailer"), _trailer_is_bad, _chunked(b"0\r\nX: a\x01\r\n\r\n")),
    Stricter("trailer-frames", "RFC 9110 §6.5.1: a trailer field must not frame the message",
             _slugs("bad-trailer"), _trailer_frames, _chunked(b"0\r\nContent-Length: 5\r\n\r\n")),
    Stricter("trailer-limit", "house: 431 past the limit, as for a head",
             _slugs("trailers-too-large"), lambda r: len(grammar.trailer(r)) > limits.MAX_TRAILER_BYTES,
             _chunked(b"0\r\n" + b"X: v\r\n" * (limits.MAX_TRAILER_BYTES // 6 + 1) + b"\r\n")),
)

OPTIONS = (
    Options("proxy-connection", "RFC 9112 App. C.2.2: clients are encouraged not to send it; httptools takes it for "
            "Connection", b"proxy-connection", _get(fields=b"Proxy-Connection: close\r\n")),
)

H11_MOST_DIGITS = 20  # of a chunk size


def _fewer_zeros(raw: bytes) -> bytes:
    """The same chunk sizes without leading zeros, where h11 counts them and the server does not yet."""
    reading = oracle.read(raw)
    if reading.verdict != REFUSED or not reading.chunked:
        return raw
    for start, end in reversed(grammar.chunk_spans(raw, len(reading.head))):
        digits = re.split(rb"[\t ;]", raw[start:end])[0]
        if H11_MOST_DIGITS < len(digits) < limits.MAX_CHUNK_LINE_BYTES // 2:
            raw = raw[:start] + (digits.lstrip(b"0") or b"0") + raw[start + len(digits) :]
    return raw


LAXER = (
    Laxer("empty-lines", "RFC 9112 §2.2: a server SHOULD ignore at least one empty line before a request",
          lambda raw: re.sub(rb"\A(?:\r\n){0,%d}(?:\r\Z)?" % limits.MAX_EMPTY_LINES, b"", raw), b"\r\n" + _get()),
    Laxer("leading-zeros", "RFC 9112 §7.1: a chunk-size may have any number of digits; h11 takes 20",
          _fewer_zeros, _chunked(b"0" * 20 + b"1\r\nx\r\n0\r\n\r\n")),
)


def _complete_lines_are_bad(reading: Reading) -> bool:
    """A head cut behind its last whole line and then ended: would it be refused?"""
    lines = reading.raw[: reading.raw.rfind(b"\n") + 1]
    if reading.request is not None or not lines:
        return False
    host = b"" if any(name == b"host" for name, _ in grammar.field_lines(lines)) else HOST_LINE
    whole = oracle.read(lines + host + b"\r\n")
    return whole.verdict == REFUSED or any(entry.applies(whole) for entry in STRICTER)


def _line_so_far_is_bad(reading: Reading) -> bool:
    if reading.request is not None:
        return False
    line = reading.raw[reading.raw.rfind(b"\n") + 1 :]
    first = line == reading.raw
    too_long = len(line) > (limits.MAX_REQUEST_LINE_BYTES if first else limits.MAX_FIELD_BYTES)
    no_method = first and re.match(rb"%s*(?: |\r|\Z)" % grammar.TCHAR, line[:33]) is None
    return too_long or no_method or bool(grammar.BARE_CR.search(line))


def _chunk_line_so_far_is_bad(reading: Reading) -> bool:
    if not reading.chunked or reading.in_trailer:
        return False
    too_long = len(reading.tail) > limits.MAX_CHUNK_LINE_BYTES
    digits = re.match(rb"[0-9A-Fa-f]*", reading.tail)
    assert digits is not None
    too_large = int(digits[0] or b"0", 16) > MAX_BODY_BYTES
    return too_long or too_large or grammar.CHUNK_LINE_SO_FAR.fullmatch(reading.tail) is None


def _trailer_so_far_is_bad(reading: Reading) -> bool:
    if not reading.in_trailer:
        return False
    *lines, last = re.split(rb"(?<=\n)", reading.tail)
    framing = any(line.lower().startswith((b"content-length:", b"transfer-encoding:")) for line in (*lines, last))
    bad = any(not grammar.TRAILER_LINE.fullmatch(line.removesuffix(b"\r\n")) for line in lines)
    partial = re.fullmatch(rb"(?:%s*|%s)\r?" % (grammar.TCHAR, grammar.TRAILER_LINE.pattern), last) is None
    return framing or bad or partial


EARLIER = (
    Earlier("wrong-lines", "a whole line of the head is wrong, whatever follows; h11 looks at whole heads",
            _complete_lines_are_bad, b"GET / HTTP/1.1\r\nHost: a\nX: y"),
    Earlier("wrong-line-so-far", "no method, a bare CR, or too long already",
            _line_so_far_is_bad, b"G\x80"),
    Earlier("wrong-chunk-line-so-far", "can become no chunk line of a body within the limit, by the grammar",
            _chunk_line_so_far_is_bad, _chunked(b"zz")),
    Earlier("wrong-trailer-so-far", "can become no trailer; h11 looks at whole trailers",
            _trailer_so_far_is_bad, _chunked(b"0\r\nX Y")),
)


def _head_is_unfinished(reading: Reading) -> bool:
    return reading.request is None and re.search(rb"\n\r?\n", reading.raw) is None


LATER = (
    Later("wrong-first-byte", "a head whose first byte is a space or a control: h11 refuses it at once, the server "
          "when it is whole, as any other wrong method", _head_is_unfinished, b" GET"),
)


@dataclass(frozen=True)
class Ruling:
    """What the server has to make of a message.

    verdict: ACCEPTED, REFUSED, or INCOMPLETE: no answer. slugs: of a refusal, empty when any will do.
    may_refuse: although INCOMPLETE, or ACCEPTED. reading: h11's; entries: names of those that were needed; late: of the
    one that allows no answer.
    """

    verdict: str
    reading: Reading
    slugs: frozenset[str] = frozenset()
    may_refuse: bool = False
    entries: tuple[str, ...] = ()
    late: tuple[str, ...] = ()
    skipped: int = 0  # bytes before the message
    persists: bool = False  # the connection goes on

    @property
    def used(self) -> int:
        """Bytes of the message and of what was skipped before it."""
        return self.skipped + self.reading.used


def ruling(raw: bytes) -> Ruling:
    """What the server has to make of the first message in `raw`."""
    entries = []
    rest = raw
    for laxer in LAXER:
        if (rewritten := laxer.rewrite(rest)) != rest:
            entries.append(laxer.name)
            rest = rewritten
    skipped = len(raw) - len(rest)
    reading = oracle.read(rest)
    stricter = [] if reading.request is None else [entry for entry in STRICTER if entry.applies(reading)]
    names = (*entries, *(entry.name for entry in stricter))
    slugs = frozenset().union(*(entry.slugs for entry in stricter))
    if reading.verdict == REFUSED:
        late = tuple(entry.name for entry in LATER if entry.applies(reading))
        return Ruling(INCOMPLETE if late else REFUSED, reading, may_refuse=bool(late), late=late, skipped=skipped)
    if any(not entry.loose for entry in stricter):
        return Ruling(REFUSED, reading, slugs, entries=names, skipped=skipped)
    if reading.verdict == ACCEPTED:
        persists = reading.persists(_options(reading))
        if persists != reading.persists(reading.options(b"connection")):
            names += tuple(entry.name for entry in OPTIONS if reading.options(entry.field))
        return Ruling(ACCEPTED, reading, slugs, bool(stricter), names, (), skipped, persists)
    earlier = [entry.name for entry in EARLIER if entry.applies(reading)]
    return Ruling(INCOMPLETE, reading, frozenset(), bool(stricter or earlier), (*names, *earlier), (), skipped)


def rulings(raw: bytes) -> list[Ruling]:
    """What the server has to make of a connection's bytes: its messages up to the first that ends it."""
    found = []
    while True:
        found.append(ruling(raw))
        raw = raw[found[-1].used :]
        if found[-1].verdict != ACCEPTED or not found[-1].persists or found[-1].may_refuse or not raw:
            return found
