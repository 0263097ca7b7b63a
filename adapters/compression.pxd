from libc.stdint cimport int64_t, uint64_t

from swhttp.adapters.cache cimport Cache
from swhttp.adapters.head cimport Head
from swhttp.ipc.frame cimport sw_block


cdef enum:
    FEED_MORE = 0    # as in coders.py
    FEED_FLUSH = 1
    FEED_END = 2


cdef class Compression:
    cdef tuple codings
    cdef dict makers
    cdef dict costs             # coding -> memory of one packer
    cdef int64_t min_bytes
    cdef object types
    cdef Cache known_types      # Content-Type -> is it compressed
    cdef Cache known_clients    # Accept-Encoding -> coding or None
    cdef readonly int active    # packers that are not released
    cdef readonly int most
    cdef uint64_t held_bytes    # by them
    cdef uint64_t most_bytes
    cdef str weigh(self, Head head, const sw_block *block, int64_t length, bint partial)
    cdef int weigh_revalidation(self, Head head, const sw_block *block) except -1
    cdef Packer pack(self, str coding, int64_t length)
    cdef bint _is_type(self, const unsigned char *value, size_t length) except -1
    cdef str _coding_for(self, const sw_block *block)


cdef class Packer:
    cdef Compression compression
    cdef object coder
    cdef uint64_t cost          # bytes
    cdef bytearray out          # has come out, and is not published yet
    cdef Py_ssize_t out_at      # ... from here on
    cdef bint whole             # the body is here at once: it is published when it has ended, with its length
    cdef bint ended             # all has come out
    cdef int64_t promised       # body bytes that the app has announced and not yet given, or SW_NO_LENGTH
    cdef uint64_t file_bytes    # read of the file that is on its way
    cdef int feed(self, const unsigned char *data, Py_ssize_t length, int how) except -1
    cdef Py_ssize_t waiting(self) noexcept
    cdef int taken(self, Py_ssize_t length) except -1
    cdef int release(self) except -1
