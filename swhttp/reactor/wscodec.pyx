"""Frames of WebSockets (RFC 6455 §5): those of clients are read, the headers of ours are written.

It owns: what a client's frames may look like, in which order they may come, and how large a message may be said to be.
`ws_decode` is given bytes as they arrive, cut anywhere, and finds one thing a call: a piece of a message where it lies
in the input, still masked; a control frame, whole and unmasked; that the stream is bad, with the code to close with. It
keeps headers, and payloads of control frames, only where the input ends within one; of these the payload has memory of
its own until it is whole, so that a stream which is idle has none for it.

    frame: | FIN RSV1 RSV2 RSV3 opcode:4 | MASK length:7 | length u16 or u64, for 126 and 127 | key | payload

It must never take the GIL, wait for a message to be whole, or look at the payload of data frames: the caller takes the
mask off and checks UTF-8 (wsbytes.h) or inflates (wsdeflate), for only he knows where the bytes go to. So what a
compressed message may grow to is the caller's to bound. As it comes it may be longer than that, for not everything can
be compressed: twice as long, and some.

A header is judged as soon as enough of it is there: one that announces too much fails the connection before any
payload has come. After WS_CLOSED and WS_BAD whatever follows is swallowed.
"""

from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from swhttp.ipc.rfc6455 cimport (SW_CLOSE_BAD_DATA, SW_CLOSE_INTERNAL_ERROR, SW_CLOSE_NO_CODE, SW_CLOSE_PROTOCOL_ERROR,
                                 SW_CLOSE_TOO_BIG, SW_WS_BINARY, SW_WS_CLOSE, SW_WS_CONTINUATION, SW_WS_CONTROL_BYTES,
                                 SW_WS_HEADER_BYTES, SW_WS_PING, SW_WS_PONG,
                                 sw_close_code_is_sendable)
from swhttp.reactor.wsbytes cimport SW_UTF8_WHOLE, sw_utf8, sw_ws_unmask
# (What wscodec.pxd declares is in scope: it is this module's own.)

from swhttp import limits as bounds

# What comes next.
cdef enum:
    HEADER = 0
    PAYLOAD = 1
    CONTROL = 2
    OVER = 3

cdef enum:
    FIN = 0x80
    RSV1 = 0x40
    RSV = 0x70
    IS_CONTROL = 0x08
    OPCODE = 0x0F
    MASK = 0x80
    LENGTH = 0x7F

cdef enum:
    DEFLATE_BYTES = 64  # that a compressed message, however short, may be longer

cdef uint16_t max_empty = bounds.MAX_WS_EMPTY_FRAGMENTS


cdef size_t ws_decode(WsDecoder *d, const WsLimits *limits, const unsigned char *data, size_t length,
                      WsPiece *piece) noexcept nogil:
    """Read on; how many bytes were consumed. To be called again until it says WS_NEED, which consumes all of them."""
    cdef size_t at = 0
    cdef size_t count
    cdef bint last
    while d.stage != OVER:
        if d.stage == HEADER:
            if not _header(d, limits, data, length, &at, piece):
                return at
            if d.stage == HEADER:  # the input has ended
                break
        if d.stage == PAYLOAD:
            count = length - at
            if count > d.left:
                count = <size_t>d.left
            last = count == d.left and (d.frame & FIN) != 0
            if count == 0 and not last:
                if d.left:
                    break
                d.stage = HEADER  # an empty fragment: nothing to tell
                continue
            piece.kind = WS_DATA
            piece.data, piece.length = data + at, count
            piece.key, piece.phase = d.key, d.phase
            piece.opcode, piece.compressed = d.opcode, d.compressed
            piece.first, piece.last = not d.begun, last
            d.begun = True
            d.left -= count
            if d.left == 0:
                d.stage = HEADER
                if last:
                    d.opcode = 0
            else:
                d.phase = (d.phase + count) & 3
            return at + count
        count = length - at
        if count < d.left:
            if count > 0 and not _keep_control(d, data + at, count, piece):
                return at
            break
        count = <size_t>d.left
        _control(d, data + at, piece)
        return at + count
    piece.kind = WS_NEED
    return length


cdef bint _keep_control(WsDecoder *d, const unsigned char *data, size_t length, WsPiece *piece) noexcept nogil:
    """The input ends within the payload of a control frame. False: there is no memory, which ends the stream."""
    if d.control == NULL:
        d.control = <unsigned char *>malloc(<size_t>d.left)
        if d.control == NULL:
            return _bad(d, piece, SW_CLOSE_INTERNAL_ERROR, "ws-no-memory")
    sw_ws_unmask(d.control + d.control_length, data, length, d.key, d.control_length & 3)
    d.control_length += <uint8_t>length
    d.left -= length
    return True


