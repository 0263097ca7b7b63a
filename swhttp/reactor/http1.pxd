from libc.stdint cimport uint8_t, uint32_t

from swhttp.reactor.parser cimport Http1Parser
from swhttp.reactor.state cimport Conn, State


cdef class Http1:
    cdef State *state
    cdef list pool
    cdef object unknown_method
    cdef object bad_syntax
    cdef object upgraded
    cdef object callback_failed

    cdef void bury(self)
    cdef void input(self, Conn *c, const unsigned char *data, uint32_t length)
    cdef int advance(self, Conn *c, const unsigned char *data, uint32_t length, uint32_t *used)
    cdef int proxied(self, Conn *c, const unsigned char *data, uint32_t length, uint32_t *used)
    cdef int origin(self, Conn *c, Http1Parser parser)
    cdef int head(self, Conn *c, const unsigned char *data, uint32_t start, uint32_t end, uint32_t length,
                  uint32_t *used)
    cdef bint secure(self, Conn *c, Http1Parser parser)
    cdef int body(self, Conn *c, Http1Parser parser, bint upgraded, const unsigned char *data, uint32_t end,
                  uint32_t length, uint32_t *used)
    cdef int chunks(self, Conn *c, Http1Parser parser, const unsigned char *data, uint32_t length, uint32_t *used)
    cdef int feed_piece(self, Http1Parser parser, const unsigned char *data, uint32_t length, bint *upgraded)
    cdef bint follows(self, Http1Parser parser)
    cdef int into_block(self, Conn *c, Http1Parser parser, const unsigned char *data, uint32_t here, uint32_t room)
    cdef int into_file(self, Conn *c, Http1Parser parser, const unsigned char *data, uint32_t here)
    cdef void shrink(self, Conn *c, Http1Parser parser)
    cdef void move(self, Conn *c, Http1Parser parser, uint32_t block, uint8_t block_class)
    cdef int expect(self, Conn *c, Http1Parser parser)
    cdef int stream(self, Conn *c, Http1Parser parser)
    cdef unsigned char *sink(self, Conn *c, Http1Parser parser, uint32_t more, uint32_t *room)
    cdef int sunk(self, Conn *c, uint32_t copied)
    cdef void chunks_end(self, Conn *c, Http1Parser parser, bint upgraded)
    cdef void release(self, Http1Parser parser, bint upgraded)
    cdef void done(self, Conn *c, Http1Parser parser, bint upgraded)
    cdef bint room_for_body(self, Conn *c, Http1Parser parser, uint32_t more)


cdef void ready(State *s, Conn *c) noexcept nogil
