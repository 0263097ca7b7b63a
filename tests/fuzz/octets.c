/* The C headers that look at bytes of strangers, each function by itself with a copy that ends where its input ends:
 * ring frames that a worker may write (ring.h, frame.h, arena.h), and texts of the wire (grammar.h, networks.h, octets.h,
 * httpdate.h, logline.h). The first byte chooses. Pure C, so 100 times as quick as a target in Python.
 */
#include <stdio.h>

#include "swhttp/adapters/octets.h"
#include "swhttp/ipc/arena.h"
#include "swhttp/ipc/frame.h"
#include "swhttp/ipc/ring.h"
#include "swhttp/reactor/grammar.h"
#include "swhttp/reactor/httpdate.h"
#include "swhttp/reactor/logline.h"
#include "swhttp/reactor/networks.h"

#define RING_BYTES 256u
#define REQUIRE(what) do { if (!(what)) { fprintf(stderr, "not so: %s\n", #what); abort(); } } while (0)

static sw_ring shared;
static sw_arena_returned lists[SW_ARENA_CLASSES + 1]; /* and the links behind them */
static unsigned char pages[4 * 4096 + 2 * 16384];

/* A consumer's view of a ring whose data and head are the worker's to write: data, then heads as it moves on. */
static void read_ring(const unsigned char *data, size_t size)
{
    unsigned char *ring = (unsigned char *)malloc(RING_BYTES), *at;
    size_t used = size < RING_BYTES ? size : RING_BYTES;
    sw_ring_end end;
    sw_frame frame;
    int64_t ready;
    uint64_t head = 0;
    memset(ring, 0, RING_BYTES);
    memcpy(ring, data, used);
    sw_ring_reset(&shared);
    sw_ring_attach(&end, &shared, ring, RING_BYTES);
    for (; used < size; used++) {
        head = data[used] == 255 ? ~head : head + data[used];
        atomic_store(&shared.head, head);
        while ((ready = sw_ring_peek(&end, &at)) > 0 && sw_frame_read(&frame, at, (uint64_t)ready)) {
            REQUIRE(at >= ring && at + ready <= ring + RING_BYTES && frame.size <= ready && frame.size >= sizeof frame);
            if (frame.type == RESPONSE_SMALL)
                REQUIRE(sizeof frame + (uint64_t)frame.head_len + frame.body_len <= frame.size);
            else if (frame.type != EVENT_CREDIT)
                REQUIRE(sizeof frame + (uint64_t)frame.head_len + sizeof(sw_shm_ref) <= frame.size);
            sw_ring_advance(&end, frame.size);
            sw_ring_release(&end);
        }
        if (ready != 0)
            break; /* the reactor reads no more of this worker */
    }
    free(ring);
}

/* Blocks that a worker names, and what a reactor gives back of them. */
static void name_blocks(const unsigned char *data, size_t size)
{
    sw_arena arena;
    memset(lists, 0, sizeof lists);
    sw_arena_attach(&arena, lists, 6);
    sw_arena_add(&arena, 4096, 4, pages);
    sw_arena_add(&arena, 16384, 2, pages + 4 * 4096);
    for (; size >= 8; data += 8, size -= 8) {
        uint32_t block, length;
        unsigned char *at;
        memcpy(&block, data, 4);
        memcpy(&length, data + 4, 4);
        if (data[3] & 1)
            block &= 7;
        at = sw_arena_at(&arena, block, length);
        if (at == NULL)
            continue;
        REQUIRE(block < 6 && at >= pages && at + length <= pages + sizeof pages);
        sw_arena_give(&arena, block);
    }
}

