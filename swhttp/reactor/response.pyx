"""Responses on the wire: the fields that are the master's to add, the framing of bodies, and its own answers.

It owns what RFC 9112 says of a response: Date, Server, Connection, Transfer-Encoding, chunks, bodies that a method
or status forbids, and that a body is as long as its Content-Length says. The worker's frames come here checked in
form (frame.h), not in meaning. Runs without the GIL.
"""

from libc.stdio cimport snprintf
from libc.string cimport memcpy, strlen

from swhttp.ipc.frame cimport (EVENT_BUFFER_EMPTY, SW_FRAME_ABORT, SW_FRAME_CLOSE, SW_FRAME_HAS_DATE,
                               SW_FRAME_HAS_SERVER, SW_FRAME_HEAD, SW_FRAME_LAST)
from swhttp.ipc.request_table cimport sw_request_ack, sw_request_index
from swhttp.ipc.scoreboard cimport (REACTOR_BAD_REQUESTS, REACTOR_BLOCKS_FULL, REACTOR_CUT, REACTOR_QUEUE_FULL,
                                    REACTOR_QUEUE_TIMEOUT, REACTOR_RESPONSES, REACTOR_WORKER_LOST)
from swhttp.reactor.connection cimport conn_close, conn_log, conn_next
from swhttp.reactor.dispatch cimport dispatch_finish, dispatch_tell
from swhttp.reactor.outbox cimport out_pending, out_put
from swhttp.reactor.reasons cimport (REASON_BLOCKS_FULL, REASON_QUEUE_FULL, REASON_QUEUE_TIMEOUT,
                                     REASON_WORKER_LOST, SW_REASON_TABLE)
from swhttp.reactor.state cimport (CONN_CHUNK_OUT, CONN_CUT, CONN_HEAD_METHOD, CONN_HEAD_SENT, CONN_HTTP10,
                                   CONN_KEEP_ALIVE, CONN_NO_BODY, CONN_UNREAD, SCRATCH_BYTES, STAGE_FINISHING,
                                   STAGE_IN_FLIGHT)
from swhttp.reactor.system cimport iovec, sw_realtime_s

from swhttp import limits

cdef uint64_t LOW_WATER_BYTES = limits.HIGH_WATER_BYTES // 2
cdef int WARNING = 30
cdef enum:
    SMALL_BODY_BYTES = 2048  # goes into the scratch behind its head, which must leave that much room

cdef extern from * nogil:
    """
    #include <time.h>
    #include <sys/socket.h>
    /* A plain close would look like a complete response to a client that reads up to the end. */
    static void sw_reset_on_close(int fd)
    {
        struct linger hard = {1, 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    }
    static int sw_http_date(int64_t now_s, char *text)
    {
        static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
        static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct",
                                           "Nov", "Dec"};
        struct tm t;
        time_t now = (time_t)now_s;
        gmtime_r(&now, &t);
        return snprintf(text, 64, "date: %s, %02d %s %04d %02d:%02d:%02d GMT\\r\\n", days[t.tm_wday], t.tm_mday,
                        months[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
    }
    """
    void sw_reset_on_close(int fd)
    int sw_http_date(int64_t now_s, char *text)


cdef void response_clock(State *s) noexcept nogil:
    """Write the Date field anew when the second has changed (RFC 9110 §6.6.1)."""
    cdef int64_t now_s = sw_realtime_s()
    cdef char text[64]
    if now_s != s.date_s:
        s.date_s = now_s
        s.date_len = sw_http_date(now_s, text)
        memcpy(s.fields_tail, text, s.date_len)


cdef inline unsigned char *_text(unsigned char *p, const char *text, size_t length) noexcept nogil:
    memcpy(p, text, length)
    return p + length


cdef unsigned char *_fields(State *s, Conn *c, unsigned char *p, int flags) noexcept nogil:
    """The master's own field lines and the empty line."""
    if not flags & (SW_FRAME_HAS_DATE | SW_FRAME_HAS_SERVER):
        p = _text(p, s.fields_tail, s.fields_tail_len)
    else:
        if not flags & SW_FRAME_HAS_DATE:
            p = _text(p, s.fields_tail, s.date_len)
        if not flags & SW_FRAME_HAS_SERVER:
            p = _text(p, s.fields_tail + s.date_len, s.fields_tail_len - s.date_len)
    if not c.flags & CONN_KEEP_ALIVE:
        p = _text(p, b"connection: close\r\n", 19)
    elif c.flags & CONN_HTTP10:
        p = _text(p, b"connection: keep-alive\r\n", 24)
    if c.flags & CONN_CHUNK_OUT:
        p = _text(p, b"transfer-encoding: chunked\r\n", 28)
    return _text(p, b"\r\n", 2)


