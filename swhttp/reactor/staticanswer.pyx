"""Answers with files: what their heads say, which parts of them follow, and the answers when there is none to give.

It owns the heads, and the form of a multipart answer (RFC 9110 §14.6); what a client wants is decided by
staticconditions and staticranges, and the bytes are the outbox's business. Every answer here is to a request that was
read whole, or of whose body nothing more is wanted, so the connection goes on. Runs without the GIL.

    200, 206   with the file, or nothing but the head for HEAD, which knows no ranges
    301        a directory without its slash; the location is relative, so no proxy's prefix and no other host gets in
    304, 412   the client has it already, or means another one
    416        none of the ranges is in it; without Cache-Control, or anybody could put it into a cache for everybody
    4xx, 503   in words, and the word is the reason's

Entity tags are strong: the time of the last change in nanoseconds, the size and the coding. A file that was changed
within limits.STATIC_SETTLED_S has none, nor a Last-Modified: the file system's clock may tick as slowly as that, and a
second change would look the same. A time in the future is no Last-Modified either (§8.8.2.1).
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.string cimport memcpy, strlen
from posix.unistd cimport close

from swhttp.ipc.blocks cimport sw_blocks_at
from swhttp.ipc.frame cimport sw_block
from swhttp.ipc.scoreboard cimport REACTOR_FILES_LOST, REACTOR_IO_QUEUE_FULL, REACTOR_RESPONSES
from swhttp.reactor.accesslog cimport access_answered, access_head
from swhttp.reactor.body cimport body_answered
from swhttp.reactor.connection cimport conn_close, conn_drop_block, conn_log, conn_next, conn_show_cut
from swhttp.reactor.httpdate cimport SW_DATE_BYTES, SW_NO_DATE, sw_date_write
from swhttp.reactor.logline cimport sw_log_number
from swhttp.reactor.openat2 cimport SW_CODING_IDENTITY, SW_CODING_NAME, sw_read_now
from swhttp.reactor.outbox cimport (JOINED_FILE_BYTES, out_begin, out_file_drop, out_file_new, out_put, out_put_file,
                                    pace_set)
from swhttp.reactor.reasons cimport (REASON_FILE_CODING, REASON_FILE_CONDITION, REASON_FILE_METHOD,
                                     REASON_FILE_NOT_FOUND, REASON_FILE_NOT_OPENED, REASON_FILE_RANGE,
                                     REASON_IO_QUEUE_FULL, SW_REASON_TABLE)
from swhttp.reactor.response cimport response_fields
from swhttp.reactor.state cimport (CONN_BODY_OPEN, CONN_CHUNK_OUT, CONN_HEAD_METHOD, CONN_HEAD_SENT, CONN_KEEP_ALIVE,
                                   CONN_NO_BODY, CONN_WRITABLE_WAIT, PACE_FRESH, PACE_NONE, SCRATCH_BYTES,
                                   STAGE_FINISHING, OutFile)
from swhttp.reactor.staticconditions cimport (TAG_BYTES, VERDICT_FAILED, VERDICT_GO, VERDICT_UNCHANGED,
                                              conditions_verdict)
from swhttp.reactor.staticranges cimport MOST_RANGES, RANGES_OUTSIDE, Range, ranges_read
from swhttp.reactor.staticsite cimport StaticType, static_type
from swhttp.reactor.system cimport iovec

from swhttp import limits

cdef extern from "<sys/random.h>" nogil:
    long getrandom(void *buffer, size_t length, unsigned int flags)

cdef int WARNING = 30
cdef uint64_t LOG_EVERY_NS = <uint64_t>(limits.REACTOR_LOG_EVERY_S * 1e9)
cdef int64_t SETTLED_S = <int64_t>limits.STATIC_SETTLED_S
cdef enum:
    SMALL_FILE_BYTES = 12288   # read into the scratch behind its head: one system call for what takes two otherwise
    LOCATION_BYTES = 8192
    BOUNDARY_BYTES = 32
    PART_BYTES = 384

cdef enum:  # what a head is to have besides
    WITH_TYPE = 1
    WITH_VALIDATORS = 2
    WITH_ALL = 3

assert limits.MAX_LOCATION_BYTES == LOCATION_BYTES
if limits.MAX_DEFAULT_FIELDS_BYTES + limits.MAX_CACHE_CONTROL_BYTES + SMALL_FILE_BYTES + 2048 > SCRATCH_BYTES:
    raise ValueError("SCRATCH_BYTES is too small")


cdef struct Facts:           # of the file that is answered with
    const StaticType *type
    const char *coding       # NULL: none
    int64_t mtime_s
    int64_t modified_s       # SW_NO_DATE: not to be said
    uint32_t tag_len         # 0: none
    char tag[TAG_BYTES]


cdef inline unsigned char *_text(unsigned char *p, const char *text, size_t length) noexcept nogil:
    memcpy(p, text, length)
    return p + length


cdef void _facts(State *s, const unsigned char *path, uint32_t path_len, const sw_found *found,
                 Facts *facts) noexcept nogil:
    """What a file is and what it is known by, seen from this second."""
    facts.type = static_type(s.site, path, path_len)
    facts.coding = NULL
    if found.coding != SW_CODING_IDENTITY:
        facts.coding = SW_CODING_NAME[found.coding]
    facts.modified_s = SW_NO_DATE
    facts.tag_len = 0
    if s.date_s - SETTLED_S < found.mtime_s <= s.date_s + SETTLED_S:
        return
    facts.tag_len = <uint32_t>snprintf(
        facts.tag, TAG_BYTES, "\"%llx-%llx-%s",
        <unsigned long long>(<uint64_t>found.mtime_s * 1000000000 + found.mtime_ns), <unsigned long long>found.size,
        SW_CODING_NAME[found.coding])
    if facts.coding == NULL:  # without a dash and a name
        facts.tag_len -= <uint32_t>strlen(SW_CODING_NAME[found.coding]) + 1
    facts.tag[facts.tag_len] = b'"'
    facts.tag_len += 1
    if found.mtime_s <= s.date_s:
        facts.modified_s = found.mtime_s


# ---- heads ----

cdef unsigned char *_begin(State *s, Conn *c, int status, const char *phrase) noexcept nogil:
    """The first line, once it is settled whether the connection goes on."""
    cdef unsigned char *p = s.scratch
    if s.draining or s.crowded:
        c.flags &= ~CONN_KEEP_ALIVE
    if c.flags & CONN_BODY_OPEN:
        body_answered(s, c)
    c.flags = (c.flags | CONN_HEAD_SENT) & ~CONN_CHUNK_OUT
    if c.flags & CONN_HEAD_METHOD or status == 304:
        c.flags |= CONN_NO_BODY
    c.status = status
    c.sent_bytes = 0
    c.response_left = 0  # all of it is put out at once: if it is not whole, its length shows that
    p = _text(p, b"HTTP/1.1 ", 9)
    p = sw_log_number(p, <uint64_t>status)
    p[0] = 32
    p = _text(p + 1, phrase, strlen(phrase))
    return _text(p, b"\r\n", 2)


cdef unsigned char *_length(unsigned char *p, uint64_t length) noexcept nogil:
    p = sw_log_number(_text(p, b"content-length: ", 16), length)
    return _text(p, b"\r\n", 2)


cdef unsigned char *_about(State *s, unsigned char *p, const Facts *facts, int what) noexcept nogil:
    """The field lines that tell of the file."""
    if what & WITH_TYPE:
        p = _text(p, b"content-type: ", 14)
        p = _text(p, facts.type.media, facts.type.media_len)
        p = _text(p, b"\r\n", 2)
        if facts.coding != NULL:
            p = _text(p, b"content-encoding: ", 18)
            p = _text(p, facts.coding, strlen(facts.coding))
            p = _text(p, b"\r\n", 2)
        p = _text(p, b"accept-ranges: bytes\r\n", 22)
    if what & WITH_VALIDATORS:
        if facts.modified_s != SW_NO_DATE:
            p = _text(p, b"last-modified: ", 15)
            sw_date_write(facts.modified_s, <char *>p)
            p = _text(p + SW_DATE_BYTES, b"\r\n", 2)
        if facts.tag_len > 0:
            p = _text(p, b"etag: ", 6)
            p = _text(p, facts.tag, facts.tag_len)
            p = _text(p, b"\r\n", 2)
        if facts.type.coded:
            p = _text(p, b"vary: accept-encoding\r\n", 23)
    return _text(p, <const char *>s.site.fields, s.site.fields_len)


cdef unsigned char *_end_of_head(State *s, Conn *c, unsigned char *p) noexcept nogil:
    p = response_fields(s, c, p)
    if s.access != NULL:
        access_head(s, c, s.scratch, p)
    return p


# ---- ends ----

cdef void _lost(State *s, Conn *c) noexcept nogil:
    conn_show_cut(c)
    c.stage = STAGE_FINISHING
    conn_close(s, c)


cdef void _put_out(State *s, Conn *c) noexcept nogil:
    """All of the answer is in the outbox, or has left."""
    s.line[REACTOR_RESPONSES] += 1
    c.stage = STAGE_FINISHING
    if s.access != NULL:
        access_answered(s, c)
    conn_drop_block(s, c)
    if c.out_first == NULL:
        conn_next(s, c)
    elif c.pace == PACE_NONE:
        pace_set(s, c, PACE_FRESH)


cdef void _put_scratch(State *s, Conn *c, unsigned char *p) noexcept nogil:
    """The answer is in the scratch, up to `p`."""
    cdef iovec piece
    piece.iov_base = s.scratch
    piece.iov_len = p - s.scratch
    if out_put(s, c, &piece, 1, False):
        _put_out(s, c)
    else:
        _lost(s, c)


cdef unsigned char *_words(Conn *c, unsigned char *p, const char *words) noexcept nogil:
    if c.flags & CONN_NO_BODY:
        return p
    c.body_bytes = strlen(words)
    return _text(p, words, strlen(words))


cdef void answer_without_file(State *s, Conn *c, int reason) noexcept nogil:
    """Answer by the reason's status, and in its word."""
    cdef const char *word = SW_REASON_TABLE[reason].slug
    cdef int status = SW_REASON_TABLE[reason].status
    cdef unsigned char *p
    if status == 503:
        s.line[REACTOR_IO_QUEUE_FULL if reason == REASON_IO_QUEUE_FULL else REACTOR_FILES_LOST] += 1
        if s.now_ns - s.file_logged_ns >= LOG_EVERY_NS:
            s.file_logged_ns = s.now_ns
            conn_log(s, c, WARNING, status, word)
    p = _begin(s, c, status, SW_REASON_TABLE[reason].phrase)
    p = _length(_text(p, b"content-type: text/plain\r\n", 26), strlen(word))
    if reason == REASON_FILE_METHOD:
        p = _text(p, b"allow: GET, HEAD\r\n", 18)
    elif reason == REASON_FILE_CODING:
        p = _text(p, b"vary: accept-encoding\r\n", 23)
    elif status == 503:
        p = _text(p, b"retry-after: 1\r\n", 16)
    p = _end_of_head(s, c, p)
    _put_scratch(s, c, _words(c, p, word))


