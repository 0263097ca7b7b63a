from libc.stdint cimport uint64_t

from cpython.ref cimport PyObject


cdef enum:
    CACHE_ROWS = 256          # a power of two
    MAX_CACHED_BYTES = 256    # longer keys are not remembered


cdef struct CacheRow:
    uint64_t hash
    PyObject *key             # bytes: what was hashed; NULL: nothing is found here
    PyObject *first
    PyObject *second
    PyObject *third


cdef class Cache:
    cdef CacheRow rows[CACHE_ROWS]
    cdef CacheRow passing     # of a key that is too long
    cdef CacheRow *find(self, const unsigned char *key, size_t length, uint64_t *hash) noexcept
    cdef CacheRow *keep(self, uint64_t hash, bytes key, object first, object second, object third)
