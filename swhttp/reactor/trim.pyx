"""Memory of a crowd that has left: back to the kernel, at a quiet moment.

Thousands of slow clients touch pages of the request blocks, and heap. Neither shrinks by itself: the blocks are reused
from the lowest, the heap keeps what lies between what is in use. So when most of what was ever used is free again, some
of it is given back, a little at a time, every TRIM_EVERY_S until nothing is left to give. A server that serves what it
usually serves does nothing here. Runs without the GIL.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from swhttp.ipc.blocks cimport sw_blocks_trim

from swhttp import limits

cdef extern from "<malloc.h>" nogil:
    int malloc_trim(size_t pad)

cdef uint64_t TRIM_EVERY_NS = <uint64_t>(limits.TRIM_EVERY_S * 1e9)
cdef uint64_t TRIM_BYTES = limits.TRIM_BYTES
cdef uint64_t TRIM_AGAIN_NS = <uint64_t>(limits.TRIM_AGAIN_S * 1e9)
cdef uint64_t KEEP_BYTES = limits.KEEP_BLOCK_BYTES
cdef uint64_t USUAL_BYTES = (len(limits.BLOCK_CLASSES) + 4) * limits.KEEP_BLOCK_BYTES  # so it ends below it
cdef uint32_t CROWD = 256        # connections
cdef uint32_t MOST_IN_USE = 4    # a quarter


cdef bint _crowded(State *s) noexcept nogil:
    return s.blocks.fresh_bytes > USUAL_BYTES or s.most_open > CROWD


cdef void trim_look(State *s) noexcept nogil:
    """Do what is due."""
    if not _crowded(s):
        s.trim_at_ns = 0
        return
    if s.trim_at_ns == 0:
        s.trim_at_ns = s.now_ns + TRIM_EVERY_NS
    if s.now_ns < s.trim_at_ns:
        return
    s.trim_at_ns = s.now_ns + TRIM_EVERY_NS
    if s.blocks.fresh_bytes > USUAL_BYTES and s.blocks.in_use * MOST_IN_USE <= s.blocks.fresh:
        if sw_blocks_trim(&s.blocks, KEEP_BYTES, TRIM_BYTES) == 0:
            s.trim_at_ns = s.now_ns + TRIM_AGAIN_NS
    elif s.most_open > CROWD and s.open * MOST_IN_USE <= s.most_open:
        s.most_open = s.open
        malloc_trim(0)


cdef int64_t trim_next_ns(State *s) noexcept nogil:
    """Nanoseconds until something is due, or -1."""
    if not _crowded(s):
        return -1
    return <int64_t>(s.trim_at_ns - s.now_ns) if s.trim_at_ns > s.now_ns else 0
