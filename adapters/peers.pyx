"""Who is at both ends of a connection, as (host, port) pairs, remembered per session.

It owns a direct-mapped cache keyed by (reactor, row, generation): a keep-alive connection is read from the session
table once, and what is agreed upon in TLS from its first request here. A session that is gone by now has no addresses,
and is not remembered.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from cpython.ref cimport Py_INCREF, Py_XDECREF, PyObject

from swhttp.adapters.outlet cimport Outlet
from swhttp.ipc.frame cimport sw_block, sw_block_tls
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
        self.forget()

    cdef int forget(self) except -1:
        """Of all sessions. Small objects, made while there was a crowd, keep the memory that lies around them."""
        cdef int i
        for i in range(PEER_ROWS):
            self._forget(&self.rows[i])
        return 0

    cdef int _forget(self, PeerRow *row) except -1:
        cdef PeerRow old = row[0]
        memset(row, 0, sizeof(PeerRow))
        Py_XDECREF(old.client)
        Py_XDECREF(old.server)
        Py_XDECREF(old.client_host)
        Py_XDECREF(old.client_port)
        Py_XDECREF(old.server_host)
        Py_XDECREF(old.server_port)
        Py_XDECREF(old.tls)
        return 0

    cdef object tls(self, int reactor, const sw_block *block, object read):
        """What `read` makes of the TLS facts in the block, made once a connection."""
        cdef PeerRow *row = self.find(reactor, block.session, block.session_generation)
        cdef uint32_t length = 0
        cdef const unsigned char *facts
        cdef object made
        if row.tls != NULL:
            return <object>row.tls
        facts = sw_block_tls(block, &length)
        made = read(facts[:length])
        row = self.find(reactor, block.session, block.session_generation)
        if row.tls == NULL:
            row.tls = _own(made)
        return made

    cdef PeerRow *find(self, int reactor, uint32_t session, uint64_t generation) except NULL:
        """The row of a session. The pointer holds until the next allocation: another thread may run there."""
        cdef PeerRow *row = &self.rows[(session ^ <uint32_t>reactor * 509) & (PEER_ROWS - 1)]
        cdef sw_address address
        cdef object client = None, client_host = None, client_port = None
        cdef object server = None, server_host = None, server_port = None
        if (row.client != NULL and row.generation == generation and row.session == session
                and row.reactor == reactor):
            return row
        if self.outlet.address(reactor, session, generation, &address):
            if address.peer_len:
                client_host = (<char *>address.peer)[:address.peer_len].decode("latin-1")
                client_port = str(address.peer_port)
                client = (client_host, address.peer_port)
            if address.local_len:
                server_host = (<char *>address.local)[:address.local_len].decode("latin-1")
                server_port = str(address.local_port)
                server = (server_host, address.local_port)
            elif address.listener < len(self.binds):
                server = (self.binds[address.listener].removeprefix("unix:"), None)
        else:
            generation = 0
        # From here to the end nothing is allocated, so no other thread can find the row half filled.
        self._forget(row)
        row.generation, row.session, row.reactor = generation, session, reactor
        row.client, row.server = _own(client), _own(server)
        if client is not None:
            row.client_host, row.client_port = _own(client_host), _own(client_port)
        if server_host is not None:
            row.server_host, row.server_port = _own(server_host), _own(server_port)
        return row


cdef PyObject *_own(object value) noexcept:
    Py_INCREF(value)
    return <PyObject *>value
