from swhttp.reactor.iojobs cimport sw_io_pool


cdef class IoThreads:
    cdef sw_io_pool *pool
    cdef list threads