static void read_texts(const unsigned char *text, uint32_t length)
{
    unsigned char *copy = (unsigned char *)malloc(length + 5), *lower = (unsigned char *)malloc(length + 1);
    uint32_t at = 0, from, to, before = 0;
    uint16_t port = 0;
    int64_t number = sw_content_length(text, length);
    char shown[SW_IP_TEXT];
    sw_ip ip, again;
    sw_copy_lower(copy, text, length);
    sw_copy_value(copy, text, length);
    REQUIRE(number >= -1 && number == sw_parse_length(text, length));
    REQUIRE(!sw_port(text, length, &port) || length <= 5);
    for (uint32_t n = 0; sw_list_next(text, length, &at, &from, &to); n++) {
        REQUIRE(n <= length && from <= to && to <= length && at >= before);
        before = at;
    }
    if (length > 0) {
        sw_is_host(text, length);
        sw_is_target(text, length);
    }
    REQUIRE(sw_percent_decode(copy, text, length) <= length);
    sw_environ_key(copy, text, length);
    sw_is_token(text, length);
    sw_is_field_value(text, length);
    sw_hash(text, length, 1);
    if (sw_ip_read_any(&ip, text, length)) {
        uint32_t written = sw_ip_text(&ip, shown);
        REQUIRE(written < SW_IP_TEXT);
        REQUIRE(sw_ip_read_any(&again, (const unsigned char *)shown, written));
        REQUIRE(memcmp(&ip, &again, sizeof ip) == 0);
    }
    free(copy);
    free(lower);
}

/* A date that is read is written as one that means the same. */
static void read_date(const char *text, uint32_t length)
{
    const int64_t now_s = 1700000000, year_10000_s = 253402300800; /* which a leap second may reach */
    int64_t at_s = sw_date_read(text, length, now_s);
    char again[SW_DATE_BYTES + 1];
    if (at_s == SW_NO_DATE || at_s >= year_10000_s)
        return;
    sw_date_write(at_s, again);
    REQUIRE(sw_date_read(again, SW_DATE_BYTES, now_s) == at_s);
}

/* What a log line shows of it: within its limit, one line, and nothing that a terminal or a JSON reader trips over. */
static void escape(const unsigned char *text, size_t length, size_t room, int json)
{
    unsigned char *line = (unsigned char *)malloc(room + 64), *end;
    int full = 0;
    end = sw_log_escape(line, line + room, text, length, json, &full);
    REQUIRE(end >= line && end <= line + room);
    for (unsigned char *at = line; at < end; at++)
        REQUIRE(*at >= 32 && *at < 127);
    free(line);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    unsigned char *copy;
    if (size < 3 || size > 4096)
        return 0;
    copy = (unsigned char *)malloc(size - 2);
    memcpy(copy, data + 2, size - 2);
    switch (data[0] % 4) {
    case 0:
        read_ring(copy, size - 2);
        break;
    case 1:
        name_blocks(copy, size - 2);
        break;
    case 2:
        read_texts(copy, (uint32_t)(size - 2));
        read_date((const char *)copy, (uint32_t)(size - 2));
        break;
    default:
        escape(copy, size - 2, data[1] * 4u, data[0] & 4);
    }
    free(copy);
    return 0;
}

#ifdef WITHOUT_FUZZER
/* octets BENT FILE...: the files, and each again with some bytes changed, BENT times, in the same ways each time. */
int main(int count, char **arguments)
{
    static unsigned char data[4096];
    uint64_t random = 20, done = 0;
    for (int nth = 2; nth < count; nth++) {
        FILE *file = fopen(arguments[nth], "rb");
        size_t size = file == NULL ? 0 : fread(data, 1, sizeof data, file);
        REQUIRE(size > 0);
        fclose(file);
        LLVMFuzzerTestOneInput(data, size);
        for (int bent = atoi(arguments[1]); bent > 0; bent--, done++) {
            random = random * UINT64_C(6364136223846793005) + 1;
            data[1 + (random >> 33) % (size - 1)] = (unsigned char)(random >> 56);
            LLVMFuzzerTestOneInput(data, size - (random >> 40) % 2);
        }
    }
    printf("%llu inputs\n", (unsigned long long)done);
    return 0;
}
#endif
