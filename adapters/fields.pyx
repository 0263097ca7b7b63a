"""Request fields as the objects that apps see, with memory for what comes again and again.

Requests repeat themselves: a browser sends the same fifteen fields each time. Names, whole fields and targets are
remembered in small direct-mapped caches (a collision evicts, so they never grow), found by a hash in C and compared
octet by octet. What they hold is immutable. Credentials are never remembered.

A row that was found holds until the next allocation: another thread may get the GIL there and evict it.
"""

from libc.stdint cimport uint64_t
from libc.string cimport memcmp, memset

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem, PyDict_SetItem
from cpython.list cimport PyList_New, PyList_SET_ITEM
from cpython.ref cimport Py_INCREF, Py_XDECREF, PyObject
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM
from cpython.unicode cimport PyUnicode_DecodeLatin1

from swhttp.adapters.octets cimport sw_environ_key, sw_hash
from swhttp.ipc.frame cimport sw_header

import os

cdef uint64_t SEED = int.from_bytes(os.urandom(8), "little")

PRIVATE_NAMES = frozenset((b"authorization", b"cookie", b"proxy-authorization"))


cdef class Cache:
    """Octets to up to three objects."""

    def __cinit__(self):
        memset(self.rows, 0, sizeof(self.rows))

    def __dealloc__(self):
        cdef CacheRow *row
        cdef int i
        for i in range(CACHE_ROWS):
            row = &self.rows[i]
            Py_XDECREF(row.key)
            Py_XDECREF(row.first)
            Py_XDECREF(row.second)
            Py_XDECREF(row.third)

    cdef CacheRow *find(self, const unsigned char *key, size_t length, uint64_t *hash) noexcept:
        """The row that holds exactly this key, or NULL. `hash` is for `keep`."""
        cdef CacheRow *row
        hash[0] = sw_hash(key, length, SEED)
        row = &self.rows[hash[0] & (CACHE_ROWS - 1)]
        if (row.key != NULL and row.hash == hash[0] and <size_t>PyBytes_GET_SIZE(<object>row.key) == length
                and memcmp(PyBytes_AS_STRING(<object>row.key), key, length) == 0):
            return row
        return NULL

    cdef CacheRow *keep(self, uint64_t hash, bytes key, object first, object second, object third):
        """Remember; what had the row is forgotten."""
        cdef CacheRow *row = &self.rows[hash & (CACHE_ROWS - 1)]
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
        Py_XDECREF(old.key)
        Py_XDECREF(old.first)
        Py_XDECREF(old.second)
        Py_XDECREF(old.third)
        return row


cdef class AsgiFields:
    """Header records to ASGI's list of (name, value) byte strings."""

    def __cinit__(self):
        self.names = Cache()
        self.lines = Cache()

    cdef list read(self, const unsigned char *records, int count):
        """`records`: `count` header records of a request block, names in lower case."""
        cdef list fields = PyList_New(count)
        cdef size_t length
        cdef object pair
        cdef int i
        for i in range(count):
            length = sizeof(sw_header) + (<const sw_header *>records).name_len + (<const sw_header *>records).value_len
            pair = self._pair(records, length)
            Py_INCREF(pair)
            PyList_SET_ITEM(fields, i, pair)
            records += length
        return fields

    cdef object _pair(self, const unsigned char *record, size_t length):
        cdef const sw_header *head = <const sw_header *>record
        cdef const unsigned char *name = record + sizeof(sw_header)
        cdef uint64_t hash = 0, name_hash
        cdef CacheRow *row = NULL
        cdef CacheRow *name_row
        cdef object key, value, private, pair
        if length <= MAX_CACHED_BYTES:
            row = self.lines.find(record, length, &hash)
            if row != NULL:
                return <object>row.first
        name_row = self.names.find(name, head.name_len, &name_hash)
        if name_row == NULL:
            key = PyBytes_FromStringAndSize(<const char *>name, head.name_len)
            name_row = self.names.keep(name_hash, key, key in PRIVATE_NAMES, None, None)
        key, private = <object>name_row.key, <object>name_row.first
        pair = PyTuple_New(2)
        Py_INCREF(key)
        PyTuple_SET_ITEM(pair, 0, key)
        value = PyBytes_FromStringAndSize(<const char *>name + head.name_len, head.value_len)
        Py_INCREF(value)
        PyTuple_SET_ITEM(pair, 1, value)
        if length <= MAX_CACHED_BYTES and not private:
            self.lines.keep(hash, PyBytes_FromStringAndSize(<const char *>record, length), pair, None, None)
        return pair


cdef str _environ_key(bytes name):
    """The environ key of a field, or None for a field that must not be there.

    A name with '_' would be taken for its twin with '-', and HTTP_PROXY for a setting of the process (httpoxy).
    The framing was the reactor's: what an app reads is the body itself, with its length.
    """
    cdef unsigned char text[MAX_CACHED_BYTES + 5]
    if b"_" in name or name == b"proxy" or name == b"transfer-encoding":
        return None
    if name == b"content-type":
        return "CONTENT_TYPE"
    if name == b"content-length":
        return "CONTENT_LENGTH"
    if len(name) > MAX_CACHED_BYTES:
        return "HTTP_" + name.decode("latin-1").upper().replace("-", "_")
    sw_environ_key(text, name, len(name))
    return PyUnicode_DecodeLatin1(<char *>text, len(name) + 5, NULL)


cdef class WsgiFields:
    """Header records to the HTTP_ variables of a WSGI environ (PEP 3333, RFC 3875 §4.1.18)."""

    def __cinit__(self):
        self.names = Cache()
        self.lines = Cache()

    cdef int read(self, const unsigned char *records, int count, dict environ) except -1:
        """`records`: `count` header records of a request block, names in lower case."""
        cdef const sw_header *head
        cdef const unsigned char *name
        cdef uint64_t hash = 0, name_hash
        cdef CacheRow *row
        cdef CacheRow *name_row
        cdef size_t length
        cdef str value
        cdef int _nth
        for _nth in range(count):
            head = <const sw_header *>records
            name = records + sizeof(sw_header)
            length = sizeof(sw_header) + head.name_len + head.value_len
            row = self.lines.find(records, length, &hash) if length <= MAX_CACHED_BYTES else NULL
            if row != NULL:
                self._add(environ, <str>row.first, <str>row.second)
            else:
                name_row = self.names.find(name, head.name_len, &name_hash)
                if name_row == NULL:
                    field = PyBytes_FromStringAndSize(<const char *>name, head.name_len)
                    name_row = self.names.keep(name_hash, field, _environ_key(field), field in PRIVATE_NAMES, None)
                key, private = <object>name_row.first, <object>name_row.second
                if key is not None:
                    value = PyUnicode_DecodeLatin1(<const char *>name + head.name_len, head.value_len, NULL)
                    if length <= MAX_CACHED_BYTES and not private:
                        line = PyBytes_FromStringAndSize(<const char *>records, length)
                        self.lines.keep(hash, line, key, value, None)
                    self._add(environ, key, value)
            records += length
        return 0

    cdef int _add(self, dict environ, str key, str value) except -1:
        cdef PyObject *before = PyDict_GetItem(environ, key)
        if before != NULL:
            if key == "CONTENT_LENGTH" or key == "CONTENT_TYPE":
                return 0  # the first one counts; the reactor lets no two lengths differ
            value = <str>before + ("; " if key == "HTTP_COOKIE" else ",") + value
        PyDict_SetItem(environ, key, value)
        return 0
