"""Sessions of the callback API: their events on the way to workers, and what these make of them.

It owns the one event of a session that may be out: OPEN with the handshake's request, MESSAGE with all messages that
wait, CLOSE at the very end. Between two events a session is with no worker, so the next event goes to whichever has
least to do, and reloads and crashes do not touch it. The session's state (bytes) is kept here and goes with each event.

    a worker publishes DONE for each message whose handler has returned: that message will not be delivered again
    a worker dies:   what it had been given and was not DONE is delivered again, marked (SW_WS_AGAIN): the first
                     message's handler had begun, those of others may have returned, for a DONE waits in an event loop
                     while the ring is full; a message on which MOST_DEATHS workers have died ends its session
    a handler fails: the session is closed with 1011

An event is dispatched, taken back and dispatched again by the same rules as a request: it is one, with a request block
of its own. A session is never refused for want of room in the queue: there are no more of them than connections. Runs
without the GIL.
"""

from libc.stdint cimport uint32_t, uint64_t, uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from swhttp.ipc.arena cimport sw_arena_at, sw_arena_give
from swhttp.ipc.blocks cimport SW_NO_BLOCK, sw_blocks_at, sw_blocks_give, sw_blocks_take
from swhttp.ipc.frame cimport (EVENT_WS_CLOSE, EVENT_WS_DONE_SHM, EVENT_WS_MESSAGE, EVENT_WS_OPEN, SW_FRAME_BAD,
                               SW_FRAME_LAST, SW_FRAME_STATE, SW_WS_AGAIN, sw_block, sw_chunk, sw_shm_ref,
                               sw_ws_event, sw_ws_event_records, sw_ws_record, sw_ws_record_bytes, sw_ws_session_id)
from swhttp.ipc.rfc6455 cimport SW_CLOSE_INTERNAL_ERROR, SW_CLOSE_POLICY_VIOLATION
from swhttp.ipc.scoreboard cimport REACTOR_BLOCKS, REACTOR_REPLAYED, REACTOR_WS_EVENTS
from swhttp.reactor.connection cimport conn_log_request, conn_starve, conn_todo
from swhttp.reactor.dispatch cimport dispatch_finish, dispatch_submit
from swhttp.reactor.reasons cimport REASON_QUARANTINED, SW_REASON_TABLE
from swhttp.reactor.response cimport response_drop
from swhttp.reactor.state cimport CONN_READABLE, STAGE_SOCKET, WS_OFFERED, Ws, WsEvent
from swhttp.reactor.websocket cimport ws_after, ws_close, ws_head, ws_no_memory, ws_release
from swhttp.reactor.wsinput cimport wsin_forget, wsin_free, wsin_take, wsin_whole

import logging

from swhttp import limits

cdef uint32_t MOST_STATE_BYTES = limits.WS_STATE_BYTES
cdef int MOST_DEATHS = limits.MOST_DEATHS
cdef int WARNING = logging.WARNING


cdef void _drop_block(State *s, Conn *c) noexcept nogil:
    if c.block != SW_NO_BLOCK:
        sw_blocks_give(&s.blocks, c.block, c.block_class)
        c.block = SW_NO_BLOCK
        s.line[REACTOR_BLOCKS] = s.blocks.in_use


cdef sw_ws_event *_begin(State *s, Conn *c, uint32_t records_len) noexcept nogil:
    """Give `c` a block for an event with so many bytes of records, whose places are to be filled. NULL: there is
    none."""
    cdef WsEvent *out = &c.ws.taken.event
    cdef const sw_block *head = ws_head(c)
    cdef uint32_t body = (head.body_off + 7) & ~<uint32_t>7
    cdef uint32_t body_len = sw_ws_event_records(out.memory_len) + records_len
    cdef uint8_t block_class = 0
    cdef uint32_t number = sw_blocks_take(&s.blocks, body + body_len, &block_class)
    cdef unsigned char *base
    cdef sw_block *block
    cdef sw_ws_event *event
    if number == SW_NO_BLOCK:
        return NULL
    _drop_block(s, c)
    c.block = number
    c.block_class = block_class
    s.line[REACTOR_BLOCKS] = s.blocks.in_use
    base = <unsigned char *>sw_blocks_at(&s.blocks, number)
    memcpy(base, head, head.body_off)
    block = <sw_block *>base
    block.body_off = body
    block.body_len = body_len
    block.ready_ns = s.now_ns
    event = <sw_ws_event *>(base + body)
    memset(event, 0, sizeof(sw_ws_event))
    event.session = sw_ws_session_id(<uint32_t>s.index, c.row, c.generation)
    event.state_len = out.memory_len
    event.records_len = records_len
    event.overflow = c.ws.overflow
    if out.memory_len > 0:
        memcpy(base + body + sizeof(sw_ws_event), out.memory, out.memory_len)
    return event


