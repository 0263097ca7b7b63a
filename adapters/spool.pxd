from libc.stdint cimport uint64_t


cdef class OpenFile:
    cdef readonly int fd


cdef class Spool(OpenFile):
    cdef uint64_t offset  # where the next piece goes: all before it is published
    cdef bint passed      # the reactor has it
    cdef uint64_t write(self, const unsigned char *data, uint64_t length) except 0
