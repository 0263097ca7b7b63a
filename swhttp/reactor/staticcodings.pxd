from libc.stdint cimport uint8_t

from swhttp.reactor.staticconditions cimport Wishes


cdef int codings_wanted(const Wishes *wishes, uint8_t *wanted) noexcept nogil
