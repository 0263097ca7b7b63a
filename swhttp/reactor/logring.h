/* Lines from a reactor to the thread that writes them: a ring of bytes with one producer and one consumer, threads of
 * the master both, and the bell that wakes the consumer.
 *
 *   data   | size bytes, a power of two | room for the longest line, and slack |
 *
 * A line is made where it will lie, and may run past the end of the ring: what does is copied to its start. `head` and
 * `tail` only grow; the place of either is ((value - base) & (size - 1)). The producer publishes once a turn, whole
 * lines only. When it finds the ring empty it makes the start of it the next line's place: so the same few pages are
 * written again and again, and stay in the caches, which a ring as large as the longest stall of a disk asks for would
 * flood. The writer reads `base` after a head beyond its tail only: such a head is published after the base, and
 * the base stays while anything is unwritten.
 *
 * The writer sleeps in two ways, and its word `state` says which. Idle, all rings are empty: the first line wakes it.
 * Lingering, it has written just now, and more may have come: SW_LOG_WAKE bytes wake it, else time does. Before either
 * it stores the word, and looks at the rings once more; the producer publishes, then loads the word. Between the two
 * steps of each stands a full fence, as in ipc/ring.h, which says why.
 */
#ifndef SWHTTP_LOGRING_H
#define SWHTTP_LOGRING_H

#include <stdatomic.h>
#include <stdint.h>

#include "swhttp/ipc/ring.h"

#define SW_LOG_BUSY 0u
#define SW_LOG_IDLE 1u
#define SW_LOG_LINGERS 2u
#define SW_LOG_WAKE 262144u

typedef struct {
    _Alignas(SW_CACHE_LINE) _Atomic uint64_t head; /* written by the reactor */
    _Atomic uint64_t base;                         /* likewise: what lies at the start of `data` */
    _Alignas(SW_CACHE_LINE) _Atomic uint64_t tail; /* written by the writer */
    _Alignas(SW_CACHE_LINE) unsigned char *data;
    uint64_t size;
} sw_log_ring;

typedef struct {
    _Alignas(SW_CACHE_LINE) _Atomic uint32_t state;
    _Alignas(SW_CACHE_LINE) _Atomic int next_fd; /* to go on with, or -1 */
    _Atomic uint64_t stop_by_ns;                 /* CLOCK_MONOTONIC; 0: go on */
    int eventfd;
} sw_log_bell;

static inline void sw_log_bell_init(sw_log_bell *bell, int eventfd)
{
    atomic_store_explicit(&bell->state, SW_LOG_BUSY, memory_order_relaxed);
    atomic_store_explicit(&bell->next_fd, -1, memory_order_relaxed);
    atomic_store_explicit(&bell->stop_by_ns, 0, memory_order_relaxed);
    bell->eventfd = eventfd;
}

/* ---- reactor ---- */

static inline uint64_t sw_log_tail(sw_log_ring *ring)
{
    return atomic_load_explicit(&ring->tail, memory_order_acquire);
}

/* The next line is the first of a turn. Let it lie at the ring's start when all before it is written. Returns its place. */
static inline uint64_t sw_log_rewind(sw_log_ring *ring, uint64_t own)
{
    if (sw_log_tail(ring) == own)
        atomic_store_explicit(&ring->base, own, memory_order_relaxed);
    return (own - atomic_load_explicit(&ring->base, memory_order_relaxed)) & (ring->size - 1);
}

/* All lines up to `own` may be written. */
static inline void sw_log_publish(sw_log_ring *ring, sw_log_bell *bell, uint64_t own)
{
    uint32_t state;
    atomic_store_explicit(&ring->head, own, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
    state = atomic_load_explicit(&bell->state, memory_order_relaxed);
    if (state == SW_LOG_BUSY || (state == SW_LOG_LINGERS && own - sw_log_tail(ring) < SW_LOG_WAKE))
        return;
    if (atomic_exchange_explicit(&bell->state, SW_LOG_BUSY, memory_order_acq_rel) != SW_LOG_BUSY)
        sw_eventfd_write(bell->eventfd);
}

/* ---- writer ---- */

static inline uint64_t sw_log_head(sw_log_ring *ring)
{
    return atomic_load_explicit(&ring->head, memory_order_acquire);
}

/* Where what is at `tail` lies: after a head beyond it was seen. */
static inline uint64_t sw_log_place(sw_log_ring *ring, uint64_t tail)
{
    return (tail - atomic_load_explicit(&ring->base, memory_order_relaxed)) & (ring->size - 1);
}

static inline void sw_log_release(sw_log_ring *ring, uint64_t tail)
{
    atomic_store_explicit(&ring->tail, tail, memory_order_release);
}

static inline void sw_log_sleep_begin(sw_log_bell *bell, uint32_t state)
{
    atomic_store_explicit(&bell->state, state, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
}

static inline void sw_log_sleep_end(sw_log_bell *bell)
{
    atomic_store_explicit(&bell->state, SW_LOG_BUSY, memory_order_relaxed);
    sw_eventfd_drain(bell->eventfd);
}

static inline uint64_t sw_log_stop_by_ns(sw_log_bell *bell)
{
    return atomic_load_explicit(&bell->stop_by_ns, memory_order_acquire);
}

/* The file to go on with, once; -1: none. */
static inline int sw_log_take_fd(sw_log_bell *bell)
{
    if (atomic_load_explicit(&bell->next_fd, memory_order_relaxed) < 0)
        return -1;
    return atomic_exchange_explicit(&bell->next_fd, -1, memory_order_acq_rel);
}

/* Has the main thread something to say? */
static inline int sw_log_called(sw_log_bell *bell)
{
    return sw_log_stop_by_ns(bell) != 0 || atomic_load_explicit(&bell->next_fd, memory_order_relaxed) >= 0;
}

/* ---- main thread ---- */

/* Go on with this file. Returns one that was said before and not taken, or -1: the caller closes it. */
static inline int sw_log_say_fd(sw_log_bell *bell, int fd)
{
    int before = atomic_exchange_explicit(&bell->next_fd, fd, memory_order_acq_rel);
    sw_eventfd_write(bell->eventfd);
    return before;
}

static inline void sw_log_say_stop(sw_log_bell *bell, uint64_t by_ns)
{
    atomic_store_explicit(&bell->stop_by_ns, by_ns, memory_order_release);
    sw_eventfd_write(bell->eventfd);
}

#endif
