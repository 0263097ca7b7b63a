from libc.stdint cimport int64_t


cdef class Looks:
    cdef int few
    cdef int64_t taken_before        # at the last question
    cdef int lone_run                # questions in a row that found that few requests had come since the one before
    cdef int skip                    # looks that are not worth it, after looks in vain
    cdef int backoff                 # how many the next one in vain costs
    cpdef bint worth(self, int64_t taken) noexcept
    cpdef void learn(self, bint found) noexcept
