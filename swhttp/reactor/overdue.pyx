"""Requests that take too long in a worker: which they are, and what follows for their clients.

    past --slow-log          the main thread is told, and has the worker's stacks taken
    past --request-timeout   504, what the worker still says of the request is dropped; the main thread is told, once
                             for each worker, and has it replaced

It owns a request's clock. That runs from the moment a worker takes the request to the moment it begins to answer: a
stream, however long, is no slow request. It stands still while we wait for the client to send more of the body, and
begins anew with each piece that comes. A request that no worker has taken is late through no fault of its own: when its
worker is replaced it goes to another one.

Nothing here is done for each request. A few times a second each worker's requests are looked at, from the oldest to the
first that is too young, and those not taken, whose clocks are put forward, from the youngest back. So all is as exact
as these looks are frequent. Without the two options there are none. Runs without the GIL.
"""

from libc.stdint cimport uint32_t
from libc.string cimport memcpy, memset

from swhttp.ipc.request_table cimport SW_REQUEST_QUEUED, sw_request_index, sw_request_state
from swhttp.ipc.scoreboard cimport REACTOR_IN_FLIGHT, REACTOR_SLOW_REQUESTS, SLOT_DONE, SLOT_TAKEN
from swhttp.reactor.connection cimport conn_request_text
from swhttp.reactor.reasons cimport REASON_REQUEST_TIMEOUT
from swhttp.reactor.response cimport response_refuse
from swhttp.reactor.state cimport (CONN_HEAD_SENT, CONN_REFUSED, MAIL_SLOW, MAIL_STUCK, SLOT_CORRUPT, STAGE_IN_FLIGHT,
                                   Conn, SlotLink, sw_mail, sw_mailbox_send, sw_overdue)

from swhttp import limits

cdef uint64_t LOOK_NS = <uint64_t>(limits.OVERDUE_LOOK_S * 1e9)
cdef uint64_t LEAST_LOOK_NS = LOOK_NS // 10
cdef uint64_t STACKS_EVERY_NS = <uint64_t>(limits.STACKS_EVERY_S * 1e9)

cdef enum:
    LOOKS_A_LIMIT = 8        # at least so many before the shorter limit is over

cdef enum:
    OVERDUE_SLOW = 1         # counted as slow
    OVERDUE_TOLD = 2         # the main thread has been told so
    OVERDUE_STUCK = 4        # answered by us, if anybody waited


