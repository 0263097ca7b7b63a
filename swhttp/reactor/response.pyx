"""Responses on the wire: the fields that are the master's to add, the framing of bodies, and its own answers.

It owns what RFC 9112 says of a response: Date, Server, Connection, Transfer-Encoding, chunks, bodies that a method
or status forbids, and that a body is as long as its Content-Length says. The worker's frames come here checked in
form (frame.h), not in meaning. Runs without the GIL.
"""

from libc.stdio cimport snprintf
from libc.string cimport memcpy, strlen

from posix.unistd cimport close

from swhttp.ipc.arena cimport sw_arena_at, sw_arena_give
from swhttp.ipc.blocks cimport SW_NO_BLOCK
from swhttp.ipc.fdpass cimport SW_FD_BROKEN, sw_fd_receive
from swhttp.ipc.frame cimport (EVENT_BUFFER_EMPTY, EVENT_WS_DONE_SHM, EVENT_WS_MESSAGE_SHM, EVENT_WS_SESSION_SHM,
                               RESPONSE_SHM, RESPONSE_SMALL, RESPONSE_TMPFILE, SW_FRAME_ABORT,
                               SW_FRAME_CLOSE, SW_FRAME_HAS_DATE, SW_FRAME_HAS_SERVER, SW_FRAME_HEAD, SW_FRAME_INTERIM,
                               SW_FRAME_LAST, SW_FRAME_TRAILERS, sw_file_ref, sw_shm_ref)
from swhttp.ipc.request_table cimport sw_request_ack, sw_request_index, sw_request_set_full
from swhttp.ipc.scoreboard cimport (REACTOR_BAD_REQUESTS, REACTOR_BLOCKS_FULL, REACTOR_CUT, REACTOR_FILE_FRAMES,
                                    REACTOR_QUARANTINED, REACTOR_QUEUE_FULL, REACTOR_QUEUE_TIMEOUT,
                                    REACTOR_REQUEST_TIMEOUT, REACTOR_RESPONSES, REACTOR_SHM_FRAMES,
                                    REACTOR_SMALL_FRAMES, REACTOR_WORKER_LOST)
from swhttp.ipc.tempfile cimport sw_is_regular, sw_temp_why
from swhttp.reactor.accesslog cimport access_answered, access_head, access_refused
from swhttp.reactor.body cimport body_answered
from swhttp.reactor.connection cimport (MOST_WHY_BYTES, conn_close, conn_drop_block, conn_log, conn_log_request,
                                        conn_log_why, conn_next, conn_show_cut, conn_tell_gone)
from swhttp.reactor.dispatch cimport dispatch_finish, dispatch_leave_queue, dispatch_revoke, dispatch_tell
from swhttp.reactor.httpdate cimport SW_DATE_BYTES, sw_date_write
from swhttp.reactor.outbox cimport (JOINED_FILE_BYTES, out_begin, out_file_drop, out_file_new, out_put, out_put_block,
                                    out_put_file, pace_set)
from swhttp.reactor.reasons cimport (REASON_BLOCKS_FULL, REASON_FILE_LOST, REASON_MANY_SOCKETS, REASON_QUARANTINED,
                                     REASON_QUEUE_FULL, REASON_QUEUE_TIMEOUT, REASON_REQUEST_TIMEOUT,
                                     REASON_SPOOL_FAILED, REASON_WORKER_LOST, SW_REASON_TABLE)
from swhttp.reactor.state cimport (CONN_BODY_OPEN, CONN_CHUNK_OUT, CONN_CUT, CONN_HEAD_METHOD, CONN_HEAD_SENT,
                                   CONN_HTTP10, CONN_KEEP_ALIVE, CONN_NO_BODY, CONN_REFUSED, CONN_SLOW, CONN_UNREAD,
                                   CONN_WRITABLE_WAIT, PACE_FRESH, PACE_NONE, SCRATCH_BYTES, STAGE_DISCARD,
                                   STAGE_FINISHING, STAGE_IN_FLIGHT, STAGE_WAITING)
from swhttp.reactor.timers cimport timer_arm
from swhttp.reactor.system cimport iovec, sw_realtime_s
from swhttp.reactor.websocket cimport ws_is_open, ws_refused

