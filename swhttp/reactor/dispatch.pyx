"""Which worker gets a request, and when: choice, capacity, the queue of those that wait, taking back.

It owns the request ring's producer end of every slot, the lists of requests waiting and in flight, and the entries
of the request table. It never touches a socket and never closes a connection: it answers with a reason, and its
caller does. Runs without the GIL (phase 3).

A connection is on at most one list: a queue while STAGE_WAITING, a slot's list while STAGE_IN_FLIGHT or STAGE_GONE.
"""

from libc.errno cimport EAGAIN, ECONNRESET, ENOTCONN, EPIPE, errno
from libc.stdint cimport int64_t, uint16_t, uint64_t

from swhttp.ipc.fdpass cimport sw_fd_send
from swhttp.ipc.frame cimport EVENT_PACKAGE, EVENT_PACKAGE_START, EVENT_WS_OPEN, SW_DESCRIPTOR_FD, sw_descriptor
from swhttp.ipc.request_table cimport (SW_REQUEST_QUEUED, sw_request_free, sw_request_id, sw_request_index,
                                       sw_request_queue, sw_request_revoke, sw_request_state)
from swhttp.ipc.ring cimport (sw_eventfd_write, sw_ring_has_room, sw_ring_publish, sw_ring_reserve, sw_ring_unread,
                              sw_ring_want_space, sw_wake_claim)
from swhttp.ipc.scoreboard cimport (REACTOR_BAD_FRAMES, REACTOR_DISPATCHED, REACTOR_IN_FLIGHT, REACTOR_REVOKED,
                                    REACTOR_WAITING, REACTOR_WAKES, SLOT_SERVICE_NS)
from swhttp.reactor.reasons cimport REASON_NONE, REASON_QUEUE_FULL
from swhttp.reactor.state cimport (CONN_BODY_OPEN, CONN_HEAD_SENT, DISPATCH_FIXED, DISPATCH_IDLE, DISPATCH_IP,
                                   DISPATCH_ROUND_ROBIN, MAIL_CORRUPT, SLOT_CORRUPT, SLOT_UP, STAGE_IN_FLIGHT,
                                   STAGE_WAITING, WS_OFFERED, Upload, sw_gauge_get_fenced, sw_gauge_set_fenced,
                                   sw_load_in_flight, sw_load_release, sw_load_reserve, sw_mail, sw_mailbox_send)

from swhttp import limits

cdef uint32_t MAX_PREFETCH = limits.MAX_PREFETCH
cdef int64_t PREFETCH_WINDOW_NS = <int64_t>(limits.PREFETCH_WINDOW_S * 1e9)
cdef uint32_t ASIDE_TIMES = limits.ASIDE_TIMES
cdef uint64_t ASIDE_AFTER_NS = <uint64_t>(limits.ASIDE_AFTER_S * 1e9)
cdef uint64_t ASIDE_AFTER_BYTES = <uint64_t>(limits.ASIDE_RATE_BYTES_S * limits.ASIDE_AFTER_S)
cdef uint64_t ASIDE_EVERY_NS = <uint64_t>(limits.ASIDE_LOOK_S * 1e9)
cdef uint64_t FILES_HELD_NS = <uint64_t>(limits.FILES_HELD_S * 1e9)
cdef uint64_t REVOKE_AFTER_NS = <uint64_t>(limits.REVOKE_AFTER_S * 1e9)
cdef uint64_t REVOKE_LONE_AFTER_NS = <uint64_t>(limits.REVOKE_LONE_AFTER_S * 1e9)


# ---- lists ----

cdef void _append(Conn **first, Conn **last, Conn *c) noexcept nogil:
    c.next = NULL
    c.previous = last[0]
    if last[0] != NULL:
        last[0].next = c
    else:
        first[0] = c
    last[0] = c


cdef void _prepend(Conn **first, Conn **last, Conn *c) noexcept nogil:
    c.previous = NULL
    c.next = first[0]
    if first[0] != NULL:
        first[0].previous = c
    else:
        last[0] = c
    first[0] = c


