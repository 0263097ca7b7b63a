from libc.stdint cimport uint32_t, uint64_t

from cpython.ref cimport PyObject

from swhttp.adapters.outlet cimport Outlet
from swhttp.ipc.frame cimport sw_block


cdef enum:
    PEER_ROWS = 2048  # a power of two


cdef struct PeerRow:
    uint64_t generation
    uint32_t session
    int reactor
    PyObject *client       # (address, port) or None
    PyObject *server       # (address, port), (path, None) or None
    PyObject *client_host  # the same as strings; NULL when there are none
    PyObject *client_port
    PyObject *server_host
    PyObject *server_port
    PyObject *tls          # what the app is told of the connection's TLS; NULL: it has not been read


cdef class Peers:
    cdef Outlet outlet
    cdef tuple binds
    cdef PeerRow rows[PEER_ROWS]
    cdef object tls(self, int reactor, const sw_block *block, object read)
    cdef PeerRow *find(self, int reactor, uint32_t session, uint64_t generation) except NULL
    cdef int forget(self) except -1
    cdef int _forget(self, PeerRow *row) except -1