from swhttp import limits

cdef uint64_t HIGH_WATER_BYTES = limits.HIGH_WATER_BYTES
cdef uint64_t LOW_WATER_BYTES = limits.HIGH_WATER_BYTES // 2
cdef int WARNING = 30
cdef uint64_t MAX_FILE_BYTES = 1 << 62
cdef enum:
    SMALL_BODY_BYTES = 2048  # goes into the scratch behind its head, which must leave that much room
    FIELDS_BYTES = 4608      # at most of what _fields adds: limits.MAX_DEFAULT_FIELDS_BYTES, and 512 of our own

if limits.MAX_DEFAULT_FIELDS_BYTES + 512 > FIELDS_BYTES:
    raise ValueError("FIELDS_BYTES is too small")


cdef void response_clock(State *s) noexcept nogil:
    """Write the Date field anew when the second has changed (RFC 9110 §6.6.1)."""
    cdef int64_t now_s = sw_realtime_s()
    cdef char date[SW_DATE_BYTES + 1]
    if now_s != s.date_s:
        s.date_s = now_s
        if s.date_len > 0:
            sw_date_write(now_s, date)
            _text(_text(_text(<unsigned char *>s.fields_tail, b"date: ", 6), date, SW_DATE_BYTES), b"\r\n", 2)


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
            p = _text(p, s.fields_tail + s.date_len, s.extra_at - s.date_len)
        if s.fields_tail_len > s.extra_at:
            p = _text(p, s.fields_tail + s.extra_at, s.fields_tail_len - s.extra_at)
    if not c.flags & CONN_KEEP_ALIVE:
        p = _text(p, b"connection: close\r\n", 19)
    elif c.flags & CONN_HTTP10:
        p = _text(p, b"connection: keep-alive\r\n", 24)
    if c.flags & CONN_CHUNK_OUT:
        p = _text(p, b"transfer-encoding: chunked\r\n", 28)
    return _text(p, b"\r\n", 2)


cdef unsigned char *response_fields(State *s, Conn *c, unsigned char *p) noexcept nogil:
    """The same, for a head that is the master's own."""
    return _fields(s, c, p, 0)


cdef void _frame_body_how(State *s, Conn *c, const sw_frame *frame) noexcept nogil:
    """RFC 9112 §6.3: how the client will know where this body ends."""
    if frame.flags & SW_FRAME_CLOSE or s.draining or s.crowded:
        c.flags &= ~CONN_KEEP_ALIVE
    if c.flags & CONN_BODY_OPEN and frame.flags & SW_FRAME_LAST:
        body_answered(s, c)  # while the head can still say that the connection will be closed
    if c.flags & CONN_HEAD_METHOD or frame.status == 204 or frame.status == 304:
        c.flags |= CONN_NO_BODY
    c.response_left = frame.content_length
    if frame.content_length < 0 and not c.flags & CONN_NO_BODY:
        if c.flags & CONN_HTTP10:
            c.flags &= ~CONN_KEEP_ALIVE
        else:
            c.flags |= CONN_CHUNK_OUT


cdef void response_cut(State *s, Conn *c) noexcept nogil:
    """A response that was begun cannot be finished: close, so that the client sees it is not whole."""
    if ws_is_open(c):
        conn_close(s, c)
        return
    s.line[REACTOR_CUT] += 1
    conn_show_cut(c)
    if c.request_id == 0:  # else its worker still has it, and conn_close tells it
        c.stage = STAGE_FINISHING
    conn_close(s, c)


cdef bint _interim(State *s, Conn *c, const sw_frame *frame, unsigned char *payload) noexcept nogil:
    """A 1xx response of the app's (RFC 9110 §15.2: not for HTTP/1.0). False: it comes too late."""
    cdef iovec pieces[2]
    if c.flags & CONN_HEAD_SENT:
        return False
    if c.flags & CONN_HTTP10:
        return True
    pieces[0].iov_base = payload
    pieces[0].iov_len = frame.head_len
    pieces[1].iov_base = <void *><const char *>b"\r\n"
    pieces[1].iov_len = 2
    if not out_put(s, c, pieces, 2, False):
        conn_close(s, c)
    return True


