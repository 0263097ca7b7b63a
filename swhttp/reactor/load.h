/* How many requests each worker slot has, as all reactors of the master see it. In the master's private memory.
 *
 *   load = generation << 32 | requests in flight
 *
 * A reservation is a compare and swap on the whole word, so one made for an old generation never counts for the new
 * one, and capacity is never exceeded however many reactors dispatch at once.
 */
#ifndef SWHTTP_LOAD_H
#define SWHTTP_LOAD_H

#include <stdatomic.h>
#include <stdint.h>

typedef struct {
    _Alignas(64) _Atomic uint64_t word;
} sw_load;

static inline void sw_load_reset(sw_load *load, uint32_t generation)
{
    atomic_store_explicit(&load->word, (uint64_t)generation << 32, memory_order_release);
}

static inline uint32_t sw_load_in_flight(sw_load *load)
{
    return (uint32_t)atomic_load_explicit(&load->word, memory_order_relaxed);
}

static inline int sw_load_reserve(sw_load *load, uint32_t generation, uint32_t capacity)
{
    uint64_t word = atomic_load_explicit(&load->word, memory_order_relaxed);
    do {
        if (word >> 32 != generation || (uint32_t)word >= capacity)
            return 0;
    } while (!atomic_compare_exchange_weak_explicit(&load->word, &word, word + 1, memory_order_acq_rel,
                                                    memory_order_relaxed));
    return 1;
}

static inline void sw_load_release(sw_load *load, uint32_t generation)
{
    uint64_t word = atomic_load_explicit(&load->word, memory_order_relaxed);
    do {
        if (word >> 32 != generation || (uint32_t)word == 0)
            return;
    } while (!atomic_compare_exchange_weak_explicit(&load->word, &word, word - 1, memory_order_acq_rel,
                                                    memory_order_relaxed));
}

/* A number that one thread writes and others read: waiting requests, open connections. */
typedef struct {
    _Alignas(64) _Atomic int64_t value;
} sw_gauge;

static inline void sw_gauge_add(sw_gauge *gauge, int64_t by)
{
    atomic_fetch_add_explicit(&gauge->value, by, memory_order_relaxed);
}

static inline int64_t sw_gauge_get(sw_gauge *gauge)
{
    return atomic_load_explicit(&gauge->value, memory_order_relaxed);
}

/* One more, unless there are `most`: 1, or 0. Exact, however many threads take at once. */
static inline int sw_gauge_take(sw_gauge *gauge, int64_t most)
{
    int64_t value = atomic_load_explicit(&gauge->value, memory_order_relaxed);
    do {
        if (value >= most)
            return 0;
    } while (!atomic_compare_exchange_weak_explicit(&gauge->value, &value, value + 1, memory_order_relaxed,
                                                    memory_order_relaxed));
    return 1;
}

/* Whoever frees capacity: what was freed must be visible before the gauge of waiting requests is read. */
static inline int64_t sw_gauge_get_fenced(sw_gauge *gauge)
{
    atomic_thread_fence(memory_order_seq_cst);
    return atomic_load_explicit(&gauge->value, memory_order_relaxed);
}

/* Whoever starts to wait: the gauge must be visible before capacity is looked at once more. Whoever has let go of a
 * generation: before it looks whether all have. */
static inline void sw_gauge_set_fenced(sw_gauge *gauge, int64_t value)
{
    atomic_store_explicit(&gauge->value, value, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
}

#endif