cdef void _control(WsDecoder *d, const unsigned char *data, WsPiece *piece) noexcept nogil:
    """A control frame is whole: what is left of its payload lies at `data`."""
    cdef uint8_t opcode = d.frame & OPCODE
    cdef uint8_t have = d.control_length
    if d.control != NULL:
        memcpy(piece.control, d.control, have)
        ws_decoder_free(d)
    sw_ws_unmask(piece.control + have, data, <size_t>d.left, d.key, have & 3)
    piece.control_length = have + <uint8_t>d.left
    d.stage = HEADER
    if opcode == SW_WS_CLOSE:
        _closed(d, piece)
    else:
        piece.kind = WS_PING if opcode == SW_WS_PING else WS_PONG


cdef void ws_decoder_free(WsDecoder *d) noexcept nogil:
    """Give back what the stream keeps."""
    free(d.control)
    d.control = NULL


cdef bint _bad(WsDecoder *d, WsPiece *piece, uint16_t code, const char *why) noexcept nogil:
    d.stage = OVER
    piece.kind, piece.code, piece.why = WS_BAD, code, why
    return False


cdef bint _header(WsDecoder *d, const WsLimits *limits, const unsigned char *data, size_t length, size_t *at,
                  WsPiece *piece) noexcept nogil:
    """Read a header, or what there is of it. False: the stream is bad."""
    cdef const unsigned char *header
    cdef size_t here = length - at[0]
    cdef size_t size, have, more
    if here == 0:
        return True
    if d.header_length == 0 and here >= 2:
        size = _header_bytes(data[at[0] + 1])
        if here >= size:
            header = data + at[0]
            at[0] += size
            return _judge(d, limits, header, size, piece) and _begin(d, header)
    # It is cut: collect it.
    while True:
        have = d.header_length
        size = 2 if have < 2 else _header_bytes(d.header[1])
        more = size - have
        if more > here:
            more = here
        memcpy(d.header + have, data + at[0], more)
        at[0] += more
        here -= more
        d.header_length = <uint8_t>(have + more)
        if not _judge(d, limits, d.header, d.header_length, piece):
            return False
        if d.header_length < size:
            return True
        if size > 2:  # 2: now its length is known
            d.header_length = 0
            return _begin(d, d.header)


cdef inline size_t _header_bytes(uint8_t second) noexcept nogil:
    """Of a frame with this second byte; a key among them, for one without a mask is refused."""
    cdef uint8_t short = second & LENGTH
    return 6 if short < 126 else 8 if short == 126 else 14


cdef inline uint64_t _length(const unsigned char *header) noexcept nogil:
    cdef uint8_t short = header[1] & LENGTH
    cdef uint64_t length = 0
    cdef int i
    if short < 126:
        return short
    for i in range(2 if short == 126 else 8):
        length = length << 8 | header[2 + i]
    return length


