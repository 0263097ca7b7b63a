from swhttp.adapters.fields cimport AsgiFields
from swhttp.adapters.origins cimport AsgiOrigins
from swhttp.adapters.peers cimport Peers
from swhttp.adapters.targets cimport AsgiTargets
from swhttp.ipc.frame cimport sw_block


cdef class ScopeParts:
    cdef dict versions
    cdef dict extensions
    cdef dict state


cdef class Scopes:
    cdef dict template
    cdef ScopeParts socket_parts
    cdef dict state
    cdef AsgiFields fields
    cdef Peers peers
    cdef AsgiOrigins origins
    cdef AsgiTargets targets
    cdef dict make(self, ScopeParts parts, int reactor, const sw_block *block)
    cdef dict make_socket(self, int reactor, const sw_block *block)


cdef list offered_subprotocols(list headers)
