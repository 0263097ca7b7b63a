from libc.stdint cimport int64_t, uint64_t

from swhttp.reactor.state cimport Conn, State


cdef void timer_arm(State *s, Conn *c) noexcept nogil
cdef void timer_set(State *s, Conn *c, uint64_t deadline_ns) noexcept nogil
cdef uint64_t timer_earned(State *s, uint64_t deadline_ns, uint64_t length, uint64_t timeout_ns) noexcept nogil
cdef void timer_remove(State *s, Conn *c) noexcept nogil
cdef Conn *timer_expired(State *s) noexcept nogil
cdef int64_t timer_next_ns(State *s) noexcept nogil