cdef bint _trailers(State *s, Conn *c, const sw_frame *frame, unsigned char *payload) noexcept nogil:
    """The end of a response with trailer fields, which only a chunked one can have (RFC 9112 §7.1.2)."""
    cdef iovec pieces[3]
    if not c.flags & CONN_HEAD_SENT:
        return False
    if c.flags & CONN_CHUNK_OUT:
        pieces[0].iov_base = <void *><const char *>b"0\r\n"
        pieces[0].iov_len = 3
        pieces[1].iov_base = payload
        pieces[1].iov_len = frame.head_len
        pieces[2].iov_base = <void *><const char *>b"\r\n"
        pieces[2].iov_len = 2
        if not out_put(s, c, pieces, 3, False):
            _lost(s, c, True)
            return True
    _last(s, c, c.response_left > 0 and not c.flags & CONN_NO_BODY)
    return True


cdef int _passed_file(State *s, Conn *c, SlotLink *link) noexcept nogil:
    """Take the file of this response that the worker has sent ahead of its frame. 1: taken; 0: we cannot have it (out
    of fds or memory); -1: it is not there, or no regular file."""
    cdef uint64_t request_id = 0
    cdef int fd = sw_fd_receive(link.channel, &request_id)
    if fd == SW_FD_BROKEN and request_id == c.request_id:
        return 0
    if fd < 0:
        return -1
    if request_id != c.request_id or not sw_is_regular(fd):
        close(fd)
        return -1
    out_file_drop(s, c.file)
    c.file = out_file_new(s, fd)
    return c.file != NULL


cdef void _without_file(State *s, Conn *c, bint last) noexcept nogil:
    """A part of the response is in a file that we cannot have. `last`: the worker is done with the request."""
    if c.flags & CONN_HEAD_SENT:
        conn_log(s, c, WARNING, 0, SW_REASON_TABLE[REASON_FILE_LOST].slug)
        if last:
            dispatch_finish(s, c)
        response_cut(s, c)
        return
    if last:
        dispatch_finish(s, c)
    else:
        conn_tell_gone(s, c)
        c.flags |= CONN_REFUSED
    response_own(s, c, REASON_FILE_LOST)


cdef void _lost(State *s, Conn *c, bint last) noexcept nogil:
    """The socket is gone, or nothing more can be sent to it. `last`: the worker is done with the request."""
    if last:
        dispatch_finish(s, c)
        c.stage = STAGE_FINISHING
    conn_show_cut(c)
    conn_close(s, c)


cdef void _last(State *s, Conn *c, bint cut) noexcept nogil:
    """The final frame has been put out."""
    dispatch_finish(s, c)
    s.line[REACTOR_RESPONSES] += 1
    c.stage = STAGE_FINISHING
    if cut:
        s.line[REACTOR_CUT] += 1
        c.flags = (c.flags | CONN_CUT) & ~CONN_KEEP_ALIVE
    if c.flags & CONN_BODY_OPEN:
        body_answered(s, c)
    if s.access != NULL:
        access_answered(s, c)
    conn_drop_block(s, c)  # now, however long the client takes for the response
    if c.out_first == NULL:
        conn_next(s, c)


