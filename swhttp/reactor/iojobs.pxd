from libc.stdint cimport uint8_t, uint32_t, uint64_t

from swhttp.reactor.openat2 cimport sw_found


cdef extern from "swhttp/reactor/iojobs.h" nogil:
    enum:
        SW_IO_OPEN
        SW_IO_READ
        SW_IO_BUFFER_BYTES
    ctypedef struct sw_io_job:
        sw_io_job *next
        sw_io_inbox *inbox
        void *connection
        void *file
        int kind
        int fd
        uint64_t at
        uint64_t length
        uint8_t wanted[4]
        uint8_t wanted_count
        sw_found found
        uint8_t index
        uint32_t path_length
        char path[1]
    ctypedef struct sw_io_inbox:
        int eventfd
    ctypedef struct sw_io_pool:
        pass
    void sw_io_init(sw_io_pool *pool, uint32_t most)
    bint sw_io_submit(sw_io_pool *pool, sw_io_job *job)
    sw_io_job *sw_io_take(sw_io_inbox *inbox)
    void sw_io_run(sw_io_pool *pool, char *buffer)
    void sw_io_stop(sw_io_pool *pool)
