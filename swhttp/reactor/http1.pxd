from libc.stdint cimport int64_t, uint32_t

from swhttp.ipc.frame cimport sw_block
from swhttp.reactor.state cimport Conn, State


cdef class Http1Parser:
    cdef object feed
    cdef object should_keep_alive
    # The message being parsed.
    cdef sw_block *block
    cdef unsigned char *base
    cdef uint32_t at
    cdef int reason
    cdef bint complete
    cdef bint pooled
    cdef bint keep_alive
    cdef bint close
    cdef bint in_trailers
    cdef bint http10
    cdef bint chunked
    cdef bint expects
    cdef int hosts
    cdef int encodings
    cdef int64_t content_length
    cdef uint32_t authority_at
    cdef uint32_t authority_len

    cdef void begin(self, unsigned char *base, const unsigned char *line, uint32_t method_len, bint http10)
    cdef void split_target(self, const unsigned char *target, uint32_t length)
    cdef void special(self, const unsigned char *name, uint32_t name_len, const unsigned char *value,
                      uint32_t value_len)
    cdef int checks(self)
    cdef void drop(self)


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
    cdef int head(self, Conn *c, const unsigned char *data, uint32_t start, uint32_t end, uint32_t length,
                  uint32_t *used)
    cdef int body(self, Conn *c, Http1Parser parser, bint upgraded, const unsigned char *data, uint32_t end,
                  uint32_t length, uint32_t *used)
    cdef int chunks(self, Conn *c, Http1Parser parser, const unsigned char *data, uint32_t length, uint32_t *used)
    cdef int feed_piece(self, Http1Parser parser, const unsigned char *data, uint32_t length, bint *upgraded)
    cdef int into_block(self, Conn *c, Http1Parser parser, const unsigned char *data, uint32_t here, uint32_t whole)
    cdef int into_file(self, Conn *c, Http1Parser parser, const unsigned char *data, uint32_t here)
    cdef int expect(self, Conn *c, Http1Parser parser)
    cdef int stream(self, Conn *c, Http1Parser parser)
    cdef unsigned char *sink(self, Conn *c, Http1Parser parser, uint32_t more, uint32_t *room)
    cdef int sunk(self, Conn *c, uint32_t copied)
    cdef void chunks_end(self, Conn *c, Http1Parser parser, bint upgraded)
    cdef void release(self, Http1Parser parser, bint upgraded)
    cdef void done(self, Conn *c, Http1Parser parser, bint upgraded)
    cdef bint room_for_body(self, Conn *c, Http1Parser parser, uint32_t more)


cdef void ready(State *s, Conn *c) noexcept nogil
