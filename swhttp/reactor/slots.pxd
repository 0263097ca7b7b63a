from libc.stdint cimport int64_t, uint32_t

from swhttp.reactor.state cimport State


cdef void slot_up(State *s, int slot, uint32_t generation, bint asgi) noexcept nogil
cdef void slot_stage(State *s, int slot, uint32_t generation, bint asgi) noexcept nogil
cdef void slot_stop(State *s, int slot) noexcept nogil
cdef void slot_rehome(State *s, int slot) noexcept nogil
cdef void slot_down(State *s, int slot) noexcept nogil
cdef void slots_switch(State *s, int nth) noexcept nogil
cdef void slots_look(State *s) noexcept nogil
cdef int64_t slots_next_ns(State *s) noexcept nogil