cdef unsigned char *_records(sw_ws_event *event) noexcept nogil:
    return <unsigned char *>event + sw_ws_event_records(event.state_len)


cdef void wsevents_next(State *s, Conn *c) noexcept nogil:
    """Dispatch the next event, if none is out and there is one."""
    cdef Ws *w = c.ws
    cdef WsEvent *out = &w.taken.event
    cdef uint32_t whole, reason_len = 0
    cdef sw_ws_event *event
    cdef uint32_t count
    if out.kind != 0 or c.stage != STAGE_SOCKET or w.end_told:
        return
    if w.deaf:
        wsin_forget(s, c)
    whole = wsin_whole(c)
    if whole > 0:
        count = w.fill_messages
        event = _begin(s, c, whole)
        if event == NULL:
            conn_starve(s, c)
            return
        wsin_take(s, c, _records(event))
        event.kind = out.kind = EVENT_WS_MESSAGE
        event.sequence = out.first = out.last + 1
        out.last += count
        out.messages = count
        if c.input_to > c.input_from or c.flags & CONN_READABLE or w.inflating:
            conn_todo(s, c)  # there is room again
    elif w.ended:
        if w.end_block != SW_NO_BLOCK:
            reason_len = (<sw_chunk *>sw_blocks_at(&s.blocks, w.end_block)).length
        event = _begin(s, c, reason_len)
        if event == NULL:
            conn_starve(s, c)
            return
        if reason_len > 0:
            memcpy(_records(event), <unsigned char *>sw_blocks_at(&s.blocks, w.end_block) + sizeof(sw_chunk),
                   reason_len)
        event.kind = out.kind = EVENT_WS_CLOSE
        event.code = w.end_code
        event.sequence = out.last
        out.messages = 0
    else:
        return
    out.done = 0
    c.deaths = 0
    s.line[REACTOR_WS_EVENTS] += 1
    dispatch_submit(s, c, False)


cdef bint _keep_state(State *s, Conn *c, SlotLink *link, const sw_frame *frame, unsigned char *payload) noexcept nogil:
    """The session's state is a new one, or the session ends for want of memory. False: it cannot be."""
    cdef WsEvent *out = &c.ws.taken.event
    cdef sw_shm_ref block
    cdef unsigned char *memory = NULL
    cdef bint shm = frame.type == EVENT_WS_DONE_SHM
    if shm:
        memcpy(&block, payload, sizeof(block))
        payload = sw_arena_at(&link.arena, block.block, frame.body_len)
        if payload == NULL:
            return False
    if frame.flags & SW_FRAME_STATE and frame.body_len <= MOST_STATE_BYTES:
        if frame.body_len > 0:
            memory = <unsigned char *>malloc(frame.body_len)
            if memory != NULL:
                memcpy(memory, payload, frame.body_len)
        if memory != NULL or frame.body_len == 0:
            free(out.memory)
            out.memory = memory
            out.memory_len = frame.body_len
        else:
            ws_no_memory(s, c)
    if shm:
        sw_arena_give(&link.arena, block.block)
    return frame.body_len <= MOST_STATE_BYTES and (frame.flags & SW_FRAME_STATE != 0 or frame.body_len == 0)


cdef bint wsevents_done(State *s, Conn *c, SlotLink *link, const sw_frame *frame,
                        unsigned char *payload) noexcept nogil:
    """A handler has returned. False: it cannot have."""
    cdef Ws *w = c.ws
    cdef WsEvent *out = &w.taken.event
    cdef bint last = frame.flags & SW_FRAME_LAST != 0
    if out.kind == 0 or w.state == WS_OFFERED or not _keep_state(s, c, link, frame, payload):
        return False
    if out.kind == EVENT_WS_MESSAGE:
        if out.done == out.messages or <uint64_t>frame.content_length != out.first + out.done:
            return False
        out.done += 1
        w.queued -= 1
        c.deaths = 0
    elif not last:
        return False
    if frame.flags & SW_FRAME_BAD:
        w.deaf = True
        if c.fd >= 0:
            ws_close(s, c, SW_CLOSE_INTERNAL_ERROR, NULL, 0)
    if not last:
        return True
    dispatch_finish(s, c)
    _end_event(s, c)  # after a failure nobody wants the rest
    _go_on(s, c)
    return True


cdef bint wsevents_denied(State *s, Conn *c, SlotLink *link, const sw_frame *frame,
                          unsigned char *payload) noexcept nogil:
    """The handler of OPEN does not want the session, when its client is gone, or another worker has accepted it and
    died: whoever has no session hears of no end. False: nothing can be denied."""
    cdef Ws *w = c.ws
    if not w.calls or w.taken.event.kind != EVENT_WS_OPEN:
        return False
    response_drop(s, c, link, frame, payload)
    if not frame.flags & SW_FRAME_LAST:
        return True
    if c.fd >= 0:
        ws_close(s, c, SW_CLOSE_POLICY_VIOLATION, NULL, 0)
    w.ended = w.end_told = True
    dispatch_finish(s, c)
    _end_event(s, c)
    wsin_free(s, c)
    _go_on(s, c)
    return True


