/* Waiting for space (swhttp/ipc/ring.h): a worker that publishes into a small ring, a reactor that releases it.
 *
 * The ring has room for SIZE units; frames take 1 to 3 of them, so that a release can make too little room. The
 * reactor steps over one frame and releases, or over several. The worker holds wake-ups back while it publishes
 * (wake moderation), and flushes before it waits. Each side has its sleeping word and eventfd. Property: when
 * nothing can move any more, the worker has published all frames and the reactor has consumed them.
 *
 * Mutants: NO_WANT_FENCE, NO_RELEASE_FENCE, NO_LOOK (blocks without trying to reserve once more), NO_FLUSH (waits
 * with a wake-up held back), WANT_FIRST (says want_space before it announces sleep), ASK_ONCE (does not say
 * want_space again after a wake that brought too little room).
 */
#define WORDS 5
#define PROCESSES 2
#include "memory.inc"

#define HEAD 0
#define TAIL 1
#define WANT_SPACE 2
#define REACTOR_SLEEPING 3
#define WORKER_SLEEPING 4

#define SIZE 3
#define FRAMES 4

#define WORKER 0
#define REACTOR 1

bool reactor_eventfd, worker_eventfd;
byte lengths[FRAMES]; /* chosen by the worker; what a frame's head says */
byte released; /* frames the reactor has stepped over */
bool finished;

/* sw_wake_claim and sw_eventfd_write */
inline wake(word, eventfd)
{
    fence();
    load(word, value);
    if
    :: value == 0
    :: value != 0 ->
        take_back(word, value);
        if
        :: value == 0
        :: value != 0 -> eventfd = true
        fi
    fi;
    value = 0
}

/* sw_ring_reserve; `tail` and `own` count units. */
inline reserve(length, fits)
{
    load(TAIL, value);
    fits = (own - value + length <= SIZE);
    value = 0
}

proctype Worker()
{
    byte me = WORKER;
    byte own, value, frame;
    bool fits, held, asked;

    do
    :: frame < FRAMES ->
        if
        :: lengths[frame] = 1
        :: lengths[frame] = 2
        :: lengths[frame] = 3
        fi;
        reserve(lengths[frame], fits);
        do
        :: fits -> break
        :: !fits ->
#ifndef NO_FLUSH
            if
            :: held -> wake(REACTOR_SLEEPING, reactor_eventfd); held = false
            :: !held
            fi;
#endif
#ifdef WANT_FIRST
            store(WANT_SPACE, 1);
            fence();
            reserve(lengths[frame], fits);
            if
            :: fits -> break
            :: !fits
            fi;
            store(WORKER_SLEEPING, 1);
            fence();
#else
            store(WORKER_SLEEPING, 1);
            fence();
#ifdef ASK_ONCE
            if
            :: !asked -> store(WANT_SPACE, 1); asked = true
            :: asked
            fi;
#else
            store(WANT_SPACE, 1);
#endif
#ifndef NO_WANT_FENCE
            fence();
#endif
#endif
#ifndef NO_LOOK
            reserve(lengths[frame], fits);
#endif
            if
            :: fits
            :: !fits -> atomic { worker_eventfd -> worker_eventfd = false }
            fi;
            store(WORKER_SLEEPING, 0);
            reserve(lengths[frame], fits)
        od;
        asked = false;
        fits = false;
        own = own + lengths[frame];
        store(HEAD, own);
        frame++;
        if
        :: held = true
        :: wake(REACTOR_SLEEPING, reactor_eventfd); held = false
        fi
    :: else -> break
    od;
    if
    :: held -> wake(REACTOR_SLEEPING, reactor_eventfd)
    :: !held
    fi;
    finished = true
}

proctype Reactor()
{
    byte me = REACTOR;
    byte own, head, value;

    do
    :: store(REACTOR_SLEEPING, 1);
       fence();
       load(HEAD, head);
       if
       :: head != own
       :: head == own -> atomic { reactor_eventfd -> reactor_eventfd = false }
       fi;
       store(REACTOR_SLEEPING, 0);
       load(HEAD, head);
       do
       :: own != head ->
           own = own + lengths[released];
           released++;
           if
           :: own != head /* goes on to the next frame and releases both */
           :: true ->
               /* sw_ring_release */
               store(TAIL, own);
#ifndef NO_RELEASE_FENCE
               fence();
#endif
               load(WANT_SPACE, value);
               if
               :: value == 0
               :: value != 0 ->
                   take_back(WANT_SPACE, value);
                   if
                   :: value == 0
                   :: value != 0 -> wake(WORKER_SLEEPING, worker_eventfd)
                   fi
               fi;
               value = 0
           fi
       :: own == head -> break
       od
    od
}

init
{
    atomic { run Drain(WORKER); run Drain(REACTOR); run Worker(); run Reactor() }
    timeout -> assert(finished && released == FRAMES)
}
