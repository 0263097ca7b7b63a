/* What crosses between reactors, workers and the log's writer, as threads of one process, for the thread sanitizer: it
 * sees every access to memory that no lock, no release and no acquire orders (`make tsan`).
 *
 *     threads REQUESTS [SEED]     REACTORS reactors with so many requests each, WORKERS workers, a writer, a main thread
 *
 * Requests are posted, taken or revoked, posted again under a new id, answered in the ring or in a block of the arena,
 * whose blocks go back; rings and tables are so small that they are always full. Both sides sleep and wake as the real
 * ones do, and a wake-up that is lost ends it.
 *
 * What it cannot see: the sanitizer knows nothing of fences (atomic_thread_fence), so a handshake that lacks one passes
 * here; tests/model proves those. And it sees what happens on this CPU, with this compiler.
 */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "swhttp/ipc/arena.h"
#include "swhttp/ipc/blocks.h"
#include "swhttp/ipc/frame.h"
#include "swhttp/ipc/request_table.h"
#include "swhttp/ipc/ring.h"
#include "swhttp/reactor/load.h"
#include "swhttp/reactor/logring.h"
#include "swhttp/reactor/mailbox.h"

#define REACTORS 2
#define WORKERS 2
#define ENTRIES 16
#define BLOCK_BYTES 256u
#define RING_BYTES 1024u
#define ARENA_BYTES 4096u
#define ARENA_COUNT 4u
#define LOG_BYTES 65536u
#define LOST_MS 60000
#define REQUIRE(what) do { if (!(what)) { fprintf(stderr, "%d: not so: %s\n", __LINE__, #what); abort(); } } while (0)

typedef struct {
    sw_sleeping sleeping;
    int eventfd;
} sleeper;

typedef struct {
    sw_ring ring;
    _Alignas(64) unsigned char data[RING_BYTES];
} shared_ring;

static shared_ring requests[WORKERS][REACTORS], responses[WORKERS][REACTORS];
static sw_request_entry tables[REACTORS][ENTRIES];
static unsigned char blocks_memory[REACTORS][ENTRIES * BLOCK_BYTES];
static struct {
    _Alignas(64) sw_arena_returned lists[SW_ARENA_CLASSES];
    _Atomic uint32_t next[ARENA_COUNT];
    _Alignas(64) unsigned char data[ARENA_COUNT * ARENA_BYTES];
} arenas[WORKERS];
static sleeper reactors[REACTORS], workers[WORKERS];
static sw_load loads[WORKERS];
static sw_log_ring log_rings[REACTORS];
static sw_log_bell bell;
static sw_mailbox inboxes[REACTORS], reports;
static uint64_t total;
static unsigned seed;
static uint64_t answered[REACTORS], revoked[REACTORS], lines_written; /* read when the threads are joined */

static uint32_t next_random(uint64_t *state, uint32_t below)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33) % below;
}

static void wait_for(int eventfd)
{
    struct pollfd one = {eventfd, POLLIN, 0};
    if (poll(&one, 1, LOST_MS) == 0) {
        fprintf(stderr, "a wake-up is lost\n");
        abort();
    }
    sw_eventfd_drain(eventfd);
}

static void wake(sleeper *who)
{
    if (sw_wake_claim(&who->sleeping, 0))
        sw_eventfd_write(who->eventfd);
}

/* ---- worker ---- */

static void describe_arena(sw_arena *arena, int worker)
{
    sw_arena_attach(arena, &arenas[worker], ARENA_COUNT);
    arena->next = arenas[worker].next;
    sw_arena_add(arena, ARENA_BYTES, ARENA_COUNT, arenas[worker].data);
}

typedef struct {
    sw_ring_end requests[REACTORS], responses[REACTORS];
    sw_arena arena;
    uint64_t random;
    int index;
} worker;