cdef unsigned char *_quoted(unsigned char *p, unsigned char *end, const unsigned char *text, uint32_t length,
                            bint query) noexcept nogil:
    """Copy a part of a target, with an escape for every byte that has none and could mean something else to whoever
    reads it. NULL: it does not fit."""
    cdef uint32_t i
    cdef unsigned char byte
    for i in range(length):
        if end - p < 3:
            return NULL
        byte = text[i]
        if (48 <= byte <= 57 or 65 <= byte <= 90 or 97 <= byte <= 122 or byte in (33, 36, 37, 38, 39, 40, 41, 42, 43)
                or byte in (44, 45, 46, 58, 59, 61, 64, 95, 126) or query and (byte == 47 or byte == 63)):
            p[0] = byte
            p += 1
        else:
            p[0] = 37
            p[1] = <unsigned char>(b"0123456789ABCDEF"[byte >> 4])
            p[2] = <unsigned char>(b"0123456789ABCDEF"[byte & 15])
            p += 3
    return p


cdef void answer_place(State *s, Conn *c) noexcept nogil:
    """301 to where a directory's index is: the same path, with a slash at its end.

    The location is relative (RFC 9110 §10.2.2): ./ and the last segment as it came. It cannot name a host.
    """
    cdef const unsigned char *base = <const unsigned char *>sw_blocks_at(&s.blocks, c.block)
    cdef const sw_block *block = <const sw_block *>base
    cdef const unsigned char *path = base + block.path_off
    cdef unsigned char location[LOCATION_BYTES]
    cdef unsigned char *end = location + LOCATION_BYTES - 2
    cdef unsigned char *p
    cdef unsigned char *at
    cdef uint32_t start = block.path_len
    while start > 0 and path[start - 1] != 47:
        start -= 1
    at = _quoted(_text(location, b"./", 2), end, path + start, block.path_len - start, False)
    if at != NULL:
        at[0] = 47
        at += 1
        if block.query_len > 0:
            at[0] = 63
            at = _quoted(at + 1, end, base + block.query_off, block.query_len, True)
    if at == NULL:
        answer_without_file(s, c, REASON_FILE_NOT_FOUND)
        return
    p = _begin(s, c, 301, b"Moved Permanently")
    p = _length(_text(p, b"content-type: text/plain\r\n", 26), 9)
    p = _text(_text(p, b"location: ", 10), <const char *>location, at - location)
    p = _end_of_head(s, c, _text(p, b"\r\n", 2))
    _put_scratch(s, c, _words(c, p, b"directory"))