cdef void _remove(Conn **first, Conn **last, Conn *c) noexcept nogil:
    if c.previous != NULL:
        c.previous.next = c.next
    else:
        first[0] = c.next
    if c.next != NULL:
        c.next.previous = c.previous
    else:
        last[0] = c.previous
    c.next = c.previous = NULL


# ---- choice ----

cdef bint _keyed(State *s) noexcept nogil:
    return s.dispatch == DISPATCH_FIXED or s.dispatch == DISPATCH_IP


cdef uint32_t _capacity(State *s, SlotLink *link) noexcept nogil:
    """Requests that may be with this worker: what it can run at once, and a few more so that it never waits for us."""
    cdef int64_t service_ns, fit
    if s.dispatch == DISPATCH_IDLE:
        return 1 if link.asgi else s.threads
    if link.asgi:
        return s.concurrency
    service_ns = link.line[SLOT_SERVICE_NS]
    fit = PREFETCH_WINDOW_NS // service_ns if service_ns > 0 else 1
    if fit < 1:
        fit = 1
    elif fit > MAX_PREFETCH:
        fit = MAX_PREFETCH
    return s.threads + <uint32_t>fit


cdef int _keyed_slot(State *s, Conn *c) noexcept nogil:
    # A row is given out again under the next generation: connections that follow each other there spread too.
    cdef uint32_t key = c.row + <uint32_t>c.generation if s.dispatch == DISPATCH_FIXED else c.ip_hash
    cdef uint32_t nth = key % <uint32_t>s.up
    cdef int slot
    for slot in range(s.slots_used):
        if s.links[slot].state == SLOT_UP:
            if nth == 0:
                return slot
            nth -= 1
    return -1


cdef int _least_slot(State *s) noexcept nogil:
    """The worker with fewest requests among those with room, and that room reserved; -1: none."""
    cdef int slot, best, _try_again
    cdef uint32_t load, lowest
    cdef SlotLink *link
    for _try_again in range(s.up):
        best = -1
        lowest = 0xFFFFFFFF
        for i in range(s.slots_used):
            slot = <int>((s.turn + <uint32_t>i) % <uint32_t>s.slots_used)
            link = &s.links[slot]
            if link.state != SLOT_UP or link.channel_full:
                continue
            load = sw_load_in_flight(&s.loads[slot])
            # A ring can be full of requests that were taken back, while its worker is busy with one.
            if (load < lowest and load < _capacity(s, link)
                    and sw_ring_has_room(&link.requests, sizeof(sw_descriptor))):
                lowest, best = load, slot
        if best < 0:
            return -1
        if sw_load_reserve(&s.loads[best], s.links[best].generation, _capacity(s, &s.links[best])):
            s.turn = <uint32_t>best + 1
            return best
    return -1


cdef int _round_robin_slot(State *s) noexcept nogil:
    cdef int slot, i
    cdef SlotLink *link
    for i in range(s.slots_used):
        slot = <int>((s.turn + <uint32_t>i) % <uint32_t>s.slots_used)
        link = &s.links[slot]
        if (link.state == SLOT_UP and not link.channel_full and sw_ring_has_room(&link.requests, sizeof(sw_descriptor))
                and sw_load_reserve(&s.loads[slot], link.generation, _capacity(s, link))):
            s.turn = <uint32_t>slot + 1
            return slot
    return -1


cdef int _reserve_any(State *s) noexcept nogil:
    return _round_robin_slot(s) if s.dispatch == DISPATCH_ROUND_ROBIN else _least_slot(s)


# ---- posting ----

cdef bint _has_file(Conn *c) noexcept nogil:
    return c.upload != NULL and c.upload.fd >= 0


cdef bint _held(State *s, Conn *c) noexcept nogil:
    """Must `c` wait although there may be room for it, because no file can be sent?"""
    return s.now_ns < s.files_held_until_ns and _has_file(c)


cdef Conn *_first_not_held(State *s, Conn *c) noexcept nogil:
    """Of a queue from `c` on."""
    while c != NULL and _held(s, c):
        c = c.next
    return c


