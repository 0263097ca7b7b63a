/* The request table: who owns a request in flight. One table per slot and reactor, in the memory that only the slot's
 * worker may write; one entry per request with that worker. An index is given out once in all tables of a reactor.
 *
 *   word = request_id << 2 | state          request_id = serial << 16 | index of the entry
 *
 *            reactor                        worker
 *   FREE --> QUEUED ---- compare and swap ----> TAKEN --(its final frame)--> FREE
 *              \-------- compare and swap ----> REVOKED --> FREE, or QUEUED again under a new request_id
 *
 * The swap is on the whole word, so a late one can never hit an entry that has been given out again. Whoever wins
 * owns the request: after TAKEN the worker owes a final frame, after REVOKED it must not look at the block.
 *
 * The other fields are words, not messages, because a busy worker reads no messages.
 */
#ifndef SWHTTP_REQUEST_TABLE_H
#define SWHTTP_REQUEST_TABLE_H

#include <stdatomic.h>
#include <stdint.h>

#include "swhttp/ipc/crashpoint.h"

#define SW_REQUEST_FREE 0u
#define SW_REQUEST_QUEUED 1u
#define SW_REQUEST_TAKEN 2u
#define SW_REQUEST_REVOKED 3u

#define SW_REQUEST_INDEX_BITS 16
#define SW_REQUEST_MAX_ENTRIES (1u << SW_REQUEST_INDEX_BITS)

typedef struct {
    _Alignas(64) _Atomic uint64_t word; /* both sides, by compare and swap */
    _Atomic uint64_t acked;             /* reactor: body bytes of a streamed response that have left it */
    _Atomic uint32_t closed;            /* reactor: the client is gone, nothing more can be delivered */
    _Atomic uint32_t want_ack;          /* worker: wake me when the client has taken more, is slow, or is gone */
    _Atomic uint32_t full;              /* reactor: the client is slow, what it is sent piles up */
    _Atomic uint32_t read;              /* worker: how many blocks of a WebSocket's messages it has read */
} sw_request_entry;

static inline uint64_t sw_request_id(uint64_t serial, uint32_t index)
{
    return serial << SW_REQUEST_INDEX_BITS | index;
}

static inline uint32_t sw_request_index(uint64_t request_id)
{
    return (uint32_t)(request_id & (SW_REQUEST_MAX_ENTRIES - 1));
}

/* ---- reactor ---- */

/* Before its descriptor is posted. */
static inline void sw_request_queue(sw_request_entry *entry, uint64_t request_id)
{
    atomic_store_explicit(&entry->acked, 0, memory_order_relaxed);
    atomic_store_explicit(&entry->closed, 0, memory_order_relaxed);
    atomic_store_explicit(&entry->want_ack, 0, memory_order_relaxed);
    atomic_store_explicit(&entry->full, 0, memory_order_relaxed);
    atomic_store_explicit(&entry->read, 0, memory_order_relaxed);
    atomic_store_explicit(&entry->word, request_id << 2 | SW_REQUEST_QUEUED, memory_order_release);
}

static inline int sw_request_swap(sw_request_entry *entry, uint64_t request_id, uint32_t from, uint32_t to)
{
    uint64_t expected = request_id << 2 | from;
    return atomic_compare_exchange_strong_explicit(&entry->word, &expected, request_id << 2 | to,
                                                   memory_order_acq_rel, memory_order_acquire);
}

/* 1: the reactor owns it again; 0: a worker has taken it. */
static inline int sw_request_revoke(sw_request_entry *entry, uint64_t request_id)
{
    return sw_request_swap(entry, request_id, SW_REQUEST_QUEUED, SW_REQUEST_REVOKED);
}

static inline uint32_t sw_request_state(sw_request_entry *entry, uint64_t request_id)
{
    uint64_t word = atomic_load_explicit(&entry->word, memory_order_acquire);
    return word >> 2 == request_id ? (uint32_t)(word & 3) : SW_REQUEST_FREE;
}

/* Is the entry as a reactor and a worker leave it for a request that is with the worker? */
static inline int sw_request_is_sound(sw_request_entry *entry, uint64_t request_id)
{
    uint32_t state = sw_request_state(entry, request_id);
    return state == SW_REQUEST_QUEUED || state == SW_REQUEST_TAKEN;
}

static inline void sw_request_free(sw_request_entry *entry)
{
    atomic_store_explicit(&entry->word, SW_REQUEST_FREE, memory_order_relaxed);
}

/* More of the response has left (or `closed`). Returns 1 when the worker waits for that and must be woken. */
static inline int sw_request_ack(sw_request_entry *entry, uint64_t acked, int closed)
{
    atomic_store_explicit(&entry->acked, acked, memory_order_release);
    if (closed)
        atomic_store_explicit(&entry->closed, 1, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&entry->want_ack, memory_order_relaxed) == 0)
        return 0;
    return atomic_exchange_explicit(&entry->want_ack, 0, memory_order_acq_rel) != 0;
}

/* The client has turned out to be slow, or not to be any more. Returns 1 as `sw_request_ack` does. */
static inline int sw_request_set_full(sw_request_entry *entry, uint32_t full)
{
    atomic_store_explicit(&entry->full, full, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
    if (!full || atomic_load_explicit(&entry->want_ack, memory_order_relaxed) == 0)
        return 0;
    return atomic_exchange_explicit(&entry->want_ack, 0, memory_order_acq_rel) != 0;
}

/* How many blocks of a WebSocket's messages its worker has read, so far as is known here. */
static inline uint32_t sw_request_read(sw_request_entry *entry)
{
    return atomic_load_explicit(&entry->read, memory_order_acquire);
}

/* ---- worker ---- */

/* One block more of a WebSocket's messages has been read: its reactor may use it again. */
static inline void sw_request_set_read(sw_request_entry *entry, uint32_t read)
{
    atomic_store_explicit(&entry->read, read, memory_order_release);
}

/* 1: the request is this worker's, which owes its final frame; 0: the reactor has taken it back. */
static inline int sw_request_take(sw_request_entry *entry, uint64_t request_id)
{
    int taken;
    SW_CRASH_POINT("request-found");
    taken = sw_request_swap(entry, request_id, SW_REQUEST_QUEUED, SW_REQUEST_TAKEN);
    SW_CRASH_POINT("request-taken");
    return taken;
}

static inline int sw_request_closed(sw_request_entry *entry)
{
    return atomic_load_explicit(&entry->closed, memory_order_acquire) != 0;
}

static inline uint64_t sw_request_acked(sw_request_entry *entry)
{
    return atomic_load_explicit(&entry->acked, memory_order_acquire);
}

static inline int sw_request_is_full(sw_request_entry *entry)
{
    return atomic_load_explicit(&entry->full, memory_order_acquire) != 0;
}

/* Ask to be woken, once: the caller must look at `acked`, `full` and `closed` again before it waits, and must ask again
 * after a wake that brought too little. */
static inline void sw_request_want_ack(sw_request_entry *entry)
{
    atomic_store_explicit(&entry->want_ack, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    SW_CRASH_POINT("ack-wanted");
}

#endif
