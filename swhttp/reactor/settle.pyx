"""What workers have published: response frames taken out of the rings, and the reckoning when a worker dies.

It owns the response ring's consumer end of every slot. What it reads there is not trusted: a frame that cannot be
right marks the slot as corrupt, nothing more is read from it, and the main thread has the worker replaced. Runs
without the GIL.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcmp

from swhttp.ipc.blocks cimport sw_blocks_at
from swhttp.ipc.fdpass cimport sw_fd_drain
from swhttp.ipc.frame cimport (EVENT_CREDIT, EVENT_WS_OPEN, EVENT_WS_SESSION, EVENT_WS_SESSION_SHM,
                               SW_FRAME_LAST, sw_block, sw_frame, sw_frame_read)
from swhttp.ipc.request_table cimport sw_request_index
from swhttp.ipc.ring cimport sw_ring_advance, sw_ring_has_more, sw_ring_peek, sw_ring_release
from swhttp.ipc.scoreboard cimport REACTOR_REPLAYED
from swhttp.reactor.body cimport body_credit
from swhttp.reactor.connection cimport conn_drop_block, conn_release, conn_request_text
from swhttp.reactor.dispatch cimport (dispatch_finish, dispatch_give_up, dispatch_replay,
                                      dispatch_revoke, dispatch_submit)
from swhttp.reactor.outbox cimport out_file_drop
from swhttp.reactor.reasons cimport REASON_NONE, REASON_QUARANTINED, REASON_WORKER_LOST
from swhttp.reactor.response cimport response_continue, response_cut, response_drop, response_frame, response_own
from swhttp.reactor.slots cimport slot_down, slot_rehome
from swhttp.reactor.slow cimport slow_leave
from swhttp.reactor.state cimport (CONN_BODY_OPEN, CONN_EXPECT, CONN_HEAD_SENT, CONN_REFUSED, MAIL_LOST, SLOT_CORRUPT,
                                   SLOT_DOWN, SLOT_UP, STAGE_FREE, STAGE_GONE, STAGE_IN_FLIGHT, WS_OFFERED, Conn,
                                   SlotLink, sw_mail, sw_mailbox_send)
from swhttp.reactor.websocket cimport ws_credit, ws_frame, ws_is_open, ws_tell_gone, ws_worker_lost
from swhttp.reactor.wsevents cimport wsevents_denied
from swhttp.reactor.wsoutput cimport wsout_uncork
from swhttp.reactor.wspush cimport wspush_frame

from swhttp import limits

cdef int MOST_DEATHS = limits.MOST_DEATHS
cdef int LOST_NAMED = limits.LOST_NAMED

cdef enum:
    RELEASE_BYTES = 65536      # give room back this often, so that a worker with much to say goes on meanwhile
    TURN_BYTES = 1048576       # from one slot, before the others and the sockets get their turn


cdef void _settle_gone(State *s, Conn *c) noexcept nogil:
    """The last of a request whose client had left, or had been answered by us."""
    dispatch_finish(s, c)
    if c.stage == STAGE_GONE:
        c.stage = STAGE_FREE
        conn_drop_block(s, c)
        conn_release(s, c)
    else:
        c.flags &= ~CONN_REFUSED
        conn_drop_block(s, c)


cdef bint _settle_socket(State *s, SlotLink *link, int slot, Conn *c, const sw_frame *frame,
                         unsigned char *payload) noexcept nogil:
    """A frame about a WebSocket, or a response where HTTP is over."""
    if frame.type < EVENT_WS_OPEN:
        return wsevents_denied(s, c, link, frame, payload)
    if c.stage == STAGE_GONE or c.flags & CONN_REFUSED:
        response_drop(s, c, link, frame, payload)
        if frame.flags & SW_FRAME_LAST:
            _settle_gone(s, c)
        elif frame.type == EVENT_WS_OPEN and not c.ws.calls:
            ws_tell_gone(s, c)
        return True
    return ws_frame(s, c, link, slot, frame, payload)


cdef bint _settle_frame(State *s, SlotLink *link, int slot, const sw_frame *frame,
                        unsigned char *payload) noexcept nogil:
    cdef uint32_t index = sw_request_index(frame.request_id)
    cdef Conn *c
    if frame.type == EVENT_WS_SESSION or frame.type == EVENT_WS_SESSION_SHM:
        return s.websockets and wspush_frame(s, slot, frame, payload)
    if index >= s.entries_used:
        return False
    c = s.in_flight[index]
    if c == NULL or c.request_id != frame.request_id or c.slot != slot:
        return False
    if frame.type == EVENT_CREDIT:
        if c.stage == STAGE_GONE or c.flags & CONN_REFUSED:
            return True
        if ws_is_open(c):
            return ws_credit(s, c)
        if c.flags & CONN_EXPECT:  # the app asks for the body
            c.flags &= ~CONN_EXPECT
            if not c.flags & CONN_HEAD_SENT:
                response_continue(s, c)
                if c.fd < 0:
                    return True
        return body_credit(s, c, <uint64_t>frame.content_length)
    if c.ws != NULL and (frame.type >= EVENT_WS_OPEN or c.ws.state != WS_OFFERED):
        return _settle_socket(s, link, slot, c, frame, payload)
    if frame.type >= EVENT_WS_OPEN:  # as a response it would be measured by other rules than it was checked by
        return False
    if frame.flags & SW_FRAME_LAST:
        s.round_trip_ns += ((s.now_ns - c.since_ns) >> 3) - (s.round_trip_ns >> 3)
    if c.stage != STAGE_GONE and not c.flags & CONN_REFUSED:
        return response_frame(s, c, link, frame, payload)
    response_drop(s, c, link, frame, payload)
    if frame.flags & SW_FRAME_LAST:
        _settle_gone(s, c)
    return True


cdef bint _settle_link(State *s, int slot) noexcept nogil:
    """Take what is published in one slot. True: there may be more."""
    cdef SlotLink *link = &s.links[slot]
    cdef sw_frame frame
    cdef unsigned char *at
    cdef int64_t ready
    cdef uint64_t start = link.responses.own
    cdef uint64_t released = start
    cdef bint more = False
    while True:
        ready = sw_ring_peek(&link.responses, &at)
        if ready == 0:
            break
        if ready < 0 or not sw_frame_read(&frame, at, <uint64_t>ready) or not _settle_frame(
                s, link, slot, &frame, at + sizeof(sw_frame)):
            dispatch_give_up(s, slot)
            return False
        sw_ring_advance(&link.responses, frame.size)
        if link.responses.own - released >= RELEASE_BYTES:
            released = link.responses.own
            if sw_ring_release(&link.responses):
                link.posted = 1
            if link.responses.own - start >= TURN_BYTES:
                more = True
                break
    if link.responses.own != released and sw_ring_release(&link.responses):
        link.posted = 1
    return more


cdef inline bint _may_publish(State *s, SlotLink *link) noexcept nogil:
    """Who has a request of ours; and any worker, where there are WebSockets that it may push to."""
    return (link.in_flight > 0 or (s.websockets and link.state != SLOT_DOWN)) and link.state != SLOT_CORRUPT


cdef bint settle_responses(State *s) noexcept nogil:
    """Take what all workers have published. True: there is more, so do not sleep."""
    cdef int slot
    cdef bint more = False
    for slot in range(s.slots_used):
        if _may_publish(s, &s.links[slot]):
            more |= _settle_link(s, slot)
    if s.corked != NULL:
        wsout_uncork(s)
    return more


cdef bint settle_anything_published(State *s) noexcept nogil:
    """One more look before the reactor sleeps."""
    cdef int slot
    for slot in range(s.slots_used):
        if _may_publish(s, &s.links[slot]) and sw_ring_has_more(&s.links[slot].responses):
            return True
    return False


# ---- the reckoning ----

cdef void _report_lost(State *s, Conn *c, SlotLink *link) noexcept nogil:
    """Say what a dead worker was on."""
    cdef sw_mail mail
    mail.kind = MAIL_LOST
    mail.a = c.slot
    mail.b = <int>link.generation
    mail.c = link.pid
    conn_request_text(s, c, mail.text, sizeof(mail.text))
    sw_mailbox_send(s.reports, &mail, True)


cdef bint _can_replay(State *s, Conn *c) noexcept nogil:
    """May a worker begin this request although another had? Its method must promise that this does no harm (RFC 9110
    §9.2.1), and all of it must still be here: a body that was streamed is not."""
    cdef const sw_block *block = sw_blocks_at(&s.blocks, c.block)
    cdef const char *method = <const char *>block + sizeof(sw_block)
    if not s.replay or s.orphaned or c.flags & CONN_BODY_OPEN or (c.upload != NULL and c.upload.fd < 0):
        return False
    if block.method_len == 3:
        return memcmp(method, b"GET", 3) == 0
    if block.method_len == 4:
        return memcmp(method, b"HEAD", 4) == 0
    if block.method_len == 5:
        return memcmp(method, b"TRACE", 5) == 0
    return block.method_len == 7 and memcmp(method, b"OPTIONS", 7) == 0


cdef void _settle_begun(State *s, Conn *c) noexcept nogil:
    """A worker has died that had begun this request, whose client waits.

    It may be what killed it, so it counts: a request on which two have died is never tried again. One worker may have
    had many in its event loop, and nothing tells the guilty one: all count. Interim responses (1xx) do not stand in
    the way of another try: a client takes any number of them before the final one (RFC 9110 §15.2).
    """
    dispatch_finish(s, c)
    if ws_is_open(c):
        ws_worker_lost(s, c)
        return
    c.deaths += 1
    if c.flags & CONN_HEAD_SENT:
        response_cut(s, c)
    elif c.deaths >= MOST_DEATHS:
        response_own(s, c, REASON_QUARANTINED)
    elif not _can_replay(s, c):
        response_own(s, c, REASON_WORKER_LOST)
    else:
        # Nothing else of a response is kept before its head is sent: the file of a frame that turned out to be wrong.
        out_file_drop(s, c.file)
        c.file = NULL
        s.line[REACTOR_REPLAYED] += 1
        dispatch_replay(s, c)


cdef int settle_dead(State *s, int slot) noexcept nogil:
    """The worker in `slot` is dead (or never comes back).

    What it published whole is delivered; what it never took goes to another worker, and the client never knows; what
    it had begun is tried once more, or gets a 502 at once, or is cut when a part of the answer has been sent, so that
    it shows. Returns how many it had begun; the latest LOST_NAMED of them are reported, clients that left or not.
    """
    cdef SlotLink *link = &s.links[slot]
    cdef Conn *c
    cdef Conn *previous
    cdef int reason, begun = 0
    cdef uint64_t whole_turns = 1 + link.responses.size // TURN_BYTES
    if link.state == SLOT_DOWN:
        return 0
    # No more than a ring holds: somebody may still write there, a child that has made the slot writable, say.
    while link.state != SLOT_CORRUPT and whole_turns > 0 and _settle_link(s, slot):
        whole_turns -= 1
    if link.state == SLOT_UP:
        s.up -= 1
    link.state = SLOT_CORRUPT  # nothing is sent here any more while its requests find a new home
    slot_rehome(s, slot)  # first: what is taken back is older, and goes before it
    slow_leave(s, slot)
    c = link.last
    while c != NULL:
        previous = c.previous
        if c.stage == STAGE_IN_FLIGHT and not c.flags & CONN_REFUSED and dispatch_revoke(s, c):
            reason = dispatch_submit(s, c, True)
            if reason != REASON_NONE:
                response_own(s, c, reason)
        else:
            if begun < LOST_NAMED:
                _report_lost(s, c, link)
            begun += 1
            if c.stage == STAGE_GONE or c.flags & CONN_REFUSED:
                _settle_gone(s, c)
            else:
                _settle_begun(s, c)
        c = previous
    sw_fd_drain(link.channel)
    slot_down(s, slot)
    return begun
