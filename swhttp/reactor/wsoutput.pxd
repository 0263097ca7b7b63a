from libc.stdint cimport uint8_t, uint16_t, uint32_t

from swhttp.reactor.state cimport Conn, State


cdef bint wsout_message(State *s, Conn *c, uint8_t opcode, bint more, const unsigned char *data,
                        size_t length) noexcept nogil
cdef bint wsout_message_in_block(State *s, Conn *c, uint8_t opcode, bint more, unsigned char *data, size_t length,
                                 int slot, uint32_t block) noexcept nogil
cdef bint wsout_close_later(Conn *c, uint16_t code, const unsigned char *reason, uint32_t length) noexcept nogil
cdef bint wsout_push(State *s, Conn *c, uint8_t opcode, const unsigned char *data, size_t length) noexcept nogil
cdef bint wsout_shared(State *s, Conn *c, const unsigned char *frame, size_t length) noexcept nogil
cdef bint wsout_control(State *s, Conn *c, uint8_t opcode, const unsigned char *data, uint32_t length) noexcept nogil
cdef bint wsout_close(State *s, Conn *c, uint16_t code, const unsigned char *reason, uint32_t length) noexcept nogil
cdef bint wsout_pong(State *s, Conn *c, const unsigned char *data, uint32_t length) noexcept nogil
cdef bint wsout_flushed(State *s, Conn *c) noexcept nogil
cdef void wsout_uncork(State *s) noexcept nogil
cdef void wsout_free(State *s, Conn *c) noexcept nogil