/* Room for a frame, waited for in the order that ring.h asks for. */
static unsigned char *room(worker *w, int reactor, uint64_t size)
{
    unsigned char *at;
    while ((at = sw_ring_reserve(&w->responses[reactor], size)) == NULL) {
        wake(&reactors[reactor]);
        sw_sleep_begin(&workers[w->index].sleeping, SW_ASLEEP);
        sw_ring_want_space(&w->responses[reactor]);
        at = sw_ring_reserve(&w->responses[reactor], size);
        if (at == NULL)
            wait_for(workers[w->index].eventfd);
        sw_sleep_end(&workers[w->index].sleeping);
        if (at != NULL)
            break;
    }
    return at;
}

static void answer(worker *w, int reactor, uint64_t request_id, const unsigned char *block)
{
    sw_frame frame = {.type = RESPONSE_SMALL, .flags = SW_FRAME_HEAD | SW_FRAME_LAST, .status = 200, .head_len = 8};
    unsigned char *at, head[8];
    uint32_t number = SW_NO_ARENA_BLOCK, bytes = 0;
    memcpy(head, block, sizeof head); /* what the reactor wrote: the request's id */
    REQUIRE(memcmp(head, &request_id, sizeof head) == 0);
    frame.request_id = request_id;
    frame.content_length = SW_NO_LENGTH;
    if (next_random(&w->random, 2))
        number = sw_arena_take(&w->arena, ARENA_BYTES, &bytes);
    if (number != SW_NO_ARENA_BLOCK && next_random(&w->random, 8) == 0) {
        sw_arena_take_back(&w->arena, number);
        number = SW_NO_ARENA_BLOCK;
    }
    if (number != SW_NO_ARENA_BLOCK) {
        frame.type = RESPONSE_SHM;
        frame.body_len = ARENA_BYTES;
        memset(sw_arena_at(&w->arena, number, ARENA_BYTES), (int)(request_id & 255), ARENA_BYTES);
    }
    frame.size = (uint32_t)sw_frame_bytes(frame.head_len, frame.type == RESPONSE_SHM ? sizeof(sw_shm_ref) : 0);
    at = room(w, reactor, frame.size);
    memcpy(at, &frame, sizeof frame);
    memcpy(at + sizeof frame, head, sizeof head);
    if (frame.type == RESPONSE_SHM) {
        sw_shm_ref reference = {number, 0};
        memcpy(at + sizeof frame + sizeof head, &reference, sizeof reference);
    }
    sw_ring_publish(&w->responses[reactor], frame.size);
    wake(&reactors[reactor]);
}

static int take(worker *w, int reactor)
{
    sw_descriptor posted;
    unsigned char *at;
    int64_t ready;
    int stops = 0;
    while ((ready = sw_ring_peek(&w->requests[reactor], &at)) != 0) {
        REQUIRE(ready >= (int64_t)sizeof posted);
        memcpy(&posted, at, sizeof posted);
        sw_ring_advance(&w->requests[reactor], sizeof posted);
        if (sw_ring_release(&w->requests[reactor]))
            wake(&reactors[reactor]);
        if (posted.type == EVENT_STOP)
            stops++;
        else if (sw_request_take(&tables[reactor][sw_request_index(posted.request_id)], posted.request_id))
            answer(w, reactor, posted.request_id, blocks_memory[reactor] + posted.block * SW_BLOCK_UNIT);
    }
    return stops;
}

static void *run_worker(void *argument)
{
    worker w;
    int stops = 0;
    memset(&w, 0, sizeof w);
    w.index = (int)(intptr_t)argument;
    w.random = seed + 100u + (unsigned)w.index;
    describe_arena(&w.arena, w.index);
    REQUIRE(sw_arena_own(&w.arena));
    for (int r = 0; r < REACTORS; r++) {
        sw_ring_attach(&w.requests[r], &requests[w.index][r].ring, requests[w.index][r].data, RING_BYTES);
        sw_ring_attach(&w.responses[r], &responses[w.index][r].ring, responses[w.index][r].data, RING_BYTES);
    }
    for (;;) {
        int more = 0;
        for (int r = 0; r < REACTORS; r++)
            stops += take(&w, r);
        if (stops == REACTORS)
            break;
        sw_sleep_begin(&workers[w.index].sleeping, SW_ASLEEP);
        for (int r = 0; r < REACTORS; r++)
            more |= sw_ring_has_more(&w.requests[r]);
        if (!more)
            wait_for(workers[w.index].eventfd);
        sw_sleep_end(&workers[w.index].sleeping);
    }
    free(w.arena.own);
    return NULL;
}

