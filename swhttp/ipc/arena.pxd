from libc.stdint cimport uint32_t, uint64_t


cdef extern from "swhttp/ipc/arena.h" nogil:
    enum:
        SW_ARENA_CLASSES
        SW_NO_ARENA_BLOCK
    ctypedef struct sw_arena_returned:
        pass
    ctypedef struct sw_arena:
        uint32_t *own
        uint32_t blocks
        uint64_t fresh_bytes
    void sw_arena_attach(sw_arena *arena, void *memory, uint32_t blocks)
    void sw_arena_add(sw_arena *arena, uint32_t bytes, uint32_t count, void *data)
    void sw_arena_reset(void *memory)
    unsigned char *sw_arena_at(sw_arena *arena, uint32_t block, uint64_t length)
    bint sw_arena_own(sw_arena *arena)
    uint32_t sw_arena_take(sw_arena *arena, uint64_t length, uint32_t *room)
    void sw_arena_take_back(sw_arena *arena, uint32_t block)
    uint64_t sw_arena_trim(sw_arena *arena, uint64_t keep_bytes)
    void sw_arena_give(sw_arena *arena, uint32_t block)
    void sw_arena_drop(sw_arena *arena, uint32_t block, uint64_t warm_bytes)
