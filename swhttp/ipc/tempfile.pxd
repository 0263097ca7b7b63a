from libc.stdint cimport uint64_t


cdef extern from "swhttp/ipc/tempfile.h" nogil:
    int sw_temp_file(const char *directory)
    bint sw_write_all(int fd, const unsigned char *data, size_t length, uint64_t at)
    bint sw_is_regular(int fd)
