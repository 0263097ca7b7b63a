"""Conditional requests (RFC 9110 §13): whether a client wants the file, has it already, or means another one.

It owns the fields of a request that decide about a file's answer, how they are found in its block, and the order in
which conditions are judged (§13.2.2). A date that cannot be read, or stands twice, is as if it were not there; a list
of tags ends where it cannot be read any more, and what is not found in it by then is not in it. Whoever calls says what
validators the file has, if any. Runs without the GIL.
"""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcmp, memset

from swhttp.ipc.frame cimport sw_header
from swhttp.reactor.httpdate cimport SW_DATE_BYTES, SW_NO_DATE, sw_date_read, sw_date_write


cdef inline void _note(Field *field, const char *text, uint32_t length) noexcept nogil:
    field.count += 1
    field.text = text
    field.length = length


cdef void wishes_read(const sw_block *block, Wishes *wishes) noexcept nogil:
    """Look for them all in one pass."""
    cdef const char *at = <const char *>block + block.headers_off
    cdef const char *end = at + block.headers_len
    cdef const char *name
    cdef const char *value
    cdef const sw_header *record
    memset(wishes, 0, sizeof(Wishes))
    wishes.block = block
    while at < end:
        record = <const sw_header *>at
        name = at + sizeof(sw_header)
        value = name + record.name_len
        at = value + record.value_len
        if record.name_len == 5 and memcmp(name, b"range", 5) == 0:
            _note(&wishes.range, value, record.value_len)
        elif record.name_len == 8 and memcmp(name, b"if-range", 8) == 0:
            _note(&wishes.if_range, value, record.value_len)
        elif record.name_len == 8 and memcmp(name, b"if-match", 8) == 0:
            _note(&wishes.match, value, record.value_len)
        elif record.name_len == 13 and memcmp(name, b"if-none-match", 13) == 0:
            _note(&wishes.none_match, value, record.value_len)
        elif record.name_len == 15 and memcmp(name, b"accept-encoding", 15) == 0:
            _note(&wishes.codings, value, record.value_len)
        elif record.name_len == 17 and memcmp(name, b"if-modified-since", 17) == 0:
            _note(&wishes.modified_since, value, record.value_len)
        elif record.name_len == 19 and memcmp(name, b"if-unmodified-since", 19) == 0:
            _note(&wishes.unmodified_since, value, record.value_len)


cdef bint _list_has(const char *list, uint32_t length, const char *tag, uint32_t tag_len, bint weakly) noexcept nogil:
    """Is `tag` (NULL: there is none; never a weak one) in this list of entity tags, or is the list a star?

    entity-tag = [ %s"W/" ] DQUOTE *etagc DQUOTE   (§8.8.3). `weakly`: W/"x" counts as "x" (§8.8.3.2).
    """
    cdef uint32_t at = 0, start
    cdef bint weak
    while at < length:
        if list[at] == 32 or list[at] == 9 or list[at] == 44:
            at += 1
            continue
        if list[at] == 42:
            return True
        weak = length - at > 2 and list[at] == 87 and list[at + 1] == 47
        if weak:
            at += 2
        if at >= length or list[at] != 34:
            return False  # no list of tags; what follows could be anything
        start = at
        at += 1
        while at < length and list[at] != 34:
            at += 1
        if at == length:
            return False
        at += 1
        if tag != NULL and at - start == tag_len and (weakly or not weak) and memcmp(list + start, tag, tag_len) == 0:
            return True
    return False


cdef bint _has(const Wishes *wishes, const char *name, uint32_t name_len, const Field *field, const char *tag,
               uint32_t tag_len, bint weakly) noexcept nogil:
    """The same, of a field that may stand in several lines, which are one list (§5.2)."""
    cdef const char *at = <const char *>wishes.block + wishes.block.headers_off
    cdef const char *end = at + wishes.block.headers_len
    cdef const sw_header *record
    if field.count == 1:
        return _list_has(field.text, field.length, tag, tag_len, weakly)
    while at < end:
        record = <const sw_header *>at
        at += sizeof(sw_header)
        if record.name_len == name_len and memcmp(at, name, name_len) == 0 and _list_has(
                at + name_len, record.value_len, tag, tag_len, weakly):
            return True
        at += record.name_len + record.value_len
    return False


cdef int64_t _date(const Field *field, int64_t now_s) noexcept nogil:
    return sw_date_read(field.text, field.length, now_s) if field.count == 1 else SW_NO_DATE


cdef bint _same(const Field *field, const char *tag, uint32_t tag_len, int64_t modified_s,
                int64_t now_s) noexcept nogil:
    """If-Range (§13.1.5): is the file still what the client has a part of? By a strong comparison."""
    if field.count != 1:
        return False
    if field.length > 0 and (field.text[0] == 34 or field.text[0] == 87):
        return tag != NULL and field.length == tag_len and memcmp(field.text, tag, tag_len) == 0
    return modified_s != SW_NO_DATE and _date(field, now_s) == modified_s


cdef int conditions_verdict(const Wishes *wishes, const char *tag, uint32_t tag_len, int64_t modified_s,
                            bint coded, int64_t now_s) noexcept nogil:
    """Judge a GET or HEAD for a file that is there. `tag` (NULL: none), `modified_s` (SW_NO_DATE: none): what it is
    known by; the tag is strong, and so is the time, for a file that was just changed has neither. `coded`: there may be
    siblings of it with the same time, so for If-Range a time says nothing."""
    cdef int64_t date_s
    if wishes.match.count > 0:
        if not _has(wishes, b"if-match", 8, &wishes.match, tag, tag_len, False):
            return VERDICT_FAILED
    elif wishes.unmodified_since.count > 0 and modified_s != SW_NO_DATE:
        date_s = _date(&wishes.unmodified_since, now_s)
        if date_s != SW_NO_DATE and modified_s > date_s:
            return VERDICT_FAILED
    if wishes.none_match.count > 0:
        if _has(wishes, b"if-none-match", 13, &wishes.none_match, tag, tag_len, True):
            return VERDICT_UNCHANGED
    elif wishes.modified_since.count > 0 and modified_s != SW_NO_DATE:
        date_s = _date(&wishes.modified_since, now_s)
        if date_s != SW_NO_DATE and modified_s <= date_s:
            return VERDICT_UNCHANGED
    if wishes.if_range.count > 0 and not _same(&wishes.if_range, tag, tag_len, SW_NO_DATE if coded else modified_s,
                                               now_s):
        return VERDICT_WHOLE
    return VERDICT_GO


# ---- for tests ----

def date_of(bytes text, int64_t now_s):
    """Seconds since the epoch that a date field means, or None."""
    cdef int64_t found = sw_date_read(text, <uint32_t>len(text), now_s)
    return None if found == SW_NO_DATE else found


def date_text(int64_t at_s):
    """A time as it is sent."""
    cdef char text[SW_DATE_BYTES + 1]
    sw_date_write(at_s, text)
    return text[:SW_DATE_BYTES]


def tag_is_in(bytes tag, bytes texts, bint weakly):
    """Whether a strong entity tag is in a list of them."""
    return _list_has(texts, <uint32_t>len(texts), tag, <uint32_t>len(tag), weakly)
