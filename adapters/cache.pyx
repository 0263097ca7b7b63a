"""What requests have in common, remembered: octets to up to three immutable objects made of them.

Direct-mapped and small: a collision evicts, so it never grows. Found by a seeded hash in C and compared octet by octet.

A row that was found, or kept, holds until the next allocation: another thread may get the GIL there and evict it.
"""

import os

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.ref cimport Py_INCREF, Py_XDECREF, PyObject

from libc.stdint cimport uint64_t
from libc.string cimport memcmp, memset

from swhttp.adapters.octets cimport sw_hash

cdef uint64_t SEED = int.from_bytes(os.urandom(8), "little")


cdef void _forget(CacheRow row) noexcept:
    Py_XDECREF(row.key)
    Py_XDECREF(row.first)
    Py_XDECREF(row.second)
    Py_XDECREF(row.third)


cdef class Cache:
    """Octets to up to three objects."""

    def __cinit__(self):
        memset(self.rows, 0, sizeof(self.rows))
        memset(&self.passing, 0, sizeof(self.passing))

    def __dealloc__(self):
        cdef int i
        for i in range(CACHE_ROWS):
            _forget(self.rows[i])
        _forget(self.passing)

    cdef CacheRow *find(self, const unsigned char *key, size_t length, uint64_t *hash) noexcept:
        """The row that holds exactly this key, or NULL. `hash` is for `keep`."""
        cdef CacheRow *row
        if length > MAX_CACHED_BYTES:
            hash[0] = 0
            return NULL
        hash[0] = sw_hash(key, length, SEED)
        row = &self.rows[hash[0] & (CACHE_ROWS - 1)]
        if (row.key != NULL and row.hash == hash[0] and <size_t>PyBytes_GET_SIZE(<object>row.key) == length
                and memcmp(PyBytes_AS_STRING(<object>row.key), key, length) == 0):
            return row
        return NULL

    cdef CacheRow *keep(self, uint64_t hash, bytes key, object first, object second, object third):
        """A row with these objects. It will be found again unless the key is too long; what had it is forgotten."""
        cdef bint found_again = PyBytes_GET_SIZE(key) <= MAX_CACHED_BYTES
        cdef CacheRow *row = &self.rows[hash & (CACHE_ROWS - 1)] if found_again else &self.passing
        cdef CacheRow old = row[0]
        # From here to the end nothing is allocated, so nothing can let another thread in between.
        Py_INCREF(key)
        Py_INCREF(first)
        Py_INCREF(second)
        Py_INCREF(third)
        row.hash = hash
        row.key = <PyObject *>key
        row.first = <PyObject *>first
        row.second = <PyObject *>second
        row.third = <PyObject *>third
        _forget(old)
        return row
