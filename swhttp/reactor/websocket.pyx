"""A WebSocket's life, on the connection of its handshake: accepted, open, closing, over.

It owns the state (`Ws.state`), the closing handshake, pings, and what becomes of a socket whose client or whose worker
is gone. What comes in is `wsinput`'s, what goes out `wsoutput`'s, the sessions of the callback API are `wsevents`', and
what anybody pushes is `wspush`'s. Runs without the GIL, but for the offer. It is long because an end may come from the
client, the worker, a deadline or the server, in each state: what each does is read beside the others.

    OFFERED --accepted--> OPEN --our Close--> CLOSING --theirs, or too late--> OVER
        |                   \\--their Close, answered; or an error of theirs------^
        \\--refused: an ordinary response, and HTTP goes on

    OVER    nothing more is read; when what is out has left, our side is shut down, and the connection closed when
            the client has done the same, or has not for LINGER_TIMEOUT_S.

A socket of an ASGI app is with its worker, like a long request, from OFFERED until that has published its last frame;
it is no load meanwhile. The row lives until both its client and its worker are through with it: so a Conn without an
fd, whose `ws` is there, still has its messages read by the app.

What runs within `wsin_feed` may not close the connection (it would free what that works on): it says so (`ws_break`),
and the next turn does it; and what follows from a change of state is done by `ws_after`, when the bytes at hand are
through.
"""

from libc.stdint cimport uint64_t, uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset, strlen

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.ref cimport Py_DECREF, Py_INCREF

from swhttp.ipc.arena cimport sw_arena_at, sw_arena_give
from swhttp.ipc.blocks cimport SW_NO_BLOCK, sw_blocks_at, sw_blocks_give
from swhttp.ipc.frame cimport (EVENT_CLOSE, EVENT_WS_CLOSE, EVENT_WS_DONE, EVENT_WS_DONE_SHM, EVENT_WS_MESSAGE,
                               EVENT_WS_MESSAGE_SHM, EVENT_WS_OPEN, SW_BLOCK_ORIGIN, SW_FRAME_LAST, SW_FRAME_MORE,
                               sw_block_origin, sw_origin, sw_shm_ref)
from swhttp.ipc.request_table cimport sw_request_ack, sw_request_index
from swhttp.ipc.rfc6455 cimport (SW_CLOSE_ABNORMAL, SW_CLOSE_GOING_AWAY, SW_CLOSE_INTERNAL_ERROR, SW_CLOSE_NO_CODE,
                                 SW_CLOSE_POLICY_VIOLATION, SW_CLOSE_SERVICE_RESTART, SW_WS_PING,
                                 sw_close_code_is_sendable)
from swhttp.ipc.scoreboard cimport REACTOR_BLOCKS, REACTOR_RESPONSES, REACTOR_WEBSOCKETS, REACTOR_WS_PING_TIMEOUT
from swhttp.reactor.accesslog cimport access_accepted
from swhttp.reactor.connection cimport (conn_close, conn_drop_block, conn_end, conn_keep_input, conn_consume_input,
                                        conn_log, conn_log_request, conn_release, conn_starve, conn_todo)
from swhttp.reactor.dispatch cimport dispatch_event, dispatch_finish, dispatch_submit, dispatch_tell
from swhttp.reactor.outbox cimport out_put
from swhttp.reactor.reasons cimport REASON_QUEUE_TIMEOUT, REASON_WORKER_LOST, SW_REASON_TABLE
from swhttp.reactor.response cimport response_progress
from swhttp.reactor.state cimport (CONN_HEAD_SENT, CONN_HUNG_UP, CONN_KEEP_ALIVE, CONN_NO_BODY, CONN_READABLE,
                                   CONN_REFUSED, STAGE_FREE, STAGE_GONE, STAGE_SOCKET, WS_CLOSING, WS_OFFERED, WS_OPEN,
                                   WS_OVER, Ws, sw_load_release)
from swhttp.reactor.system cimport SHUT_WR, iovec, shutdown
from swhttp.reactor.timers cimport timer_arm
from swhttp.reactor.tls cimport tls_end, tls_shut
from swhttp.reactor.wscodec cimport ws_decoder_free
from swhttp.reactor.wsdeflate cimport Deflation
from swhttp.reactor.wsevents cimport (wsevents_done, wsevents_forsake, wsevents_lost, wsevents_next,
                                      wsevents_worker_lost)