cdef bint response_frame(State *s, Conn *c, SlotLink *link, const sw_frame *frame,
                         unsigned char *payload) noexcept nogil:
    """Put one frame of a worker's response on the wire. False: it breaks the protocol between worker and master."""
    cdef unsigned char *p = s.scratch
    cdef iovec pieces[3]
    cdef int count = 1, got
    cdef uint64_t body_len = frame.body_len
    cdef unsigned char *body
    cdef sw_shm_ref block
    cdef sw_file_ref part
    cdef bint cut = False
    cdef bint last = frame.flags & SW_FRAME_LAST != 0
    if frame.flags & (SW_FRAME_INTERIM | SW_FRAME_TRAILERS):
        return _interim(s, c, frame, payload) if frame.flags & SW_FRAME_INTERIM else _trailers(s, c, frame, payload)
    if (frame.flags & SW_FRAME_HEAD != 0) == (c.flags & CONN_HEAD_SENT != 0):
        # An app that fails before its head while the client is gone has nothing to say but ABORT.
        if c.flags & CONN_HEAD_SENT or not frame.flags & SW_FRAME_ABORT or frame.type != RESPONSE_SMALL or body_len:
            return False
    if frame.flags & SW_FRAME_HEAD and frame.head_len + SMALL_BODY_BYTES + FIELDS_BYTES > SCRATCH_BYTES:
        return False
    body = payload + frame.head_len
    if frame.type == RESPONSE_SHM:
        memcpy(&block, body, sizeof(block))
        body = sw_arena_at(&link.arena, block.block, body_len)
        if body == NULL:
            return False
        s.line[REACTOR_SHM_FRAMES] += 1
    elif frame.type == RESPONSE_TMPFILE:
        memcpy(&part, body, sizeof(part))
        got = 1 if not part.passed else _passed_file(s, c, link)
        if got < 0 or (got and c.file == NULL) or part.length > MAX_FILE_BYTES or part.offset > MAX_FILE_BYTES:
            return False
        s.line[REACTOR_FILE_FRAMES] += 1
        if not got:
            _without_file(s, c, last)
            return True
        body_len = part.length
    else:
        s.line[REACTOR_SMALL_FRAMES] += 1
    if frame.flags & SW_FRAME_HEAD:
        _frame_body_how(s, c, frame)
        c.flags |= CONN_HEAD_SENT
        c.status = frame.status
        c.sent_bytes = 0  # interim responses do not count
        p = _fields(s, c, _text(p, <const char *>payload, frame.head_len), frame.flags)
        if s.access != NULL:
            access_head(s, c, s.scratch, p)
    c.response_bytes += body_len
    if c.flags & CONN_NO_BODY:
        body_len = 0
    elif c.response_left >= 0:
        if body_len > <uint64_t>c.response_left:
            body_len = <uint64_t>c.response_left
            cut = True
        c.response_left -= <int64_t>body_len
        if last and c.response_left > 0:
            cut = True
    c.body_bytes += body_len
    if frame.flags & SW_FRAME_ABORT:
        cut = True
        conn_show_cut(c)
    if c.flags & CONN_CHUNK_OUT and body_len > 0 and frame.type != RESPONSE_TMPFILE:
        p += snprintf(<char *>p, 24, "%llx\r\n", <unsigned long long>body_len)
    if frame.type == RESPONSE_TMPFILE and body_len > 0:
        if not _put_file(s, c, p, &part, body_len, last and not cut):
            _lost(s, c, last)
            return True
        if c.out_first != NULL and c.pace == PACE_NONE:
            pace_set(s, c, PACE_FRESH)
    elif frame.type != RESPONSE_SHM and body_len <= SMALL_BODY_BYTES:
        # Small bodies are copied behind the head: one contiguous send costs less than a vector of three.
        p = _text(p, <const char *>body, body_len)
        if c.flags & CONN_CHUNK_OUT:
            if body_len > 0:
                p = _text(p, b"\r\n", 2)
            if last and not cut:
                p = _text(p, b"0\r\n\r\n", 5)
        pieces[0].iov_base = s.scratch
        pieces[0].iov_len = p - s.scratch
        if pieces[0].iov_len > 0 and not out_put(s, c, pieces, 1, False):
            _lost(s, c, last)
            return True
    else:
        pieces[0].iov_base = s.scratch
        pieces[0].iov_len = p - s.scratch
        pieces[1].iov_base = body
        pieces[1].iov_len = body_len
        count = 2
        if c.flags & CONN_CHUNK_OUT:
            count = 3
            pieces[2].iov_base = <void *><const char *>b"\r\n0\r\n\r\n"
            pieces[2].iov_len = 0 if body_len == 0 and not (last and not cut) else 7 if last and not cut else 2
            if body_len == 0 and pieces[2].iov_len > 0:
                pieces[2].iov_base = <void *><const char *>b"0\r\n\r\n"
                pieces[2].iov_len = 5
        if frame.type == RESPONSE_SHM:
            got = out_put_block(s, c, pieces, count, 1, c.slot, block.block)
        else:
            if pieces[0].iov_len == 0:
                pieces[0] = pieces[1]
                pieces[1] = pieces[2]
                count -= 1
            got = out_put(s, c, pieces, count, False)
        if not got:
            _lost(s, c, last)
            return True
    if last:
        _last(s, c, cut)
    else:
        response_progress(s, c)
    return True