/* ---- reactor ---- */

typedef struct {
    uint64_t request_id;
    uint32_t block;
    uint8_t block_class, live;
    int worker;
} flight;

typedef struct {
    sw_ring_end requests[WORKERS], responses[WORKERS];
    sw_arena arenas[WORKERS];
    uint32_t unsent[WORKERS]; /* a block whose bytes a client has yet to take, + 1 */
    sw_blocks blocks;
    flight flights[ENTRIES];
    uint64_t random, serial, logged;
    int index;
} reactor;

static void note(reactor *r, uint64_t request_id)
{
    sw_log_ring *ring = &log_rings[r->index];
    uint64_t place;
    if (r->logged + 8 - sw_log_tail(ring) > LOG_BYTES)
        return; /* full: lines are dropped */
    place = sw_log_rewind(ring, r->logged);
    memcpy(ring->data + place, &request_id, 8);
    r->logged += 8;
    sw_log_publish(ring, &bell, r->logged);
}

static int post(reactor *r, flight *f, uint32_t entry)
{
    sw_descriptor *posted = (sw_descriptor *)sw_ring_reserve(&r->requests[f->worker], sizeof *posted);
    if (posted == NULL)
        return 0;
    f->request_id = sw_request_id(++r->serial, entry);
    memcpy(sw_blocks_at(&r->blocks, f->block), &f->request_id, 8);
    sw_request_queue(&tables[r->index][entry], f->request_id);
    posted->request_id = f->request_id;
    posted->block = f->block;
    posted->type = EVENT_PACKAGE;
    posted->flags = 0;
    sw_ring_publish(&r->requests[f->worker], sizeof *posted);
    wake(&workers[f->worker]);
    return 1;
}

static int begin(reactor *r, uint32_t entry)
{
    flight *f = &r->flights[entry];
    f->worker = (int)next_random(&r->random, WORKERS);
    if (!sw_load_reserve(&loads[f->worker], 1, ENTRIES))
        return 0;
    f->block = sw_blocks_take(&r->blocks, 64, &f->block_class);
    if (f->block == SW_NO_BLOCK || !post(r, f, entry)) {
        if (f->block != SW_NO_BLOCK)
            sw_blocks_give(&r->blocks, f->block, f->block_class);
        sw_load_release(&loads[f->worker], 1);
        return 0;
    }
    f->live = 1;
    return 1;
}

static void end(reactor *r, uint32_t entry)
{
    flight *f = &r->flights[entry];
    sw_request_free(&tables[r->index][entry]);
    memset(sw_blocks_at(&r->blocks, f->block), 0xEE, BLOCK_BYTES); /* it is ours alone again */
    sw_blocks_give(&r->blocks, f->block, f->block_class);
    sw_load_release(&loads[f->worker], 1);
    f->live = 0;
}

/* Take a request back, and give it to whoever is next. */
static void take_back(reactor *r, uint32_t entry)
{
    flight *f = &r->flights[entry];
    if (!f->live || !sw_request_revoke(&tables[r->index][entry], f->request_id))
        return;
    revoked[r->index]++;
    end(r, entry);
    begin(r, entry);
}

/* A client has taken what was in the block that was kept for it. */
static void sent(reactor *r, int w)
{
    const unsigned char *body;
    if (r->unsent[w] == 0)
        return;
    body = sw_arena_at(&r->arenas[w], r->unsent[w] - 1, ARENA_BYTES);
    REQUIRE(body != NULL && body[0] == body[ARENA_BYTES - 1]);
    sw_arena_give(&r->arenas[w], r->unsent[w] - 1);
    r->unsent[w] = 0;
}

