from libc.stdint cimport uint64_t


cdef extern from "swhttp/ipc/tempfile.h" nogil:
    int sw_temp_file(const char *directory)
    bint sw_write_all(int fd, const unsigned char *data, size_t length, uint64_t at)
    void sw_temp_why(char *text, size_t room, const char *directory, int error)
    bint sw_is_shorter(int fd, uint64_t end)
    size_t sw_path_of(int fd, char *path, size_t room)
    bint sw_is_regular(int fd)