from swhttp.reactor.wsinput cimport (wsin_credit, wsin_due_ns, wsin_end, wsin_feed, wsin_free, wsin_post,
                                     wsin_put_off, wsin_wants)
from swhttp.reactor.wsoutput cimport (wsout_close, wsout_control, wsout_flushed, wsout_free, wsout_message,
                                      wsout_message_in_block, wsout_pong)
from swhttp.reactor.wspush cimport wspush_drained, wspush_leave_all

import logging

from swhttp import limits

cdef uint64_t CLOSE_TIMEOUT_NS = <uint64_t>(limits.WS_CLOSE_TIMEOUT_S * 1e9)
cdef uint64_t LINGER_TIMEOUT_NS = <uint64_t>(limits.LINGER_TIMEOUT_S * 1e9)
cdef uint64_t LOG_EVERY_NS = <uint64_t>(limits.REACTOR_LOG_EVERY_S * 1e9)
cdef const char *PING_TIMEOUT = b"ping timeout"  # the reason of a Close
cdef int INFO = logging.INFO
cdef int WARNING = logging.WARNING

cdef enum:
    MOST_TARGET_BYTES = 256  # that are kept of it, for the logs


# ---- the handshake ----

cdef bint ws_offer(State *s, Conn *c, bytes answer, object deflation):
    """`c` asks to be a WebSocket, and it can be one: `answer` is what it is told when the app accepts, without the
    empty line; `deflation`: a Deflation or None. Called with the GIL. False: no memory."""
    cdef Ws *w = _with_head(s, c)
    if w == NULL:
        return False
    w.state = WS_OFFERED
    w.filling = w.end_block = SW_NO_BLOCK
    w.answer = <unsigned char *>malloc(PyBytes_GET_SIZE(answer) + 1)
    if w.answer == NULL:
        free(w)
        return False
    memcpy(w.answer, PyBytes_AS_STRING(answer), PyBytes_GET_SIZE(answer) + 1)
    if deflation is not None:
        Py_INCREF(deflation)
        w.deflation = <void *>deflation
    if w.calls:
        w.taken.event.kind = EVENT_WS_OPEN
    c.ws = w
    return True


cdef bint ws_is_open(Conn *c) noexcept nogil:
    """Does `c` speak WebSocket, and HTTP no more?"""
    return c.ws != NULL and c.ws.state != WS_OFFERED


cdef Ws *_with_head(State *s, Conn *c) noexcept nogil:
    """A new WebSocket, and with it what the logs and, of a session, its handlers are told of the request: a request
    block with its method and target, and who asked. NULL: no memory."""
    cdef const sw_block *block = sw_blocks_at(&s.blocks, c.block)
    cdef bint whole = s.ws_calls or block.target_len <= MOST_TARGET_BYTES
    cdef uint32_t target_len = block.target_len if whole else MOST_TARGET_BYTES
    # Behind a target that has no path lies the one that it stands for, `/`.
    cdef uint32_t text_len = block.method_len + target_len + (1 if whole else 0)
    cdef sw_origin origin
    cdef const char *names = sw_block_origin(block, &origin)
    cdef uint32_t origin_len = 0
    cdef unsigned char *memory
    cdef sw_block *head
    cdef Ws *w
    if names != NULL:
        origin_len = <uint32_t>sizeof(origin) + origin.client_len + origin.server_len
    w = <Ws *>malloc(sizeof(Ws) + sizeof(sw_block) + text_len + origin_len)
    if w == NULL:
        return NULL
    memset(w, 0, sizeof(Ws))
    w.calls = s.ws_calls
    memory = <unsigned char *>(w + 1)
    memcpy(memory, block, sizeof(sw_block) + text_len)
    head = <sw_block *>memory
    head.target_len = target_len
    if not whole:
        head.path_off = head.query_off = head.path_len = head.query_len = 0
    head.headers_count = 0
    head.headers_len = 0
    head.headers_off = <uint32_t>sizeof(sw_block) + text_len
    head.body_off = head.headers_off + origin_len
    head.body_len = 0
    head.flags &= SW_BLOCK_ORIGIN
    if names != NULL:
        memcpy(memory + head.headers_off, names - sizeof(origin), origin_len)
    return w


