from libc.stdint cimport uint64_t


cdef extern from "swhttp/ipc/fdpass.h" nogil:
    enum:
        SW_FD_NONE
        SW_FD_BROKEN
    bint sw_fd_send(int channel, int fd, uint64_t request_id)
    int sw_fd_receive(int channel, uint64_t *request_id)
    void sw_fd_drain(int channel)
