/* The response arena of a slot: blocks that its worker fills and reactors give back once they are sent.
 *
 *   arena   | returned lists, a cache line a class | next block of each block | 64 KiB x n | 256 KiB x n | 1 MiB x n |
 *
 * A block is a number. The worker alone takes blocks, from lists in its private memory; reactors push what they have
 * sent onto the class's `returned` list (compare and swap of its head; the link is in `next`), and the worker takes
 * that list whole, by an exchange: so nobody ever pops one element from a list that others change, and there is no
 * ABA. Last given back is first used again: it is still in some cache.
 *
 * What a crowd has touched the worker gives back to the kernel when it has left (sw_arena_trim).
 *
 * Reactors check a block's number, nothing more: a worker that names one block twice spoils its own lists alone.
 */
#ifndef SWHTTP_ARENA_H
#define SWHTTP_ARENA_H

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <string.h>

#include "swhttp/ipc/crashpoint.h"

#define SW_ARENA_CLASSES 4
#define SW_ARENA_GIVE_TRIES 65536
#define SW_NO_ARENA_BLOCK 0xFFFFFFFFu

typedef struct {
    _Alignas(64) _Atomic uint32_t head; /* number + 1 of the block given back last, 0: none */
} sw_arena_returned;

typedef struct {
    uint32_t bytes;      /* of each block */
    uint32_t count;
    uint32_t first;      /* number of its first block */
    uint32_t fresh;      /* worker: how many were ever taken */
    uint32_t free;       /* worker: number + 1 of the first block on the private list */
    unsigned char *data; /* of its first block */
} sw_arena_class;

typedef struct {
    sw_arena_returned *returned;
    _Atomic uint32_t *next; /* shared: links of the returned lists */
    uint32_t *own;          /* worker: links of the private lists; NULL in a reactor */
    uint32_t blocks;
    int classes;
    uint64_t fresh_bytes;   /* worker: of blocks that were ever taken, memory that may have been touched */
    sw_arena_class by_size[SW_ARENA_CLASSES];
} sw_arena;

/* Begin to describe the arena at `memory`, which `blocks` blocks are in. Zeroed memory is an arena that is all free. */
static inline void sw_arena_attach(sw_arena *arena, void *memory, uint32_t blocks)
{
    memset(arena, 0, sizeof *arena);
    arena->returned = (sw_arena_returned *)memory;
    arena->next = (_Atomic uint32_t *)((char *)memory + SW_ARENA_CLASSES * sizeof(sw_arena_returned));
    arena->blocks = blocks;
}

/* Classes are added smallest first. */
static inline void sw_arena_add(sw_arena *arena, uint32_t bytes, uint32_t count, void *data)
{
    sw_arena_class *c = &arena->by_size[arena->classes];
    c->bytes = bytes;
    c->count = count;
    c->data = (unsigned char *)data;
    c->first = arena->classes ? (c - 1)->first + (c - 1)->count : 0;
    arena->classes++;
}