cdef const sw_block *ws_head(Conn *c) noexcept nogil:
    """What is kept of the request of an open WebSocket."""
    return <sw_block *>(c.ws + 1)


cdef bint _accept(State *s, Conn *c, SlotLink *link, const sw_frame *frame, unsigned char *payload) noexcept nogil:
    """The app accepts: 101, with the field lines that it has given."""
    cdef Ws *w = c.ws
    cdef iovec pieces[4]
    if w.state != WS_OFFERED:
        return w.calls  # a handler that is called once more, because its worker died, accepts once more
    pieces[0].iov_base = w.answer
    pieces[0].iov_len = strlen(<const char *>w.answer)
    pieces[1].iov_base = payload
    pieces[1].iov_len = frame.head_len
    pieces[2].iov_base = s.fields_tail
    pieces[2].iov_len = s.fields_tail_len
    pieces[3].iov_base = <void *><const char *>b"\r\n"
    pieces[3].iov_len = 2
    c.status = 101
    c.flags = (c.flags | CONN_NO_BODY) & ~CONN_KEEP_ALIVE
    if not w.calls:
        c.flags |= CONN_HEAD_SENT
    if not out_put(s, c, pieces, 4, False):
        conn_close(s, c)
        if c.stage == STAGE_GONE:  # its worker believes that it is open
            ws_tell_gone(s, c)
        return True
    free(w.answer)
    w.answer = NULL
    (<sw_block *>(w + 1)).ready_ns = sw_blocks_at(&s.blocks, c.block).ready_ns
    if s.access != NULL:
        access_accepted(s, c)
    w.state = WS_OPEN
    w.counted = True
    s.line[REACTOR_WEBSOCKETS] += 1
    s.line[REACTOR_RESPONSES] += 1
    if not w.calls:
        sw_blocks_give(&s.blocks, c.block, c.block_class)
        c.block = SW_NO_BLOCK
        s.line[REACTOR_BLOCKS] = s.blocks.in_use
        if not c.aside:  # what waits in its event loop for something to happen is no load
            c.aside = True
            link.aside += 1
            sw_load_release(&s.loads[c.slot], link.generation)
        link.sockets += 1
    w.heard_ns = s.now_ns
    _schedule(s, c)
    if s.draining:
        ws_close(s, c, SW_CLOSE_GOING_AWAY, NULL, 0)
    c.flags |= CONN_READABLE
    conn_todo(s, c)
    return True


# ---- frames of its worker's ----

cdef bint _message(State *s, Conn *c, SlotLink *link, int slot, const sw_frame *frame,
                   unsigned char *payload) noexcept nogil:
    cdef Ws *w = c.ws
    cdef bint shm = frame.type == EVENT_WS_MESSAGE_SHM
    cdef bint more = frame.flags & SW_FRAME_MORE != 0
    cdef bint sent
    cdef sw_shm_ref block
    cdef unsigned char *data = payload
    if w.state == WS_OFFERED or w.calls or (w.mid_message and frame.status != w.mid_opcode):
        return False
    if shm:
        memcpy(&block, payload, sizeof(block))
        data = sw_arena_at(&link.arena, block.block, frame.body_len)
        if data == NULL:
            return False
    c.response_bytes += frame.body_len
    w.mid_opcode = <uint8_t>frame.status
    if not wsin_credit(s, c):  # also where nobody is left to get it: the app reads on
        if shm:
            sw_arena_give(&link.arena, block.block)
        return False
    if w.state != WS_OPEN or c.fd < 0:
        if shm:
            sw_arena_give(&link.arena, block.block)
        w.mid_message = more
        w.mid_opcode = <uint8_t>frame.status
        return True
    if shm:
        sent = wsout_message_in_block(s, c, <uint8_t>frame.status, more, data, frame.body_len, slot, block.block)
    else:
        sent = wsout_message(s, c, <uint8_t>frame.status, more, data, frame.body_len)
    if not sent:
        conn_close(s, c)
        return True
    response_progress(s, c)
    if w.full:
        wspush_drained(s, c)  # what was held may have left just now
    if w.state != WS_OPEN:
        ws_after(s, c)  # a Close was held, too
    return True


