from swhttp.reactor.state cimport State


cdef int spare_take(State *s) noexcept nogil
cdef void spare_give(State *s, int fd) noexcept nogil
cdef void spares_close(State *s) noexcept nogil