static uint64_t settle(reactor *r, int w)
{
    sw_frame frame;
    unsigned char *at, *body;
    int64_t ready;
    uint64_t ended = 0;
    while ((ready = sw_ring_peek(&r->responses[w], &at)) != 0) {
        uint32_t entry;
        REQUIRE(ready > 0 && sw_frame_read(&frame, at, (uint64_t)ready));
        entry = sw_request_index(frame.request_id);
        REQUIRE(entry < ENTRIES && r->flights[entry].live && r->flights[entry].request_id == frame.request_id);
        if (frame.type == RESPONSE_SHM) {
            sw_shm_ref reference;
            memcpy(&reference, at + sizeof frame + frame.head_len, sizeof reference);
            body = sw_arena_at(&r->arenas[w], reference.block, frame.body_len);
            REQUIRE(body != NULL && body[0] == (frame.request_id & 255) && body[ARENA_BYTES - 1] == body[0]);
            sent(r, w);
            r->unsent[w] = reference.block + 1;
        }
        sw_ring_advance(&r->responses[w], frame.size);
        if (sw_ring_release(&r->responses[w]))
            wake(&workers[w]);
        note(r, frame.request_id);
        end(r, entry);
        ended++;
    }
    if (next_random(&r->random, 2))
        sent(r, w);
    return ended;
}

static void *run_reactor(void *argument)
{
    reactor *r = (reactor *)calloc(1, sizeof *r);
    uint64_t ended = 0;
    int stopped = 0;
    REQUIRE(r != NULL);
    r->index = (int)(intptr_t)argument;
    r->random = seed + 200u + (unsigned)r->index;
    sw_blocks_init(&r->blocks, blocks_memory[r->index]);
    REQUIRE(sw_blocks_add(&r->blocks, BLOCK_BYTES, ENTRIES));
    for (int w = 0; w < WORKERS; w++) {
        sw_ring_attach(&r->requests[w], &requests[w][r->index].ring, requests[w][r->index].data, RING_BYTES);
        sw_ring_attach(&r->responses[w], &responses[w][r->index].ring, responses[w][r->index].data, RING_BYTES);
        describe_arena(&r->arenas[w], w);
    }
    while (stopped < WORKERS) {
        uint64_t before = ended;
        sw_mail mail;
        int more = 0, flying = 0;
        for (uint32_t entry = 0; entry < ENTRIES && ended < total; entry++) {
            if (!r->flights[entry].live)
                begin(r, entry);
            if (next_random(&r->random, 4) == 0)
                take_back(r, next_random(&r->random, ENTRIES));
        }
        for (int w = 0; w < WORKERS; w++)
            ended += settle(r, w);
        while (sw_mailbox_take(&inboxes[r->index], &mail)) {
            mail.kind = MAIL_SETTLED;
            sw_mailbox_send(&reports, &mail, 0);
        }
        for (uint32_t entry = 0; entry < ENTRIES; entry++)
            flying += r->flights[entry].live;
        if (ended >= total && flying == 0) {
            sw_descriptor *posted = (sw_descriptor *)sw_ring_reserve(&r->requests[stopped], sizeof *posted);
            if (posted != NULL) {
                memset(posted, 0, sizeof *posted);
                posted->type = EVENT_STOP;
                sw_ring_publish(&r->requests[stopped], sizeof *posted);
                wake(&workers[stopped++]);
            }
            continue;
        }
        if (ended != before || flying == 0)
            continue;
        sw_sleep_begin(&reactors[r->index].sleeping, SW_ASLEEP);
        for (int w = 0; w < WORKERS; w++)
            more |= sw_ring_has_more(&r->responses[w]);
        more |= sw_mailbox_pending(&inboxes[r->index]);
        if (!more)
            wait_for(reactors[r->index].eventfd);
        sw_sleep_end(&reactors[r->index].sleeping);
    }
    answered[r->index] = ended;
    sw_blocks_destroy(&r->blocks);
    free(r);
    return NULL;
}

/* ---- the log's writer ---- */

