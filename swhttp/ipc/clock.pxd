from libc.stdint cimport uint64_t


cdef extern from "swhttp/ipc/clock.h" nogil:
    uint64_t sw_monotonic_ns()