# ---- parts of files ----

cdef void _new_boundary(char *boundary) noexcept nogil:
    """A line that is in no file: nobody can have known it before."""
    cdef unsigned long long chance[2]
    getrandom(chance, sizeof(chance), 0)  # it is there: Python has had some when it began
    snprintf(boundary, BOUNDARY_BYTES + 1, "%016llx%016llx", chance[0], chance[1])


cdef bint _put_parts(State *s, Conn *c, unsigned char *p, OutFile *file, const Range *ranges, int count,
                     const char *lines, const int *lengths, const char *closing, int closing_len) noexcept nogil:
    """The head, which is in the scratch up to `p`, then each range behind its lines; one range has none. False: the
    connection is lost."""
    cdef iovec pieces[2]
    cdef int put = 1, i
    cdef bint epoll_tells
    pieces[0].iov_base = s.scratch
    pieces[0].iov_len = p - s.scratch
    if count > 1:
        pieces[1].iov_base = <void *>lines
        pieces[1].iov_len = <size_t>lengths[0]
        put = 2
    if not out_put(s, c, pieces, put, ranges[0].length <= JOINED_FILE_BYTES):
        return False
    epoll_tells = c.flags & CONN_WRITABLE_WAIT != 0
    for i in range(count):
        if i > 0:
            pieces[0].iov_base = <void *>(lines + i * PART_BYTES)
            pieces[0].iov_len = <size_t>lengths[i]
            if not out_put(s, c, pieces, 1, True):
                return False
        if not out_put_file(s, c, file, ranges[i].first, ranges[i].length, False):
            return False
    if count > 1:
        pieces[0].iov_base = <void *>closing
        pieces[0].iov_len = <size_t>closing_len
        if not out_put(s, c, pieces, 1, False):
            return False
    return epoll_tells or out_begin(s, c)


