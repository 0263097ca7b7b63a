/* Take or revoke (swhttp/ipc/request_table.h): one table entry, its reactor, two workers.
 *
 * The reactor gives the entry out again and again, each time under the next request_id, to either worker, by a
 * descriptor that stays in that worker's ring however late it is read. It may try to take the request back, and
 * gives the entry out anew after that or after the final frame of who took it. `dispatched_to` and `current` are
 * what the reactor knows. Properties: a take succeeds only for the request that the entry stands for now, by the
 * worker it was dispatched to; every request is owned exactly once.
 *
 * Mutants: STATE_ONLY (the swap compares the state, not the request_id), NO_SWAP (load, compare, store), SAME_ID
 * (given out again under the same request_id).
 */
#define WORDS 1
#define PROCESSES 3
#include "memory.inc"

#define REQUESTS 5
#define FREE 0
#define QUEUED 1
#define TAKEN 2
#define REVOKED 3
#define REACTOR 2 /* processes 0 and 1 are the workers */

#define word_of(id, state) ((id) << 2 | (state))

chan ring[2] = [REQUESTS] of { byte };
chan final[2] = [1] of { byte };

byte serial, current, dispatched_to;
byte owners[REQUESTS + 1];

inline swap(id, from, to, won)
{
#ifdef NO_SWAP
    load(0, value);
    won = (value == word_of(id, from));
    if
    :: won -> store(0, word_of(id, to)); fence()
    :: !won
    fi;
    value = 0
#else
    atomic {
        empty(buffer[me]);
#ifdef STATE_ONLY
        won = ((memory[0] & 3) == from);
#else
        won = (memory[0] == word_of(id, from));
#endif
        if
        :: won -> memory[0] = word_of(id, to)
        :: !won
        fi
    }
#endif
}

proctype Reactor()
{
    byte me = REACTOR;
    byte value, answered;
    bool won;

    do
    :: serial < REQUESTS ->
        atomic {
            serial++;
#ifdef SAME_ID
            current = 1;
#else
            current = serial;
#endif
            if
            :: dispatched_to = 0
            :: dispatched_to = 1
            fi;
        }
        store(0, word_of(current, QUEUED));
        fence(); /* stands for the ring: its head is published, in order, after the word */
        ring[dispatched_to]!current;
        won = false;
        if
        :: swap(current, QUEUED, REVOKED, won)
        :: true
        fi;
        if
        :: won -> d_step { owners[serial]++; assert(owners[serial] == 1) }
        :: !won ->
            final[dispatched_to]?answered;
            assert(answered == current);
            store(0, FREE)
        fi
    :: else -> break
    od;
    ring[0]!0;
    ring[1]!0
}

proctype Worker(byte me)
{
    byte id, value;
    bool won;

    do
    :: ring[me]?id;
        if
        :: id == 0 -> break
        :: id != 0 ->
            swap(id, QUEUED, TAKEN, won);
            if
            :: won ->
                d_step {
                    assert(id == current && me == dispatched_to);
                    owners[serial]++;
                    assert(owners[serial] == 1)
                }
                final[me]!id
            :: !won
            fi
        fi
    od
}

init
{
    byte id;
    atomic {
        run Drain(0); run Drain(1); run Drain(REACTOR);
        run Worker(0); run Worker(1); run Reactor()
    }
    timeout ->
    for (id : 1 .. REQUESTS) {
        assert(owners[id] == 1)
    }
}
