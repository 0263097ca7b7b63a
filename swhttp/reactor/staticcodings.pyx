"""Accept-Encoding (RFC 9110 §12.5.3): which codings of a file a client takes, in the order in which it gets them.

It owns the grammar and our taste: what has the higher weight comes first, of equals br, then zstd, gzip and the file as
it is. The file as it is comes last unless it is named with a weight of its own, and not at all if that, or the star's,
is 0. An element that cannot be read asks for nothing. Runs without the GIL.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp

from swhttp.ipc.frame cimport sw_header
from swhttp.reactor.grammar cimport sw_is_tchar, sw_is_word
from swhttp.reactor.openat2 cimport SW_CODING_BR, SW_CODING_GZIP, SW_CODING_IDENTITY, SW_CODING_ZSTD, SW_CODINGS

cdef enum:
    NOT_NAMED = -1
    STAR = 4


cdef int _weight(const char *text, uint32_t *at, uint32_t length) noexcept nogil:
    """Read what follows a coding, up to the end of its element: its weight in thousandths, or NOT_NAMED when this
    cannot be read. weight = OWS ";" OWS "q=" qvalue   (§12.4.2)"""
    cdef uint32_t i = at[0], end = at[0]
    cdef int weight = 1000, scale = 100
    while end < length and text[end] != 44:
        end += 1
    at[0] = end
    while end > i and (text[end - 1] == 32 or text[end - 1] == 9):
        end -= 1
    while i < end and (text[i] == 32 or text[i] == 9):
        i += 1
    if i == end:
        return 1000
    if text[i] != 59:
        return NOT_NAMED
    i += 1
    while i < end and (text[i] == 32 or text[i] == 9):
        i += 1
    if end - i < 3 or (text[i] | 32) != 113 or text[i + 1] != 61 or text[i + 2] != 48 and text[i + 2] != 49:
        return NOT_NAMED
    weight = 1000 * (text[i + 2] - 48)
    i += 3
    if i < end:
        if text[i] != 46:
            return NOT_NAMED
        i += 1
    while i < end:
        if not 48 <= text[i] <= 57 or scale == 0:
            return NOT_NAMED
        weight += scale * (text[i] - 48)
        scale //= 10
        i += 1
    return weight if weight <= 1000 else NOT_NAMED


cdef void _element(const unsigned char *name, uint32_t length, int weight, int *weights) noexcept nogil:
    cdef int coding = -1
    if sw_is_word(name, length, b"br"):
        coding = SW_CODING_BR
    elif sw_is_word(name, length, b"zstd"):
        coding = SW_CODING_ZSTD
    elif sw_is_word(name, length, b"gzip") or sw_is_word(name, length, b"x-gzip"):
        coding = SW_CODING_GZIP
    elif sw_is_word(name, length, b"identity"):
        coding = SW_CODING_IDENTITY
    elif length == 1 and name[0] == 42:
        coding = STAR
    if weight < 0:  # nobody can read it
        if coding == SW_CODING_IDENTITY or coding == STAR:
            return
        weight = 0
    # Twice: it may have been refused. So it is with --compress.
    if coding >= 0 and (weights[coding] == NOT_NAMED or weight < weights[coding]):
        weights[coding] = weight


cdef void _line(const char *text, uint32_t length, int *weights) noexcept nogil:
    cdef uint32_t at = 0, start, name_len
    cdef int weight
    while at < length:
        if text[at] == 32 or text[at] == 9 or text[at] == 44:
            at += 1
            continue
        start = at
        while at < length and sw_is_tchar(<unsigned char>text[at]):
            at += 1
        if at == start:
            at += 1
            _weight(text, &at, length)
            continue
        name_len = at - start
        weight = _weight(text, &at, length)
        _element(<const unsigned char *>text + start, name_len, weight, weights)


cdef int _ordered(const int *weights, uint8_t *wanted) noexcept nogil:
    cdef int resolved[SW_CODINGS]
    cdef int count = 0, coding, best
    for coding in range(SW_CODINGS):
        resolved[coding] = weights[coding]
        if resolved[coding] == NOT_NAMED and coding != SW_CODING_IDENTITY:
            resolved[coding] = weights[STAR]
    if resolved[SW_CODING_IDENTITY] == NOT_NAMED and weights[STAR] != 0:
        resolved[SW_CODING_IDENTITY] = 1  # nobody has said anything against it
    while True:
        best = -1
        for coding in range(SW_CODINGS):
            if resolved[coding] > 0 and (best < 0 or resolved[coding] > resolved[best]):
                best = coding
        if best < 0:
            return count
        wanted[count] = <uint8_t>best
        count += 1
        resolved[best] = 0


cdef int codings_wanted(const Wishes *wishes, uint8_t *wanted) noexcept nogil:
    """Fill `wanted` (room for SW_CODINGS) with what the client takes, best first; returns how many that are. Whoever
    does not say gets the file as it is."""
    cdef const char *at = <const char *>wishes.block + wishes.block.headers_off
    cdef const char *end = at + wishes.block.headers_len
    cdef const sw_header *record
    cdef int weights[SW_CODINGS + 1]
    cdef int i
    if wishes.codings.count == 0:
        wanted[0] = SW_CODING_IDENTITY
        return 1
    for i in range(SW_CODINGS + 1):
        weights[i] = NOT_NAMED
    if wishes.codings.count == 1:
        _line(wishes.codings.text, wishes.codings.length, weights)
        return _ordered(weights, wanted)
    while at < end:
        record = <const sw_header *>at
        at += sizeof(sw_header)
        if record.name_len == 15 and memcmp(at, b"accept-encoding", 15) == 0:
            _line(at + 15, record.value_len, weights)
        at += record.name_len + record.value_len
    return _ordered(weights, wanted)


# ---- for tests ----

def codings_of(bytes text):
    """The codings that a field asks for, best first."""
    cdef uint8_t wanted[SW_CODINGS]
    cdef int weights[SW_CODINGS + 1]
    for i in range(SW_CODINGS + 1):
        weights[i] = NOT_NAMED
    _line(text, <uint32_t>len(text), weights)
    return [("br", "zstd", "gzip", "identity")[wanted[i]] for i in range(_ordered(weights, wanted))]
