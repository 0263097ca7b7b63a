from libc.stdint cimport uint32_t

from swhttp.reactor.state cimport Conn, State


cdef void receive_piece(State *s, Conn *c, unsigned char *data, uint32_t length) noexcept nogil
cdef void receive_body(State *s, Conn *c) noexcept nogil
cdef bint receive_is_over(State *s, Conn *c) noexcept nogil
cdef void receive_tell(State *s, Conn *c, const char *slug) noexcept nogil
cdef void receive_some(State *s, Conn *c) noexcept nogil
