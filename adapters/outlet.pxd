from libc.stdint cimport int64_t, uint32_t, uint64_t

from swhttp.ipc.frame cimport sw_block, sw_descriptor
from swhttp.ipc.request_table cimport sw_request_entry
from swhttp.ipc.sessions cimport sw_address


cdef class Outlet:
    cdef readonly uint64_t max_payload_bytes
    cdef readonly uint64_t high_water_bytes
    cdef int64_t *line
    cdef sw_request_entry *entry(self, int reactor, uint64_t request_id) noexcept
    cdef const sw_block *block(self, int reactor, const sw_descriptor *descriptor) noexcept
    cdef bint address(self, int reactor, uint32_t row, uint64_t generation, sw_address *address) noexcept
    cdef unsigned char *reserve(self, int reactor, uint64_t length) noexcept
    cdef void publish(self, int reactor, uint64_t length, bint last) noexcept
    cdef void want_space(self, int reactor) noexcept
    cdef int watch(self, int reactor, uint64_t request_id) except -1
    cdef int wait(self, int reactor, uint64_t request_id, uint64_t need) except -1
    cdef int unwatch(self, int reactor, uint64_t request_id) except -1
