from libc.stdint cimport uint32_t

from swhttp.ipc.frame cimport sw_block
from swhttp.ipc.sessions cimport sw_address
from swhttp.reactor.forwarded cimport Forwarded


cdef uint32_t origin_room(const Forwarded *said) noexcept nogil
cdef uint32_t origin_write(sw_block *block, const sw_address *address, const Forwarded *said) noexcept nogil
