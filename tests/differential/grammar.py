"""The grammar of RFC 9110, 9112 and 3986 as patterns over raw bytes, written apart from the server's own.

The table of differences says with these which requests the server must refuse although h11 takes them.
"""

from __future__ import annotations

import re

from tests.differential.oracle import ACCEPTED, Reading

TCHAR = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
# uri-host [ ":" port ], RFC 3986 §3.2.2; a reg-name without the comma, and not empty.
HOST = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]{2,}\]|(?:[A-Za-z0-9\-._~!$&'()*+;=]|%[0-9A-Fa-f]{2})+)(?::(?P<port>[0-9]{0,5}))?"
)
ABSOLUTE = re.compile(rb"https?://(?P<authority>[^/?]*)(?P<rest>.*)", re.IGNORECASE)
BARE_LF = re.compile(rb"(?<!\r)\n")
BARE_CR = re.compile(rb"\r(?!\n|\Z)")
FOLD = re.compile(rb"\n[ \t]")
CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
LENGTH = re.compile(rb"[0-9]{1,18}")
# chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )   RFC 9112 §7.1.1, without the BWS
QUOTED = rb"\"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"  # without its last quote
EXTENSION = rb";%s+(?:=(?:%s+|%s\"))?" % (TCHAR, TCHAR, QUOTED)
EXTENSIONS = re.compile(rb"(?:%s)*" % EXTENSION)
CHUNK_LINE = re.compile(rb"(?P<size>[0-9A-Fa-f]+)(?P<extensions>[\t ;].*)?", re.DOTALL)
# What may become a chunk line when more comes.
EXTENSION_SO_FAR = rb";(?:%s*|%s+=(?:%s*|%s\\?))" % (TCHAR, TCHAR, TCHAR, QUOTED)
CHUNK_LINE_SO_FAR = re.compile(rb"(?:[0-9A-Fa-f]+(?:%s)*(?:%s|\r)?)?" % (EXTENSION, EXTENSION_SO_FAR))
TRAILER_LINE = re.compile(rb"%s+:[\t \x21-\x7e\x80-\xff]*" % TCHAR)
METHODS = frozenset(
    b"ACL BIND CHECKOUT COPY DELETE GET HEAD LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL MOVE NOTIFY OPTIONS"
    b" PATCH POST PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK"
    b" UNSUBSCRIBE".split()
)


def is_host(text: bytes) -> bool:
    """uri-host [ ":" port ]"""
    match = HOST.fullmatch(text)
    return match is not None and int(match["port"] or b"0") <= 65535


def is_target(method: bytes, target: bytes) -> bool:
    """origin-form, absolute-form of http or https, or asterisk-form (RFC 9112 §3.2)."""
    path = target.partition(b"?")[0]
    if b"#" in target or b"\\" in path or b"%00" in path:
        return False
    if target == b"*":
        return method == b"OPTIONS"
    absolute = ABSOLUTE.fullmatch(target)
    return is_host(absolute["authority"]) if absolute else target.startswith(b"/")


def field_lines(head: bytes) -> list[tuple[bytes, bytes]]:
    """Name, in lower case, and value of every field line, as they stand."""
    lines = [line.removesuffix(b"\r") for line in head.split(b"\n")[1:]]
    pairs = (line.partition(b":") for line in lines if b":" in line and line[:1] not in (b" ", b"\t"))
    return [(name.lower(), value.strip(b" \t")) for name, _, value in pairs]


def chunk_spans(raw: bytes, at: int) -> list[tuple[int, int]]:
    """Where the whole chunk lines of a chunked body that begins at `at` stand, without their CRLF.

    The last is that of size 0, if it is there.
    """
    spans: list[tuple[int, int]] = []
    while (end := raw.find(b"\r\n", at)) >= 0 and (match := CHUNK_LINE.fullmatch(raw, at, end)):
        spans.append((at, end))
        size = int(match["size"], 16)
        if size == 0:
            break
        at = end + 2 + size + 2
    return spans


def chunk_lines(reading: Reading) -> list[bytes]:
    """The whole chunk lines of a chunked body."""
    spans = chunk_spans(reading.raw, len(reading.head)) if reading.chunked else []
    return [reading.raw[start:end] for start, end in spans]


def trailer(reading: Reading) -> bytes:
    """What follows the last chunk's line, to the end of a body that is whole."""
    if reading.verdict != ACCEPTED or not reading.chunked:
        return b""
    _, end = chunk_spans(reading.raw, len(reading.head))[-1]
    return reading.raw[end + 2 : reading.used]
