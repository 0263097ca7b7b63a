/* Looking, for a while, at memory that another process is about to write.
 *
 *      do {
 *          for (i = 0; i < SW_SPIN_LOOKS; i++) { if (it is there) return; sw_spin_pause(); }
 *          sw_spin_yield();
 *      } while (there is time left);
 *
 * The yield is what makes it worth it. The peer, or the client on the same machine, may be queued on this very CPU:
 * without it they wait until the spinner gives up (measured with two CPUs: 72 us for a request of one lone client, and
 * 24 us with it). On a CPU that nobody else wants it costs some 0.3 us.
 */
#ifndef SWHTTP_SPIN_H
#define SWHTTP_SPIN_H

#include <sched.h>

#define SW_SPIN_LOOKS 32 /* about 1 us */

static inline void sw_spin_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

static inline void sw_spin_yield(void)
{
    sched_yield();
}

#endif
