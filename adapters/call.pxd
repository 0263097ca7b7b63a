from swhttp.adapters.flag cimport flag


cdef class Call:
    cdef object value           # the result, or what is yielded
    cdef flag begun
    cdef flag over              # it has returned, raised, or been given up
    cdef bint advance(self) except -1
    cdef int drop(self) except -1
    cdef bint step(self) except -1