cdef void _end_event(State *s, Conn *c) noexcept nogil:
    """The event that was out is no more, and those of its messages that no handler has had are dropped. The session is
    with no worker."""
    cdef WsEvent *out = &c.ws.taken.event
    c.ws.queued -= out.messages - out.done
    if out.kind == EVENT_WS_CLOSE:
        c.ws.end_told = True
    out.kind = 0
    out.messages = out.done = 0
    _drop_block(s, c)
    c.stage = STAGE_SOCKET
    c.deaths = 0


cdef void _go_on(State *s, Conn *c) noexcept nogil:
    """No event is out."""
    if c.fd >= 0 and (c.input_to > c.input_from or c.flags & CONN_READABLE or c.ws.inflating):
        conn_todo(s, c)  # fewer messages wait now: there may be room for more
    if c.fd < 0 and c.ws.end_told:
        if c.ws.gone:
            s.ws_rows -= 1
        ws_release(s, c)
        return
    ws_after(s, c)


cdef bint wsevents_lost(State *s, Conn *c) noexcept nogil:
    """Its connection is about to be closed. True: its session has events to come, the last of them CLOSE."""
    if c.ws.end_told and c.ws.taken.event.kind == 0:
        return False
    if not c.ws.gone:
        c.ws.gone = True
        s.ws_rows += 1
    if c.stage == STAGE_SOCKET:
        conn_todo(s, c)  # dispatch nothing from within whoever closes it
    return True


cdef void _mark(sw_ws_event *event) noexcept nogil:
    """A worker has died that had these messages."""
    cdef unsigned char *records = _records(event)
    cdef uint32_t at = 0
    while at < event.records_len:
        (<sw_ws_record *>(records + at)).flags |= SW_WS_AGAIN
        at += <uint32_t>sw_ws_record_bytes((<sw_ws_record *>(records + at)).length)


cdef bint _again(State *s, Conn *c) noexcept nogil:
    """Make the event anew, of what is left of it and the state as it is now. False: there is no block."""
    cdef WsEvent *out = &c.ws.taken.event
    cdef uint32_t old = c.block, skipped = 0, _nth, left
    cdef uint8_t old_class = c.block_class
    cdef const sw_block *block = sw_blocks_at(&s.blocks, old)
    cdef sw_ws_event *before = <sw_ws_event *>(<unsigned char *>block + block.body_off)
    cdef sw_ws_event *event
    cdef unsigned char *records = _records(before)
    if out.done == 0:  # neither the state nor the messages have changed
        before.overflow = c.ws.overflow
        if out.kind == EVENT_WS_MESSAGE:
            _mark(before)
        return True
    for _nth in range(out.done):
        skipped += <uint32_t>sw_ws_record_bytes((<sw_ws_record *>(records + skipped)).length)
    left = before.records_len - skipped
    c.block = SW_NO_BLOCK  # it is read below
    event = _begin(s, c, left)
    if event == NULL:
        c.block = old
        c.block_class = old_class
        return False
    memcpy(_records(event), records + skipped, left)
    event.kind = out.kind
    event.code = before.code
    out.first += out.done
    out.messages -= out.done
    out.done = 0
    event.sequence = out.first if out.kind == EVENT_WS_MESSAGE else before.sequence
    if out.kind == EVENT_WS_MESSAGE:
        _mark(event)
    sw_blocks_give(&s.blocks, old, old_class)
    s.line[REACTOR_BLOCKS] = s.blocks.in_use
    return True


cdef void wsevents_worker_lost(State *s, Conn *c) noexcept nogil:
    """The worker is dead that had the event, and the request is taken from it."""
    cdef Ws *w = c.ws
    cdef WsEvent *out = &w.taken.event
    if out.kind == EVENT_WS_MESSAGE and out.done == out.messages:  # it died between the last DONE and LAST
        _end_event(s, c)
        _go_on(s, c)
        return
    c.deaths += 1
    if c.deaths < MOST_DEATHS and (out.kind == EVENT_WS_OPEN or _again(s, c)):
        s.line[REACTOR_REPLAYED] += 1
        dispatch_submit(s, c, True)
        return
    conn_log_request(s, c, WARNING, 0, SW_REASON_TABLE[REASON_QUARANTINED].slug)
    _end_event(s, c)
    if c.fd >= 0:
        ws_close(s, c, SW_CLOSE_INTERNAL_ERROR, NULL, 0)
    _go_on(s, c)


cdef void wsevents_forsake(State *s, Conn *c) noexcept nogil:
    """No worker will ever come: the session has no events any more."""
    cdef Ws *w = c.ws
    w.ended = w.end_told = True
    if w.gone:
        w.gone = False
        s.ws_rows -= 1
    _end_event(s, c)
    wsin_free(s, c)
