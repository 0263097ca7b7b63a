from libc.stdint cimport int64_t, uint32_t

from swhttp.ipc.frame cimport sw_block


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
    cdef bint websocket         # Upgrade names it
    cdef bint trusted           # the peer is believed
    cdef bint forwarded         # there are forwarding fields, of a peer that is believed
    cdef int hosts
    cdef int encodings
    cdef int64_t content_length
    cdef uint32_t authority_at
    cdef uint32_t authority_len

    cdef void begin(self, unsigned char *base, const unsigned char *line, uint32_t method_len, bint http10,
                    bint trusted)
    cdef void split_target(self, const unsigned char *target, uint32_t length)
    cdef void special(self, const unsigned char *name, uint32_t name_len, const unsigned char *value,
                      uint32_t value_len)
    cdef int checks(self)
    cdef void drop(self)
