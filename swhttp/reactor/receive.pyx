"""Bytes in: what is read from a client's socket when, and where to.

    part of a head, or of a chunked body   into the slab: a piece for phase 2
    a body of known length                 to where `body` wants it, without the GIL and without the parser
    after an answer, until the close       to nowhere

It owns the slab and the list of pieces. One `recv` a connection and turn. It never looks at what it reads. Runs without
the GIL (phase 1).
"""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint64_t
from libc.stdio cimport snprintf

from swhttp.ipc.scoreboard cimport REACTOR_RECEIVED_BYTES, REACTOR_REQUESTS
from swhttp.reactor.body cimport (body_leave_block, body_post, body_progress, body_received, body_target,
                                  body_untouched, body_waits, body_whole)
from swhttp.reactor.connection cimport conn_close, conn_end, conn_idle_until_ns, conn_log, conn_next, conn_todo
from swhttp.reactor.http1 cimport ready
from swhttp.reactor.reasons cimport REASON_HTTP_TO_TLS, REASON_NONE
from swhttp.reactor.state cimport (CHUNK_BYTES, CONN_BODY_OPEN, CONN_EOF, CONN_KEEP_ALIVE, CONN_PIECE, CONN_READABLE,
                                   CONN_TLS, CONN_UNREAD, MAX_PIECES, MAX_RECV_BYTES, SLAB_BYTES, STAGE_BODY,
                                   STAGE_CHUNKED, STAGE_DISCARD, STAGE_FINISHING, STAGE_HEAD, STAGE_IDLE,
                                   STAGE_IN_FLIGHT, STAGE_LINGER, STAGE_READY, STAGE_WAITING, WS_OFFERED)
from swhttp.reactor.system cimport ssize_t, sw_recv
from swhttp.reactor.timers cimport timer_arm, timer_set
from swhttp.reactor.websocket cimport ws_go_on, ws_input
from swhttp.reactor.tls cimport (TLS_AGAIN, TLS_HTTP, TLS_REFUSED, tls_busy_until_ns, tls_close, tls_more, tls_recv,
                                 tls_unread, tls_waiting_bytes)

import logging

from swhttp import limits

cdef int DEBUG = logging.DEBUG
cdef uint64_t LOG_EVERY_NS = <uint64_t>(limits.REACTOR_LOG_EVERY_S * 1e9)


cdef extern from "<sys/ioctl.h>" nogil:
    enum:
        FIONREAD
    int ioctl(int fd, unsigned long request, ...)


cdef void receive_piece(State *s, Conn *c, unsigned char *data, uint32_t length) noexcept nogil:
    """Leave these bytes of `c` (NULL: those that are kept with it) to phase 2. The caller has looked for room."""
    s.pieces[s.piece_count].c = c
    s.pieces[s.piece_count].data = data
    s.pieces[s.piece_count].length = length
    s.piece_count += 1
    c.flags |= CONN_PIECE


cdef void receive_body(State *s, Conn *c) noexcept nogil:
    """Go on with a body that is streamed to a worker, or read to its end because nobody wants it."""
    if c.stage == STAGE_READY or not body_post(s, c) or not c.flags & CONN_BODY_OPEN:
        return
    if c.input_to > c.input_from:
        if s.piece_count >= MAX_PIECES:
            conn_todo(s, c)
        elif not body_waits(s, c) and not c.flags & CONN_PIECE:
            receive_piece(s, c, NULL, 0)
    elif c.flags & CONN_READABLE:
        receive_some(s, c)


cdef void _idle_at_the_end(State *s, Conn *c) noexcept nogil:
    """No more requests are taken, or others wait for a place, and nothing of one has come here: close, but for who may
    have one on its way: he is told with that one's answer that it is the last."""
    cdef uint64_t until_ns = conn_idle_until_ns(s, c)
    if s.orphaned or s.now_ns >= until_ns:
        conn_close(s, c)
    elif c.deadline_ns > until_ns or (c.tls != NULL and tls_busy_until_ns(s, c) != 0):  # it may have been sooner
        timer_set(s, c, until_ns)


