from swhttp.adapters.cache cimport Cache, CacheRow
from swhttp.ipc.frame cimport sw_block


cdef class Targets:
    cdef Cache cache
    cdef bytes root           # of --root-path, percent-decoded; empty: none
    cdef bytes raw_root       # the same as it stands in a target
    cdef int below_root(self, bytes decoded_path) except -1
    cdef CacheRow *read(self, const sw_block *block) except? NULL
    cdef tuple see(self, const sw_block *block, bytes raw_path, bytes decoded_path)


cdef class AsgiTargets(Targets):
    pass


cdef class WsgiTargets(Targets):
    pass
