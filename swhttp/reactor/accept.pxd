from libc.stdint cimport int64_t

from swhttp.ipc.sessions cimport sw_address
from swhttp.reactor.state cimport Conn, State

cdef enum:
    SW_DATA_LISTENERS = 16      # epoll's user data of the first listener: below any real address, as connections have
    SW_DATA_CONNECTIONS = 4096  # from here on it is a pointer to a Conn

cdef int64_t accept_wait_ns(State *s) noexcept nogil
cdef void accept_listen(State *s, bint on) noexcept nogil
cdef Conn *accept_adopt(State *s, int fd, const sw_address *address) noexcept nogil
cdef int accept_new(State *s, int which) noexcept nogil
cdef void accept_again(State *s) noexcept nogil
cdef void accept_hold_no_more(State *s) noexcept nogil
cdef void accept_rest(State *s) noexcept nogil
