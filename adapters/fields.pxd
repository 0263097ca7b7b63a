from libc.stdint cimport uint64_t

from cpython.ref cimport PyObject


cdef enum:
    CACHE_ROWS = 256          # a power of two
    MAX_CACHED_BYTES = 256    # longer names, values and targets are made anew each time


cdef struct CacheRow:
    uint64_t hash
    PyObject *key             # bytes: what was hashed
    PyObject *first
    PyObject *second
    PyObject *third


cdef class Cache:
    cdef CacheRow rows[CACHE_ROWS]
    cdef CacheRow *find(self, const unsigned char *key, size_t length, uint64_t *hash) noexcept
    cdef CacheRow *keep(self, uint64_t hash, bytes key, object first, object second, object third)


cdef class AsgiFields:
    cdef Cache names
    cdef Cache lines
    cdef list read(self, const unsigned char *records, int count)
    cdef object _pair(self, const unsigned char *record, size_t length)


cdef class WsgiFields:
    cdef Cache names
    cdef Cache lines
    cdef int read(self, const unsigned char *records, int count, dict environ) except -1
    cdef int _add(self, dict environ, str key, str value) except -1