cdef void _answer(State *s, Conn *c, const Facts *facts, OutFile *file, uint64_t size, const Range *ranges,
                  int count) noexcept nogil:
    """200 with the whole file (`count` 0), or 206 with parts of it."""
    cdef unsigned char *p
    cdef char lines[MOST_RANGES * PART_BYTES]
    cdef int lengths[MOST_RANGES]
    cdef char closing[BOUNDARY_BYTES + 16]
    cdef char boundary[BOUNDARY_BYTES + 1]
    cdef Range whole
    cdef uint64_t total
    cdef int closing_len = 0, i
    cdef ssize_t n
    if count == 0:
        whole.first = 0
        whole.length = size
        p = _about(s, _length(_begin(s, c, 200, b"OK"), size), facts, WITH_ALL)
        ranges = &whole
        total = size
    elif count == 1:
        total = ranges[0].length
        p = _length(_begin(s, c, 206, b"Partial Content"), total)
        p += snprintf(<char *>p, 96, "content-range: bytes %llu-%llu/%llu\r\n", <unsigned long long>ranges[0].first,
                      <unsigned long long>(ranges[0].first + total - 1), <unsigned long long>size)
        p = _about(s, p, facts, WITH_ALL)
    else:
        _new_boundary(boundary)
        closing_len = snprintf(closing, sizeof(closing), "\r\n--%s--\r\n", boundary)
        total = <uint64_t>closing_len
        for i in range(count):
            lengths[i] = snprintf(
                lines + i * PART_BYTES, PART_BYTES,
                "%.*s--%s\r\ncontent-type: %.*s\r\ncontent-range: bytes %llu-%llu/%llu\r\n\r\n",
                <int>(2 if i > 0 else 0), "\r\n", boundary, <int>facts.type.media_len, facts.type.media,
                <unsigned long long>ranges[i].first,
                <unsigned long long>(ranges[i].first + ranges[i].length - 1), <unsigned long long>size)
            total += ranges[i].length + <uint64_t>lengths[i]
        p = _length(_begin(s, c, 206, b"Partial Content"), total)
        p += snprintf(<char *>p, 128, "content-type: multipart/byteranges; boundary=%s\r\n", boundary)
        p = _about(s, p, facts, WITH_VALIDATORS)
    p = _end_of_head(s, c, p)
    if c.flags & CONN_NO_BODY or total == 0:
        _put_scratch(s, c, p)
        return
    c.body_bytes = total
    if count <= 1 and total <= SMALL_FILE_BYTES:
        n = sw_read_now(file.fd, p, <size_t>total, ranges[0].first)
        if n == <ssize_t>total:
            _put_scratch(s, c, p + n)
            return
    if _put_parts(s, c, p, file, ranges, count if count > 0 else 1, lines, lengths, closing, closing_len):
        _put_out(s, c)
    else:
        _lost(s, c)