cdef bint ws_frame(State *s, Conn *c, SlotLink *link, int slot, const sw_frame *frame,
                   unsigned char *payload) noexcept nogil:
    """A frame of the worker's about its WebSocket, or about an event of its session. False: it breaks the protocol."""
    if frame.type == EVENT_WS_OPEN:
        return _accept(s, c, link, frame, payload)
    if frame.type == EVENT_WS_MESSAGE or frame.type == EVENT_WS_MESSAGE_SHM:
        return _message(s, c, link, slot, frame, payload)
    if frame.type == EVENT_WS_DONE or frame.type == EVENT_WS_DONE_SHM:
        return c.ws.calls and wsevents_done(s, c, link, frame, payload)
    if frame.type != EVENT_WS_CLOSE or c.ws.calls or c.ws.state == WS_OFFERED:
        return False
    if frame.status != 0 and not sw_close_code_is_sendable(frame.status):
        return False
    if c.ws.state == WS_OPEN and c.fd >= 0:
        ws_close(s, c, frame.status, payload, frame.body_len)
    if frame.flags & SW_FRAME_LAST:
        dispatch_finish(s, c)
        wsin_free(s, c)
        c.ws.ended = c.ws.end_told = True
        if c.fd < 0:
            ws_release(s, c)
            return True
        c.stage = STAGE_SOCKET
    elif not wsin_credit(s, c):
        return False
    ws_after(s, c)
    return True


cdef bint ws_credit(State *s, Conn *c) noexcept nogil:
    """Its worker has read messages. False: it cannot have."""
    return not c.ws.calls and wsin_credit(s, c)


# ---- bytes of its client's ----

cdef void ws_input(State *s, Conn *c, unsigned char *data, size_t length) noexcept nogil:
    """Bytes have come, and none were kept."""
    cdef size_t used
    c.ws.heard_ns = s.now_ns
    if c.ws.state == WS_OVER:
        return
    used = wsin_feed(s, c, data, length)
    _watch(s, c)
    if used < length and c.ws.state != WS_OVER:
        if not conn_keep_input(c, data + used, <uint32_t>(length - used)):
            ws_break(s, c)
    ws_after(s, c)


cdef bint ws_go_on(State *s, Conn *c) noexcept nogil:
    """There may be room again for what was kept. True: more can be read."""
    cdef size_t used
    if c.ws.state == WS_OFFERED:
        if (c.stage == STAGE_GONE or c.flags & CONN_REFUSED) and c.ws.ended and not c.ws.end_told:
            ws_tell_gone(s, c)
        return False
    if c.fd < 0:
        ws_after(s, c)
        return False
    if c.ws.state != WS_OVER and (c.input_to > c.input_from or c.ws.inflating):
        used = wsin_feed(s, c, c.input + c.input_from, c.input_to - c.input_from)
        conn_consume_input(c, <uint32_t>used)
        _watch(s, c)
    ws_after(s, c)
    return c.fd >= 0 and c.ws != NULL and (c.ws.state == WS_OVER or wsin_wants(s, c))


cdef void ws_tell_gone(State *s, Conn *c) noexcept nogil:
    """An app has accepted a WebSocket whose client was gone by then: it may wait for a message already."""
    c.ws.ended = True
    if c.request_id != 0 and not c.ws.end_told:
        c.ws.end_told = dispatch_event(s, c, EVENT_WS_CLOSE, 0, SW_CLOSE_ABNORMAL)
        if not c.ws.end_told:
            conn_starve(s, c)


cdef void ws_flushed(State *s, Conn *c) noexcept nogil:
    """The socket has taken some of what waited."""
    if not wsout_flushed(s, c):
        conn_close(s, c)
        return
    if c.ws.full:
        wspush_drained(s, c)
    if c.ws.state == WS_CLOSING and c.ws.due_ns == 0:
        _await_close(s, c)
    ws_after(s, c)


