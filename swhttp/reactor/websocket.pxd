from libc.stdint cimport int64_t, uint16_t, uint32_t

from swhttp.ipc.frame cimport sw_block, sw_frame
from swhttp.reactor.state cimport Conn, SlotLink, State


cdef bint ws_offer(State *s, Conn *c, bytes answer, object deflation)
cdef bint ws_is_open(Conn *c) noexcept nogil
cdef bint ws_frame(State *s, Conn *c, SlotLink *link, int slot, const sw_frame *frame,
                   unsigned char *payload) noexcept nogil
cdef bint ws_credit(State *s, Conn *c) noexcept nogil
cdef void ws_input(State *s, Conn *c, unsigned char *data, size_t length) noexcept nogil
cdef bint ws_go_on(State *s, Conn *c) noexcept nogil
cdef void ws_tell_gone(State *s, Conn *c) noexcept nogil
cdef void ws_flushed(State *s, Conn *c) noexcept nogil
cdef bint ws_ping(State *s, Conn *c, const unsigned char *data, uint32_t length) noexcept nogil
cdef void ws_peer_closes(State *s, Conn *c, uint16_t code, const unsigned char *data, uint32_t length) noexcept nogil
cdef void ws_fail(State *s, Conn *c, uint16_t code, const char *why) noexcept nogil
cdef void ws_warn(State *s, Conn *c, const char *why) noexcept nogil
cdef void ws_no_memory(State *s, Conn *c) noexcept nogil
cdef void ws_close(State *s, Conn *c, uint16_t code, const unsigned char *reason, uint32_t length) noexcept nogil
cdef void ws_after(State *s, Conn *c) noexcept nogil
cdef void ws_break(State *s, Conn *c) noexcept nogil
cdef bint ws_lost(State *s, Conn *c) noexcept nogil
cdef void ws_release(State *s, Conn *c) noexcept nogil
cdef void ws_worker_lost(State *s, Conn *c) noexcept nogil
cdef void ws_refused(State *s, Conn *c, int reason) noexcept nogil
cdef void ws_timer(State *s, Conn *c) noexcept nogil
cdef void ws_end_all(State *s) noexcept nogil
cdef void ws_end_slot(State *s, int slot) noexcept nogil
cdef const sw_block *ws_head(Conn *c) noexcept nogil
cdef void ws_free(State *s, Conn *c) noexcept nogil
