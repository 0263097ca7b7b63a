from libc.stdint cimport uint32_t, uint64_t

from swhttp.reactor.state cimport Conn, State


cdef enum:
    BOUNDARY_MORE = 0      # not the whole of it yet
    BOUNDARY_WHOLE = -1
    BOUNDARY_FULL = -2     # otherwise a REASON_


cdef int boundary_head(State *s, Conn *c, const unsigned char *data, uint32_t length, uint32_t *start,
                       uint32_t *end) noexcept nogil
cdef int boundary_chunks(Conn *c, const unsigned char *data, uint32_t length, uint32_t *used, unsigned char *to,
                         uint32_t room, uint32_t *copied, uint64_t allowed) noexcept nogil
