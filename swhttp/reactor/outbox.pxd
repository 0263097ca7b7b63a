from libc.stdint cimport uint64_t

from swhttp.reactor.state cimport Conn, State
from swhttp.reactor.system cimport iovec


cdef bint out_put(State *s, Conn *c, iovec *pieces, int count) noexcept nogil
cdef bint out_flush(State *s, Conn *c) noexcept nogil
cdef uint64_t out_pending(Conn *c) noexcept nogil
