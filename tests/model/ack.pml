/* Waiting for the client (swhttp/ipc/request_table.h): a worker that streams, a reactor that says what has left.
 *
 * The worker stops when it is more than HIGH units ahead of `acked`, says `want_ack`, looks once more and waits for
 * the descriptor that wakes it (the ring and its wake-up are wake.pml's matter). The reactor raises `acked` by one
 * unit at a time, or sets `closed` and never raises it again. Property: when nothing can move any more the worker
 * has sent everything, or knows that the client is gone.
 *
 * Mutants: NO_WANT_FENCE, NO_ACK_FENCE, NO_LOOK (waits without looking once more), ASK_ONCE (does not say want_ack
 * again after a wake that brought too little), SILENT_CLOSE (`closed` is set and nobody woken).
 */
#define WORDS 3
#define PROCESSES 2
#include "memory.inc"

#define ACKED 0
#define CLOSED 1
#define WANT_ACK 2

#define TOTAL 6
#define UNIT 2 /* sent at a time: an ack of 1 may be too little */
#define HIGH 1

#define WORKER 0
#define REACTOR 1

byte sent;
byte descriptors;
bool finished;

proctype Worker()
{
    byte me = WORKER;
    byte acked, closed;
    bool asked;

    do
    :: sent < TOTAL && !closed ->
        sent = sent + UNIT;
        asked = false;
        do
        :: load(ACKED, acked);
           load(CLOSED, closed);
           if
           :: closed || sent - acked <= HIGH -> break
           :: else
           fi;
#ifdef ASK_ONCE
           if
           :: !asked -> store(WANT_ACK, 1); asked = true
           :: asked
           fi;
#else
           store(WANT_ACK, 1);
#endif
#ifndef NO_WANT_FENCE
           fence();
#endif
#ifndef NO_LOOK
           load(ACKED, acked);
           load(CLOSED, closed);
#endif
           if
           :: closed || sent - acked <= HIGH -> break
           :: else
           fi;
           atomic { descriptors > 0 -> descriptors-- }
        od
    :: else -> break
    od;
    finished = true
}

proctype Reactor()
{
    byte me = REACTOR;
    byte acked, value;
    bool closed;

end:
    do
    :: !closed && acked < sent ->
        if
        :: acked++; store(ACKED, acked)
        :: closed = true; store(CLOSED, 1)
        fi;
#ifndef NO_ACK_FENCE
        fence();
#endif
        load(WANT_ACK, value);
        if
#ifdef SILENT_CLOSE
        :: closed
#endif
        :: value == 0
        :: value != 0 ->
            take_back(WANT_ACK, value);
            if
            :: value == 0
            :: value != 0 -> descriptors++
            fi
        fi;
        value = 0
    od
}

init
{
    atomic { run Drain(WORKER); run Drain(REACTOR); run Worker(); run Reactor() }
    timeout -> assert(finished)
}
