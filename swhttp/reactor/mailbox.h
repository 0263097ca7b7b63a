/* Messages between threads of the master: commands to a reactor, connections handed over, reports to the main
 * thread. Bounded, behind a mutex: it is used a few times a second, never once a request. The eventfd wakes the
 * reader; `pending` lets it look without the lock.
 */
#ifndef SWHTTP_MAILBOX_H
#define SWHTTP_MAILBOX_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "swhttp/ipc/ring.h"
#include "swhttp/ipc/session.h"

#define SW_MAILBOX_SIZE 1024
#define SW_MAIL_TEXT 232

/* Commands to a reactor. */
#define MAIL_SLOT_UP 1      /* a: slot, b: generation, c: 1 for ASGI */
#define MAIL_SLOT_STOP 2    /* a: slot */
#define MAIL_SLOT_DEAD 3    /* a: slot */
#define MAIL_SLOT_STAGE 7   /* a: slot, b: generation, c: 1 for ASGI */
#define MAIL_SWITCH 8       /* a: how many of these there have been */
#define MAIL_DRAIN 4        /* a: 1 when no worker will ever come again */
#define MAIL_STOP 5
#define MAIL_CONNECTION 6   /* a: fd, address in text; from another reactor */
#define MAIL_LISTEN 10      /* accept from now on, for a reactor that was told to wait for it */
#define MAIL_SNAPSHOT 9     /* text: the address of a Snapshot of the main thread's, to be filled in */
/* Reports to the main thread. */
#define MAIL_SETTLED 16     /* a: slot, b: how many requests its worker had begun when it died */
#define MAIL_DRAINED 17     /* a: reactor; may be said again, when a connection was still on its way to it */
#define MAIL_LOG 18         /* a: level as in logging, text */
#define MAIL_CORRUPT 19     /* a: slot whose worker published what cannot be right */
#define MAIL_DEAF 20        /* a: reactor, which accepts nothing more */
#define MAIL_LOST 21        /* a: slot, b: generation, c: pid, text: a request that its worker had begun when it died */
#define MAIL_SNAPSHOT_TAKEN 22 /* a: reactor */
#define MAIL_SLOW 30        /* a: slot, b: generation, c: ms that a request has been there, text: sw_overdue */
#define MAIL_STUCK 31       /* the same, past --request-timeout */

typedef struct {
    int32_t kind;
    int32_t a;
    int32_t b;
    int32_t c;
    char text[SW_MAIL_TEXT];
} sw_mail;

/* A request that takes too long, in the text of a mail. */
typedef struct {
    uint64_t request_id;
    uint32_t reactor;
    uint32_t others;        /* that were slow too, for which it speaks */
    char line[SW_MAIL_TEXT - 16];
} sw_overdue;

_Static_assert(sizeof(sw_overdue) == SW_MAIL_TEXT, "it travels in the text");
_Static_assert(sizeof(sw_address) <= SW_MAIL_TEXT, "an address travels in the text");

typedef struct {
    pthread_mutex_t lock;
    _Atomic uint32_t pending;
    uint32_t first;
    uint32_t count;
    uint32_t dropped;
    int eventfd;
    sw_mail mail[SW_MAILBOX_SIZE];
} sw_mailbox;

static inline void sw_mailbox_init(sw_mailbox *box, int eventfd)
{
    memset(box, 0, offsetof(sw_mailbox, mail));
    pthread_mutex_init(&box->lock, NULL);
    box->eventfd = eventfd;
}

/* 1: delivered; 0: the box is full, and the message is counted in `dropped`. The last few places are kept for what
 * must not be lost: log lines (`droppable`) stop before them. */
static inline int sw_mailbox_send(sw_mailbox *box, const sw_mail *mail, int droppable)
{
    int sent = 0;
    pthread_mutex_lock(&box->lock);
    if (box->count < (droppable ? SW_MAILBOX_SIZE - 256u : SW_MAILBOX_SIZE)) {
        box->mail[(box->first + box->count) % SW_MAILBOX_SIZE] = *mail;
        box->count++;
        sent = 1;
        atomic_store_explicit(&box->pending, 1, memory_order_release);
    } else {
        box->dropped++;
    }
    pthread_mutex_unlock(&box->lock);
    if (sent)
        sw_eventfd_write(box->eventfd);
    return sent;
}

static inline int sw_mailbox_pending(sw_mailbox *box)
{
    return atomic_load_explicit(&box->pending, memory_order_acquire) != 0;
}

static inline int sw_mailbox_take(sw_mailbox *box, sw_mail *mail)
{
    int taken = 0;
    pthread_mutex_lock(&box->lock);
    if (box->count > 0) {
        *mail = box->mail[box->first];
        box->first = (box->first + 1) % SW_MAILBOX_SIZE;
        box->count--;
        taken = 1;
    }
    if (box->count == 0)
        atomic_store_explicit(&box->pending, 0, memory_order_release);
    pthread_mutex_unlock(&box->lock);
    return taken;
}

static inline uint32_t sw_mailbox_take_dropped(sw_mailbox *box)
{
    uint32_t dropped;
    pthread_mutex_lock(&box->lock);
    dropped = box->dropped;
    box->dropped = 0;
    pthread_mutex_unlock(&box->lock);
    return dropped;
}

#endif
