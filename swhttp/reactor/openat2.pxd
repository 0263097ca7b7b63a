from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from swhttp.reactor.system cimport ssize_t


cdef extern from "swhttp/reactor/openat2.h" nogil:
    enum:
        SW_CODING_BR
        SW_CODING_ZSTD
        SW_CODING_GZIP
        SW_CODING_IDENTITY
        SW_CODINGS
        SW_SUFFIX_BYTES
    const char *const SW_CODING_NAME[]
    ctypedef struct sw_found:
        int fd
        int error
        uint8_t directory
        uint8_t coding
        uint64_t size
        int64_t mtime_s
        uint32_t mtime_ns
    int sw_open_beneath(int dir, const char *path, bint cached)
    bint sw_find_file(int dir, char *path, uint32_t length, const uint8_t *wanted, int count, bint cached,
                      sw_found *found)
    ssize_t sw_read_now(int fd, void *to, size_t length, uint64_t at)
    uint64_t SW_STEP_BYTES
    bint sw_in_steps(int fd, uint64_t at, uint64_t length)
    bint sw_in_memory(int fd, uint64_t at, uint64_t length)
