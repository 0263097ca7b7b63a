from libc.stdint cimport int64_t

from swhttp.ipc.arena cimport sw_arena


cdef class Departure:
    cdef int64_t most            # requests at once, of the crowd
    cdef int64_t taken_before
    cdef int quiet               # looks in a row
    cdef readonly bint busy      # at the last look
    cpdef bint look(self, int64_t in_flight, int64_t taken) noexcept
    cpdef bint is_crowd(self, int64_t in_flight) noexcept


cdef bint arena_is_crowded(const sw_arena *arena) noexcept nogil
cdef void give_back(sw_arena *arena) noexcept nogil
