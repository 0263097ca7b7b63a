from libc.stdint cimport int64_t, uint64_t

from swhttp.ipc.frame cimport sw_frame
from swhttp.reactor.state cimport Conn, SlotLink, State

cdef extern from *:
    """
    #define SW_CONTINUE "HTTP/1.1 100 Continue\\r\\n\\r\\n"
    """
    const char *SW_CONTINUE


cdef void response_clock(State *s) noexcept nogil
cdef unsigned char *response_fields(State *s, Conn *c, unsigned char *p) noexcept nogil
cdef bint response_frame(State *s, Conn *c, SlotLink *link, const sw_frame *frame,
                         unsigned char *payload) noexcept nogil
cdef void response_drop(State *s, Conn *c, SlotLink *link, const sw_frame *frame, unsigned char *payload) noexcept nogil
cdef void response_refuse(State *s, Conn *c, int reason) noexcept nogil
cdef void response_progress(State *s, Conn *c) noexcept nogil
cdef void response_own(State *s, Conn *c, int reason) noexcept nogil
cdef void response_continue(State *s, Conn *c) noexcept nogil
cdef void response_cut(State *s, Conn *c) noexcept nogil
