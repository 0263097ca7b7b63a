"""Range (RFC 9110 §14): which bytes of a file a client wants.

It owns the grammar and the bounds. A field that it cannot read, or that asks for more ranges than limits.MAX_RANGES or
for the same bytes twice, asks for nothing: the client gets the whole file, which costs us less than what it could be
made to cost in pieces. Runs without the GIL.
"""

from libc.stdint cimport uint32_t, uint64_t

from swhttp import limits

cdef uint64_t MOST = <uint64_t>1 << 62
assert limits.MAX_RANGES == MOST_RANGES


cdef inline bint _is_digit(char c) noexcept nogil:
    return 48 <= c <= 57


cdef uint64_t _number(const char *text, uint32_t *at, uint32_t length) noexcept nogil:
    """1*DIGIT. What is larger than any file stays so."""
    cdef uint64_t number = 0
    while at[0] < length and _is_digit(text[at[0]]):
        number = number * 10 + <uint64_t>(text[at[0]] - 48) if number < MOST // 10 else MOST
        at[0] += 1
    return number


cdef void _skip(const char *text, uint32_t *at, uint32_t length) noexcept nogil:
    while at[0] < length and (text[at[0]] == 32 or text[at[0]] == 9):
        at[0] += 1


cdef int ranges_read(const char *text, uint32_t length, uint64_t size, Range *ranges) noexcept nogil:
    """Read a Range field for a file of `size` bytes. Returns how many of `ranges` (MOST_RANGES) it asks for, in its
    order, or RANGES_NONE, or RANGES_OUTSIDE.

    bytes=( first "-" [ last ] / "-" suffix ) *( "," ... )   (§14.1.2)
    """
    cdef uint32_t at = 6
    cdef uint64_t first, last
    cdef int count = 0, asked = 0, i
    if size == 0:  # some clients ask for a range whatever it is: then nothing is the whole of it, and no mistake
        return RANGES_NONE
    if length < 7 or (text[0] | 32) != 98 or (text[1] | 32) != 121 or (text[2] | 32) != 116 or (
            text[3] | 32) != 101 or (text[4] | 32) != 115 or text[5] != 61:
        return RANGES_NONE
    while True:
        _skip(text, &at, length)
        if at < length and text[at] == 44:  # an empty element of a list (§5.6.1)
            at += 1
            continue
        if at == length:
            break
        asked += 1
        if asked > MOST_RANGES:
            return RANGES_NONE
        if text[at] == 45:
            at += 1
            if at == length or not _is_digit(text[at]):
                return RANGES_NONE
            last = _number(text, &at, length)
            first = size - last if last < size else 0
            last = size if last > 0 else 0  # past the end of it
        elif _is_digit(text[at]):
            first = _number(text, &at, length)
            if at == length or text[at] != 45:
                return RANGES_NONE
            at += 1
            if at < length and _is_digit(text[at]):
                last = _number(text, &at, length)
                if last < first:
                    return RANGES_NONE
                last = last + 1 if last < size else size
            else:
                last = size
        else:
            return RANGES_NONE
        _skip(text, &at, length)
        if at < length and text[at] != 44:
            return RANGES_NONE
        if first >= size or last == 0:
            continue
        for i in range(count):
            if first < ranges[i].first + ranges[i].length and ranges[i].first < last:
                return RANGES_NONE
        ranges[count].first = first
        ranges[count].length = last - first
        count += 1
    if asked == 0:
        return RANGES_NONE
    return count if count > 0 else RANGES_OUTSIDE


# ---- for tests ----

def ranges_of(bytes text, uint64_t size):
    """The (first, length) of each range, "none" or "outside"."""
    cdef Range ranges[MOST_RANGES]
    cdef int count = ranges_read(text, <uint32_t>len(text), size, ranges)
    if count < 0:
        return "outside"
    return [(ranges[i].first, ranges[i].length) for i in range(count)] if count else "none"
