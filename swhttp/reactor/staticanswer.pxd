from libc.stdint cimport uint32_t

from swhttp.reactor.openat2 cimport sw_found
from swhttp.reactor.state cimport Conn, State
from swhttp.reactor.staticconditions cimport Wishes


cdef void answer_file(State *s, Conn *c, const Wishes *wishes, const unsigned char *path, uint32_t path_len,
                      const sw_found *found) noexcept nogil
cdef void answer_place(State *s, Conn *c) noexcept nogil
cdef void answer_without_file(State *s, Conn *c, int reason) noexcept nogil
