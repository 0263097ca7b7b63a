/* Places where a test has a worker killed: between two steps that leave shared memory in different states.
 *
 * In a build with SW_CRASH_POINTS (tests/support/crashing.py makes one) a process that comes to the place that its
 * environment variable SWHTTP_CRASH_POINT names, `name=N`, for the Nth time kills itself there, by SIGKILL: nothing is
 * unwound and nothing flushed. In every other build there is nothing here.
 */
#ifndef SWHTTP_CRASHPOINT_H
#define SWHTTP_CRASHPOINT_H

#ifdef SW_CRASH_POINTS

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SW_CRASH_VARIABLE "SWHTTP_CRASH_POINT"
#define SW_CRASH_POINT(name) sw_crash_point(name)

/* The count is kept in the variable itself: each extension module has its own copy of this function. */
static inline void sw_crash_point(const char *name)
{
    const char *armed = getenv(SW_CRASH_VARIABLE);
    size_t length = strlen(name);
    char next[64];
    int times;
    if (armed == NULL || strncmp(armed, name, length) != 0 || armed[length] != '=')
        return;
    times = atoi(armed + length + 1);
    if (times <= 1)
        kill(getpid(), SIGKILL);
    snprintf(next, sizeof next, "%s=%d", name, times - 1);
    setenv(SW_CRASH_VARIABLE, next, 1);
}

#else

#define SW_CRASH_POINT(name) ((void)0)

#endif
#endif
