from libc.stdint cimport int64_t, uint32_t, uint64_t

from swhttp.ipc.frame cimport sw_block, sw_chunk, sw_descriptor
from swhttp.ipc.request_table cimport sw_request_entry
from swhttp.ipc.sessions cimport sw_address


cdef enum:
    NEED_CHANNEL = 0x40000000  # in a `need`: room for a file as well; frames are far smaller
    NEED_READ = 0x20000000     # that all but so many bytes of what is published have been read


cdef extern from *:
    """
    #define SW_PUSHES (1ull << 62)
    """
    const uint64_t PUSHES "SW_PUSHES"  # in what a thread that pushes calls its wait; no request has it


cdef class Outlet:
    cdef readonly uint64_t max_payload_bytes
    cdef readonly uint64_t max_frame_bytes
    cdef readonly uint64_t max_block_bytes
    cdef readonly uint64_t high_water_bytes
    cdef int64_t *line
    cdef sw_request_entry *entry(self, int reactor, uint64_t request_id) noexcept
    cdef const sw_block *block(self, int reactor, const sw_descriptor *descriptor) noexcept
    cdef const sw_chunk *chunk(self, int reactor, const sw_descriptor *descriptor) noexcept
    cdef int body_file(self, int reactor, uint64_t request_id) except -2
    cdef bint address(self, int reactor, uint32_t row, uint64_t generation, sw_address *address) noexcept
    cdef uint32_t slowness(self, int reactor, uint32_t row, uint64_t generation) noexcept
    cdef unsigned char *reserve(self, int reactor, uint64_t length) noexcept
    cdef bint has_room(self, int reactor, uint64_t need) noexcept
    cdef uint64_t published(self, int reactor) noexcept
    cdef uint64_t unread(self, int reactor) noexcept
    cdef unsigned char *shm_take(self, uint64_t length, uint32_t *room, uint32_t *block) noexcept
    cdef void shm_return(self, uint32_t block) noexcept
    cdef int pass_file(self, int reactor, int fd, uint64_t request_id) noexcept
    cdef void publish(self, int reactor, uint64_t length, bint last) noexcept
    cdef void want_space(self, int reactor) noexcept
    cdef int watch(self, int reactor, uint64_t request_id) except -1
    cdef int wait(self, int reactor, uint64_t request_id, uint64_t need) except -1
    cdef int unwatch(self, int reactor, uint64_t request_id) except -1