cdef void overdue_setup(State *s, uint64_t slow_after_ns, uint64_t request_timeout_ns) noexcept:
    """0: there is no such limit."""
    cdef uint64_t least_ns
    s.slow_after_ns = slow_after_ns
    s.request_timeout_ns = request_timeout_ns
    least_ns = _least_ns(s)
    if least_ns != 0:
        s.overdue_every_ns = min(max(least_ns // LOOKS_A_LIMIT, LEAST_LOOK_NS), LOOK_NS)


cdef uint64_t _least_ns(State *s) noexcept nogil:
    if s.slow_after_ns == 0 or s.request_timeout_ns == 0:
        return s.slow_after_ns + s.request_timeout_ns
    return s.slow_after_ns if s.slow_after_ns < s.request_timeout_ns else s.request_timeout_ns


cdef int64_t overdue_next_ns(State *s) noexcept nogil:
    """Nanoseconds until the next look, or -1 when there is nothing to look at."""
    if s.line[REACTOR_IN_FLIGHT] == 0:
        return -1
    return <int64_t>(s.overdue_at_ns - s.now_ns) if s.overdue_at_ns > s.now_ns else 0


cdef void overdue_look(State *s) noexcept nogil:
    """Do what is due."""
    cdef int slot
    if s.now_ns < s.overdue_at_ns:
        return
    s.overdue_at_ns = s.now_ns + s.overdue_every_ns
    for slot in range(s.slots_used):
        if s.links[slot].in_flight > 0 and s.links[slot].state != SLOT_CORRUPT:
            _look_at(s, slot)


cdef bint _untaken(State *s, Conn *c) noexcept nogil:
    return sw_request_state(&s.links[c.slot].table[sw_request_index(c.request_id)], c.request_id) == SW_REQUEST_QUEUED


cdef void _look_at(State *s, int slot) noexcept nogil:
    cdef SlotLink *link = &s.links[slot]
    cdef uint64_t least_ns = _least_ns(s)
    cdef Conn *following
    cdef Conn *oldest = NULL
    cdef Conn *c = link.last  # taken in order, so those not taken stand at the end
    while c != NULL and _untaken(s, c):
        _put_forward(s, c)
        oldest = c
        c = c.previous
    c = link.first
    if oldest != NULL:
        _takes_nothing(s, slot, oldest)
    while c != NULL and s.now_ns - c.since_ns >= least_ns:
        following = c.next
        if not _untaken(s, c):
            _judge(s, slot, c)
        c = following


cdef void _know(Conn *c) noexcept nogil:
    if c.clock_id != c.request_id:
        c.clock_id = c.request_id
        c.clock_ns = c.since_ns
        c.overdue = 0


cdef void _put_forward(State *s, Conn *c) noexcept nogil:
    _know(c)
    c.clock_ns = s.now_ns


cdef void _takes_nothing(State *s, int slot, Conn *c) noexcept nogil:
    """`c` is the oldest request here that is not taken. An event loop takes at once what it gets, whatever else it
    serves: if it does not, it is stuck, in the middle of a stream, say. A worker with threads is that if it has nothing
    else to do either; its own word for that may be trusted: it can do itself no good with it."""
    cdef SlotLink *link = &s.links[slot]
    if (s.request_timeout_ns != 0 and not link.stuck and s.now_ns - c.since_ns >= s.request_timeout_ns
            and (link.asgi or link.line[SLOT_TAKEN] == link.line[SLOT_DONE])):
        link.stuck = _tell(s, slot, c, MAIL_STUCK, s.now_ns - c.since_ns)


cdef void _judge(State *s, int slot, Conn *c) noexcept nogil:
    """A request that its worker has taken."""
    cdef SlotLink *link = &s.links[slot]
    cdef uint64_t took_ns
    cdef bint is_waited_for = c.stage == STAGE_IN_FLIGHT and not c.flags & CONN_REFUSED
    if c.flags & CONN_HEAD_SENT:
        return
    _know(c)
    if is_waited_for and c.upload != NULL:
        if c.upload.deadline_ns != 0:  # we wait for the client
            _put_forward(s, c)
            return
        if c.clock_ns < c.upload.moved_ns:
            c.clock_ns = c.upload.moved_ns
    took_ns = s.now_ns - c.clock_ns
    if s.request_timeout_ns != 0 and took_ns >= s.request_timeout_ns:
        if not link.stuck:
            link.stuck = _tell(s, slot, c, MAIL_STUCK, took_ns)
        if not c.overdue & OVERDUE_STUCK:
            c.overdue |= OVERDUE_STUCK
            if is_waited_for:
                response_refuse(s, c, REASON_REQUEST_TIMEOUT)
    elif s.slow_after_ns != 0 and took_ns >= s.slow_after_ns:
        if not c.overdue & OVERDUE_SLOW:
            c.overdue |= OVERDUE_SLOW
            s.line[REACTOR_SLOW_REQUESTS] += 1
            link.slow_untold += 1
        # Where many are slow one speaks for all of them, once a second at most.
        if (link.slow_untold > 0 and not c.overdue & OVERDUE_TOLD
                and s.now_ns - link.slow_told_ns >= STACKS_EVERY_NS and _tell(s, slot, c, MAIL_SLOW, took_ns)):
            c.overdue |= OVERDUE_TOLD
            link.slow_told_ns = s.now_ns
            link.slow_untold = 0


cdef bint _tell(State *s, int slot, Conn *c, int kind, uint64_t took_ns) noexcept nogil:
    """Report it. False: there is no room for that."""
    cdef sw_mail mail
    cdef sw_overdue overdue
    memset(&overdue, 0, sizeof(overdue))
    overdue.request_id = c.request_id
    overdue.reactor = <uint32_t>s.index
    overdue.others = s.links[slot].slow_untold - 1 if kind == MAIL_SLOW else 0
    conn_request_text(s, c, overdue.line, sizeof(overdue.line))
    mail.kind = kind
    mail.a = slot
    mail.b = <int>s.links[slot].generation
    mail.c = <int>(took_ns // 1000000)
    memcpy(mail.text, &overdue, sizeof(overdue))
    return sw_mailbox_send(s.reports, &mail, kind == MAIL_SLOW)
