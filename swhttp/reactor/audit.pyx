"""A look, once a second, at the words in shared memory that a worker may write and nobody would miss.

What a worker publishes is checked when it is read (`settle`). But it may also spoil words that only say that there is
nothing to read, and then its requests, and those that are queued for it, would wait for ever. So while requests are
with workers or wait for one, each reactor compares those words with what it has itself:

    head of a request ring, tail of a response ring    the reactor alone writes them
    tail of a request ring                             at most a ring behind the head, never before it
    entry of a request in the table                    that request, QUEUED or TAKEN

A worker for which one is wrong is given up. Two more can be wrong without a trace, and are mended:

    a request is QUEUED and its descriptor not in the ring any more    taken back, and sent again
    a worker does not come for what is in its ring                     its eventfd is written, whatever its word says

And since the reactor looks, an answer is found whose worker has spoilt the word or the eventfd that would have told of
it.

It is cheap because it is rare: it reads one line for each ring and request. It must never find fault with an honest
worker that is merely slow, or stopped. Runs without the GIL.
"""

from libc.stdint cimport uint64_t

from swhttp.ipc.request_table cimport (SW_REQUEST_QUEUED, sw_request_entry, sw_request_index, sw_request_is_sound,
                                       sw_request_state)
from swhttp.ipc.ring cimport sw_eventfd_write, sw_ring_head_is, sw_ring_tail_is, sw_ring_unread
from swhttp.ipc.scoreboard cimport REACTOR_IN_FLIGHT
from swhttp.reactor.dispatch cimport dispatch_give_up, dispatch_revoke, dispatch_submit
from swhttp.reactor.reasons cimport REASON_NONE
from swhttp.reactor.response cimport response_own
from swhttp.reactor.state cimport CONN_REFUSED, SLOT_STOPPING, SLOT_UP, STAGE_IN_FLIGHT, Conn, SlotLink

from swhttp import limits

cdef uint64_t AUDIT_NS = <uint64_t>(limits.AUDIT_S * 1e9)


cdef int64_t audit_next_ns(State *s) noexcept nogil:
    """Nanoseconds until the next look, or -1 when there is nothing to look at."""
    if s.line[REACTOR_IN_FLIGHT] == 0 and s.waiting_count == 0:
        return -1
    return <int64_t>(s.audit_at_ns - s.now_ns) if s.audit_at_ns > s.now_ns else 0


cdef void audit_look(State *s) noexcept nogil:
    """Do what is due."""
    cdef int slot
    if s.now_ns < s.audit_at_ns:
        return
    s.audit_at_ns = s.now_ns + AUDIT_NS
    if s.line[REACTOR_IN_FLIGHT] == 0 and s.waiting_count == 0:
        return
    for slot in range(s.slots_used):
        if s.links[slot].state == SLOT_UP or s.links[slot].state == SLOT_STOPPING:
            if _is_sound(s, &s.links[slot]):
                _mend(s, slot)
            else:
                dispatch_give_up(s, slot)


cdef bint _is_sound(State *s, SlotLink *link) noexcept nogil:
    cdef Conn *c = link.first
    if (not sw_ring_head_is(&link.requests, link.requests.own)
            or not sw_ring_tail_is(&link.responses, link.responses.own)
            or sw_ring_unread(&link.requests) > link.requests.size):
        return False
    if link.channel_full and link.in_flight == 0 and sw_ring_unread(&link.requests) == 0:
        # It has read all that it was sent but the files.
        link.channel_full += 1
        if link.channel_full > 2:
            return False
    while c != NULL:
        if not sw_request_is_sound(_entry(link, c), c.request_id):
            return False
        c = c.next
    return True


cdef inline sw_request_entry *_entry(SlotLink *link, Conn *c) noexcept nogil:
    return &link.table[sw_request_index(c.request_id)]


cdef void _mend(State *s, int slot) noexcept nogil:
    cdef SlotLink *link = &s.links[slot]
    cdef Conn *c = link.first
    cdef Conn *following
    cdef bint read = sw_ring_unread(&link.requests) == 0
    cdef int reason
    while c != NULL:
        following = c.next
        if (c.stage == STAGE_IN_FLIGHT and not c.flags & CONN_REFUSED and s.now_ns - c.since_ns >= AUDIT_NS
                and sw_request_state(_entry(link, c), c.request_id) == SW_REQUEST_QUEUED):
            if not read:
                sw_eventfd_write(link.eventfd)
                return
            # A worker whose threads all wait in the middle of requests may keep it by: then it can go to another one.
            if dispatch_revoke(s, c):
                reason = dispatch_submit(s, c, True)
                if reason != REASON_NONE:
                    response_own(s, c, reason)
        c = following
