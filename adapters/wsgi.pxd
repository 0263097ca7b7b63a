from libc.stdint cimport uint64_t

from swhttp.adapters.compression cimport Compression
from swhttp.adapters.exchange cimport Exchange
from swhttp.adapters.fields cimport WsgiFields
from swhttp.adapters.outlet cimport Outlet
from swhttp.adapters.origins cimport WsgiOrigins
from swhttp.adapters.peers cimport Peers
from swhttp.adapters.targets cimport WsgiTargets
from swhttp.ipc.frame cimport sw_block, sw_descriptor


cdef class WsgiAdapter:
    cdef Outlet outlet
    cdef object app
    cdef dict template
    cdef WsgiFields fields
    cdef Peers peers
    cdef WsgiOrigins origins
    cdef WsgiTargets targets
    cdef list spare
    cdef str spool_dir
    cdef uint64_t spool_max_bytes
    cdef Compression compression
    cdef int run(self, int reactor, const sw_descriptor *descriptor) except -1
    cdef dict _environ(self, int reactor, const sw_block *block)
    cdef int _set_origin(self, const sw_block *block, dict environ) except -1
    cdef int _respond_to_file(self, WsgiExchange exchange) except -1
    cdef int _respond(self, WsgiExchange exchange, dict environ) except -1


cdef class WsgiExchange(Exchange):
    cdef object start_method
    cdef object write_method
    cdef int out(self, object data, bint last) except -1
    cdef int _go_on(self, const unsigned char *at, Py_ssize_t rest, bint last) except -1
    cdef int answer(self, object result) except -1
    cdef int answer_file(self, object wrapper) except -1
    cdef int out_file(self, int fd, uint64_t offset, uint64_t length) except -1
    cdef int settle(self) except -1
