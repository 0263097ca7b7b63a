from libc.stdint cimport uint16_t, uint32_t, uint64_t

from swhttp.reactor.state cimport Conn, State


cdef uint64_t wsin_due_ns(State *s, Conn *c) noexcept nogil
cdef void wsin_put_off(State *s, Conn *c) noexcept nogil
cdef bint wsin_wants(State *s, Conn *c) noexcept nogil
cdef size_t wsin_feed(State *s, Conn *c, unsigned char *data, size_t length) noexcept nogil
cdef void wsin_post(State *s, Conn *c) noexcept nogil
cdef bint wsin_credit(State *s, Conn *c) noexcept nogil
cdef uint32_t wsin_whole(Conn *c) noexcept nogil
cdef void wsin_take(State *s, Conn *c, unsigned char *to) noexcept nogil
cdef void wsin_end(State *s, Conn *c, uint16_t code, const unsigned char *reason, uint32_t length) noexcept nogil
cdef void wsin_forget(State *s, Conn *c) noexcept nogil
cdef void wsin_free(State *s, Conn *c) noexcept nogil
