"""Who a proxy says is at both ends of a request, as the objects that apps see.

It owns what it remembers: behind a proxy, requests of one client come in a row. Only for blocks with SW_BLOCK_ORIGIN;
of the others `peers` knows all.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize

from libc.stdint cimport uint64_t

from swhttp.ipc.frame cimport sw_block_origin


cdef class Origins:
    """Request blocks to rows of two objects: client and server, each a pair, or None where the session's holds."""

    def __cinit__(self):
        self.cache = Cache()

    cdef CacheRow *read(self, const sw_block *block) except NULL:
        """The row of this request's origin, as a Cache's."""
        cdef sw_origin origin
        cdef const char *texts = sw_block_origin(block, &origin)
        cdef const unsigned char *record = <const unsigned char *>texts - sizeof(sw_origin)
        cdef size_t length = sizeof(sw_origin) + origin.client_len + origin.server_len
        cdef uint64_t hash
        cdef CacheRow *row = self.cache.find(record, length, &hash)
        cdef object client = None, server = None
        if row == NULL:
            if origin.client_len:
                client = self.see(texts[:origin.client_len].decode("latin-1"), origin.client_port)
            if origin.server_len:
                server = self.see((texts + origin.client_len)[:origin.server_len].decode("latin-1"),
                                  origin.server_port)
            row = self.cache.keep(hash, PyBytes_FromStringAndSize(<const char *>record, length), client, server, None)
        return row

    cdef tuple see(self, str host, int port):
        """An end of the connection: each interface has its own."""
        raise NotImplementedError


cdef class AsgiOrigins(Origins):
    """(host, port)"""

    cdef tuple see(self, str host, int port):
        return host, port


cdef class WsgiOrigins(Origins):
    """(host, port as a string)"""

    cdef tuple see(self, str host, int port):
        return host, str(port)