/* Only while no process uses it. */
static inline void sw_arena_reset(void *memory)
{
    sw_arena_returned *returned = (sw_arena_returned *)memory;
    for (int i = 0; i < SW_ARENA_CLASSES; i++)
        atomic_store_explicit(&returned[i].head, 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
}

static inline sw_arena_class *sw_arena_class_of(sw_arena *arena, uint32_t block)
{
    for (int i = 0; i < arena->classes; i++)
        if (block - arena->by_size[i].first < arena->by_size[i].count)
            return &arena->by_size[i];
    return NULL;
}

/* A block's bytes, if it has at least `length`; NULL when there is no such block. */
static inline unsigned char *sw_arena_at(sw_arena *arena, uint32_t block, uint64_t length)
{
    sw_arena_class *c = sw_arena_class_of(arena, block);
    if (c == NULL || length > c->bytes)
        return NULL;
    return c->data + (uint64_t)(block - c->first) * c->bytes;
}

/* ---- worker ---- */

/* Give the worker's side its private lists. 0: out of memory. */
static inline int sw_arena_own(sw_arena *arena)
{
    arena->own = (uint32_t *)calloc(arena->blocks ? arena->blocks : 1, sizeof(uint32_t));
    return arena->own != NULL;
}

/* Move what a class's returned list holds to the private one. */
static inline void sw_arena_fetch(sw_arena *arena, int i)
{
    sw_arena_class *c = &arena->by_size[i];
    uint32_t newest, at;
    if (atomic_load_explicit(&arena->returned[i].head, memory_order_relaxed) == 0)
        return;
    newest = at = atomic_exchange_explicit(&arena->returned[i].head, 0, memory_order_acquire);
    SW_CRASH_POINT("blocks-fetched");
    for (uint32_t n = 0; at - 1 - c->first < c->count && n < c->count; n++) {
        uint32_t next = atomic_load_explicit(&arena->next[at - 1], memory_order_relaxed);
        arena->own[at - 1] = next ? next : c->free;
        if (next == 0) {
            c->free = newest;
            break;
        }
        at = next;
    }
}

static inline uint32_t sw_arena_take_from(sw_arena *arena, int i)
{
    sw_arena_class *c = &arena->by_size[i];
    uint32_t block;
    sw_arena_fetch(arena, i);
    if (c->free != 0) {
        block = c->free - 1;
        c->free = arena->own[block];
        return block;
    }
    if (c->fresh == c->count)
        return SW_NO_ARENA_BLOCK;
    arena->fresh_bytes += c->bytes;
    return c->first + c->fresh++;
}

/* A free block for `length` bytes: of the smallest class that holds them, else of a larger, else of a smaller one;
 * `room`: its bytes. SW_NO_ARENA_BLOCK: all are in use. */
static inline uint32_t sw_arena_take(sw_arena *arena, uint64_t length, uint32_t *room)
{
    int fit = 0;
    while (fit < arena->classes - 1 && arena->by_size[fit].bytes < length)
        fit++;
    for (int n = 0; n < arena->classes; n++) {
        int i = fit + n < arena->classes ? fit + n : arena->classes - 1 - n;
        uint32_t block = sw_arena_take_from(arena, i);
        if (block != SW_NO_ARENA_BLOCK) {
            *room = arena->by_size[i].bytes;
            SW_CRASH_POINT("block-taken");
            return block;
        }
    }
    return SW_NO_ARENA_BLOCK;
}

/* The worker has taken a block and will not publish it after all. */
static inline void sw_arena_take_back(sw_arena *arena, uint32_t block)
{
    sw_arena_class *c = sw_arena_class_of(arena, block);
    arena->own[block] = c->free;
    c->free = block + 1;
}

/* Give the memory behind the last block in use back to the kernel, of each class all but `keep_bytes`. Returns how many
 * bytes of blocks are as if they had never been used. Not while many wait: it may be megabytes. */
static inline uint64_t sw_arena_trim(sw_arena *arena, uint64_t keep_bytes)
{
    uint64_t dropped = 0;
    for (int i = 0; i < arena->classes; i++) {
        sw_arena_class *c = &arena->by_size[i];
        uint32_t least = (uint32_t)(keep_bytes / c->bytes), before = c->fresh, end = before;
        if (before <= least)
            continue;
        unsigned char *is_free = (unsigned char *)calloc(before, 1);
        if (is_free == NULL)
            break;
        sw_arena_fetch(arena, i);
        for (uint32_t at = c->free, n = 0; at - 1 - c->first < before && n < before; n++, at = arena->own[at - 1])
            is_free[at - 1 - c->first] = 1;
        while (end > least && is_free[end - 1])
            end--;
        if (end < before) {
            c->free = 0;
            for (uint32_t k = end; k-- > 0;) /* the lowest are used first */
                if (is_free[k]) {
                    arena->own[c->first + k] = c->free;
                    c->free = c->first + k + 1;
                }
            /* If it fails the memory merely stays. */
            madvise(c->data + (uint64_t)end * c->bytes, (uint64_t)(before - end) * c->bytes, MADV_REMOVE);
            c->fresh = end;
            dropped += (uint64_t)(before - end) * c->bytes;
        }
        free(is_free);
    }
    arena->fresh_bytes -= dropped;
    return dropped;
}

/* ---- reactor ---- */

/* Give back a block that `sw_arena_at` has found. */
static inline void sw_arena_give(sw_arena *arena, uint32_t block)
{
    sw_arena_class *c = sw_arena_class_of(arena, block);
    sw_arena_returned *list = &arena->returned[c - arena->by_size];
    uint32_t head = atomic_load_explicit(&list->head, memory_order_relaxed);
    /* Bounded: a worker that keeps changing the head loses a block of its own. */
    for (int n = 0; n < SW_ARENA_GIVE_TRIES; n++) {
        atomic_store_explicit(&arena->next[block], head, memory_order_relaxed);
        if (atomic_compare_exchange_weak_explicit(&list->head, &head, block + 1, memory_order_release,
                                                  memory_order_relaxed))
            return;
    }
}

/* The same for one that a slow client has held, and its memory goes back to the kernel: thousands of slow clients use
 * all blocks for a moment, and a worker that serves others alone needs few. The first `warm_bytes` of each class stay
 * (for sw_arena_trim): where slow clients come all the time the worker fills these again at once. */
static inline void sw_arena_drop(sw_arena *arena, uint32_t block, uint64_t warm_bytes)
{
    sw_arena_class *c = sw_arena_class_of(arena, block);
    uint64_t at = (uint64_t)(block - c->first) * c->bytes;
    if (at >= warm_bytes)
        madvise(c->data + at, c->bytes, MADV_REMOVE);
    sw_arena_give(arena, block);
}

#endif
