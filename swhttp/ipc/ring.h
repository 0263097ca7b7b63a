/* Rings between two processes: one producer, one consumer, bytes in contiguous frames, in shared memory.
 *
 *      tail (consumer)          head (producer)
 *        v                        v
 *   +----+------------------------+-------------+      size is a power of two; head and tail only grow,
 *   |free| frame | frame | frame  | free  | WRAP|      the place of either is (value & (size - 1))
 *   +----+------------------------+-------------+
 *
 * A frame never crosses the end of the ring: when it does not fit there, the producer writes the word
 * SW_RING_WRAP where the frame would have begun and goes on at the start. Frames are multiples of 8 bytes,
 * so that word always has room.
 *
 * Contract. The producer writes, then publishes the head with release; the consumer acquires the head, reads,
 * then releases the tail. Each side keeps its own index in private memory and reads only the other's from
 * shared memory, and checks it: a peer that scribbles can lose its own frames and nothing else.
 *
 * Sleeping. A worker has ONE `sleeping` word for all its rings, a reactor one for each worker, which is all that this
 * worker can spoil; what follows holds for each of them. To sleep: store it, full fence, look at
 * every ring once more, only then block. To wake: publish, full fence, load it, and if it is set exchange it to
 * 0 and write the eventfd. Both fences are needed (store buffers: each side's store must be visible before its
 * load). `make model` proves this pairing and fails when either fence is taken out.
 *
 * Waiting for space is the same handshake the other way round, with `want_space`, and has an order of its own:
 * flush held-back wake-ups; announce sleep; say `want_space`; try to reserve once more; only then block; and all
 * of it again after each wake. `want_space` before the announcement is a lost wake-up: a release that makes too
 * little room takes the word back and finds its producer awake, and the next one has nobody to wake.
 *
 * A claim and its eventfd write are two steps. A process killed between them leaves a sleeper whose word says
 * awake and whom nobody wakes again. So whoever learns of a death writes the eventfds of all sleepers that the dead
 * could wake, whatever their words say.
 */
#ifndef SWHTTP_RING_H
#define SWHTTP_RING_H

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "swhttp/ipc/crashpoint.h"

#define SW_CACHE_LINE 64
#define SW_RING_WRAP 0xFFFFFFFFu

/* Values of a `sleeping` word. */
#define SW_AWAKE 0u
#define SW_ASLEEP 1u
#define SW_ASLEEP_WITH_TICK 2u /* the sleeper looks again by itself within half a millisecond */

typedef struct {
    _Alignas(SW_CACHE_LINE) _Atomic uint64_t head; /* written by the producer */
    _Alignas(SW_CACHE_LINE) _Atomic uint64_t tail; /* written by the consumer */
    _Atomic uint32_t want_space;                   /* set by the producer, taken back by the consumer */
} sw_ring;

typedef struct {
    _Alignas(SW_CACHE_LINE) _Atomic uint32_t value;
} sw_sleeping;

/* One side's private view of a ring. */
typedef struct {
    sw_ring *ring;
    unsigned char *data;
    uint64_t size;  /* bytes, a power of two */
    uint64_t own;   /* producer: head not yet published; consumer: tail not yet released */
    uint64_t peer;  /* last checked value of the other side's index */
} sw_ring_end;

static inline void sw_ring_attach(sw_ring_end *end, void *ring, void *data, uint64_t size)
{
    end->ring = (sw_ring *)ring;
    end->data = (unsigned char *)data;
    end->size = size;
    end->own = 0;
    end->peer = 0;
}

