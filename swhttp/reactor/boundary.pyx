"""Where one message ends and the next begins, in raw bytes: found before httptools sees any of them.

It owns the bounds of heads and chunked bodies, and their limits while they still arrive. httptools tells its
callbacks no offsets, joins fragments by `+=`, has no way to pause, and shows neither the spaces of the request line
nor chunk extensions. So a head is handed to it only when it is whole, and in one piece; messages are handed over one
at a time; and what a limit forbids is refused without it. It never decides what a message means: httptools does, and
where the two disagree about an end, the request is refused.

Both scanners are resumable: their state is in the connection, and no byte is looked at twice. Without the GIL.
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy

from swhttp.reactor.grammar cimport sw_hex_value, sw_is_hex, sw_is_tchar
from swhttp.reactor.reasons cimport (REASON_BAD_CHUNK, REASON_BAD_REQUEST_LINE, REASON_BAD_TRAILER, REASON_BAD_VERSION,
                                     REASON_BARE_CR, REASON_BARE_LF, REASON_EMPTY_LINES, REASON_BODY_TOO_LARGE,
                                     REASON_FIELD_TOO_LONG, REASON_FOLDED_FIELD, REASON_HEAD_TOO_LARGE,
                                     REASON_LINE_TOO_LONG, REASON_MANY_FIELDS, REASON_TRAILERS_TOO_LARGE)
from swhttp.reactor.state cimport (CHUNK_DATA, CHUNK_DATA_CR, CHUNK_DATA_LF, CHUNK_DONE, CHUNK_EXTENSION, CHUNK_SIZE,
                                   CHUNK_SIZE_LF, CHUNK_TRAILER)

from swhttp import limits

cdef uint32_t MAX_HEAD_BYTES = limits.MAX_HEAD_BYTES
cdef uint8_t MAX_EMPTY_LINES = limits.MAX_EMPTY_LINES
cdef uint32_t MAX_CHUNK_LINE_BYTES = limits.MAX_CHUNK_LINE_BYTES
cdef uint32_t MAX_CHUNK_EXCESS_BYTES = limits.MAX_CHUNK_EXCESS_BYTES
cdef uint32_t MAX_TRAILER_BYTES = limits.MAX_TRAILER_BYTES
cdef uint64_t MAX_CHUNK_BYTES = 1 << 60
cdef uint64_t PLAIN_CHUNK_LINE_BYTES = 16  # as many as the size may have digits
cdef uint32_t MAX_METHOD_BYTES = 32


cdef int _request_line(const unsigned char *line, uint32_t length) noexcept nogil:
    """request-line = method SP request-target SP HTTP-version   (RFC 9112 §3), without its CRLF"""
    cdef uint32_t i, spaces = 0
    cdef const unsigned char *version
    for i in range(length):
        spaces += line[i] == 32
    if spaces != 2 or length < 12 or line[0] == 32 or line[length - 9] != 32:
        return REASON_BAD_REQUEST_LINE
    version = line + length - 8
    if memcmp(version, b"HTTP/", 5) != 0 or version[6] != 46:
        return REASON_BAD_REQUEST_LINE
    if version[5] < 48 or version[5] > 57 or version[7] < 48 or version[7] > 57:
        return REASON_BAD_REQUEST_LINE
    if version[5] != 49 or version[7] > 49:
        return REASON_BAD_VERSION
    return 0


cdef int _method_so_far(const unsigned char *line, uint32_t length) noexcept nogil:
    """What cannot become a method is refused at once: a TLS hello has no line end to wait for."""
    cdef uint32_t i
    for i in range(length if length <= MAX_METHOD_BYTES else MAX_METHOD_BYTES + 1):
        if line[i] == 32:
            return 0
        if not sw_is_tchar(line[i]) and line[i] != 13:
            return REASON_BAD_REQUEST_LINE
    return 0


cdef int boundary_head(State *s, Conn *c, const unsigned char *data, uint32_t length, uint32_t *start,
                       uint32_t *end) noexcept nogil:
    """Look for the end of a head at the start of `data`.

    Returns BOUNDARY_WHOLE with `start` (past empty lines, RFC 9112 §2.2) and `end` (past the empty line that ends
    it), BOUNDARY_MORE, or a reason. `c.scan_at`, `c.line_at`, `c.fields`: how far an earlier call got.
    """
    cdef const unsigned char *found
    cdef uint32_t at = c.scan_at
    cdef uint32_t line = c.line_at
    cdef uint32_t feed, size
    cdef int reason
    while True:
        found = <const unsigned char *>memchr(data + at, 10, length - at) if at < length else NULL
        if found == NULL:
            # No line end yet: the limits hold already, and a CR that nothing follows is the last byte or wrong.
            if length - line > (s.max_line_bytes if c.fields == 0 else s.max_field_bytes):
                return REASON_LINE_TOO_LONG if c.fields == 0 else REASON_FIELD_TOO_LONG
            if length - c.head_at > MAX_HEAD_BYTES:
                return REASON_HEAD_TOO_LARGE
            if at < length and length - at > 1 and memchr(data + at, 13, length - at - 1) != NULL:
                return REASON_BARE_CR
            if c.fields == 0:
                reason = _method_so_far(data + line, length - line)
                if reason:
                    return reason
            c.scan_at = length if length == 0 or data[length - 1] != 13 else length - 1
            if c.scan_at < line:
                c.scan_at = line
            c.line_at = line
            return BOUNDARY_MORE
        feed = <uint32_t>(found - data)
        size = feed + 1 - line
        if size < 2 or data[feed - 1] != 13:
            return REASON_BARE_LF
        if at < feed - 1 and memchr(data + at, 13, feed - 1 - at) != NULL:
            return REASON_BARE_CR
        if c.fields == 0:  # the request line, or an empty one before it
            if size == 2:
                c.empty_lines += 1
                if c.empty_lines > MAX_EMPTY_LINES:
                    return REASON_EMPTY_LINES
                c.head_at = feed + 1
            else:
                if size > s.max_line_bytes:
                    return REASON_LINE_TOO_LONG
                reason = _request_line(data + line, size - 2)
                if reason:
                    return reason
                c.fields = 1
        elif size == 2:
            if feed + 1 - c.head_at > MAX_HEAD_BYTES:
                return REASON_HEAD_TOO_LARGE
            start[0] = c.head_at
            end[0] = feed + 1
            return BOUNDARY_WHOLE
        else:
            if size > s.max_field_bytes:
                return REASON_FIELD_TOO_LONG
            if data[line] == 32 or data[line] == 9:
                return REASON_FOLDED_FIELD
            c.fields += 1
            if c.fields > s.max_fields + 1:
                return REASON_MANY_FIELDS
            if feed + 1 - c.head_at > MAX_HEAD_BYTES:
                return REASON_HEAD_TOO_LARGE
        at = line = feed + 1


cdef int boundary_chunks(Conn *c, const unsigned char *data, uint32_t length, uint32_t *used, unsigned char *to,
                         uint32_t room, uint32_t *copied, uint64_t allowed) noexcept nogil:
    """Follow a chunked body (RFC 9112 §7.1) through `data`, copying its content to `to`.

    Returns BOUNDARY_WHOLE, BOUNDARY_FULL when the content has filled `room` and goes on, both with the bytes `used`,
    BOUNDARY_MORE (all used), or a reason: REASON_BODY_TOO_LARGE for a chunk by which the content would be more than
    `allowed` bytes longer than before this call. `copied`: content bytes of this call.
    """
    cdef uint32_t i = 0, part
    cdef unsigned char byte
    copied[0] = 0
    while i < length:
        byte = data[i]
        if c.chunk_state == CHUNK_DATA:
            part = length - i
            if part > c.body_left:
                part = <uint32_t>c.body_left
            if part > room - copied[0]:
                part = room - copied[0]
                if part == 0:
                    used[0] = i
                    return BOUNDARY_FULL
            memcpy(to + copied[0], data + i, part)
            copied[0] += part
            c.body_left -= part
            i += part
            if c.body_left == 0:
                c.chunk_state = CHUNK_DATA_CR
            continue
        i += 1
        if c.chunk_state == CHUNK_SIZE:
            c.line_bytes += 1
            if c.line_bytes > MAX_CHUNK_LINE_BYTES:
                return REASON_BAD_CHUNK
            if sw_is_hex(byte):
                if c.body_left > MAX_CHUNK_BYTES >> 4:
                    return REASON_BAD_CHUNK
                c.body_left = c.body_left << 4 | <uint64_t>sw_hex_value(byte)
            elif c.line_bytes == 1:  # 1*HEXDIG: a size has digits
                return REASON_BAD_CHUNK
            elif byte == 13:
                c.chunk_state = CHUNK_SIZE_LF
            elif byte == 59 or byte == 32 or byte == 9:
                c.chunk_state = CHUNK_EXTENSION
            else:
                return REASON_BAD_CHUNK
        elif c.chunk_state == CHUNK_EXTENSION:
            c.line_bytes += 1
            if c.line_bytes > MAX_CHUNK_LINE_BYTES:
                return REASON_BAD_CHUNK
            if byte == 13:
                c.chunk_state = CHUNK_SIZE_LF
            elif byte < 32 and byte != 9 or byte == 127:
                return REASON_BAD_CHUNK
        elif c.chunk_state == CHUNK_SIZE_LF:
            if byte != 10:
                return REASON_BAD_CHUNK
            # scan_at: bytes of all chunk lines so far that are out of proportion to what their chunks bring; a small
            # body must not carry a flood of extensions or leading zeros.
            if c.line_bytes > PLAIN_CHUNK_LINE_BYTES + c.body_left:
                c.scan_at += <uint32_t>(c.line_bytes - PLAIN_CHUNK_LINE_BYTES - c.body_left)
                if c.scan_at > MAX_CHUNK_EXCESS_BYTES:
                    return REASON_BAD_CHUNK
            c.line_bytes = 0
            if c.body_left == 0:
                c.chunk_state = CHUNK_TRAILER
                c.scan_at = 0
            elif c.body_left > allowed - copied[0]:
                return REASON_BODY_TOO_LARGE
            else:
                c.chunk_state = CHUNK_DATA
        elif c.chunk_state == CHUNK_DATA_CR:
            if byte != 13:
                return REASON_BAD_CHUNK
            c.chunk_state = CHUNK_DATA_LF
        elif c.chunk_state == CHUNK_DATA_LF:
            if byte != 10:
                return REASON_BAD_CHUNK
            c.chunk_state = CHUNK_SIZE
        elif c.chunk_state == CHUNK_TRAILER:
            # scan_at: bytes of this trailer line; line_at: was the byte before a CR
            c.line_bytes += 1
            if c.line_bytes > MAX_TRAILER_BYTES:
                return REASON_TRAILERS_TOO_LARGE
            if byte == 10:
                if not c.line_at:
                    return REASON_BAD_TRAILER
                c.line_at = 0
                if c.scan_at == 0:
                    c.chunk_state = CHUNK_DONE
                    used[0] = i
                    return BOUNDARY_WHOLE
                c.scan_at = 0
            elif c.line_at:
                return REASON_BAD_TRAILER
            elif byte == 13:
                c.line_at = 1
            else:
                c.scan_at += 1
    used[0] = length
    return BOUNDARY_MORE
