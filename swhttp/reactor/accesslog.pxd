from libc.stdint cimport uint32_t

from swhttp.reactor.state cimport Conn, State


cdef void access_answered(State *s, Conn *c) noexcept nogil
cdef void access_refused(State *s, Conn *c) noexcept nogil
cdef void access_accepted(State *s, Conn *c) noexcept nogil
cdef void access_lost(State *s, Conn *c) noexcept nogil
cdef void access_head(State *s, Conn *c, const unsigned char *head, const unsigned char *end) noexcept nogil
cdef bint access_wants_head(State *s, Conn *c) noexcept nogil
cdef uint32_t access_head_bytes(Conn *c, uint32_t length) noexcept nogil
cdef void access_publish(State *s) noexcept nogil