/* Only while no other process uses the ring. */
static inline void sw_ring_reset(void *memory)
{
    sw_ring *ring = (sw_ring *)memory;
    atomic_store_explicit(&ring->head, 0, memory_order_relaxed);
    atomic_store_explicit(&ring->tail, 0, memory_order_relaxed);
    atomic_store_explicit(&ring->want_space, 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
}

/* ---- producer ---- */

/* The largest frame that is certain to fit once the ring has been emptied, wherever the head stands. */
static inline uint64_t sw_ring_max_frame(uint64_t size)
{
    return size / 2;
}

/* Room for a contiguous frame of `length` bytes (a multiple of 8), or NULL while there is none. */
static inline unsigned char *sw_ring_reserve(sw_ring_end *end, uint64_t length)
{
    uint64_t at = end->own & (end->size - 1);
    uint64_t to_end = end->size - at;
    uint64_t need = length <= to_end ? length : to_end + length;

    if (end->own - end->peer + need > end->size) {
        uint64_t tail = atomic_load_explicit(&end->ring->tail, memory_order_acquire);
        if (end->own - tail > end->size) /* not a value that this producer's consumer can have written */
            return NULL;
        end->peer = tail;
        if (end->own - tail + need > end->size)
            return NULL;
    }
    if (need != length) {
        uint32_t wrap = SW_RING_WRAP;
        memcpy(end->data + at, &wrap, sizeof wrap);
        end->own += to_end;
        at = 0;
        SW_CRASH_POINT("ring-wrapped");
    }
    SW_CRASH_POINT("frame-reserved");
    return end->data + at;
}

/* Is there room for a frame of `length` bytes, when all frames have that length and it divides the ring? Reads the
 * other side's index only when what is known of it does not do. */
static inline int sw_ring_has_room(sw_ring_end *end, uint64_t length)
{
    uint64_t tail;
    if (end->own - end->peer + length <= end->size)
        return 1;
    tail = atomic_load_explicit(&end->ring->tail, memory_order_acquire);
    if (end->own - tail > end->size)
        return 0;
    end->peer = tail;
    return end->own - tail + length <= end->size;
}

/* Publish the frame just reserved and written. Waking the consumer is the caller's next step. */
static inline void sw_ring_publish(sw_ring_end *end, uint64_t length)
{
    end->own += length;
    SW_CRASH_POINT("frame-written");
    atomic_store_explicit(&end->ring->head, end->own, memory_order_release);
    SW_CRASH_POINT("frame-published");
}

/* Say that room is wanted. The caller has announced sleep before this, and must try to reserve once more before
 * it blocks; after a wake that brought too little room it begins again. */
static inline void sw_ring_want_space(sw_ring_end *end)
{
    atomic_store_explicit(&end->ring->want_space, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
}

/* Does the word that this side alone writes still say what it has written? */
static inline int sw_ring_head_is(sw_ring_end *end, uint64_t head)
{
    return atomic_load_explicit(&end->ring->head, memory_order_relaxed) == head;
}

static inline int sw_ring_tail_is(sw_ring_end *end, uint64_t tail)
{
    return atomic_load_explicit(&end->ring->tail, memory_order_relaxed) == tail;
}

/* Bytes that the consumer has not released yet, as far as the producer can see. */
static inline uint64_t sw_ring_unread(sw_ring_end *end)
{
    return end->own - atomic_load_explicit(&end->ring->tail, memory_order_acquire);
}

/* ---- consumer ---- */

/* Is there anything published that has not been read? */
static inline int sw_ring_has_more(sw_ring_end *end)
{
    if (end->peer != end->own)
        return 1;
    return atomic_load_explicit(&end->ring->head, memory_order_acquire) != end->own;
}

/* Bytes readable in one piece at *at: > 0, 0 when empty, -1 when the head is not one that can be right. */
static inline int64_t sw_ring_peek(sw_ring_end *end, unsigned char **at)
{
    for (;;) {
        uint64_t place, to_end, ready;
        uint32_t first;
        if (end->peer == end->own) {
            uint64_t head = atomic_load_explicit(&end->ring->head, memory_order_acquire);
            if (head - end->own > end->size || (head & 7) != 0)
                return -1;
            end->peer = head;
            if (head == end->own)
                return 0;
        }
        place = end->own & (end->size - 1);
        to_end = end->size - place;
        ready = end->peer - end->own;
        memcpy(&first, end->data + place, sizeof first);
        if (first != SW_RING_WRAP) {
            *at = end->data + place;
            return (int64_t)(ready < to_end ? ready : to_end);
        }
        if (place == 0 || ready < to_end) /* a wrap marker at the start, or one not wholly published */
            return -1;
        end->own += to_end;
    }
}

/* Step over a frame that has been read; the producer learns of it with sw_ring_release. */
static inline void sw_ring_advance(sw_ring_end *end, uint64_t length)
{
    end->own += length;
}

/* Give back the room of all frames stepped over. Returns 1 when the producer waits for room and must be woken. */
static inline int sw_ring_release(sw_ring_end *end)
{
    SW_CRASH_POINT("frame-read");
    atomic_store_explicit(&end->ring->tail, end->own, memory_order_release);
    SW_CRASH_POINT("frame-released");
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&end->ring->want_space, memory_order_relaxed) == 0)
        return 0;
    return atomic_exchange_explicit(&end->ring->want_space, 0, memory_order_acq_rel) != 0;
}

/* ---- sleeping and waking ---- */

/* Announce sleep, in two steps where there are several words: each, then the fence. The caller must look at every ring
 * once more before it blocks. */
static inline void sw_sleep_say(sw_sleeping *word, uint32_t how)
{
    atomic_store_explicit(&word->value, how, memory_order_relaxed);
}

static inline void sw_sleep_fence(void)
{
    atomic_thread_fence(memory_order_seq_cst);
}

static inline void sw_sleep_begin(sw_sleeping *word, uint32_t how)
{
    sw_sleep_say(word, how);
    sw_sleep_fence();
    SW_CRASH_POINT("sleep-announced");
}

static inline void sw_sleep_end(sw_sleeping *word)
{
    atomic_store_explicit(&word->value, SW_AWAKE, memory_order_relaxed);
}

/* After publishing: must the caller write the consumer's eventfd? At most one caller gets 1 for one sleep.
 * `quiet`: the caller can leave it to the sleeper's own tick. */
static inline int sw_wake_claim(sw_sleeping *word, int quiet)
{
    uint32_t value;
    atomic_thread_fence(memory_order_seq_cst);
    value = atomic_load_explicit(&word->value, memory_order_relaxed);
    if (value == SW_AWAKE || (quiet && value == SW_ASLEEP_WITH_TICK))
        return 0;
    if (atomic_exchange_explicit(&word->value, SW_AWAKE, memory_order_acq_rel) == SW_AWAKE)
        return 0;
    SW_CRASH_POINT("wake-claimed");
    return 1;
}

/* eventfds are non-blocking: a full counter already means "awake". */
static inline void sw_eventfd_write(int fd)
{
    uint64_t one = 1;
    while (write(fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

static inline void sw_eventfd_drain(int fd)
{
    uint64_t count;
    while (read(fd, &count, sizeof count) < 0 && errno == EINTR)
        ;
}

#endif