static int write_lines(uint64_t *tails)
{
    int wrote = 0;
    for (int r = 0; r < REACTORS; r++) {
        uint64_t head = sw_log_head(&log_rings[r]), id;
        while (tails[r] != head) {
            memcpy(&id, log_rings[r].data + sw_log_place(&log_rings[r], tails[r]), 8);
            REQUIRE(sw_request_index(id) < ENTRIES && id >> SW_REQUEST_INDEX_BITS > 0);
            tails[r] += 8;
            lines_written++;
            wrote = 1;
        }
        sw_log_release(&log_rings[r], tails[r]);
    }
    return wrote;
}

static void *run_writer(void *argument)
{
    uint64_t tails[REACTORS] = {0};
    (void)argument;
    for (;;) {
        int stopping = sw_log_stop_by_ns(&bell) != 0, more = 0;
        if (write_lines(tails))
            continue;
        if (stopping)
            return NULL;
        sw_log_sleep_begin(&bell, SW_LOG_IDLE);
        for (int r = 0; r < REACTORS; r++)
            more |= sw_log_head(&log_rings[r]) != tails[r];
        if (!more && !sw_log_called(&bell))
            wait_for(bell.eventfd);
        sw_log_sleep_end(&bell);
    }
}

int main(int count, char **arguments)
{
    pthread_t reactor_threads[REACTORS], worker_threads[WORKERS], writer;
    sw_mail mail;
    int told = 0, heard = 0;
    total = count > 1 ? strtoull(arguments[1], NULL, 10) : 10000;
    seed = count > 2 ? (unsigned)strtoul(arguments[2], NULL, 10) : 1;
    sw_log_bell_init(&bell, eventfd(0, EFD_NONBLOCK));
    sw_mailbox_init(&reports, eventfd(0, EFD_NONBLOCK));
    for (int w = 0; w < WORKERS; w++) {
        workers[w].eventfd = eventfd(0, EFD_NONBLOCK);
        sw_load_reset(&loads[w], 1);
    }
    for (int r = 0; r < REACTORS; r++) {
        reactors[r].eventfd = eventfd(0, EFD_NONBLOCK);
        sw_mailbox_init(&inboxes[r], reactors[r].eventfd);
        log_rings[r].size = LOG_BYTES;
        log_rings[r].data = (unsigned char *)malloc(LOG_BYTES + 64);
        REQUIRE(log_rings[r].data != NULL);
    }
    REQUIRE(pthread_create(&writer, NULL, run_writer, NULL) == 0);
    for (int w = 0; w < WORKERS; w++)
        REQUIRE(pthread_create(&worker_threads[w], NULL, run_worker, (void *)(intptr_t)w) == 0);
    for (int r = 0; r < REACTORS; r++)
        REQUIRE(pthread_create(&reactor_threads[r], NULL, run_reactor, (void *)(intptr_t)r) == 0);
    memset(&mail, 0, sizeof mail);
    for (; told < 200; told++) {
        mail.kind = MAIL_SNAPSHOT;
        mail.a = told;
        sw_mailbox_send(&inboxes[told % REACTORS], &mail, 1);
        while (sw_mailbox_take(&reports, &mail))
            heard += mail.kind == MAIL_SETTLED;
        poll(NULL, 0, 1);
    }
    for (int r = 0; r < REACTORS; r++)
        pthread_join(reactor_threads[r], NULL);
    for (int w = 0; w < WORKERS; w++)
        pthread_join(worker_threads[w], NULL);
    while (sw_mailbox_take(&reports, &mail))
        heard += mail.kind == MAIL_SETTLED;
    sw_log_say_stop(&bell, 1);
    pthread_join(writer, NULL);
    printf("answered %llu and %llu, revoked %llu and %llu, %llu lines, %d of %d reports\n",
           (unsigned long long)answered[0], (unsigned long long)answered[1], (unsigned long long)revoked[0],
           (unsigned long long)revoked[1], (unsigned long long)lines_written, heard, told);
    for (int r = 0; r < REACTORS; r++)
        REQUIRE(answered[r] >= total && revoked[r] > 0);
    REQUIRE(lines_written > 0 && heard > 0);
    for (int r = 0; r < REACTORS; r++)
        free(log_rings[r].data);
    return 0;
}
