from libc.stdint cimport uint8_t

from swhttp.adapters.call cimport Call


cdef enum Blocking:
    NO_FUTURE                   # nobody waits for it: it is a coroutine, and nothing else
    YIELDED
    AWAITED                     # the task has seen it


cdef class Bell(Call):
    cdef object wake_up         # of the task that waits; None: it has been called, or will be
    cdef object context
    cdef Bell next              # of those who wait for the same
    cdef uint8_t blocking       # Blocking
    cdef bint suspend(self) except -1
    cdef int resumed(self) noexcept
    cdef int ring(self) except -1
    cdef int ring_soon(self) except -1
