from swhttp.ipc.frame cimport sw_frame
from swhttp.reactor.state cimport Conn, SlotLink, State


cdef bint wsevents_done(State *s, Conn *c, SlotLink *link, const sw_frame *frame,
                        unsigned char *payload) noexcept nogil
cdef bint wsevents_denied(State *s, Conn *c, SlotLink *link, const sw_frame *frame,
                          unsigned char *payload) noexcept nogil
cdef void wsevents_next(State *s, Conn *c) noexcept nogil
cdef bint wsevents_lost(State *s, Conn *c) noexcept nogil
cdef void wsevents_worker_lost(State *s, Conn *c) noexcept nogil
cdef void wsevents_forsake(State *s, Conn *c) noexcept nogil
