/* The session table: one row per client connection, written by its reactor, read-only to workers.
 *
 * A session is (row, generation). A row is given out again under a higher generation, so a reader compares the
 * word before and after it copies: equal and open both times means that the copy is of that connection.
 */
#ifndef SWHTTP_SESSION_H
#define SWHTTP_SESSION_H

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#define SW_ADDRESS_TEXT 46 /* INET6_ADDRSTRLEN */
#define SW_SESSION_SLOW 1   /* what it is sent piles up */
#define SW_SESSION_BLOCKS 2 /* who pushes to it is to wait while it is slow */

typedef struct {
    uint16_t listener;     /* which --bind accepted it */
    uint16_t peer_port;
    uint16_t local_port;
    uint8_t peer_len;      /* 0 on unix sockets */
    uint8_t local_len;     /* 0 on unix sockets */
    char peer[SW_ADDRESS_TEXT];
    char local[SW_ADDRESS_TEXT];
} sw_address;

typedef struct {
    _Alignas(64) _Atomic uint64_t word; /* generation << 1 | open */
    sw_address address;
    _Atomic uint32_t slow; /* of a WebSocket: SW_SESSION_SLOW, SW_SESSION_BLOCKS */
} sw_session;

_Static_assert(sizeof(sw_session) == 128, "two cache lines a session");

/* ---- reactor ---- */

static inline void sw_session_open(sw_session *row, uint64_t generation, const sw_address *address)
{
    atomic_store_explicit(&row->word, generation << 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    memcpy(&row->address, address, sizeof *address);
    atomic_store_explicit(&row->slow, 0, memory_order_relaxed);
    atomic_store_explicit(&row->word, generation << 1 | 1, memory_order_release);
}

static inline void sw_session_close(sw_session *row, uint64_t generation)
{
    atomic_store_explicit(&row->word, generation << 1, memory_order_release);
}

static inline void sw_session_set_slow(sw_session *row, uint32_t slow)
{
    atomic_store_explicit(&row->slow, slow, memory_order_release);
}

/* ---- workers ---- */

static inline int sw_session_is_open(sw_session *row, uint64_t generation)
{
    return atomic_load_explicit(&row->word, memory_order_acquire) == (generation << 1 | 1);
}

/* What its client's pace means for those who push to it; 0 of one that is closed. */
static inline uint32_t sw_session_slow(sw_session *row, uint64_t generation)
{
    return sw_session_is_open(row, generation) ? atomic_load_explicit(&row->slow, memory_order_acquire) : 0;
}

/* 1: `address` is this session's; 0: it is closed, or its row is another's by now. */
static inline int sw_session_address(sw_session *row, uint64_t generation, sw_address *address)
{
    if (!sw_session_is_open(row, generation))
        return 0;
    memcpy(address, &row->address, sizeof *address);
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&row->word, memory_order_relaxed) == (generation << 1 | 1)
        && address->peer_len <= SW_ADDRESS_TEXT && address->local_len <= SW_ADDRESS_TEXT;
}

#endif