cdef bint ws_ping(State *s, Conn *c, const unsigned char *data, uint32_t length) noexcept nogil:
    """The client pings. False: the connection is lost."""
    if c.ws.state == WS_OPEN and not wsout_pong(s, c, data, length):
        ws_break(s, c)
        return False
    return True


# ---- the end ----

cdef void _uncount(State *s, Conn *c) noexcept nogil:
    """It is not among the open ones any more."""
    if c.ws.counted:
        c.ws.counted = False
        s.line[REACTOR_WEBSOCKETS] -= 1


cdef void _ends(State *s, Conn *c, uint16_t code, const unsigned char *reason, uint32_t length) noexcept nogil:
    """For the app it is over, once it has read what has come."""
    if c.ws.ended:
        return
    _uncount(s, c)
    wspush_leave_all(s, c)
    wsin_end(s, c, code, reason, length)
    if not c.ws.calls and c.request_id != 0 and sw_request_ack(
            &s.links[c.slot].table[sw_request_index(c.request_id)], c.response_bytes, True):
        dispatch_tell(s, c, EVENT_CLOSE)  # for those who send; who receives gets the rest first


cdef void ws_break(State *s, Conn *c) noexcept nogil:
    """The connection is lost; the next turn closes it."""
    c.ws.state = WS_OVER
    _ends(s, c, SW_CLOSE_ABNORMAL, NULL, 0)
    c.flags |= CONN_HUNG_UP
    conn_todo(s, c)


cdef void ws_close(State *s, Conn *c, uint16_t code, const unsigned char *reason, uint32_t length) noexcept nogil:
    """Begin the closing handshake (RFC 6455 §7.1.2); code 0: none is given. Whoever calls it calls `ws_after`."""
    if c.ws.state != WS_OPEN:
        return
    c.ws.state = WS_CLOSING
    if not wsout_close(s, c, code, reason, length):
        ws_break(s, c)
        return
    if c.input_to > c.input_from or c.flags & CONN_READABLE:
        conn_todo(s, c)  # what was not read for want of room may hold the client's Close, and nobody waits for room now
    _await_close(s, c)
    _ends(s, c, code if code != 0 else SW_CLOSE_NO_CODE, reason, length)


cdef void _await_close(State *s, Conn *c) noexcept nogil:
    """The client has its time to answer our Close from when it has left; until then its deadline is that of what is
    before it."""
    c.ws.due_ns = s.now_ns + CLOSE_TIMEOUT_NS if c.out_first == NULL else 0
    timer_arm(s, c)


cdef void _over(State *s, Conn *c) noexcept nogil:
    """Nothing more is read of it. What waits for its client keeps its own deadline, and that alone: what was due of the
    open socket would cut it."""
    c.ws.state = WS_OVER
    c.ws.due_ns = 0
    timer_arm(s, c)


cdef void ws_fail(State *s, Conn *c, uint16_t code, const char *why) noexcept nogil:
    """The client has done what it may not (§7.1.7): say so and go. `why`: for the log, once a second."""
    if c.ws.state != WS_OPEN and c.ws.state != WS_CLOSING:
        return
    if s.now_ns - s.ws_logged_ns >= LOG_EVERY_NS:
        s.ws_logged_ns = s.now_ns
        conn_log_request(s, c, WARNING, 0, why)
    if c.ws.state == WS_OPEN and not wsout_close(s, c, code, NULL, 0):
        ws_break(s, c)
        return
    _over(s, c)
    _ends(s, c, code, NULL, 0)


cdef void ws_warn(State *s, Conn *c, const char *why) noexcept nogil:
    """Something goes wrong with it that is not its client's fault: for the log, once a second."""
    if s.now_ns - s.ws_warned_ns >= LOG_EVERY_NS:
        s.ws_warned_ns = s.now_ns
        conn_log_request(s, c, WARNING, 0, why)


cdef void ws_no_memory(State *s, Conn *c) noexcept nogil:
    """What an app has said of it cannot be kept: better no session than one that is not what it should be. Whoever
    calls it calls `ws_after`."""
    ws_warn(s, c, b"ws-no-memory")
    c.ws.deaf = c.ws.calls
    if c.fd >= 0:
        ws_close(s, c, SW_CLOSE_INTERNAL_ERROR, NULL, 0)


