"""A request body that arrives while its app runs: what has come and was not read, and how much more may come.

It owns no memory of the body: chunks stay in the reactor's blocks until they are read, which is when their bytes are
copied; credit, and the final frame of the response, give the blocks back. So nothing here may be read after either.

Credit is given when CREDIT_BYTES or CREDIT_CHUNKS were read since the last, or when nothing is left to read: seldom for
a fast body, at once for a slow one. Both are well below what the reactor posts ahead, so that it need not pause.
"""

import collections

from libc.stdint cimport uint64_t

from cpython.bytes cimport PyBytes_FromStringAndSize, PyBytes_GET_SIZE

from swhttp.ipc.frame cimport sw_chunk

from swhttp import limits

cdef object new_queue = collections.deque
cdef uint64_t WINDOW_BYTES = limits.CREDIT_WINDOW_BYTES
cdef uint64_t CREDIT_BYTES = limits.CREDIT_WINDOW_BYTES // 4
cdef int CREDIT_CHUNKS = limits.MAX_CHUNKS_AHEAD // 2


cdef class Stream:
    """The body of one request."""

    def __cinit__(self):
        self.chunks = new_queue()

    cdef int add(self, const sw_chunk *chunk, bint last) except -1:
        """A chunk has come; `last`: nothing follows."""
        self.chunks.append(<size_t>chunk)
        self.ended = last
        return 0

    cdef bytes begin(self, bytes first):
        """The app asks for the body. `first`: what came with the request."""
        self.begun = True
        self.read_bytes = PyBytes_GET_SIZE(first)
        return first

    cdef bytes take(self):
        """The next chunk, copied, or None while there is none. `over` is set with the last one."""
        cdef const sw_chunk *chunk
        cdef bytes data
        if not self.chunks:
            return None
        chunk = <const sw_chunk *><size_t>self.chunks[0]
        data = PyBytes_FromStringAndSize(<const char *>chunk + sizeof(sw_chunk), chunk.length)
        self.chunks.popleft()
        self.read_bytes += chunk.length
        self.read_chunks += 1
        self.over = self.ended and not self.chunks
        return data

    cdef bint owes_credit(self) noexcept:
        """Is it time? Not for an empty end behind what was credited already: that would say the same again."""
        return self.read_bytes != self.credited and (
            not self.chunks or self.read_chunks >= CREDIT_CHUNKS or self.read_bytes - self.credited >= CREDIT_BYTES)

    cdef uint64_t credit(self) noexcept:
        """How much of the body may have been posted from now on. The caller publishes that."""
        self.credited = self.read_bytes
        self.read_chunks = 0
        return self.read_bytes + WINDOW_BYTES
