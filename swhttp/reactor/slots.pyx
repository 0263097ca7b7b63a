"""The workers, as a reactor sees them: who may be given requests, and the change from one generation to the next.

It owns the state of every slot here. It never decides who comes and goes: the main thread says so. Runs without the
GIL.

    DOWN --up--------------------> UP --stop--> STOPPING --> (settled) --> DOWN
     |                             ^                ^
     +--stage--> STAGED --switch---+                |
                   +--stop--------------------------+

A switch is atomic: no reactor gives a request to a new worker before every reactor has ceased to give any to the old,
so whoever has seen an answer of the new code never sees one of the old to a later request. For that each reactor stops
its old ones, says so, and goes on with the new ones when all have said so. Requests wait meanwhile: that takes as long
as the slowest reactor's turn. Switches are numbered, and whoever is staged waits for the next one that his reactor has
not heard of: a reactor that is late may hear of two at once, and of workers for a third.
"""

from libc.stdint cimport int64_t

from swhttp.ipc.frame cimport EVENT_STOP, sw_descriptor
from swhttp.ipc.ring cimport sw_eventfd_write, sw_ring_publish, sw_ring_reserve, sw_ring_want_space
from swhttp.ipc.scoreboard cimport REACTOR_WS_SENT, SLOT_PID
from swhttp.reactor.dispatch cimport dispatch_requeue, dispatch_revoke, dispatch_submit, dispatch_waiting
from swhttp.reactor.state cimport (SLOT_DOWN, SLOT_STAGED, SLOT_STOPPING, SLOT_UP, STAGE_IN_FLIGHT, Conn, SlotLink,
                                   sw_gauge_get, sw_gauge_set_fenced)
from swhttp.reactor.websocket cimport ws_end_slot
from swhttp.reactor.wspush cimport wspush_tell


cdef void _begin(State *s, int slot, uint32_t generation, bint asgi, int state) noexcept nogil:
    cdef SlotLink *link = &s.links[slot]
    link.requests.own = link.requests.peer = 0
    link.responses.own = link.responses.peer = 0
    link.generation = generation
    link.pid = <int>link.line[SLOT_PID]
    link.asgi = asgi
    link.posted = link.channel_full = 0
    link.stuck = False
    link.sockets_until_ns = 0
    link.slow_told_ns = link.slow_untold = 0
    link.state = state
    if slot >= s.slots_used:
        s.slots_used = slot + 1
    if s.line[REACTOR_WS_SENT]:  # since before it was up some of its threads may wait for a client who was sent much
        wspush_tell(s, slot, 0)


cdef void slot_up(State *s, int slot, uint32_t generation, bint asgi) noexcept nogil:
    """A worker is ready in `slot`, whose rings are new. During a switch it is one of the new ones."""
    if s.switching:
        _begin(s, slot, generation, asgi, SLOT_STAGED)
        s.links[slot].switch_nth = s.switch_nth
    else:
        _begin(s, slot, generation, asgi, SLOT_UP)
        s.up += 1


cdef void slot_stage(State *s, int slot, uint32_t generation, bint asgi) noexcept nogil:
    """The same, but it gets nothing before the next switch."""
    _begin(s, slot, generation, asgi, SLOT_STAGED)
    s.links[slot].switch_nth = s.switch_nth + 1


cdef void slot_rehome(State *s, int slot) noexcept nogil:
    """Requests that waited for this worker choose another, or wait for whichever comes."""
    cdef SlotLink *link = &s.links[slot]
    while link.waiting_last != NULL:
        dispatch_requeue(s, link.waiting_last)


cdef void slot_stop(State *s, int slot) noexcept nogil:
    """Post nothing more: take back what is not begun, then say EVENT_STOP as the last word."""
    cdef SlotLink *link = &s.links[slot]
    cdef Conn *c
    cdef Conn *previous
    if link.state != SLOT_UP and link.state != SLOT_STAGED:
        return
    s.up -= link.state == SLOT_UP
    link.state = SLOT_STOPPING
    slot_rehome(s, slot)  # first: what is taken back is older, and goes before it
    c = link.last
    while c != NULL:
        previous = c.previous
        if c.stage == STAGE_IN_FLIGHT and dispatch_revoke(s, c):
            dispatch_submit(s, c, True)
        c = previous
    link.sockets_until_ns = s.now_ns + s.ws_drain_ns if s.websockets and not s.ws_calls else 0
    link.stop_owed = 1
    _say_stop(s, slot)


