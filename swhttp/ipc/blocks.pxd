from libc.stdint cimport uint8_t, uint32_t, uint64_t

from swhttp.ipc.frame cimport sw_block


cdef extern from "swhttp/ipc/blocks.h" nogil:
    enum:
        SW_NO_BLOCK
    ctypedef struct sw_blocks:
        uint32_t in_use
        uint32_t fresh
        uint64_t fresh_bytes
    void sw_blocks_init(sw_blocks *blocks, void *arena)
    bint sw_blocks_add(sw_blocks *blocks, uint32_t bytes, uint32_t count)
    void sw_blocks_destroy(sw_blocks *blocks)
    uint32_t sw_blocks_take(sw_blocks *blocks, uint64_t bytes, uint8_t *size_class)
    bint sw_blocks_half_free(const sw_blocks *blocks, uint64_t bytes)
    void sw_blocks_give(sw_blocks *blocks, uint32_t block, uint8_t size_class)
    uint64_t sw_blocks_trim(sw_blocks *blocks, uint64_t keep_bytes, uint64_t most_bytes)
    sw_block *sw_blocks_at(sw_blocks *blocks, uint32_t block)
    uint32_t sw_blocks_bytes(sw_blocks *blocks, uint8_t size_class)
