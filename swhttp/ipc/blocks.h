/* The allocator of request blocks: a reactor's arena, cut into a few sizes, each with a stack of free blocks.
 *
 *   arena   | 1 KiB x n | 8 KiB x n | 32 KiB x n | ... | 1,088 KiB x n |       offsets in units of SW_BLOCK_UNIT
 *
 * Only the reactor allocates and frees, so all of this is in its private memory. Last freed is first used again: a
 * busy reactor stays within few cache lines, and memory that was never needed is never touched. What a crowd has touched
 * goes back to the kernel when it has left (sw_blocks_trim).
 */
#ifndef SWHTTP_BLOCKS_H
#define SWHTTP_BLOCKS_H

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "swhttp/ipc/frame.h"

/* With the address sanitizer, to write where no block is given out is a finding, as it would be with malloc. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1 /* as gcc does */
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define SW_BLOCK_FORBID(memory, bytes) ASAN_POISON_MEMORY_REGION(memory, bytes)
#define SW_BLOCK_ALLOW(memory, bytes) ASAN_UNPOISON_MEMORY_REGION(memory, bytes)
#else
#define SW_BLOCK_FORBID(memory, bytes) ((void)0)
#define SW_BLOCK_ALLOW(memory, bytes) ((void)0)
#endif

#define SW_BLOCK_CLASSES 8
#define SW_NO_BLOCK 0xFFFFFFFFu

typedef struct {
    uint32_t bytes;    /* of each block */
    uint32_t count;
    uint32_t first;    /* offset of the first one, in units */
    uint32_t fresh;    /* how many were ever given out */
    uint32_t returned; /* depth of the stack */
    uint32_t *stack;
} sw_block_class;

typedef struct {
    unsigned char *arena;
    int classes;
    uint32_t in_use;
    uint32_t fresh;       /* of all classes together */
    uint64_t fresh_bytes; /* of these: memory that may have been touched */
    sw_block_class by_size[SW_BLOCK_CLASSES];
} sw_blocks;

static inline void sw_blocks_init(sw_blocks *blocks, void *arena)
{
    memset(blocks, 0, sizeof *blocks);
    blocks->arena = (unsigned char *)arena;
}

/* Classes are added smallest first. 0 when out of memory or of classes. */
static inline int sw_blocks_add(sw_blocks *blocks, uint32_t bytes, uint32_t count)
{
    sw_block_class *c = &blocks->by_size[blocks->classes];
    if (blocks->classes == SW_BLOCK_CLASSES)
        return 0;
    c->bytes = bytes;
    c->count = count;
    if (blocks->classes > 0) {
        const sw_block_class *before = c - 1;
        c->first = before->first + before->count * (before->bytes / SW_BLOCK_UNIT);
    }
    c->stack = (uint32_t *)malloc(sizeof(uint32_t) * (count ? count : 1));
    if (c->stack == NULL)
        return 0;
    SW_BLOCK_FORBID(blocks->arena + (uint64_t)c->first * SW_BLOCK_UNIT, (uint64_t)bytes * count);
    blocks->classes++;
    return 1;
}

/* Is half of the blocks free that `bytes` would be put in? */
static inline int sw_blocks_half_free(const sw_blocks *blocks, uint64_t bytes)
{
    for (int i = 0; i < blocks->classes; i++) {
        const sw_block_class *c = &blocks->by_size[i];
        if (c->bytes >= bytes)
            return 2 * (uint64_t)(c->fresh - c->returned) < c->count;
    }
    return 0;
}

static inline void sw_blocks_destroy(sw_blocks *blocks)
{
    for (int i = 0; i < blocks->classes; i++) {
        sw_block_class *c = &blocks->by_size[i];
        SW_BLOCK_ALLOW(blocks->arena + (uint64_t)c->first * SW_BLOCK_UNIT, (uint64_t)c->bytes * c->count);
        free(c->stack);
    }
    blocks->classes = 0;
}

