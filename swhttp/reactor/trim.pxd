from libc.stdint cimport int64_t

from swhttp.reactor.state cimport State


cdef void trim_look(State *s) noexcept nogil
cdef int64_t trim_next_ns(State *s) noexcept nogil
