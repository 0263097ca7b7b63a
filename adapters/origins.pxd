from swhttp.adapters.cache cimport Cache, CacheRow
from swhttp.ipc.frame cimport sw_block, sw_origin


cdef class Origins:
    cdef Cache cache
    cdef CacheRow *read(self, const sw_block *block) except NULL
    cdef tuple see(self, str host, int port)


cdef class AsgiOrigins(Origins):
    pass


cdef class WsgiOrigins(Origins):
    pass