cdef void ws_peer_closes(State *s, Conn *c, uint16_t code, const unsigned char *data, uint32_t length) noexcept nogil:
    """The client's Close: the answer to ours, or to be answered. `data`: its code, if there is one, and its reason."""
    if c.ws.state == WS_OPEN and not wsout_close(s, c, 0 if code == SW_CLOSE_NO_CODE else code, NULL, 0):
        ws_break(s, c)
        return
    _over(s, c)
    _ends(s, c, code, data + 2, length - 2 if length > 2 else 0)


cdef void ws_after(State *s, Conn *c) noexcept nogil:
    """What is due after a change: messages for the app, an event, the end of the connection."""
    cdef Ws *w = c.ws
    if w.calls:
        wsevents_next(s, c)
    else:
        wsin_post(s, c)
    if w.state != WS_OVER or c.fd < 0 or c.flags & CONN_HUNG_UP or c.out_first != NULL:
        return
    if c.stage == STAGE_SOCKET and w.end_told:
        conn_end(s, c)
        return
    if not w.parted:
        w.parted = True
        if c.tls != NULL:
            tls_end(s, c)
            tls_shut(c)
        else:
            shutdown(c.fd, SHUT_WR)
        w.due_ns = s.now_ns + LINGER_TIMEOUT_NS
        timer_arm(s, c)
        c.flags |= CONN_READABLE
        conn_todo(s, c)


cdef bint ws_lost(State *s, Conn *c) noexcept nogil:
    """Its connection is about to be closed. True: the row is still needed, by its worker or for events that are due."""
    wsout_free(s, c)
    c.ws.state = WS_OVER
    _ends(s, c, SW_CLOSE_ABNORMAL, NULL, 0)
    c.ws.due_ns = 0
    if c.ws.calls:
        return wsevents_lost(s, c)
    return c.request_id != 0


cdef void ws_release(State *s, Conn *c) noexcept nogil:
    """Neither a client nor a worker has it any more."""
    c.stage = STAGE_FREE
    conn_drop_block(s, c)
    conn_release(s, c)


cdef void ws_worker_lost(State *s, Conn *c) noexcept nogil:
    """The worker that had it, or an event of its, is dead, and the request is taken from it."""
    if c.ws.calls:
        wsevents_worker_lost(s, c)
        return
    wsin_free(s, c)
    c.ws.ended = c.ws.end_told = True
    if c.fd < 0:
        ws_release(s, c)
        return
    c.stage = STAGE_SOCKET
    if c.ws.state == WS_OPEN:
        _uncount(s, c)
        wspush_leave_all(s, c)
        conn_log_request(s, c, WARNING, 0, SW_REASON_TABLE[REASON_WORKER_LOST].slug)
        ws_close(s, c, SW_CLOSE_INTERNAL_ERROR, NULL, 0)
    ws_after(s, c)


cdef void ws_refused(State *s, Conn *c, int reason) noexcept nogil:
    """An event that waited for a worker is to be answered by us: that cannot be, so it waits on, unless none ever
    comes."""
    if reason == REASON_QUEUE_TIMEOUT:
        dispatch_submit(s, c, False)
        return
    conn_log_request(s, c, WARNING, 0, SW_REASON_TABLE[reason].slug)
    wsevents_forsake(s, c)
    if c.fd < 0:
        ws_release(s, c)
        return
    ws_close(s, c, SW_CLOSE_INTERNAL_ERROR, NULL, 0)
    ws_after(s, c)


# ---- time ----

cdef void _watch(State *s, Conn *c) noexcept nogil:
    """Of a message, a part may have come: then its deadline is one of the open socket's. It is put off with each byte;
    that is seen when the timer is due."""
    cdef uint64_t by_ns
    if c.ws.decoder.opcode == 0:  # none, mostly
        return
    by_ns = wsin_due_ns(s, c)
    if by_ns != 0 and (c.ws.due_ns == 0 or by_ns < c.ws.due_ns):
        c.ws.due_ns = by_ns
        timer_arm(s, c)