/* The smallest free block of at least `bytes`, or SW_NO_BLOCK. */
static inline uint32_t sw_blocks_take(sw_blocks *blocks, uint64_t bytes, uint8_t *size_class)
{
    for (int i = 0; i < blocks->classes; i++) {
        sw_block_class *c = &blocks->by_size[i];
        uint32_t block;
        if (c->bytes < bytes)
            continue;
        if (c->returned > 0) {
            block = c->stack[--c->returned];
        } else if (c->fresh < c->count) {
            block = c->first + c->fresh++ * (c->bytes / SW_BLOCK_UNIT);
            blocks->fresh++;
            blocks->fresh_bytes += c->bytes;
        } else {
            continue;
        }
        *size_class = (uint8_t)i;
        blocks->in_use++;
        SW_BLOCK_ALLOW(blocks->arena + (uint64_t)block * SW_BLOCK_UNIT, c->bytes);
        return block;
    }
    return SW_NO_BLOCK;
}

static inline void sw_blocks_give(sw_blocks *blocks, uint32_t block, uint8_t size_class)
{
    sw_block_class *c = &blocks->by_size[size_class];
    SW_BLOCK_FORBID(blocks->arena + (uint64_t)block * SW_BLOCK_UNIT, c->bytes);
    c->stack[c->returned++] = block;
    blocks->in_use--;
}

/* Give the memory behind the last block in use back to the kernel, of each class at most `most_bytes`, so that it takes
 * no longer than somebody may wait. Returns how many bytes of blocks are as if they had never been used. */
static inline uint64_t sw_blocks_trim(sw_blocks *blocks, uint64_t keep_bytes, uint64_t most_bytes)
{
    uint64_t dropped = 0;
    for (int i = 0; i < blocks->classes; i++) {
        sw_block_class *c = &blocks->by_size[i];
        uint32_t units = c->bytes / SW_BLOCK_UNIT, end = c->fresh, returned = 0;
        uint32_t least = (uint32_t)(keep_bytes / c->bytes), before = c->fresh;
        if (most_bytes / c->bytes < c->fresh && c->fresh - (uint32_t)(most_bytes / c->bytes) > least)
            least = c->fresh - (uint32_t)(most_bytes / c->bytes);
        if (c->returned == 0 || c->fresh <= least)
            continue;
        unsigned char *is_free = (unsigned char *)calloc(c->fresh, 1);
        if (is_free == NULL)
            break;
        for (uint32_t k = 0; k < c->returned; k++)
            is_free[(c->stack[k] - c->first) / units] = 1;
        while (end > least && is_free[end - 1])
            end--;
        if (end < before) {
            uintptr_t from = (uintptr_t)blocks->arena + ((uint64_t)c->first + (uint64_t)end * units) * SW_BLOCK_UNIT;
            uintptr_t to = from + (uint64_t)(before - end) * c->bytes;
            from = (from + 4095) & ~(uintptr_t)4095;
            to &= ~(uintptr_t)4095;
            if (from < to && madvise((void *)from, to - from, MADV_REMOVE) != 0) { /* the memory merely stays */
                free(is_free);
                continue;
            }
            for (uint32_t k = end; k-- > 0;) /* the lowest are used first */
                if (is_free[k])
                    c->stack[returned++] = c->first + k * units;
            c->returned = returned;
            c->fresh = end;
            blocks->fresh -= before - end;
            blocks->fresh_bytes -= (uint64_t)(before - end) * c->bytes;
            dropped += (uint64_t)(before - end) * c->bytes;
        }
        free(is_free);
    }
    return dropped;
}

static inline sw_block *sw_blocks_at(sw_blocks *blocks, uint32_t block)
{
    return (sw_block *)(blocks->arena + (uint64_t)block * SW_BLOCK_UNIT);
}

static inline uint32_t sw_blocks_bytes(sw_blocks *blocks, uint8_t size_class)
{
    return blocks->by_size[size_class].bytes;
}

#endif
