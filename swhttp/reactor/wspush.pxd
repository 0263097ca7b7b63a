from libc.stdint cimport uint64_t

from swhttp.ipc.frame cimport sw_frame
from swhttp.reactor.state cimport Conn, SlotLink, State


cdef bint wspush_frame(State *s, int slot, const sw_frame *frame, unsigned char *payload) noexcept nogil
cdef bint wspush_verb(State *s, int slot, const sw_frame *frame, const unsigned char *head,
                      const unsigned char *body) noexcept nogil
cdef void wspush_drained(State *s, Conn *c) noexcept nogil
cdef void wspush_tell(State *s, int slot, uint64_t session) noexcept nogil
cdef void wspush_leave_all(State *s, Conn *c) noexcept nogil