cdef void answer_file(State *s, Conn *c, const Wishes *wishes, const unsigned char *path, uint32_t path_len,
                      const sw_found *found) noexcept nogil:
    """Answer with the file that was found at `path`, as the request wishes. The fd is ours from here on."""
    cdef Facts facts
    cdef Range ranges[MOST_RANGES]
    cdef OutFile *file
    cdef unsigned char *p
    cdef int verdict, count = 0
    _facts(s, path, path_len, found, &facts)
    if found.fd < 0:
        answer_without_file(s, c, REASON_FILE_CODING)
        return
    verdict = conditions_verdict(wishes, facts.tag if facts.tag_len > 0 else NULL, facts.tag_len, facts.modified_s,
                                 facts.type.coded, s.date_s)
    if verdict == VERDICT_UNCHANGED:
        close(found.fd)
        p = _about(s, _begin(s, c, 304, b"Not Modified"), &facts, WITH_VALIDATORS)
        _put_scratch(s, c, _end_of_head(s, c, p))
        return
    if verdict == VERDICT_FAILED:
        close(found.fd)
        answer_without_file(s, c, REASON_FILE_CONDITION)
        return
    # Of what may be another file in a moment nobody should put parts together.
    if verdict == VERDICT_GO and wishes.range.count == 1 and facts.tag_len > 0 and not c.flags & CONN_HEAD_METHOD:
        count = ranges_read(wishes.range.text, wishes.range.length, found.size, ranges)
        if count > 1 and facts.coding != NULL:  # Content-Encoding would be that of all the parts with their heads
            count = 0
    if count == RANGES_OUTSIDE:
        close(found.fd)
        p = _begin(s, c, 416, SW_REASON_TABLE[REASON_FILE_RANGE].phrase)
        p = _length(_text(p, b"content-type: text/plain\r\n", 26), strlen(SW_REASON_TABLE[REASON_FILE_RANGE].slug))
        p += snprintf(<char *>p, 64, "content-range: bytes */%llu\r\n", <unsigned long long>found.size)
        p = _end_of_head(s, c, _text(p, b"x-content-type-options: nosniff\r\n", 33))
        _put_scratch(s, c, _words(c, p, SW_REASON_TABLE[REASON_FILE_RANGE].slug))
        return
    if s.static_files >= s.most_static_files and found.size > SMALL_FILE_BYTES and not c.flags & CONN_HEAD_METHOD:
        close(found.fd)
        answer_without_file(s, c, REASON_FILE_NOT_OPENED)
        return
    file = out_file_new(s, found.fd)
    if file == NULL:
        answer_without_file(s, c, REASON_FILE_NOT_OPENED)
        return
    file.counted = file.on_disk = True
    s.static_files += 1
    file.read_from = file.read_to = 0
    _answer(s, c, &facts, file, found.size, ranges, count)
    out_file_drop(s, file)  # what waits has references of its own