cdef void _say_stop(State *s, int slot) noexcept nogil:
    """EVENT_STOP, as soon as the ring has room for it."""
    cdef SlotLink *link = &s.links[slot]
    cdef sw_descriptor *d
    if not link.stop_owed:
        return
    d = <sw_descriptor *>sw_ring_reserve(&link.requests, sizeof(sw_descriptor))
    if d == NULL:
        sw_ring_want_space(&link.requests)
        d = <sw_descriptor *>sw_ring_reserve(&link.requests, sizeof(sw_descriptor))
        if d == NULL:
            return
    link.stop_owed = 0
    d.request_id = 0
    d.block = 0
    d.type = EVENT_STOP
    d.flags = 0
    sw_ring_publish(&link.requests, sizeof(sw_descriptor))
    link.posted = 1


cdef void slot_down(State *s, int slot) noexcept nogil:
    """The worker is dead and its requests are settled."""
    cdef SlotLink *link = &s.links[slot]
    if link.state == SLOT_UP:
        s.up -= 1
    link.state = SLOT_DOWN
    link.stop_owed = 0
    link.posted = 0
    slot_rehome(s, slot)


# ---- from one generation to the next ----

cdef bint _all_have_stopped(State *s) noexcept nogil:
    cdef int reactor
    for reactor in range(s.reactors):
        if sw_gauge_get(&s.switch_gauges[reactor]) < s.switch_nth:
            return False
    return True


cdef void slots_switch(State *s, int nth) noexcept nogil:
    """Those that are staged take the place of those that are up. `nth`: how many switches there have been."""
    cdef int slot
    for slot in range(s.slots_used):
        # Those that wait for an earlier switch have never been up here, and never will be.
        if s.links[slot].state == SLOT_UP or (s.links[slot].state == SLOT_STAGED and s.links[slot].switch_nth < nth):
            slot_stop(s, slot)
    s.switching = True
    s.switch_nth = nth
    sw_gauge_set_fenced(&s.switch_gauges[s.index], nth)
    if _all_have_stopped(s):
        for slot in range(s.reactors):
            if slot != s.index:
                sw_eventfd_write(s.peer_eventfds[slot])
    slots_look(s)


cdef void slots_look(State *s) noexcept nogil:
    """What is due here: the new generation, once all reactors have let go of the old, and EVENT_STOPs that found no
    room."""
    cdef int slot
    for slot in range(s.slots_used):
        if s.links[slot].stop_owed:
            _say_stop(s, slot)
        if s.links[slot].sockets_until_ns != 0 and s.now_ns >= s.links[slot].sockets_until_ns:
            s.links[slot].sockets_until_ns = 0
            ws_end_slot(s, slot)
    if s.switching and _all_have_stopped(s):
        s.switching = False
        for slot in range(s.slots_used):
            if s.links[slot].state == SLOT_STAGED and s.links[slot].switch_nth <= s.switch_nth:
                s.links[slot].state = SLOT_UP
                s.up += 1
        dispatch_waiting(s)  # now: what comes next must not find a queue that is about to be empty


cdef int64_t slots_next_ns(State *s) noexcept nogil:
    """Nanoseconds until the WebSockets of a worker that is to leave have had their time, or -1."""
    cdef int64_t wait_ns = -1, other_ns
    cdef int slot
    for slot in range(s.slots_used):
        if s.links[slot].sockets_until_ns != 0 and s.links[slot].in_flight > 0:
            other_ns = <int64_t>(s.links[slot].sockets_until_ns - s.now_ns)
            other_ns = other_ns if other_ns > 0 else 0
            wait_ns = other_ns if wait_ns < 0 or other_ns < wait_ns else wait_ns
    return wait_ns
