"""Deadlines of connections: a wheel of 1,024 ticks of 64 ms, each a list of connections to look at then.

It owns where a connection hangs; the truth is the connection's own `deadline_ns`. Moving a deadline later is one
store: the connection stays where it hangs, and moves on when that tick comes round. So a keep-alive connection,
whose deadline is put off with every request, touches no neighbour in memory while it is busy. Time is an argument
(`State.now_ns`). Deadlines fire up to two ticks late, never early.
"""

from swhttp.reactor.state cimport WHEEL_SLOTS, WHEEL_TICK_NS

from swhttp import limits

cdef uint64_t NS_A_BYTE = 1000000000 // limits.MIN_RATE_BYTES_S


cdef void _link(State *s, Conn *c) noexcept nogil:
    cdef int64_t tick = <int64_t>(c.deadline_ns // WHEEL_TICK_NS) + 1
    cdef Conn **head
    if tick <= s.wheel_done:
        tick = s.wheel_done + 1
    elif tick > s.wheel_done + WHEEL_SLOTS - 1:
        tick = s.wheel_done + WHEEL_SLOTS - 1  # further off than one turn: looked at again then
    head = &s.wheel[tick & (WHEEL_SLOTS - 1)]
    c.wheel_tick = tick
    c.wheel_previous = NULL
    c.wheel_next = head[0]
    if head[0] != NULL:
        head[0].wheel_previous = c
    head[0] = c
    if tick < s.wheel_next:
        s.wheel_next = tick


cdef void timer_set(State *s, Conn *c, uint64_t deadline_ns) noexcept nogil:
    """End `c` at `deadline_ns` unless the deadline is moved or cleared before."""
    c.deadline_ns = deadline_ns
    if c.wheel_tick >= 0:
        if c.wheel_tick <= <int64_t>(deadline_ns // WHEEL_TICK_NS) + 1:
            return
        timer_remove(s, c)
    _link(s, c)


cdef void timer_arm(State *s, Conn *c) noexcept nogil:
    """From the end of a request's reception on, several deadlines may run, or none: hang `c` at the first.

    Whoever changes one of them calls this, and so does whoever ends the deadline of a head or a body: something may
    wait for the socket already (100 Continue, an early hint). `loop` finds out which it was.
    """
    cdef uint64_t first_ns = c.write_by_ns
    if c.upload != NULL and c.upload.deadline_ns != 0 and (first_ns == 0 or c.upload.deadline_ns < first_ns):
        first_ns = c.upload.deadline_ns
    if c.gone_by_ns != 0 and (first_ns == 0 or c.gone_by_ns < first_ns):
        first_ns = c.gone_by_ns
    if c.ws != NULL and c.ws.due_ns != 0 and (first_ns == 0 or c.ws.due_ns < first_ns):
        first_ns = c.ws.due_ns
    if first_ns != 0:
        timer_set(s, c, first_ns)
    else:
        c.deadline_ns = 0  # it may hang on: it is dropped from the wheel when its tick comes


cdef uint64_t timer_earned(State *s, uint64_t deadline_ns, uint64_t length, uint64_t timeout_ns) noexcept nogil:
    """A deadline after `length` bytes have moved: their time at MIN_RATE_BYTES_S later, never past the whole time-out
    from now. So whoever moves a byte now and then is cut as if nothing moved."""
    cdef uint64_t later_ns = deadline_ns + length * NS_A_BYTE
    cdef uint64_t latest_ns = s.now_ns + timeout_ns
    return later_ns if later_ns < latest_ns else latest_ns


cdef void timer_remove(State *s, Conn *c) noexcept nogil:
    """Take `c` off the wheel: its memory is about to serve another connection."""
    if c.wheel_tick < 0:
        return
    if c.wheel_previous != NULL:
        c.wheel_previous.wheel_next = c.wheel_next
    else:
        s.wheel[c.wheel_tick & (WHEEL_SLOTS - 1)] = c.wheel_next
    if c.wheel_next != NULL:
        c.wheel_next.wheel_previous = c.wheel_previous
    c.wheel_tick = -1


cdef Conn *timer_expired(State *s) noexcept nogil:
    """The next connection whose deadline has passed, off the wheel, or NULL."""
    cdef int64_t now_tick = <int64_t>(s.now_ns // WHEEL_TICK_NS)
    cdef Conn *c
    while s.wheel_done < now_tick:
        c = s.wheel[(s.wheel_done + 1) & (WHEEL_SLOTS - 1)]
        if c == NULL:
            s.wheel_done += 1
            if s.wheel_next <= s.wheel_done:
                s.wheel_next = s.wheel_done + 1
            continue
        timer_remove(s, c)
        if c.deadline_ns == 0:
            continue
        if c.deadline_ns <= s.now_ns:
            return c
        s.wheel_done += 1  # hang it on a later tick than this one
        _link(s, c)
        s.wheel_done -= 1
    return NULL


cdef int64_t timer_next_ns(State *s) noexcept nogil:
    """Nanoseconds until some connection is to be looked at, or -1 when none hangs."""
    cdef int64_t at
    while s.wheel_next < s.wheel_done + WHEEL_SLOTS:
        if s.wheel[s.wheel_next & (WHEEL_SLOTS - 1)] != NULL:
            at = s.wheel_next * WHEEL_TICK_NS - <int64_t>s.now_ns
            return at if at > 0 else 0
        s.wheel_next += 1
    return -1