cdef void dispatch_give_up(State *s, int slot) noexcept nogil:
    """The worker in `slot` has written what cannot be: it gets nothing more, nothing of it is read, and the main thread
    has it replaced."""
    cdef SlotLink *link = &s.links[slot]
    cdef sw_mail mail
    s.line[REACTOR_BAD_FRAMES] += 1
    if link.state == SLOT_UP:
        s.up -= 1
    link.state = SLOT_CORRUPT
    mail.kind = MAIL_CORRUPT
    mail.a = slot
    sw_mailbox_send(s.reports, &mail, False)


cdef bint _post(State *s, int slot, Conn *c) noexcept nogil:
    """Hand `c`'s block to `slot`, where room is reserved. False: its ring or the table is full at the moment, or the
    file cannot be sent; if `c` waited it still does, where it was."""
    cdef SlotLink *link = &s.links[slot]
    cdef sw_descriptor *d
    cdef uint32_t index
    cdef uint64_t request_id
    cdef uint16_t flags
    if s.free_entry_count > 0:
        index = s.free_entries[s.free_entry_count - 1]
    elif s.entries_used < s.table_entries:
        index = s.entries_used
    else:
        return False
    d = <sw_descriptor *>sw_ring_reserve(&link.requests, sizeof(sw_descriptor))
    if d == NULL:
        sw_ring_want_space(&link.requests)
        d = <sw_descriptor *>sw_ring_reserve(&link.requests, sizeof(sw_descriptor))
        if d == NULL:
            return False
    s.serial += 1
    request_id = sw_request_id(s.serial, index)  # the worker may change what is in the ring: it is not read again
    flags = 0
    if _has_file(c):
        if not sw_fd_send(link.channel, c.upload.fd, request_id):
            if errno == EAGAIN and not link.channel_full:
                link.channel_full = 1
            elif errno == EPIPE or errno == ECONNRESET or errno == ENOTCONN:
                dispatch_give_up(s, slot)  # it has closed its end
            elif errno != EAGAIN:  # no memory, or too many files of this user are on their way somewhere
                s.files_held_until_ns = s.now_ns + FILES_HELD_NS
            return False
        flags = SW_DESCRIPTOR_FD
    d.request_id = request_id
    d.block = c.block
    d.type = EVENT_PACKAGE_START if c.flags & CONN_BODY_OPEN else EVENT_PACKAGE
    if c.ws != NULL:
        d.type = EVENT_WS_OPEN if c.ws.state == WS_OFFERED else c.ws.taken.event.kind
    d.flags = flags
    if s.free_entry_count > 0:
        s.free_entry_count -= 1
    else:
        s.entries_used += 1
    if c.stage == STAGE_WAITING:
        dispatch_leave_queue(s, c)
    c.request_id = request_id
    c.slow_told = c.aside = False
    sw_request_queue(&link.table[index], request_id)
    sw_ring_publish(&link.requests, sizeof(sw_descriptor))
    link.posted = 1
    link.in_flight += 1
    s.in_flight[index] = c
    _append(&link.first, &link.last, c)
    c.slot = slot
    c.pid = link.pid
    c.stage = STAGE_IN_FLIGHT
    c.since_ns = s.now_ns
    s.line[REACTOR_DISPATCHED] += 1
    s.line[REACTOR_IN_FLIGHT] += 1
    return True


cdef bint _try(State *s, Conn *c, int slot) noexcept nogil:
    if slot < 0:
        return False
    if _post(s, slot, c):
        return True
    sw_load_release(&s.loads[slot], s.links[slot].generation)
    return False


cdef bint _reserve_and_post(State *s, Conn *c, int slot) noexcept nogil:
    return (sw_load_reserve(&s.loads[slot], s.links[slot].generation, _capacity(s, &s.links[slot]))
            and _try(s, c, slot))


cdef void _count_waiting(State *s, int by) noexcept nogil:
    s.waiting_count += by
    s.line[REACTOR_WAITING] = s.waiting_count
    if s.reactors > 1:
        sw_gauge_set_fenced(&s.waiting_gauges[s.index], s.waiting_count)


