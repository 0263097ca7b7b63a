from libc.stdint cimport uint8_t, uint32_t, uint64_t

from swhttp.reactor.state cimport Conn, State


cdef int body_leave_block(State *s, Conn *c) noexcept nogil
cdef uint32_t body_room(State *s, uint32_t here, uint32_t whole) noexcept nogil
cdef void body_move_block(State *s, Conn *c, uint32_t block, uint8_t block_class) noexcept nogil
cdef bint body_open(State *s, Conn *c, uint64_t received) noexcept nogil
cdef int body_to_file(State *s, Conn *c, const unsigned char *data, size_t length) noexcept nogil
cdef bint body_discards(Conn *c) noexcept nogil
cdef bint body_waits(State *s, Conn *c) noexcept nogil
cdef unsigned char *body_target(State *s, Conn *c, size_t *room) noexcept nogil
cdef void body_untouched(State *s, Conn *c) noexcept nogil
cdef int body_received(State *s, Conn *c, size_t length) noexcept nogil
cdef void body_progress(State *s, Conn *c, size_t length) noexcept nogil
cdef uint64_t body_so_far(State *s, Conn *c) noexcept nogil
cdef bint body_post(State *s, Conn *c) noexcept nogil
cdef bint body_credit(State *s, Conn *c, uint64_t credit) noexcept nogil
cdef void body_whole(State *s, Conn *c) noexcept nogil
cdef void body_answered(State *s, Conn *c) noexcept nogil
