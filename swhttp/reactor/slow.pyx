"""Slow clients: when one is called slow, and what follows, so that it costs nobody but itself.

    for SLOW_AFTER_S no whole piece of what waits has left   its worker is told (the word `full`, EVENT_BUFFER_FULL):
                                                             a WSGI thread then spills to a file instead of waiting
    at once, while others wait for a WSGI worker, where      the same
    the socket was full before it had taken HIGH_WATER_BYTES
    for MOVE_AFTER_S                                         what it holds of a slot's arena moves to a file

The lists (outbox keeps them) are in order of time, so a look costs nothing while nobody is due. The writes go to the
page cache; a worker that dies while clients hold blocks of its arena has them moved at once. Runs without the GIL.
"""

from libc.stdint cimport int64_t, uint64_t

from swhttp.ipc.frame cimport EVENT_BUFFER_FULL
from swhttp.ipc.request_table cimport sw_request_index, sw_request_set_full
from swhttp.ipc.scoreboard cimport REACTOR_CLIENTS_SLOW, REACTOR_IN_FLIGHT
from swhttp.ipc.tempfile cimport sw_temp_why
from swhttp.reactor.connection cimport MOST_WHY_BYTES, conn_close, conn_log_why
from swhttp.reactor.dispatch cimport dispatch_tell
from swhttp.reactor.outbox cimport out_leave_arena, pace_set
from swhttp.reactor.state cimport CONN_SLOW, OUT_FILE, PACE_NONE, PACE_SLOW, STAGE_IN_FLIGHT, Conn

import logging

from swhttp import limits

cdef uint64_t SLOW_AFTER_NS = <uint64_t>(limits.SLOW_AFTER_S * 1e9)
cdef uint64_t HIGH_WATER_BYTES = limits.HIGH_WATER_BYTES
cdef uint64_t LOW_WATER_BYTES = limits.HIGH_WATER_BYTES // 2  # below it the worker is not told of it
cdef uint64_t MOVE_AFTER_NS = <uint64_t>((limits.MOVE_AFTER_S - limits.SLOW_AFTER_S) * 1e9)
cdef uint64_t LOG_EVERY_NS = <uint64_t>(limits.REACTOR_LOG_EVERY_S * 1e9)
cdef int MOVES_PER_TURN = limits.MOVES_PER_TURN
cdef int WARNING = logging.WARNING


cdef bint _leave(State *s, Conn *c, int slot) noexcept nogil:
    """Move what `c` holds of an arena. False: impossible, and it is closed."""
    cdef char why[MOST_WHY_BYTES]
    cdef int where = out_leave_arena(s, c, slot)
    if where != OUT_FILE and s.now_ns - s.spool_logged_ns >= LOG_EVERY_NS:
        s.spool_logged_ns = s.now_ns
        sw_temp_why(why, sizeof(why), s.tmp_dir, s.spool_error)
        conn_log_why(s, c, WARNING, 0, b"spool-failed", why)
    if where < 0:
        conn_close(s, c)
    return where >= 0


cdef bint _pressed(State *s) noexcept nogil:
    """Does somebody else wait for a worker that may be waiting for its client?"""
    return not s.asgi and (s.waiting_count > 0 or s.line[REACTOR_IN_FLIGHT] > <int64_t>s.up * s.threads)


cdef void _is_slow(State *s, Conn *c) noexcept nogil:
    s.line[REACTOR_CLIENTS_SLOW] += 1
    c.flags |= CONN_SLOW
    pace_set(s, c, PACE_SLOW)
    if c.stage == STAGE_IN_FLIGHT:
        c.slow_told = True
        if sw_request_set_full(&s.links[c.slot].table[sw_request_index(c.request_id)], 1):
            dispatch_tell(s, c, EVENT_BUFFER_FULL)


cdef void slow_look(State *s) noexcept nogil:
    """Do what is due; of what takes long, a little each turn: thousands may have become slow together."""
    cdef Conn *c
    cdef Conn *following
    cdef int moves = MOVES_PER_TURN
    if s.tight and _pressed(s):
        s.tight = False
        c = s.fresh_first
        while c != NULL:
            following = c.pace_next
            if c.sent_bytes < HIGH_WATER_BYTES:
                if c.out_bytes > LOW_WATER_BYTES:
                    _is_slow(s, c)
                else:
                    s.tight = True
            c = following
    while s.fresh_first != NULL and s.now_ns - s.fresh_first.pace_since_ns >= SLOW_AFTER_NS:
        c = s.fresh_first
        _is_slow(s, c)
    while s.slow_first != NULL and s.now_ns - s.slow_first.pace_since_ns >= MOVE_AFTER_NS and moves > 0:
        c = s.slow_first
        moves -= 1
        pace_set(s, c, PACE_NONE)
        _leave(s, c, -1)


cdef int64_t slow_next_ns(State *s) noexcept nogil:
    """Nanoseconds until something is due, or -1."""
    cdef int64_t wait_ns = -1, other_ns
    if s.fresh_first != NULL:
        wait_ns = <int64_t>(s.fresh_first.pace_since_ns + SLOW_AFTER_NS - s.now_ns)
        wait_ns = wait_ns if wait_ns > 0 else 0
    if s.slow_first != NULL:
        other_ns = <int64_t>(s.slow_first.pace_since_ns + MOVE_AFTER_NS - s.now_ns)
        other_ns = other_ns if other_ns > 0 else 0
        wait_ns = other_ns if wait_ns < 0 or other_ns < wait_ns else wait_ns
    return wait_ns


cdef void _all_leave(State *s, Conn *c, int slot) noexcept nogil:
    cdef Conn *following
    while c != NULL:
        following = c.pace_next
        _leave(s, c, slot)
        c = following


cdef void slow_leave(State *s, int slot) noexcept nogil:
    """The worker in `slot` is dead: nothing may be read from its arena any more."""
    _all_leave(s, s.fresh_first, slot)
    _all_leave(s, s.slow_first, slot)
