from libc.stdint cimport uint16_t, uint32_t, uint64_t

from swhttp.reactor.state cimport Conn, SlotLink, State


cdef void dispatch_give_up(State *s, int slot) noexcept nogil
cdef int dispatch_submit(State *s, Conn *c, bint again) noexcept nogil
cdef int dispatch_replay(State *s, Conn *c) noexcept nogil
cdef void dispatch_waiting(State *s) noexcept nogil
cdef bint dispatch_could_go_on(State *s) noexcept nogil
cdef void dispatch_leave_queue(State *s, Conn *c) noexcept nogil
cdef bint dispatch_revoke(State *s, Conn *c) noexcept nogil
cdef void dispatch_finish(State *s, Conn *c) noexcept nogil
cdef bint dispatch_chunk(State *s, Conn *c, uint32_t block, int event) noexcept nogil
cdef void dispatch_tell(State *s, Conn *c, int event) noexcept nogil
cdef void dispatch_rebalance(State *s) noexcept nogil
cdef bint dispatch_untaken(State *s) noexcept nogil
cdef void dispatch_flush(State *s) noexcept nogil
cdef void dispatch_requeue(State *s, Conn *c) noexcept nogil
cdef bint dispatch_event(State *s, Conn *c, int event, uint32_t block, uint16_t flags) noexcept nogil