cdef void _frame_body_how(State *s, Conn *c, const sw_frame *frame) noexcept nogil:
    """RFC 9112 §6.3: how the client will know where this body ends."""
    if frame.flags & SW_FRAME_CLOSE or s.draining:
        c.flags &= ~CONN_KEEP_ALIVE
    if c.flags & CONN_HEAD_METHOD or frame.status == 204 or frame.status == 304:
        c.flags |= CONN_NO_BODY
    c.response_left = frame.content_length
    if frame.content_length < 0 and not c.flags & CONN_NO_BODY:
        if c.flags & CONN_HTTP10:
            c.flags &= ~CONN_KEEP_ALIVE
        else:
            c.flags |= CONN_CHUNK_OUT


cdef void _show_cut(Conn *c) noexcept nogil:
    """Chunks and lengths show a truncation by themselves; a body that ends with the connection does not."""
    if c.flags & CONN_HEAD_SENT and not c.flags & (CONN_CHUNK_OUT | CONN_NO_BODY) and c.response_left < 0:
        sw_reset_on_close(c.fd)


cdef void response_cut(State *s, Conn *c) noexcept nogil:
    """A response that was begun cannot be finished: close, so that the client sees it is not whole."""
    s.line[REACTOR_CUT] += 1
    _show_cut(c)
    c.stage = STAGE_FINISHING
    conn_close(s, c)


cdef bint response_frame(State *s, Conn *c, const sw_frame *frame, unsigned char *payload) noexcept nogil:
    """Put one frame of a worker's response on the wire. False: it breaks the protocol between worker and master."""
    cdef unsigned char *p = s.scratch
    cdef iovec pieces[3]
    cdef int count = 1
    cdef uint64_t body_len = frame.body_len
    cdef bint cut = False
    if (frame.flags & SW_FRAME_HEAD != 0) == (c.flags & CONN_HEAD_SENT != 0):
        # An app that fails before its head while the client is gone has nothing to say but ABORT.
        if c.flags & CONN_HEAD_SENT or not frame.flags & SW_FRAME_ABORT:
            return False
    if frame.flags & SW_FRAME_HEAD:
        if frame.head_len + SMALL_BODY_BYTES + 512 > SCRATCH_BYTES:
            return False
        _frame_body_how(s, c, frame)
        c.flags |= CONN_HEAD_SENT
        p = _fields(s, c, _text(p, <const char *>payload, frame.head_len), frame.flags)
        payload += frame.head_len
    c.response_bytes += body_len
    if c.flags & CONN_NO_BODY:
        body_len = 0
    elif c.response_left >= 0:
        if body_len > <uint64_t>c.response_left:
            body_len = <uint64_t>c.response_left
            cut = True
        c.response_left -= <int64_t>body_len
        if frame.flags & SW_FRAME_LAST and c.response_left > 0:
            cut = True
    if frame.flags & SW_FRAME_ABORT:
        cut = True
        _show_cut(c)
    # Small bodies are copied behind the head: one contiguous send costs less than a vector of three.
    if c.flags & CONN_CHUNK_OUT and body_len > 0:
        p += snprintf(<char *>p, 16, "%x\r\n", <unsigned int>body_len)
    if body_len <= SMALL_BODY_BYTES:
        p = _text(p, <const char *>payload, body_len)
        if c.flags & CONN_CHUNK_OUT:
            if body_len > 0:
                p = _text(p, b"\r\n", 2)
            if frame.flags & SW_FRAME_LAST and not cut:
                p = _text(p, b"0\r\n\r\n", 5)
        pieces[0].iov_base = s.scratch
        pieces[0].iov_len = p - s.scratch
    else:
        pieces[0].iov_base = s.scratch
        pieces[0].iov_len = p - s.scratch
        pieces[1].iov_base = payload
        pieces[1].iov_len = body_len
        count = 2
        if c.flags & CONN_CHUNK_OUT:
            count = 3
            pieces[2].iov_base = <void *><const char *>b"\r\n0\r\n\r\n"
            pieces[2].iov_len = 7 if frame.flags & SW_FRAME_LAST and not cut else 2
        if pieces[0].iov_len == 0:
            pieces[0] = pieces[1]
            pieces[1] = pieces[2]
            count -= 1
    if pieces[0].iov_len > 0 and not out_put(s, c, pieces, count):
        if frame.flags & SW_FRAME_LAST:
            dispatch_finish(s, c)
            c.stage = STAGE_FINISHING
        conn_close(s, c)
        return True
    if not frame.flags & SW_FRAME_LAST:
        response_progress(s, c)
        return True
    dispatch_finish(s, c)
    s.line[REACTOR_RESPONSES] += 1
    c.stage = STAGE_FINISHING
    if cut:
        s.line[REACTOR_CUT] += 1
        c.flags = (c.flags | CONN_CUT) & ~CONN_KEEP_ALIVE
    if out_pending(c) == 0:
        conn_next(s, c)
    return True