cdef bint _judge(WsDecoder *d, const WsLimits *limits, const unsigned char *header, size_t have,
                 WsPiece *piece) noexcept nogil:
    """Is this right, as far as it is there? It changes nothing else. False: the stream is bad."""
    cdef uint8_t first, opcode, short, reserved
    cdef uint64_t length, most = limits.max_message_bytes
    if have < 2:
        return True
    first, opcode, short = header[0], header[0] & OPCODE, header[1] & LENGTH
    reserved = first & RSV
    if reserved and (reserved != RSV1 or not limits.deflate or opcode == SW_WS_CONTINUATION or opcode & IS_CONTROL):
        return _bad(d, piece, SW_CLOSE_PROTOCOL_ERROR, "ws-reserved-bits")
    if not header[1] & MASK:
        return _bad(d, piece, SW_CLOSE_PROTOCOL_ERROR, "ws-unmasked-frame")
    if opcode & IS_CONTROL:
        if opcode > SW_WS_PONG:
            return _bad(d, piece, SW_CLOSE_PROTOCOL_ERROR, "ws-unknown-opcode")
        if not first & FIN:
            return _bad(d, piece, SW_CLOSE_PROTOCOL_ERROR, "ws-fragmented-control-frame")
        if short > SW_WS_CONTROL_BYTES:
            return _bad(d, piece, SW_CLOSE_PROTOCOL_ERROR, "ws-long-control-frame")
        return True
    if opcode > SW_WS_BINARY:
        return _bad(d, piece, SW_CLOSE_PROTOCOL_ERROR, "ws-unknown-opcode")
    if opcode == SW_WS_CONTINUATION and d.opcode == 0:
        return _bad(d, piece, SW_CLOSE_PROTOCOL_ERROR, "ws-nothing-to-continue")
    if opcode != SW_WS_CONTINUATION and d.opcode != 0:
        return _bad(d, piece, SW_CLOSE_PROTOCOL_ERROR, "ws-message-not-ended")
    if short >= 126 and have < (4 if short == 126 else 10):
        return True
    length = _length(header)
    if (short == 126 and length < 126) or (short == 127 and length < 65536):
        return _bad(d, piece, SW_CLOSE_PROTOCOL_ERROR, "ws-length-not-minimal")
    if length >> 63:
        return _bad(d, piece, SW_CLOSE_PROTOCOL_ERROR, "ws-length-out-of-range")
    if (d.compressed if opcode == SW_WS_CONTINUATION else reserved) and not most >> 62:
        most = 2 * most + DEFLATE_BYTES
    if opcode != SW_WS_CONTINUATION:
        if length > most:
            return _bad(d, piece, SW_CLOSE_TOO_BIG, "ws-message-too-large")
        return True
    # Without this subtraction the sum could overflow.
    if length > most - d.message_bytes:
        return _bad(d, piece, SW_CLOSE_TOO_BIG, "ws-message-too-large")
    if d.fragments >= limits.max_fragments:
        return _bad(d, piece, SW_CLOSE_TOO_BIG, "ws-too-many-fragments")
    if length == 0 and d.empty >= max_empty:
        return _bad(d, piece, SW_CLOSE_TOO_BIG, "ws-too-many-empty-fragments")
    return True


cdef bint _begin(WsDecoder *d, const unsigned char *header) noexcept nogil:
    """Begin with the payload of a frame whose header is whole and right."""
    cdef uint8_t opcode = header[0] & OPCODE
    cdef uint8_t short = header[1] & LENGTH
    d.frame = header[0]
    d.left = _length(header)
    memcpy(&d.key, header + (2 if short < 126 else 4 if short == 126 else 10), 4)
    if opcode & IS_CONTROL:
        d.stage, d.control_length = CONTROL, 0
        return True
    d.stage, d.phase = PAYLOAD, 0
    if opcode != SW_WS_CONTINUATION:
        d.opcode, d.compressed, d.begun = opcode, (header[0] & RSV1) != 0, False
        d.message_bytes = d.fragments = d.empty = 0
    d.message_bytes += d.left
    d.fragments += 1
    d.empty = d.empty + 1 if d.left == 0 else 0
    return True


cdef void _closed(WsDecoder *d, WsPiece *piece) noexcept nogil:
    """RFC 6455 §5.5.1, §7.4."""
    piece.kind, piece.code = WS_CLOSED, SW_CLOSE_NO_CODE
    d.stage = OVER
    if piece.control_length == 0:
        return
    if piece.control_length == 1:
        _bad(d, piece, SW_CLOSE_PROTOCOL_ERROR, "ws-bad-close")
        return
    piece.code = <uint16_t>(piece.control[0] << 8 | piece.control[1])
    if not sw_close_code_is_sendable(piece.code):
        _bad(d, piece, SW_CLOSE_PROTOCOL_ERROR, "ws-bad-close-code")
    elif sw_utf8(SW_UTF8_WHOLE, piece.control + 2, piece.control_length - 2) != SW_UTF8_WHOLE:
        _bad(d, piece, SW_CLOSE_BAD_DATA, "ws-bad-close-reason")


cdef int ws_header(unsigned char *to, uint8_t opcode, bint fin, bint compressed, uint64_t length) noexcept nogil:
    """Write the header of a frame of ours; how many bytes it has, SW_WS_HEADER_BYTES at most."""
    cdef int i
    to[0] = opcode | (FIN if fin else 0) | (RSV1 if compressed else 0)
    if length < 126:
        to[1] = <uint8_t>length
        return 2
    if length < 65536:
        to[1], to[2], to[3] = 126, <uint8_t>(length >> 8), <uint8_t>length
        return 4
    to[1] = 127
    for i in range(8):
        to[2 + i] = <uint8_t>(length >> (56 - 8 * i))
    return SW_WS_HEADER_BYTES
