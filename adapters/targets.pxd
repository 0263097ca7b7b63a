from swhttp.adapters.cache cimport Cache, CacheRow
from swhttp.ipc.frame cimport sw_block


cdef class Targets:
    cdef Cache cache
    cdef CacheRow *read(self, const sw_block *block) except? NULL
    cdef tuple see(self, const sw_block *block, bytes raw_path, bytes decoded_path)


cdef class AsgiTargets(Targets):
    pass


cdef class WsgiTargets(Targets):
    pass
