from libc.stdint cimport uint8_t, uint32_t, uint64_t

from cpython.ref cimport PyObject

from swhttp.reactor.state cimport Conn, State
from swhttp.reactor.system cimport iovec, ssize_t


cdef enum:
    TLS_BATCH = 4             # records encrypted at once, before the socket is asked
    TLS_LOST = -1             # the connection is
    TLS_AGAIN = -2            # nothing now: epoll will tell
    TLS_REFUSED = -3          # no TLS came about; the client may be told why, and is to be let go
    TLS_HTTP = -4             # the same, for it speaks HTTP


cdef struct Tls:
    # Python's objects, of one another's making: NULL until the client has sent something.
    PyObject *session         # ssl.SSLObject
    PyObject *incoming        # ssl.MemoryBIO
    PyObject *outgoing
    PyObject *certificates    # with which it was begun
    PyObject *facts           # bytes: what the request block says of it
    # Ciphertext that the socket has not taken.
    unsigned char *kept
    uint32_t kept_at
    uint32_t kept_to
    uint32_t ends[TLS_BATCH]  # of records of the outbox's plaintext, from the start of `kept`
    uint32_t plain[TLS_BATCH]  # plaintext bytes in each
    uint64_t left             # plaintext that has left, and that the outbox has not heard of
    uint8_t records
    uint8_t record            # the first that has not left
    # The record that is coming.
    uint8_t header_bytes      # of its header, as long as that is not whole
    unsigned char length_high
    uint32_t record_left      # ciphertext bytes
    uint64_t begun_ns         # since when
    unsigned char ahead       # a byte of plaintext that was read to see whether there is one
    bint has_ahead
    bint done                 # the handshake is
    bint failed
    bint ended                # the client has said that nothing more comes
    bint hungry               # there is no more plaintext without more ciphertext
    bint drained              # the socket has none: if it gets some, epoll tells
    bint end_said             # close_notify is out, or on its way
    bint shut_due             # our side is to be shut down once what is kept is out


cdef void tls_setup(State *s) except *
cdef void tls_free(State *s) noexcept
cdef bint tls_open(State *s, Conn *c) noexcept nogil
cdef void tls_close(Conn *c) noexcept nogil
cdef bint tls_shaking(Conn *c) noexcept nogil
cdef bint tls_more(Conn *c) noexcept nogil
cdef uint64_t tls_busy_until_ns(State *s, Conn *c) noexcept nogil
cdef ssize_t tls_recv(State *s, Conn *c, unsigned char *to, size_t room) noexcept nogil
cdef bint tls_feed(State *s, Conn *c, const unsigned char *data, size_t length)
cdef int tls_waiting_bytes(Conn *c) noexcept nogil
cdef int tls_unread(State *s, Conn *c) noexcept nogil
cdef ssize_t tls_send(State *s, Conn *c, iovec *pieces, int count) noexcept nogil
cdef ssize_t tls_send_file(State *s, Conn *c, int fd, uint64_t at, uint64_t most) noexcept nogil
cdef bint tls_flush(State *s, Conn *c) noexcept nogil
cdef void tls_end(State *s, Conn *c) noexcept nogil
cdef void tls_shut(Conn *c) noexcept nogil
