"""Request fields as the objects that apps see, with memory for what comes again and again.

A browser sends the same fifteen fields each time: names and whole fields are looked up in a Cache. Credentials are
never remembered.

A name with '_' is another one than its twin with '-', but whoever makes variables of them takes one for the other: a
client could so speak in the place of a proxy. As WSGI has nothing but variables, names with '_' are dropped there. An
ASGI app gets them, except beside their twin: frameworks and WSGI middleware make variables too.
"""

from libc.stdint cimport uint64_t

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.dict cimport PyDict_GetItem, PyDict_SetItem
from cpython.list cimport PyList_New, PyList_SET_ITEM
from cpython.ref cimport Py_INCREF, PyObject
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM
from cpython.unicode cimport PyUnicode_DecodeLatin1

from swhttp.adapters.cache cimport MAX_CACHED_BYTES, Cache, CacheRow
from swhttp.adapters.octets cimport sw_environ_key
from swhttp.ipc.frame cimport sw_header

PRIVATE_NAMES = frozenset((b"authorization", b"cookie", b"proxy-authorization"))


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
        if self.ambiguous:
            self.ambiguous = False
            return _without_twins(fields)
        return fields

    cdef object _pair(self, const unsigned char *record, size_t length):
        cdef const sw_header *head = <const sw_header *>record
        cdef const unsigned char *name = record + sizeof(sw_header)
        cdef uint64_t hash = 0, name_hash
        cdef CacheRow *row = NULL
        cdef object key, value, private, ambiguous, pair
        if length <= MAX_CACHED_BYTES:
            row = self.lines.find(record, length, &hash)
            if row != NULL:
                return <object>row.first
        row = self.names.find(name, head.name_len, &name_hash)
        if row == NULL:
            key = PyBytes_FromStringAndSize(<const char *>name, head.name_len)
            row = self.names.keep(name_hash, key, key, key in PRIVATE_NAMES, b"_" in key)
        key, private, ambiguous = <object>row.first, <object>row.second, <object>row.third
        if ambiguous:
            self.ambiguous = True
        pair = PyTuple_New(2)
        Py_INCREF(key)
        PyTuple_SET_ITEM(pair, 0, key)
        value = PyBytes_FromStringAndSize(<const char *>name + head.name_len, head.value_len)
        Py_INCREF(value)
        PyTuple_SET_ITEM(pair, 1, value)
        if length <= MAX_CACHED_BYTES and not private and not ambiguous:
            self.lines.keep(hash, PyBytes_FromStringAndSize(<const char *>record, length), pair, None, None)
        return pair


cdef list _without_twins(list fields):
    """Those whose name with '-' for each '_' is no other field's."""
    plain = {name for name, _ in fields if b"_" not in name}
    return [field for field in fields if b"_" not in field[0] or field[0].replace(b"_", b"-") not in plain]


cdef str _environ_key(bytes name):
    """The environ key of a field, or None for a field that must not be there.

    HTTP_PROXY would be taken for a setting of the process (httpoxy).
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
                row = self.names.find(name, head.name_len, &name_hash)
                if row == NULL:
                    field = PyBytes_FromStringAndSize(<const char *>name, head.name_len)
                    row = self.names.keep(name_hash, field, _environ_key(field), field in PRIVATE_NAMES, None)
                key, private = <object>row.first, <object>row.second
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