cdef void response_progress(State *s, Conn *c) noexcept nogil:
    """Tell the worker of a streamed response how much has left, once the client has caught up."""
    cdef uint64_t pending = out_pending(c)
    if pending <= LOW_WATER_BYTES and c.stage == STAGE_IN_FLIGHT:
        if sw_request_ack(&s.table[sw_request_index(c.request_id)],
                          c.response_bytes - (pending if pending < c.response_bytes else c.response_bytes), False):
            dispatch_tell(s, c, EVENT_BUFFER_EMPTY)


cdef void response_continue(State *s, Conn *c) noexcept nogil:
    """100 Continue (RFC 9110 §10.1.1), once our own checks have passed and before the body is read."""
    cdef iovec piece
    piece.iov_base = <void *><const char *>b"HTTP/1.1 100 Continue\r\n\r\n"
    piece.iov_len = 25
    if not out_put(s, c, &piece, 1):
        conn_close(s, c)


cdef void _count(State *s, int reason) noexcept nogil:
    if reason == REASON_WORKER_LOST:
        s.line[REACTOR_WORKER_LOST] += 1
    elif reason == REASON_QUEUE_FULL:
        s.line[REACTOR_QUEUE_FULL] += 1
    elif reason == REASON_QUEUE_TIMEOUT:
        s.line[REACTOR_QUEUE_TIMEOUT] += 1
    elif reason == REASON_BLOCKS_FULL:
        s.line[REACTOR_BLOCKS_FULL] += 1
    else:
        s.line[REACTOR_BAD_REQUESTS] += 1


cdef void response_own(State *s, Conn *c, int reason) noexcept nogil:
    """Answer a request ourselves. Errors of the client end the connection (RFC 9112 §9.6: what follows cannot be
    trusted); a 502 or 503 for a request that was read whole does not."""
    cdef char *p = <char *>s.scratch
    cdef int status = SW_REASON_TABLE[reason].status
    cdef const char *slug = SW_REASON_TABLE[reason].slug
    cdef iovec piece
    _count(s, reason)
    conn_log(s, c, WARNING, status, slug)
    s.line[REACTOR_RESPONSES] += 1
    if status not in (502, 503) or s.draining:
        c.flags = (c.flags | CONN_UNREAD) & ~CONN_KEEP_ALIVE
    c.flags &= ~CONN_CHUNK_OUT
    p += snprintf(p, 256, "HTTP/1.1 %d %s\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n%s%s", status,
                  SW_REASON_TABLE[reason].phrase, <int>strlen(slug),
                  b"retry-after: 1\r\n" if status == 503 else b"",
                  b"allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n" if status == 405 else b"")
    p = <char *>_fields(s, c, <unsigned char *>p, 0)
    if not c.flags & CONN_HEAD_METHOD:
        p += snprintf(p, 64, "%s", slug)
    piece.iov_base = s.scratch
    piece.iov_len = p - <char *>s.scratch
    c.stage = STAGE_FINISHING
    c.deadline_ns = 0
    if not out_put(s, c, &piece, 1):
        conn_close(s, c)
    elif out_pending(c) == 0:
        conn_next(s, c)
