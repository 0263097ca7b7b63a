"""The WebSocket codec as Python sees it, FOR TOOLS AND TESTS: the reactor uses the parts themselves.

It owns nothing but a stream's state. `Decoder` does with a client's bytes what the reactor does: frames (wscodec),
masks and UTF-8 (wsbytes.h), inflating (wsdeflate), one after another and as the bytes come; it must not do it in
another way.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from swhttp.ipc.rfc6455 cimport (SW_CLOSE_BAD_DATA, SW_CLOSE_TOO_BIG, SW_WS_HEADER_BYTES, SW_WS_TEXT,
                                 sw_close_code_is_sendable)
from swhttp.reactor.state cimport Conn, Ws
from swhttp.reactor.wsbytes cimport SW_UTF8_BAD, SW_UTF8_WHOLE, sw_utf8, sw_ws_unmask
from swhttp.reactor.wscodec cimport (WS_BAD, WS_CLOSED, WS_DATA, WS_NEED, WS_PING, WsDecoder, WsLimits, WsPiece,
                                     ws_decode, ws_decoder_free, ws_header)
from swhttp.reactor.wsdeflate cimport Deflation, ws_deflate_shared

from typing import NamedTuple

UTF8_WHOLE, UTF8_BAD = SW_UTF8_WHOLE, SW_UTF8_BAD
INFLATE_STEP_BYTES = 64 * 1024
STATE_BYTES, SOCKET_BYTES, CONNECTION_BYTES = sizeof(WsDecoder), sizeof(Ws), sizeof(Conn)


class Data(NamedTuple):
    """A piece of a message."""

    opcode: int
    data: bytes
    first: bool
    last: bool


class Ping(NamedTuple):
    data: bytes


class Pong(NamedTuple):
    data: bytes


class Close(NamedTuple):
    """`code`: 1005 where there was none."""

    code: int
    reason: bytes


class Bad(NamedTuple):
    """The connection is to be failed, with this code."""

    code: int
    why: str


cdef class Decoder:
    """One client's stream. With `deflation` permessage-deflate was negotiated."""

    cdef WsDecoder state
    cdef WsLimits limits
    cdef Deflation deflation
    cdef uint32_t utf8
    cdef uint64_t inflated  # bytes of the message under way
    cdef bint over

    def __init__(self, *, uint64_t max_message_bytes=1 << 24, uint32_t max_fragments=1 << 17,
                 Deflation deflation=None):
        memset(&self.state, 0, sizeof(self.state))
        self.limits.max_message_bytes, self.limits.max_fragments = max_message_bytes, max_fragments
        self.limits.deflate = deflation is not None
        self.deflation, self.utf8 = deflation, SW_UTF8_WHOLE

    def __dealloc__(self):
        ws_decoder_free(&self.state)

    def feed(self, bytes data):
        """What these bytes bring, in order. After Close and Bad nothing comes."""
        cdef const unsigned char *at = data
        cdef size_t left = len(data)
        cdef size_t used
        cdef WsPiece piece
        events = []
        while not self.over:
            used = ws_decode(&self.state, &self.limits, at, left, &piece)
            if used > left:
                raise AssertionError("it reads more than there is")
            at += used
            left -= used
            if piece.kind == WS_NEED:
                if left:
                    raise AssertionError("it leaves something")
                break
            if piece.kind == WS_DATA:
                self._data(&piece, events)
            elif piece.kind == WS_BAD:
                self._bad(events, piece.code, piece.why.decode())
            elif piece.kind == WS_CLOSED:
                self.over = True
                reason = piece.control[2:piece.control_length] if piece.control_length else b""
                events.append(Close(piece.code, reason))
            else:
                events.append((Ping if piece.kind == WS_PING else Pong)(piece.control[:piece.control_length]))
        return events

    cdef _bad(self, list events, int code, str why):
        self.over = True
        events.append(Bad(code, why))

    cdef _data(self, WsPiece *piece, list events):
        cdef bytearray plain = bytearray(piece.length)
        cdef unsigned char *to = plain
        cdef bint more = True
        cdef bint first = piece.first
        cdef bint last
        sw_ws_unmask(to, piece.data, piece.length, piece.key, piece.phase)
        if piece.first:
            self.inflated, self.utf8 = 0, SW_UTF8_WHOLE
        if not piece.compressed:
            self._give(piece.opcode, bytes(plain), piece.first, piece.last, events)
            return
        out = self.deflation.inflate(to, piece.length, piece.last, INFLATE_STEP_BYTES, &more)
        while True:
            if out is None:
                self._bad(events, SW_CLOSE_BAD_DATA, "ws-bad-deflate")
                return
            if len(out) > INFLATE_STEP_BYTES:
                raise AssertionError("it inflates more than it was asked to")
            self.inflated += len(out)
            if self.inflated > self.limits.max_message_bytes:
                self._bad(events, SW_CLOSE_TOO_BIG, "ws-message-too-large")
                return
            last = piece.last and not more
            if out or last or (first and not more):
                self._give(piece.opcode, out, first, last, events)
                first = False
            if not more or self.over:
                return
            out = self.deflation.inflate(NULL, 0, False, INFLATE_STEP_BYTES, &more)

    cdef _give(self, uint8_t opcode, bytes data, bint first, bint last, list events):
        if opcode == SW_WS_TEXT:
            self.utf8 = sw_utf8(self.utf8, data, len(data))
            if self.utf8 == SW_UTF8_BAD or (last and self.utf8 != SW_UTF8_WHOLE):
                self._bad(events, SW_CLOSE_BAD_DATA, "ws-bad-utf8")
                return
        events.append(Data(opcode, data, bool(first), bool(last)))