cdef void receive_some(State *s, Conn *c) noexcept nogil:
    """Read from a socket that has, or may have, something to read, as its stage allows."""
    cdef ssize_t n
    cdef unsigned char *to
    cdef size_t room = 0
    cdef bint secure = c.tls != NULL and c.stage != STAGE_LINGER  # what lingers is not looked at
    cdef bint socket = c.ws != NULL and c.ws.state != WS_OFFERED and c.stage != STAGE_LINGER
    cdef bint direct = c.stage == STAGE_BODY or (c.flags & CONN_BODY_OPEN and c.parser == NULL)
    if socket:  # messages are taken apart here and now
        if not ws_go_on(s, c):
            return
        room = CHUNK_BYTES
        to = s.through
    elif direct:  # a body of known length: to where it is wanted
        if c.stage == STAGE_READY:
            return
        to = body_target(s, c, &room)
        if to == NULL and c.stage == STAGE_BODY:
            c.reason = body_leave_block(s, c)
            if c.reason != REASON_NONE:
                c.flags = (c.flags | CONN_UNREAD) & ~CONN_KEEP_ALIVE
            elif c.stage == STAGE_BODY:
                to = body_target(s, c, &room)
            if to == NULL:
                c.stage = STAGE_READY
                timer_arm(s, c)
                ready(s, c)
        if to == NULL or room == 0:
            return
    elif (c.stage == STAGE_IDLE or c.stage == STAGE_HEAD or c.stage == STAGE_CHUNKED or c.stage == STAGE_LINGER
            or (c.flags & CONN_BODY_OPEN and c.stage != STAGE_READY and not body_waits(s, c))):
        room = CHUNK_BYTES if c.parser != NULL else MAX_RECV_BYTES
        if SLAB_BYTES - s.slab_at < room or s.piece_count >= MAX_PIECES:
            conn_todo(s, c)
            return
        to = s.slab + s.slab_at
    else:
        return  # one request at a time: no recv while anything of this connection is queued
    if secure:
        n = tls_recv(s, c, to, room)
    else:
        n = sw_recv(c.fd, to, room)
    if n <= 0:
        if direct:
            body_untouched(s, c)
        if n == 0:
            _end_of_input(s, c)
        elif n == TLS_AGAIN or (not secure and errno == EAGAIN):
            c.flags &= ~CONN_READABLE
            if (s.draining or s.crowded) and c.stage == STAGE_IDLE:
                _idle_at_the_end(s, c)
        elif not secure and errno == EINTR:
            conn_todo(s, c)
        elif n == TLS_REFUSED or n == TLS_HTTP:
            _no_tls(s, c, n == TLS_HTTP)
        else:
            conn_close(s, c)
        return
    s.line[REACTOR_RECEIVED_BYTES] += n
    if secure:
        if not tls_more(c):
            c.flags &= ~CONN_READABLE
    elif <size_t>n < room and not c.flags & CONN_EOF:
        c.flags &= ~CONN_READABLE
    if socket:
        ws_input(s, c, to, <size_t>n)
        if c.fd >= 0 and c.flags & CONN_READABLE:
            conn_todo(s, c)
    elif direct:
        _direct(s, c, <size_t>n)
    elif c.stage == STAGE_LINGER:
        if c.flags & CONN_READABLE:
            conn_todo(s, c)
    else:
        receive_piece(s, c, to, <uint32_t>n)
        s.slab_at += (<uint32_t>n + 63) & ~<uint32_t>63


cdef bint receive_is_over(State *s, Conn *c) noexcept nogil:
    """The client has ended its input: is it gone? Unless another request was sent before the end, or the rest of this
    one (then serve, and close at the end). True: it is, and closed."""
    cdef int unread = 0
    if c.stage != STAGE_IN_FLIGHT and c.stage != STAGE_WAITING:
        return False
    if c.tls != NULL and not c.flags & CONN_BODY_OPEN:
        unread = tls_unread(s, c)
    else:
        ioctl(c.fd, FIONREAD, &unread)
        if c.tls != NULL:  # ciphertext, which is more: then its end is found by reading on
            unread += tls_waiting_bytes(c)
    if c.input_to > c.input_from or (unread > 0 and not (
            c.flags & CONN_BODY_OPEN and c.parser == NULL and <uint64_t>unread < c.body_left)):
        return False
    conn_close(s, c)
    return True


cdef void _no_tls(State *s, Conn *c, bint http) noexcept nogil:
    """The client does not want, or cannot have, what we offer. One that speaks HTTP is told so in its own language."""
    cdef char slug[96]
    if http:
        tls_close(c)
        c.flags = (c.flags | CONN_UNREAD) & ~(CONN_KEEP_ALIVE | CONN_TLS)
        c.reason = REASON_HTTP_TO_TLS
        c.stage = STAGE_READY
        timer_arm(s, c)
        ready(s, c)
        return
    snprintf(slug, sizeof(slug), "tls-handshake-failed tls=%s", s.tls_why)
    receive_tell(s, c, slug)
    c.flags |= CONN_UNREAD
    conn_end(s, c)


cdef void receive_tell(State *s, Conn *c, const char *slug) noexcept nogil:
    """No TLS came about: once a second that is in the log, for those who look closely."""
    cdef char text[128]
    if s.now_ns - s.tls_logged_ns < LOG_EVERY_NS:
        s.tls_unlogged += 1
        return
    s.tls_logged_ns = s.now_ns
    snprintf(text, sizeof(text), "%s others=%u", slug, s.tls_unlogged)
    s.tls_unlogged = 0
    conn_log(s, c, DEBUG, 0, text)


cdef void _end_of_input(State *s, Conn *c) noexcept nogil:
    """The client sends nothing more: gone, unless an answer to a body that nobody wanted is on its way to it."""
    c.flags |= CONN_EOF
    if c.stage == STAGE_FINISHING:
        c.flags &= ~(CONN_BODY_OPEN | CONN_KEEP_ALIVE | CONN_READABLE)
    else:
        conn_close(s, c)


cdef void _direct(State *s, Conn *c, size_t length) noexcept nogil:
    """`length` bytes of a body have come to where they are wanted."""
    c.reason = body_received(s, c, length)
    body_progress(s, c, length)
    if c.stage == STAGE_BODY:
        if c.body_left == 0 or c.reason != REASON_NONE:
            if c.reason == REASON_NONE:
                s.line[REACTOR_REQUESTS] += 1
            else:
                c.flags = (c.flags | CONN_UNREAD) & ~CONN_KEEP_ALIVE
            c.stage = STAGE_READY
            timer_arm(s, c)
            ready(s, c)
            return
    else:
        if c.body_left == 0:
            body_whole(s, c)
        body_post(s, c)
        if c.stage == STAGE_DISCARD and not c.flags & CONN_BODY_OPEN:
            conn_next(s, c)
            return
    if c.flags & CONN_READABLE:
        conn_todo(s, c)
