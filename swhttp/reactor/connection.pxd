from libc.stdint cimport uint32_t, uint64_t

from swhttp.ipc.frame cimport sw_block
from swhttp.ipc.sessions cimport sw_address
from swhttp.reactor.state cimport Conn, State, Upload


cdef enum:
    MOST_WHY_BYTES = 128     # of a reason in a line of the log, with the 0 behind it


cdef Conn *conn_open(State *s, int fd, const sw_address *address) noexcept nogil
cdef void conn_set_address(State *s, Conn *c, const sw_address *address) noexcept nogil
cdef void conn_watch(State *s, Conn *c) noexcept nogil
cdef void conn_show_cut(Conn *c) noexcept nogil
cdef void conn_give_up(Conn *c) noexcept nogil
cdef void conn_close(State *s, Conn *c) noexcept nogil
cdef void conn_drop_chunks(State *s, Upload *u, uint64_t read) noexcept nogil
cdef void conn_leave(State *s) noexcept nogil
cdef void conn_wake_others(State *s) noexcept nogil
cdef uint64_t conn_idle_until_ns(State *s, Conn *c) noexcept nogil
cdef void conn_tell_gone(State *s, Conn *c) noexcept nogil
cdef void conn_starve(State *s, Conn *c) noexcept nogil
cdef void conn_feed_starved(State *s) noexcept nogil
cdef void conn_release(State *s, Conn *c) noexcept nogil
cdef void conn_drop_block(State *s, Conn *c) noexcept nogil
cdef void conn_end(State *s, Conn *c) noexcept nogil
cdef void conn_next(State *s, Conn *c) noexcept nogil
cdef void conn_todo(State *s, Conn *c) noexcept nogil
cdef bint conn_keep_input(Conn *c, const unsigned char *data, uint32_t length) noexcept nogil
cdef void conn_consume_input(Conn *c, uint32_t length) noexcept nogil
cdef void conn_log(State *s, Conn *c, int level, int status, const char *slug) noexcept nogil
cdef void conn_log_request(State *s, Conn *c, int level, int status, const char *slug) noexcept nogil
cdef void conn_log_why(State *s, Conn *c, int level, int status, const char *slug, const char *why) noexcept nogil
cdef const sw_block *conn_request(State *s, Conn *c) noexcept nogil
cdef void conn_request_text(State *s, Conn *c, char *text, size_t room) noexcept nogil