cdef bint _put_file(State *s, Conn *c, unsigned char *end_of_head, const sw_file_ref *part, uint64_t length,
                    bint last) noexcept nogil:
    """The head (in the scratch), a part of the file, and after the last one the end. False: the connection is lost."""
    cdef iovec piece
    cdef bint epoll_tells = c.flags & CONN_WRITABLE_WAIT != 0
    piece.iov_base = s.scratch
    piece.iov_len = end_of_head - s.scratch
    if piece.iov_len > 0:
        if not out_put(s, c, &piece, 1, length <= JOINED_FILE_BYTES):
            return False
        epoll_tells = c.flags & CONN_WRITABLE_WAIT != 0
    if not out_put_file(s, c, c.file, part.offset, length, c.flags & CONN_CHUNK_OUT != 0):
        return False
    if c.flags & CONN_CHUNK_OUT and last:
        piece.iov_base = <void *><const char *>b"0\r\n\r\n"
        piece.iov_len = 5
        if not out_put(s, c, &piece, 1, False):
            return False
    return epoll_tells or out_begin(s, c)


cdef void response_drop(State *s, Conn *c, SlotLink *link, const sw_frame *frame,
                        unsigned char *payload) noexcept nogil:
    """A frame that nobody is left to get: give back what it holds."""
    cdef sw_shm_ref block
    cdef sw_file_ref part
    cdef uint64_t request_id
    cdef int fd
    if (frame.type == RESPONSE_SHM or frame.type == EVENT_WS_MESSAGE_SHM or frame.type == EVENT_WS_DONE_SHM
            or frame.type == EVENT_WS_SESSION_SHM):
        memcpy(&block, payload + frame.head_len, sizeof(block))
        if sw_arena_at(&link.arena, block.block, frame.body_len) != NULL:
            sw_arena_give(&link.arena, block.block)
    elif frame.type == RESPONSE_TMPFILE:
        memcpy(&part, payload + frame.head_len, sizeof(part))
        if part.passed:
            fd = sw_fd_receive(link.channel, &request_id)
            if fd >= 0:
                close(fd)


cdef void response_refuse(State *s, Conn *c, int reason) noexcept nogil:
    """Answer, or cut, a request that is on its way to a worker or with one: its body turned out to be wrong, or the
    worker does not answer in time. An event of a session is answered by nobody: it goes to another worker when this one
    is replaced."""
    if ws_is_open(c):
        return
    if c.stage == STAGE_WAITING:
        dispatch_leave_queue(s, c)
    elif c.stage == STAGE_IN_FLIGHT and not dispatch_revoke(s, c):
        if c.flags & CONN_HEAD_SENT:
            response_cut(s, c)
            return
        conn_tell_gone(s, c)
        c.flags |= CONN_REFUSED
    elif c.stage != STAGE_WAITING and c.stage != STAGE_IN_FLIGHT:
        c.flags = (c.flags | CONN_UNREAD) & ~(CONN_KEEP_ALIVE | CONN_BODY_OPEN)  # it has been answered
        timer_arm(s, c)
        if c.stage == STAGE_DISCARD:
            conn_next(s, c)
        return
    c.flags &= ~CONN_BODY_OPEN
    response_own(s, c, reason)


cdef void response_progress(State *s, Conn *c) noexcept nogil:
    """Tell the worker of a streamed response how much has left, once the client has caught up, or in any case when
    the worker is ahead by a file."""
    cdef uint64_t pending = c.out_bytes
    if c.stage == STAGE_IN_FLIGHT and (pending <= LOW_WATER_BYTES or c.file != NULL):
        if pending <= LOW_WATER_BYTES and c.slow_told:
            c.slow_told = False
            c.flags &= ~CONN_SLOW
            sw_request_set_full(&s.links[c.slot].table[sw_request_index(c.request_id)], 0)
            if c.out_first != NULL:  # its time begins anew, or it would never be found slow again
                pace_set(s, c, PACE_FRESH)
                s.tight = s.tight or c.sent_bytes < HIGH_WATER_BYTES
        if sw_request_ack(&s.links[c.slot].table[sw_request_index(c.request_id)],
                          c.response_bytes - (pending if pending < c.response_bytes else c.response_bytes), False):
            dispatch_tell(s, c, EVENT_BUFFER_EMPTY)


