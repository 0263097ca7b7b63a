from swhttp.reactor.state cimport State


cdef bint settle_responses(State *s) noexcept nogil
cdef int settle_dead(State *s, int slot) noexcept nogil
cdef bint settle_anything_published(State *s) noexcept nogil
