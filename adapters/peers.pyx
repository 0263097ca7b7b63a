"""Who is at both ends of a connection, as (host, port) pairs, remembered per session.

It owns a direct-mapped cache keyed by (reactor, row, generation): a keep-alive connection is read from the session
table once. A session that is gone by now has no addresses, and is not remembered.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from cpython.ref cimport Py_INCREF, Py_XDECREF, PyObject

from swhttp.adapters.outlet cimport Outlet
from swhttp.ipc.sessions cimport sw_address


cdef class Peers:
    """`outlet`: where addresses are read; `binds`: texts of the listeners, "unix:/path" for a socket file.

    `client` is (address, port), or None on a unix socket; `server` is (address, port), or (path, None).
    """

    def __cinit__(self, Outlet outlet, tuple binds):
        self.outlet = outlet
        self.binds = binds
        memset(self.rows, 0, sizeof(self.rows))

    def __dealloc__(self):
        cdef int i
        for i in range(PEER_ROWS):
            self._forget(&self.rows[i])

    cdef int _forget(self, PeerRow *row) except -1:
        cdef PeerRow old = row[0]
        memset(row, 0, sizeof(PeerRow))
        Py_XDECREF(old.client)
        Py_XDECREF(old.server)
        Py_XDECREF(old.client_host)
        Py_XDECREF(old.client_port)
        Py_XDECREF(old.server_host)
        Py_XDECREF(old.server_port)
        return 0

    cdef PeerRow *find(self, int reactor, uint32_t session, uint64_t generation) except NULL:
        """The row of a session. The pointer holds until the next call."""
        cdef PeerRow *row = &self.rows[(session ^ <uint32_t>reactor * 509) & (PEER_ROWS - 1)]
        cdef sw_address address
        cdef object client = None, server = None
        if (row.client != NULL and row.generation == generation and row.session == session
                and row.reactor == reactor):
            return row
        self._forget(row)
        if self.outlet.address(reactor, session, generation, &address):
            row.generation = generation
            if address.peer_len:
                client = ((<char *>address.peer)[:address.peer_len].decode("latin-1"), address.peer_port)
                row.client_host, row.client_port = _own(client[0]), _own(str(client[1]))
            if address.local_len:
                server = ((<char *>address.local)[:address.local_len].decode("latin-1"), address.local_port)
                row.server_host, row.server_port = _own(server[0]), _own(str(server[1]))
            elif address.listener < len(self.binds):
                server = (self.binds[address.listener].removeprefix("unix:"), None)
        row.session, row.reactor = session, reactor
        row.server = _own(server)
        row.client = _own(client)
        return row


cdef PyObject *_own(object value) noexcept:
    Py_INCREF(value)
    return <PyObject *>value
