from libc.stdint cimport uint32_t

from swhttp.ipc.blocks cimport SW_NO_BLOCK
from swhttp.reactor.logline cimport SW_LOG_ANSWERS, sw_access_log, sw_log_answer
from swhttp.reactor.state cimport CONN_LOGGED, Conn, State

cdef enum:
    CLIENT_GONE = 499  # nginx's word for it; no status of HTTP's


cdef void access_refused(State *s, Conn *c) noexcept nogil
cdef void access_accepted(State *s, Conn *c) noexcept nogil
cdef void access_lost(State *s, Conn *c) noexcept nogil
cdef void access_head(State *s, Conn *c, const unsigned char *head, const unsigned char *end) noexcept nogil
cdef bint access_wants_head(State *s, Conn *c) noexcept nogil
cdef uint32_t access_head_bytes(Conn *c, uint32_t length) noexcept nogil
cdef void access_lines(State *s) noexcept nogil
cdef void access_publish(State *s) noexcept nogil


# ---- what is noted of each request: inline, because a call into another module costs a request more than this does

cdef inline void access_note(Conn *c, sw_log_answer *answer) noexcept nogil:
    """Keep what a line says of `c`, all but what is in its block. The kept fields of the response go with it."""
    answer.since_ns = c.since_ns
    answer.fields = c.log_fields
    answer.row = c.row
    answer.flags = c.flags
    answer.served = c.served
    answer.pid = c.pid
    answer.status = c.status if c.status != 0 else CLIENT_GONE  # the app gave up before its head
    answer.body_bytes = c.body_bytes
    answer.wire_bytes = c.sent_bytes + c.out_bytes  # what still waits for the socket counts as sent
    c.log_fields = NULL
    c.flags |= CONN_LOGGED


cdef inline void access_answered(State *s, Conn *c) noexcept nogil:
    """The last of a worker's response has been put out. Its block is ours from here on."""
    cdef sw_access_log *log = s.access
    cdef sw_log_answer *answer = &log.answers[s.access_answers]
    access_note(c, answer)
    answer.block = c.block
    answer.block_class = c.block_class
    c.block = SW_NO_BLOCK
    s.access_answers += 1
    if s.access_answers == SW_LOG_ANSWERS:
        access_lines(s)