cdef int dispatch_submit(State *s, Conn *c, bint again) noexcept nogil:
    """Send a whole request to a worker, or let it wait; `again`: it waited or was posted before, so it goes first.

    Returns REASON_NONE, or the reason for which it must be answered by us.
    """
    cdef int slot = -1
    cdef SlotLink *link
    if s.up > 0:
        if _keyed(s):
            slot = _keyed_slot(s, c)
            if s.links[slot].waiting_first == NULL and not _held(s, c) and _reserve_and_post(s, c, slot):
                return REASON_NONE
        elif (s.waiting_first == NULL or again) and not _held(s, c) and _try(s, c, _reserve_any(s)):
            return REASON_NONE
    if (s.waiting_count >= s.queue_size and not again and not s.switching
            and not (c.ws != NULL and c.ws.state != WS_OFFERED)):
        return REASON_QUEUE_FULL
    c.stage = STAGE_WAITING
    c.slot = slot
    c.pid = 0
    if not again:
        c.since_ns = s.now_ns
    if slot >= 0:
        link = &s.links[slot]
        if again:
            _prepend(&link.waiting_first, &link.waiting_last, c)
        else:
            _append(&link.waiting_first, &link.waiting_last, c)
    elif again:
        _prepend(&s.waiting_first, &s.waiting_last, c)
    else:
        _append(&s.waiting_first, &s.waiting_last, c)
    _count_waiting(s, 1)
    return REASON_NONE


cdef int dispatch_replay(State *s, Conn *c) noexcept nogil:
    """The same, for a request that a worker had begun. If it must wait, then before all others, and it counts as as old
    as they are: how long it was with the dead worker is not time that it waited."""
    cdef int reason = dispatch_submit(s, c, True)
    if c.stage == STAGE_WAITING:
        c.since_ns = c.next.since_ns if c.next != NULL else s.now_ns
    return reason


cdef void dispatch_leave_queue(State *s, Conn *c) noexcept nogil:
    """Take a waiting request off its queue."""
    if c.slot >= 0:
        _remove(&s.links[c.slot].waiting_first, &s.links[c.slot].waiting_last, c)
    else:
        _remove(&s.waiting_first, &s.waiting_last, c)
    _count_waiting(s, -1)


cdef void dispatch_requeue(State *s, Conn *c) noexcept nogil:
    """A keyed request whose worker is no more: choose again where it waits, before those that wait there. Whoever moves
    many begins with the last, and all are posted by `dispatch_waiting`, oldest first."""
    dispatch_leave_queue(s, c)
    c.slot = _keyed_slot(s, c) if s.up > 0 else -1
    if c.slot >= 0:
        _prepend(&s.links[c.slot].waiting_first, &s.links[c.slot].waiting_last, c)
    else:
        _prepend(&s.waiting_first, &s.waiting_last, c)
    _count_waiting(s, 1)


