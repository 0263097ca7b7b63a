from swhttp.ipc.arena cimport sw_arena


cdef class Segment:
    cdef readonly str name
    cdef readonly size_t size
    cdef readonly int fd
    cdef void *address


cdef class SharedMemory:
    cdef readonly object geometry
    cdef readonly object scoreboard
    cdef readonly list blocks, sessions, slots
    cdef readonly list reactor_eventfds, slot_eventfds
    cdef readonly list wake_eventfds
    cdef readonly list reactor_channels, worker_channels
    cdef readonly list pusher_sockets, user_sockets
    cdef void *_at(self, int slot, size_t offset) noexcept
    cdef size_t _rings_data(self) noexcept
    cdef size_t _rings_start(self) noexcept
    cdef size_t _tables_start(self) noexcept
    cdef size_t _table_bytes(self) noexcept
    cdef size_t _arena_start(self)
    cdef size_t _arena_blocks_start(self)
    cdef describe_arena(self, int slot, sw_arena *arena)
    cdef void *request_ring(self, int slot, int reactor) noexcept
    cdef void *request_ring_data(self, int slot, int reactor) noexcept
    cdef void *response_ring(self, int slot, int reactor) noexcept
    cdef void *response_ring_data(self, int slot, int reactor) noexcept
    cdef void *request_table(self, int slot, int reactor) noexcept
    cdef void *slot_sleeping(self, int slot) noexcept
    cdef void *reactor_sleeping(self, int slot, int reactor) noexcept
