from libc.stdint cimport int64_t, uint64_t

from swhttp.reactor.state cimport State


cdef void overdue_setup(State *s, uint64_t slow_after_ns, uint64_t request_timeout_ns) noexcept
cdef void overdue_look(State *s) noexcept nogil
cdef int64_t overdue_next_ns(State *s) noexcept nogil
