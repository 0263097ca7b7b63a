from libc.stdint cimport int64_t

from swhttp.reactor.state cimport State


cdef void slow_look(State *s) noexcept nogil
cdef int64_t slow_next_ns(State *s) noexcept nogil
cdef void slow_leave(State *s, int slot) noexcept nogil
