/* Work that may wait for a disk, done by threads that may: files that the kernel does not know by heart are opened,
 * and what is to be sent of them is read into memory. A reactor gives a job away and is called when it is done.
 *
 * A job belongs to one side at a time: to its reactor before sw_io_submit, to the threads until it is in the inbox, to
 * the reactor again from then on. So nothing in it is atomic; the queue has a lock, the inbox is a list to which the
 * threads push and which the reactor takes whole.
 */
#ifndef SWHTTP_IOJOBS_H
#define SWHTTP_IOJOBS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "swhttp/ipc/ring.h"
#include "swhttp/reactor/openat2.h"

#define SW_IO_OPEN 1 /* find a file */
#define SW_IO_READ 2 /* read a part of an open one into memory */
#define SW_IO_BUFFER_BYTES 131072

struct sw_io_inbox;

typedef struct sw_io_job {
    struct sw_io_job *next;
    struct sw_io_inbox *inbox;
    void *connection;     /* whoever waits; looks into the job at its end whether it still does */
    void *file;           /* IO_READ: held open until the end */
    int kind;
    int fd;               /* IO_OPEN: the directory; IO_READ: the file */
    uint64_t at;          /* IO_READ */
    uint64_t length;
    uint8_t wanted[SW_CODINGS];
    uint8_t wanted_count;
    sw_found found;
    uint8_t index;        /* IO_OPEN: the path is that of a directory's index */
    uint32_t path_length;
    char path[];          /* IO_OPEN: with SW_SUFFIX_BYTES of room behind it */
} sw_io_job;

typedef struct sw_io_inbox {
    _Atomic(sw_io_job *) done;
    int eventfd;
} sw_io_inbox;

typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t more;
    sw_io_job *first;
    sw_io_job *last;
    uint32_t count;       /* files to be opened with which no thread has begun */
    uint32_t most;
    int stopping;
} sw_io_pool;

static inline void sw_io_init(sw_io_pool *pool, uint32_t most)
{
    memset(pool, 0, sizeof *pool);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->more, NULL);
    pool->most = most;
}

/* 1: taken; 0: too many files wait to be opened. Reads are always taken, and not counted: what is being sent has an
 * answer under way, and of one connection there can be only one. */
static inline int sw_io_submit(sw_io_pool *pool, sw_io_job *job)
{
    int opens = job->kind == SW_IO_OPEN, taken = 0;
    job->next = NULL;
    pthread_mutex_lock(&pool->lock);
    if (!opens || pool->count < pool->most) {
        if (pool->last != NULL)
            pool->last->next = job;
        else
            pool->first = job;
        pool->last = job;
        pool->count += (uint32_t)opens;
        taken = 1;
        pthread_cond_signal(&pool->more);
    }
    pthread_mutex_unlock(&pool->lock);
    return taken;
}

/* For the reactor: all jobs that are done, linked by `next`. */
static inline sw_io_job *sw_io_take(sw_io_inbox *inbox)
{
    if (atomic_load_explicit(&inbox->done, memory_order_relaxed) == NULL)
        return NULL;
    return atomic_exchange_explicit(&inbox->done, NULL, memory_order_acquire);
}

static inline void sw_io_deliver(sw_io_job *job)
{
    sw_io_inbox *inbox = job->inbox; /* afterwards the job is the reactor's */
    sw_io_job *before = atomic_load_explicit(&inbox->done, memory_order_relaxed);
    do {
        job->next = before;
    } while (!atomic_compare_exchange_weak_explicit(&inbox->done, &before, job, memory_order_release,
                                                    memory_order_relaxed));
    if (before == NULL) /* else whoever pushed that one wakes */
        sw_eventfd_write(inbox->eventfd);
}

static inline void sw_io_do(sw_io_job *job, char *buffer)
{
    if (job->kind == SW_IO_OPEN) {
        sw_find_file(job->fd, job->path, job->path_length, job->wanted, job->wanted_count, 0, &job->found);
        return;
    }
    while (job->length > 0) {
        size_t part = job->length < SW_IO_BUFFER_BYTES ? (size_t)job->length : SW_IO_BUFFER_BYTES;
        ssize_t n = pread(job->fd, buffer, part, (off_t)job->at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* an error, or an end that comes too soon: sending will find it too */
        job->at += (uint64_t)n;
        job->length -= (uint64_t)n;
    }
}

/* A thread, until sw_io_stop; what waits then is done before. `buffer`: SW_IO_BUFFER_BYTES of its own. */
static inline void sw_io_run(sw_io_pool *pool, char *buffer)
{
    for (;;) {
        sw_io_job *job;
        pthread_mutex_lock(&pool->lock);
        while (pool->first == NULL && !pool->stopping)
            pthread_cond_wait(&pool->more, &pool->lock);
        job = pool->first;
        if (job != NULL) {
            pool->first = job->next;
            if (pool->first == NULL)
                pool->last = NULL;
            pool->count -= job->kind == SW_IO_OPEN;
        }
        pthread_mutex_unlock(&pool->lock);
        if (job == NULL)
            return;
        sw_io_do(job, buffer);
        sw_io_deliver(job);
    }
}

static inline void sw_io_stop(sw_io_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->stopping = 1;
    pthread_cond_broadcast(&pool->more);
    pthread_mutex_unlock(&pool->lock);
}

#endif
