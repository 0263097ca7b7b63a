from libc.stdint cimport uint32_t, uint64_t

from swhttp.reactor.state cimport Conn, OutFile, State
from swhttp.reactor.system cimport iovec


cdef enum:
    OUT_LOST = -1
    OUT_DONE = 0
    OUT_AGAIN = 1
    # A file as short as this shares its first packet with the head. A longer one follows the head's own: the client
    # reads while we send, and more of the transmission is done when its acknowledgements come, not in our sendfile.
    # 10 MiB over loopback took a third less CPU here with BBR (and more of the client's), as much with CUBIC.
    JOINED_FILE_BYTES = 65536


cdef bint out_put(State *s, Conn *c, iovec *pieces, int count, bint more) noexcept nogil
cdef bint out_put_block(State *s, Conn *c, iovec *pieces, int count, int which, int slot, uint32_t block) noexcept nogil
cdef bint out_put_file(State *s, Conn *c, OutFile *file, uint64_t at, uint64_t length, bint chunk) noexcept nogil
cdef int out_flush(State *s, Conn *c) noexcept nogil
cdef bint out_begin(State *s, Conn *c) noexcept nogil
cdef bint out_keep(State *s, Conn *c, const unsigned char *data, size_t length) noexcept nogil
cdef void out_drop(State *s, Conn *c) noexcept nogil
cdef int out_leave_arena(State *s, Conn *c, int slot) noexcept nogil
cdef OutFile *out_file_new(State *s, int fd) noexcept nogil
cdef void out_file_drop(State *s, OutFile *file) noexcept nogil
cdef void pace_set(State *s, Conn *c, int pace) noexcept nogil