cdef bint _waits_for_client(State *s, Conn *c) noexcept nogil:
    """Can a worker do nothing for this request, because its client takes no more, or has sent no more for a while, or
    sends no more than a trickle?"""
    cdef Upload *u = c.upload
    cdef uint64_t there_ns = s.now_ns - c.since_ns
    if c.stage != STAGE_IN_FLIGHT:
        return False
    if c.slow_told and c.out_first != NULL:
        return True
    return (u != NULL and c.flags & CONN_BODY_OPEN and u.deadline_ns != 0 and there_ns >= ASIDE_AFTER_NS
            and (s.now_ns - u.moved_ns >= ASIDE_AFTER_NS
                 or u.received < there_ns // ASIDE_AFTER_NS * ASIDE_AFTER_BYTES))


cdef void _set_aside(State *s) noexcept nogil:
    """Requests wait, and every worker has as many as it may have: those that wait for their clients are no load, or a
    few thousand slow clients would keep all others from an app that has nothing to do. An event loop holds them; up to
    ASIDE_TIMES as many as it may be given else, of all reactors. Once aside a request stays there: most slow clients
    are slow again."""
    cdef int slot
    cdef uint32_t most = s.concurrency * ASIDE_TIMES // s.reactors
    cdef SlotLink *link
    cdef Conn *c
    s.aside_at_ns = s.now_ns + ASIDE_EVERY_NS
    for slot in range(s.slots_used):
        link = &s.links[slot]
        if link.state != SLOT_UP or sw_load_in_flight(&s.loads[slot]) < _capacity(s, link):
            continue
        c = link.first
        while c != NULL and link.aside - link.sockets < most:
            if not c.aside and _waits_for_client(s, c):
                c.aside = True
                link.aside += 1
                sw_load_release(&s.loads[slot], link.generation)
            c = c.next


cdef void dispatch_waiting(State *s) noexcept nogil:
    """Post as many waiting requests as there is room for, oldest first."""
    cdef Conn *c
    cdef Conn *following
    cdef SlotLink *link
    cdef int slot
    if s.waiting_count == 0 or s.up == 0:
        return
    if s.asgi and s.now_ns >= s.aside_at_ns:
        _set_aside(s)
    if _keyed(s):
        while s.waiting_last != NULL:  # came while no worker was up
            dispatch_requeue(s, s.waiting_last)
        for slot in range(s.slots_used):
            link = &s.links[slot]
            c = _first_not_held(s, link.waiting_first)
            while (c != NULL and link.state == SLOT_UP
                   and sw_load_reserve(&s.loads[slot], link.generation, _capacity(s, link))):
                following = c.next
                if not _try(s, c, slot) and not _held(s, c):
                    break
                c = _first_not_held(s, following)
        return
    c = _first_not_held(s, s.waiting_first)
    while c != NULL:
        slot = _reserve_any(s)
        if slot < 0:
            return
        following = c.next
        if not _try(s, c, slot) and not _held(s, c):
            return
        c = _first_not_held(s, following)


cdef bint dispatch_could_go_on(State *s) noexcept nogil:
    """Is there room for a waiting request, or for an EVENT_STOP? Asked when the reactor has announced its sleep: only
    then can a full ring be told to wake it."""
    cdef int slot
    cdef SlotLink *link
    cdef bint entry = s.free_entry_count > 0 or s.entries_used < s.table_entries
    cdef bint keyed = _keyed(s)
    cdef bint waits = s.waiting_count > 0 and (keyed or _first_not_held(s, s.waiting_first) != NULL)
    for slot in range(s.slots_used):
        link = &s.links[slot]
        if not link.stop_owed:
            if not waits or not entry or link.state != SLOT_UP or link.channel_full:
                continue
            if (keyed and _first_not_held(s, link.waiting_first) == NULL
                    or sw_load_in_flight(&s.loads[slot]) >= _capacity(s, link)):
                continue
        if sw_ring_has_room(&link.requests, sizeof(sw_descriptor)):
            return True
        sw_ring_want_space(&link.requests)
        if sw_ring_has_room(&link.requests, sizeof(sw_descriptor)):
            return True
    return False


# ---- the end of a request's stay with a worker ----

cdef void _unlink(State *s, Conn *c) noexcept nogil:
    cdef SlotLink *link = &s.links[c.slot]
    cdef uint32_t index = sw_request_index(c.request_id)
    cdef int other
    sw_request_free(&link.table[index])
    s.in_flight[index] = NULL
    s.free_entries[s.free_entry_count] = index
    s.free_entry_count += 1
    _remove(&link.first, &link.last, c)
    link.in_flight -= 1
    link.channel_full = 0
    s.line[REACTOR_IN_FLIGHT] -= 1
    if c.aside:
        link.aside -= 1
        if c.ws != NULL and c.ws.state != WS_OFFERED and not c.ws.calls:  # an event of a session is a request
            link.sockets -= 1
    else:
        sw_load_release(&s.loads[c.slot], link.generation)
    c.request_id = 0
    c.slot = -1
    if s.reactors > 1:
        for other in range(s.reactors):
            if other != s.index and sw_gauge_get_fenced(&s.waiting_gauges[other]) > 0:
                sw_eventfd_write(s.peer_eventfds[other])


cdef void dispatch_finish(State *s, Conn *c) noexcept nogil:
    """The worker has published its final frame, or is dead: its entry and its place are free again."""
    _unlink(s, c)


cdef bint dispatch_revoke(State *s, Conn *c) noexcept nogil:
    """Take a request back that no worker has begun. False: one has, and the request is its own: also where the worker
    says that it has not, but has answered. Nobody else could go on from there."""
    if c.flags & CONN_HEAD_SENT or (c.ws != NULL and c.ws.calls and c.ws.taken.event.done > 0):
        return False
    if not sw_request_revoke(&s.links[c.slot].table[sw_request_index(c.request_id)], c.request_id):
        return False
    s.line[REACTOR_REVOKED] += 1
    _unlink(s, c)
    return True


cdef void dispatch_tell(State *s, Conn *c, int event) noexcept nogil:
    """Wake the worker that has `c` for a word that has changed. When the ring is full the
    event is dropped and the worker still woken: it looks at all its words when it finds the ring that full."""
    cdef SlotLink *link = &s.links[c.slot]
    cdef sw_descriptor *d = <sw_descriptor *>sw_ring_reserve(&link.requests, sizeof(sw_descriptor))
    if d != NULL:
        d.request_id = c.request_id
        d.block = 0
        d.type = event
        d.flags = 0
        sw_ring_publish(&link.requests, sizeof(sw_descriptor))
    link.posted = 1


cdef bint dispatch_chunk(State *s, Conn *c, uint32_t block, int event) noexcept nogil:
    """Tell the worker that has `c` of more of its body. False: there is no room in its ring."""
    return dispatch_event(s, c, event, block, 0)


cdef bint dispatch_event(State *s, Conn *c, int event, uint32_t block, uint16_t flags) noexcept nogil:
    """Post a descriptor about `c` to the worker that has it. False: there is no room in its ring."""
    cdef SlotLink *link = &s.links[c.slot]
    cdef sw_descriptor *d = <sw_descriptor *>sw_ring_reserve(&link.requests, sizeof(sw_descriptor))
    if d == NULL:
        return False
    d.request_id = c.request_id
    d.block = block
    d.type = event
    d.flags = flags
    sw_ring_publish(&link.requests, sizeof(sw_descriptor))
    link.posted = 1
    return True


# ---- fairness ----

cdef void dispatch_rebalance(State *s) noexcept nogil:
    """Give requests that sit behind a busy worker to one that has nothing to do, oldest first.

    A request with nothing before it is not behind anything: its worker is being woken. It moves only when that takes
    so long that the worker must be stuck.
    """
    cdef int idle, slot
    cdef uint64_t patience_ns
    cdef SlotLink *link
    cdef Conn *c
    cdef Conn *oldest
    if s.up < 2 or _keyed(s) or s.waiting_count > 0:
        return
    for idle in range(s.slots_used):
        if s.links[idle].state != SLOT_UP or sw_load_in_flight(&s.loads[idle]) > 0:
            continue
        oldest = NULL
        for slot in range(s.slots_used):
            link = &s.links[slot]
            if slot == idle or link.state != SLOT_UP or sw_ring_unread(&link.requests) == 0:
                continue
            patience_ns = REVOKE_AFTER_NS if sw_load_in_flight(&s.loads[slot]) > 1 else REVOKE_LONE_AFTER_NS
            c = link.last  # taken in order, so those not taken stand at the end
            while c != NULL and sw_request_state(&link.table[sw_request_index(c.request_id)],
                                                 c.request_id) == SW_REQUEST_QUEUED:
                if (s.now_ns - c.since_ns >= patience_ns and c.stage == STAGE_IN_FLIGHT
                        and (oldest == NULL or c.since_ns < oldest.since_ns)):
                    oldest = c
                c = c.previous
        if oldest == NULL:
            return
        if dispatch_revoke(s, oldest):
            if not _reserve_and_post(s, oldest, idle):
                dispatch_submit(s, oldest, True)


cdef bint dispatch_untaken(State *s) noexcept nogil:
    """Does any worker hold requests of ours that it has not taken? Then we look again within a tick."""
    cdef int slot
    for slot in range(s.slots_used):
        if s.links[slot].in_flight > 0 and sw_ring_unread(&s.links[slot].requests) > 0:
            return True
    return False


cdef void dispatch_flush(State *s) noexcept nogil:
    """Wake the workers that sleep and have got something in this turn."""
    cdef int slot
    cdef SlotLink *link
    for slot in range(s.slots_used):
        link = &s.links[slot]
        if link.posted:
            link.posted = 0
            if sw_wake_claim(link.sleeping, False):
                s.line[REACTOR_WAKES] += 1
                sw_eventfd_write(link.eventfd)
