from libc.stdint cimport uint32_t, uint64_t


cdef enum:
    MOST_RANGES = 16

cdef enum:
    RANGES_NONE = 0      # the whole file; otherwise how many there are
    RANGES_OUTSIDE = -1  # 416


cdef struct Range:
    uint64_t first
    uint64_t length


cdef int ranges_read(const char *text, uint32_t length, uint64_t size, Range *ranges) noexcept nogil
