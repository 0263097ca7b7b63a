cdef class Bell:
    cdef public object _asyncio_future_blocking
    cdef object loop
    cdef object wake_up         # of the task that waits; None: it has been called, or will be
    cdef object context
    cdef Bell next              # of those who wait for the same
    cdef int ring(self) except -1
    cdef int ring_soon(self) except -1
