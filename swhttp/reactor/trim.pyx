"""Memory of a crowd that has left: back to the kernel, at a quiet moment.

Thousands of slow clients touch pages of the request blocks, and heap. Neither shrinks by itself: the blocks are reused
from the lowest, the heap keeps what lies between what is in use. So when most of what was ever used is free again, some
of it is given back, a little at a time, every TRIM_EVERY_S until nothing is left to give. A server that serves what it
usually serves does nothing here. Runs without the GIL.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from swhttp.ipc.blocks cimport sw_blocks_trim

from swhttp import limits

cdef extern from "<sys/mman.h>" nogil:
    enum:
        MADV_DONTNEED
    int madvise(void *address, size_t length, int advice)


cdef extern from "<malloc.h>" nogil:
    int malloc_trim(size_t pad)


cdef uint64_t TRIM_EVERY_NS = <uint64_t>(limits.TRIM_EVERY_S * 1e9)
cdef uint64_t TRIM_BYTES = limits.TRIM_BYTES
cdef uint64_t TRIM_AGAIN_NS = <uint64_t>(limits.TRIM_AGAIN_S * 1e9)
cdef uint64_t KEEP_BYTES = limits.KEEP_BLOCK_BYTES
cdef uint64_t USUAL_BYTES = (len(limits.BLOCK_CLASSES) + 4) * limits.KEEP_BLOCK_BYTES  # so it ends below it
cdef size_t PAGE = 4096
cdef uint32_t CROWD = limits.CROWD_CONNECTIONS
cdef uint32_t MOST_IN_USE = 4    # a quarter


cdef bint _crowded(State *s) noexcept nogil:
    return s.blocks.fresh_bytes > USUAL_BYTES or s.most_open > CROWD


cdef void _trim_rows(State *s) noexcept nogil:
    """Give back the rows of connections behind the last one in use. A row is free when it is on the list of free ones:
    nothing refers to it."""
    cdef uint32_t i, row, count = 0, end = s.conns_used
    cdef size_t begin, limit
    cdef unsigned char *is_free = <unsigned char *>calloc(end + 1, 1)
    if is_free == NULL:
        return
    for i in range(s.free_row_count):
        is_free[s.free_rows[i]] = 1
    while end > 0 and is_free[end - 1]:
        end -= 1
        if s.conns[end].generation > s.last_generation:
            s.last_generation = s.conns[end].generation
    for i in range(end):
        row = end - 1 - i  # the lowest are used first
        if is_free[row]:
            s.free_rows[count] = row
            count += 1
    begin = (<size_t>&s.conns[end] + PAGE - 1) & ~<size_t>(PAGE - 1)
    limit = <size_t>&s.conns[s.conns_used] & ~<size_t>(PAGE - 1)
    s.free_row_count = count
    s.conns_used = end
    if begin < limit:
        madvise(<void *>begin, limit - begin, MADV_DONTNEED)
    free(is_free)


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
    if s.most_open > CROWD and s.open * MOST_IN_USE <= s.most_open:
        s.most_open = s.open
        _trim_rows(s)
        malloc_trim(0)


cdef int64_t trim_next_ns(State *s) noexcept nogil:
    """Nanoseconds until something is due, or -1."""
    if not _crowded(s):
        return -1
    return <int64_t>(s.trim_at_ns - s.now_ns) if s.trim_at_ns > s.now_ns else 0
