cdef class EmptyInput:
    pass
