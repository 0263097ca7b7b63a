# One byte for yes or no; a `bint` has four, and there are objects for each of ten thousand WebSockets.
cdef extern from "<stdbool.h>":
    ctypedef bint flag "bool"
