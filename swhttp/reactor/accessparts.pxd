from swhttp.reactor.logline cimport sw_access_log


cdef int access_setup(sw_access_log *log, format) except -1
