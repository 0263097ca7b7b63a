cdef class Call:
    cdef object value           # the result, or what is yielded
    cdef bint begun
    cdef bint done
    cdef bint advance(self) except -1
    cdef int drop(self) except -1
    cdef bint step(self) except -1