cdef void response_continue(State *s, Conn *c) noexcept nogil:
    """100 Continue (RFC 9110 §10.1.1), once our own checks have passed and before the body is read."""
    cdef iovec piece
    piece.iov_base = <void *>SW_CONTINUE
    piece.iov_len = strlen(SW_CONTINUE)
    if not out_put(s, c, &piece, 1, False):
        conn_close(s, c)


cdef void _count(State *s, int reason) noexcept nogil:
    if reason == REASON_WORKER_LOST:
        s.line[REACTOR_WORKER_LOST] += 1
    elif reason == REASON_QUARANTINED:
        s.line[REACTOR_QUARANTINED] += 1
    elif reason == REASON_QUEUE_FULL or reason == REASON_MANY_SOCKETS:
        s.line[REACTOR_QUEUE_FULL] += 1
    elif reason == REASON_QUEUE_TIMEOUT:
        s.line[REACTOR_QUEUE_TIMEOUT] += 1
    elif reason == REASON_REQUEST_TIMEOUT:
        s.line[REACTOR_REQUEST_TIMEOUT] += 1
    elif reason == REASON_BLOCKS_FULL or reason == REASON_SPOOL_FAILED:
        s.line[REACTOR_BLOCKS_FULL] += 1
    else:
        s.line[REACTOR_BAD_REQUESTS] += 1


cdef void response_own(State *s, Conn *c, int reason) noexcept nogil:
    """Answer a request ourselves. Errors of the client end the connection (RFC 9112 §9.6: what follows cannot be
    trusted); a 502 or 503 for a request that was read whole does not."""
    cdef char *p = <char *>s.scratch
    cdef int status = SW_REASON_TABLE[reason].status
    cdef const char *slug = SW_REASON_TABLE[reason].slug
    cdef char why[MOST_WHY_BYTES]
    cdef iovec piece
    if ws_is_open(c):
        ws_refused(s, c, reason)
        return
    _count(s, reason)
    if reason == REASON_SPOOL_FAILED:
        sw_temp_why(why, sizeof(why), s.tmp_dir, s.spool_error)
        conn_log_why(s, c, WARNING, status, slug, why)
    elif 502 <= status <= 504 and c.block != SW_NO_BLOCK:  # it was understood: the line can say which request it was
        conn_log_request(s, c, WARNING, status, slug)
    else:
        conn_log(s, c, WARNING, status, slug)
    s.line[REACTOR_RESPONSES] += 1
    if (status not in (502, 503) or s.draining or s.crowded or c.flags & CONN_BODY_OPEN
            or reason == REASON_SPOOL_FAILED or reason == REASON_FILE_LOST):
        c.flags = (c.flags | CONN_UNREAD) & ~CONN_KEEP_ALIVE
    c.flags &= ~CONN_CHUNK_OUT
    p += snprintf(p, 256, "HTTP/1.1 %d %s\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n%s%s%s", status,
                  SW_REASON_TABLE[reason].phrase, <int>strlen(slug),
                  b"retry-after: 1\r\n" if status == 503 else b"",
                  b"allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n" if status == 405 else b"",
                  b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
                  if status == 426 else b"")
    p = <char *>_fields(s, c, <unsigned char *>p, 0)
    if s.access != NULL:
        access_head(s, c, s.scratch, <unsigned char *>p)
    c.status = status
    c.sent_bytes = 0
    if not c.flags & CONN_HEAD_METHOD:
        p += snprintf(p, 64, "%s", slug)
        c.body_bytes = strlen(slug)
    piece.iov_base = s.scratch
    piece.iov_len = p - <char *>s.scratch
    c.stage = STAGE_FINISHING
    if c.upload != NULL:
        c.upload.deadline_ns = 0
    c.gone_by_ns = 0
    timer_arm(s, c)
    if not out_put(s, c, &piece, 1, False):
        conn_close(s, c)
        return
    if s.access != NULL:
        access_refused(s, c)
    if c.out_first == NULL:
        conn_next(s, c)
