from libc.stdint cimport uint64_t

from swhttp.ipc.frame cimport sw_chunk


cdef class Stream:
    cdef object chunks        # addresses of blocks that the app has not read
    cdef uint64_t read_bytes  # by the app, from the body's start
    cdef uint64_t credited    # `read_bytes` when credit was given last
    cdef int read_chunks      # since then
    cdef bint begun           # the app has asked for the body
    cdef bint ended           # the last chunk has come
    cdef bint over            # and was read
    cdef int add(self, const sw_chunk *chunk, bint last) except -1
    cdef bytes begin(self, bytes first)
    cdef bytes take(self)
    cdef bint owes_credit(self) noexcept
    cdef uint64_t credit(self) noexcept