def header(uint8_t opcode, uint64_t length, *, bint fin=True, bint compressed=False):
    """The header of a frame of ours."""
    cdef unsigned char to[SW_WS_HEADER_BYTES]
    return to[:ws_header(to, opcode, fin, compressed, length)]


def close_code_is_sendable(int code):
    return bool(sw_close_code_is_sendable(code))


def unmask(bytes data, bytes key, int phase=0, *, int offset=0, bint in_place=False):
    """`data` without its mask of four bytes. Nothing lies beyond the memory that is worked on, whose addresses are
    `offset` (and 3 more for what is written) after a multiple of 16."""
    cdef size_t n = len(data)
    cdef uint32_t word
    cdef unsigned char *source = <unsigned char *>malloc(n + offset)
    cdef unsigned char *to = source if in_place else <unsigned char *>malloc(n + offset + 3)
    if len(key) != 4:
        raise ValueError("a key of four bytes")
    memcpy(&word, <const char *>key, 4)
    memcpy(source + offset, <const char *>data, n)
    cdef unsigned char *at = source + offset if in_place else to + offset + 3
    sw_ws_unmask(at, source + offset, n, word, phase)
    plain = at[:n]
    if not in_place:
        free(to)
    free(source)
    return plain


def utf8(uint32_t state, bytes data):
    """The state after `data`, which lies in memory that ends with it."""
    cdef size_t n = len(data)
    cdef unsigned char *copy = <unsigned char *>malloc(n)
    memcpy(copy, <const char *>data, n)
    state = sw_utf8(state, copy, n)
    free(copy)
    return state


def deflate(Deflation deflation, bytes data, *, bint last=True):
    return deflation.deflate(data, len(data), last)


def inflate(Deflation deflation, bytes data, *, bint last=True, size_t most=INFLATE_STEP_BYTES):
    """What it gives (None: corrupt), and whether there is more."""
    cdef bint more = False
    out = deflation.inflate(data, len(data), last, most, &more)
    return out, bool(more)


def deflate_shared(bytes data, int bits=15):
    return ws_deflate_shared(data, len(data), bits)


def rest(Deflation deflation):
    deflation.rest()


def forget_deflate(Deflation deflation):
    deflation.forget_deflate()
