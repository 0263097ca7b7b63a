from swhttp.adapters.cache cimport Cache


cdef class AsgiFields:
    cdef Cache names
    cdef Cache lines
    cdef bint ambiguous  # one of the names that were just read has '_'
    cdef list read(self, const unsigned char *records, int count)
    cdef object _pair(self, const unsigned char *record, size_t length)


cdef class WsgiFields:
    cdef Cache names
    cdef Cache lines
    cdef int read(self, const unsigned char *records, int count, dict environ) except -1
    cdef int _add(self, dict environ, str key, str value) except -1
