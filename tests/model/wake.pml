/* Sleeping and waking (swhttp/ipc/ring.h): one consumer, its sleeping word and eventfd, two producers, two rings.
 *
 * A ring is its head: the number of frames published. Property: whenever nothing can move any more, every frame
 * that was published has been consumed. The consumer's tick is a step that may be taken at any time while it sleeps
 * with one, so the states that must be right are those where it sleeps without.
 *
 * DEATH: a producer may be killed between its claim of the wake-up and the eventfd write. Who learns of the death
 * writes the eventfd.
 *
 * Mutants: NO_PRODUCER_FENCE, NO_CONSUMER_FENCE, NO_LOOK (blocks without looking once more), QUIET_ANY (quiet
 * though the sleeper has no tick), NO_TICK (announces a tick and has none), NO_EXCHANGE (the word is taken back by
 * load and store), NO_REAP (with DEATH: nobody writes the eventfd).
 */
#define WORDS 3
#define PROCESSES 3
#include "memory.inc"

#define FRAMES 2
#define SLEEPING 2 /* words 0 and 1 are the heads of the two rings */
#define AWAKE 0
#define ASLEEP 1
#define ASLEEP_WITH_TICK 2

bool eventfd;
byte published[2];
byte consumed[2];
bool dead;

proctype Producer(byte me)
{
    byte value;
    bool quiet;

    do
    :: published[me] < FRAMES && !(dead && me == 0) ->
        published[me]++;
        store(me, published[me]);
        /* sw_wake_claim */
        if
        :: quiet = false
        :: quiet = true
        fi;
#ifndef NO_PRODUCER_FENCE
        fence();
#endif
        load(SLEEPING, value);
        if
        :: value == AWAKE
#ifdef QUIET_ANY
        :: value != AWAKE && quiet
#else
        :: value == ASLEEP_WITH_TICK && quiet
#endif
        :: value == ASLEEP || (value == ASLEEP_WITH_TICK && !quiet) ->
#ifdef NO_EXCHANGE
            store(SLEEPING, AWAKE);
#else
            take_back(SLEEPING, value);
#endif
            if
            :: value == AWAKE
            :: value != AWAKE ->
                if
                :: eventfd = true
#ifdef DEATH
                :: me == 0 -> dead = true
#endif
                fi
            fi
        fi;
        value = 0;
        quiet = false
    :: else -> break
    od
}

#if defined(DEATH) && !defined(NO_REAP)
proctype Reaper()
{
end:
    dead -> eventfd = true
}
#endif

proctype Consumer()
{
    byte me = 2;
    byte value, ring;
    byte how;
    bool more;
    byte others = 1; /* wake-ups by something else, a socket for example */

    do
    :: if
       :: how = ASLEEP
       :: how = ASLEEP_WITH_TICK
       fi;
       store(SLEEPING, how);
#ifndef NO_CONSUMER_FENCE
       fence();
#endif
       more = false;
#ifndef NO_LOOK
       load(0, value);
       more = more || value != consumed[0];
       load(1, value);
       more = more || value != consumed[1];
#endif
       if
       :: more
       :: !more ->
blocked:
           if
           :: atomic { eventfd -> eventfd = false }
#ifndef NO_TICK
           :: how == ASLEEP_WITH_TICK
#endif
           :: others > 0 -> others--
           fi
       fi;
       store(SLEEPING, AWAKE);
       load(0, value);
       consumed[0] = value;
       load(1, value);
       consumed[1] = value;
       value = 0;
       more = false
    od
}

init
{
    atomic {
        run Drain(0); run Drain(1); run Drain(2);
        run Producer(0); run Producer(1); run Consumer();
#if defined(DEATH) && !defined(NO_REAP)
        run Reaper()
#endif
    }
    timeout -> assert(consumed[0] == published[0] && consumed[1] == published[1])
}