cdef void _schedule(State *s, Conn *c) noexcept nogil:
    """Set the deadline of an open socket."""
    cdef Ws *w = c.ws
    cdef uint64_t by_ns = wsin_due_ns(s, c)
    w.due_ns = 0
    if w.pinged:
        w.due_ns = w.pinged_ns + s.ws_ping_timeout_ns if s.ws_ping_timeout_ns else 0
    elif s.ws_ping_interval_ns:
        w.due_ns = w.heard_ns + s.ws_ping_interval_ns
    if by_ns != 0 and (w.due_ns == 0 or by_ns < w.due_ns):
        w.due_ns = by_ns
    timer_arm(s, c)


cdef void ws_timer(State *s, Conn *c) noexcept nogil:
    """Its deadline has passed: ping a client that has not been heard for a while, or give it up; end one that has
    begun a message and does not go on."""
    cdef Ws *w = c.ws
    cdef uint64_t by_ns = wsin_due_ns(s, c)
    if w.state != WS_OPEN:
        conn_close(s, c)
        return
    if by_ns != 0 and by_ns <= s.now_ns:
        if wsin_wants(s, c) and not c.flags & CONN_READABLE:
            ws_fail(s, c, SW_CLOSE_POLICY_VIOLATION, b"ws-message-timeout")
            ws_after(s, c)
            return
        wsin_put_off(s, c)  # more of it may have come long ago: we do not read
    if w.pinged and w.heard_ns >= w.pinged_ns:
        w.pinged = False
    if not w.pinged and s.ws_ping_interval_ns and s.now_ns >= w.heard_ns + s.ws_ping_interval_ns:
        w.pinged = True
        w.pinged_ns = s.now_ns
        if w.deflation != NULL:  # it has said nothing for a while
            with gil:
                (<Deflation>w.deflation).rest()
        if not wsout_control(s, c, SW_WS_PING, NULL, 0):
            conn_close(s, c)
            return
        if s.ws_ping_timeout_ns == 0:
            w.pinged = False
            w.heard_ns = s.now_ns
    elif w.pinged and s.now_ns >= w.pinged_ns + s.ws_ping_timeout_ns:
        if c.input_to == c.input_from and wsin_wants(s, c) and c.out_first == NULL:
            s.line[REACTOR_WS_PING_TIMEOUT] += 1
            conn_log(s, c, INFO, 0, b"ws-ping-timeout")
            wsout_close(s, c, SW_CLOSE_INTERNAL_ERROR, <const unsigned char *>PING_TIMEOUT,
                        <uint32_t>strlen(PING_TIMEOUT))
            conn_close(s, c)
            return
        # Its pong may be behind what its worker has no room for, our ping behind what it takes slowly.
        w.pinged_ns = s.now_ns
    _schedule(s, c)


cdef void ws_end_all(State *s) noexcept nogil:
    """The server ends."""
    cdef uint32_t row
    cdef Conn *c
    for row in range(s.conns_used):
        c = &s.conns[row]
        if c.fd >= 0 and c.ws != NULL and c.ws.state == WS_OPEN:
            ws_close(s, c, SW_CLOSE_GOING_AWAY, NULL, 0)
            ws_after(s, c)


cdef void ws_end_slot(State *s, int slot) noexcept nogil:
    """The sockets of a worker that is to leave have had their time."""
    cdef Conn *c = s.links[slot].first
    cdef Conn *following
    while c != NULL:
        following = c.next
        if c.fd >= 0 and c.ws != NULL and c.ws.state == WS_OPEN and not c.ws.calls:
            ws_close(s, c, SW_CLOSE_SERVICE_RESTART, NULL, 0)
            ws_after(s, c)
        c = following


cdef void ws_free(State *s, Conn *c) noexcept nogil:
    """Nobody needs it any more."""
    cdef Ws *w = c.ws
    wsout_free(s, c)
    wsin_free(s, c)
    wspush_leave_all(s, c)
    _uncount(s, c)
    if w.deflation != NULL:
        with gil:
            Py_DECREF(<object>w.deflation)
    ws_decoder_free(&w.decoder)
    free(w.answer)
    if w.calls:
        free(w.taken.event.memory)
    free(w.memberships)
    free(w)
    c.ws = NULL
