/* A client of many WebSockets, of one thread on epoll, that costs so little that the server is what is measured.
 *
 *     wsload echo|broadcast|idle PORT CONNECTIONS BYTES DEPTH text|binary
 *
 * Owns CONNECTIONS sockets to 127.0.0.1:PORT. Each is open once it has had 101, has sent one message and has got it back:
 * then stdout says "open". From then on stdin gives orders, a line each, and stdout the answer, a line of JSON each:
 *
 *     SECONDS MESSAGES    load for so long, sending at most so many messages (0: as many as it takes); then wait for
 *                         what is still to come, and report. `0 0` only reports.
 *
 * The end of stdin closes all sockets, by the closing handshake. Between orders pings are answered as well.
 *
 *     echo       each socket keeps DEPTH messages underway: as many as have come back are sent at once
 *     broadcast  the first socket sends, all get each message, the first too; DEPTH messages are underway
 *     idle       nothing is sent
 *
 * Whatever comes must be what is expected, byte for byte and in order: messages differ from their neighbours, and in a
 * broadcast from all others. What is wrong, missing, unasked or closed is a fault in the report; the first says more.
 *
 * Frames are masked once, before the load (in a broadcast, one for each message). No extension is offered, so that no
 * server compresses. A latency is from when a message was due to be sent until it has come back whole; the clock is read
 * once for each piece that is received. Opening, at most MOST_OPENING at a time, and closing are outside of all figures.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST_OPENING 64
#define OPEN_TIMEOUT_NS (20 * 1000000000ull) /* without any more being open */
#define ANSWER_TIMEOUT_NS (10 * 1000000000ull) /* after the end of a load */
#define CLOSE_TIMEOUT_NS (2 * 1000000000ull)
#define PER_SOURCE_ADDRESS 5000 /* one loopback address has some 28,000 client ports */
#define VARIANTS 16             /* of the messages, and the deepest pipeline */
#define SMALL 4096              /* larger messages come in fewer variants, lest they fill the caches */
#define MOST_BYTES (16u << 20)
#define MOST_HEAD 4096
#define MOST_EVENTS 256
#define RECEIVE_BYTES (256u << 10)
#define SUB_BITS 5 /* a latency is kept to 1/32 */

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

enum { CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10, FIN = 0x80, MASKED = 0x80 };
enum stage { CONNECTING, SHAKING, GREETING, OPEN, GONE };
enum mode { ECHO, BROADCAST, IDLE };

struct client {
    int fd;
    enum stage stage;
    char *head;             /* of the answer to the handshake, while it arrives */
    uint32_t head_len;
    uint32_t owed;          /* messages to be sent */
    uint32_t out_at;        /* bytes of the first of them that have been */
    uint64_t sent, received;
    uint64_t due[VARIANTS]; /* when message n, at n % variants, was due to be sent */
    unsigned char frame[10]; /* head of the frame that arrives */
    uint8_t frame_len, frame_need, in_message, pong_len, pong_at;
    uint64_t left;          /* of its payload */
    uint32_t message_at;
    unsigned char control[125];
    unsigned char pong[131];
};

static enum mode mode;
static uint32_t connections, length, depth, variants, opcode;
static uint16_t port;
static struct client *clients;
static unsigned char *expected; /* the variants' content */
static unsigned char *frames;   /* the variants' frames, twice: any `variants` of them in a row lie in one piece */
static uint32_t frame_bytes;
static unsigned char received[RECEIVE_BYTES];
static char request[512];
static uint32_t request_len;
static int poller;

static uint32_t begun_opening, opened, gone;
static int running, ending, orders_ended;
static uint64_t began, deadline, last_answer, most, begun, messages, answered_pings;
static uint64_t broadcasts = 1; /* begun, the greeting counted as one: numbers go on from it */
static uint32_t delivered[VARIANTS];
static uint64_t underway;
static uint64_t latencies[64 << SUB_BITS];
static uint64_t wrong, unanswered, lost;
static char first_fault[160];

static void die(const char *format, ...)
{
    va_list more;
    va_start(more, format);
    fputs("wsload: ", stderr);
    vfprintf(stderr, format, more);
    fputc('\n', stderr);
    exit(1);
}

static uint64_t clock_ns(clockid_t which)
{
    struct timespec now;
    clock_gettime(which, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

/* Messages. */

static uint32_t put_head(unsigned char *at, uint64_t bytes)
{
    uint32_t used = 2;
    at[0] = (unsigned char)(FIN | opcode);
    if (bytes < 126) {
        at[1] = MASKED | (unsigned char)bytes;
    } else {
        int wide = bytes > 0xffff ? 8 : 2;
        at[1] = MASKED | (wide == 8 ? 127 : 126);
        for (int i = wide; i > 0; i--)
            at[used++] = (unsigned char)(bytes >> 8 * (i - 1));
    }
    memcpy(at + used, "\x5a\xc3\x17\x88", 4);
    return used + 4;
}

/* Lay down message `number` where number % variants is: each 8 bytes tell their place and the number, in hex. */
static void make(uint64_t number)
{
    uint32_t slot = (uint32_t)(number % variants);
    unsigned char *content = expected + (size_t)slot * length, *frame = frames + (size_t)slot * frame_bytes;
    char word[9];
    for (uint32_t at = 0; at < length; at += 8) {
        snprintf(word, sizeof word, "%08x", (uint32_t)number ^ at / 8 * 2654435761u);
        memcpy(content + at, word, length - at < 8 ? length - at : 8);
    }
    uint32_t head = put_head(frame, length);
    for (uint32_t i = 0; i < length; i++)
        frame[head + i] = content[i] ^ frame[head - 4 + i % 4];
    memcpy(frame + (size_t)variants * frame_bytes, frame, frame_bytes);
}

static void make_all(void)
{
    unsigned char head[14];
    variants = length <= SMALL ? VARIANTS : depth < 2 ? 2 : depth;
    frame_bytes = put_head(head, length) + length;
    expected = malloc((size_t)variants * length + 1);
    frames = malloc((size_t)variants * frame_bytes * 2);
    if (expected == NULL || frames == NULL)
        die("no memory");
    for (uint32_t i = 0; i < variants; i++)
        make(i);
}

/* What goes wrong. */

static void note(const char *format, ...)
{
    va_list more;
    if (first_fault[0])
        return;
    va_start(more, format);
    vsnprintf(first_fault, sizeof first_fault, format, more);
    va_end(more);
}

static void drop(struct client *c)
{
    if (c->stage == GONE)
        return;
    if (c->stage < OPEN && !ending)
        die("connection %u of %u: %s", (uint32_t)(c - clients) + 1, connections, first_fault);
    close(c->fd);
    free(c->head);
    c->head = NULL;
    c->stage = GONE;
    gone++;
}

static void is_wrong(struct client *c, const char *what)
{
    wrong += !ending;
    note("%s", what);
    drop(c);
}

static void is_lost(struct client *c, const char *what, int number)
{
    lost += !ending;
    note("%s %d", what, number);
    drop(c);
}

/* Out. */

static int pushed(struct client *c, const void *at, size_t bytes, size_t *done)
{
    ssize_t n = send(c->fd, at, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            is_lost(c, "cannot send: error", errno);
        return 0;
    }
    *done = (size_t)n;
    return 1;
}

/* Send what is owed, as much as the socket takes; a pong never inside a message. */
static void flush(struct client *c)
{
    size_t done;
    while (c->stage != GONE && (c->owed || c->pong_len)) {
        if (c->out_at == 0 && c->pong_len) {
            if (!pushed(c, c->pong + c->pong_at, c->pong_len - c->pong_at, &done))
                return;
            c->pong_at += (uint8_t)done;
            if (c->pong_at == c->pong_len) {
                c->pong_len = c->pong_at = 0;
                answered_pings++;
            }
            continue;
        }
        size_t batch = c->pong_len ? 1 : c->owed;
        if (!pushed(c, frames + c->sent % variants * frame_bytes + c->out_at, batch * frame_bytes - c->out_at, &done))
            return;
        done += c->out_at;
        c->sent += done / frame_bytes;
        c->owed -= (uint32_t)(done / frame_bytes);
        c->out_at = (uint32_t)(done % frame_bytes);
    }
}

static int may_begin(uint64_t now)
{
    return running && now < deadline && (most == 0 || begun < most);
}

/* Let a client send one more, when it comes to it: the caller flushes. */
static void begin(struct client *c, uint64_t now)
{
    if (mode == BROADCAST) {
        make(broadcasts);
        delivered[broadcasts++ % variants] = 0;
        underway += connections;
    } else {
        underway++;
    }
    c->due[(c->sent + c->owed) % variants] = now;
    c->owed++;
    begun++;
}

/* In. */

static void keep_latency(uint64_t ns)
{
    int top = 63 - __builtin_clzll(ns | 1 << SUB_BITS);
    latencies[((uint64_t)top << SUB_BITS) + (ns >> (top - SUB_BITS) & ((1 << SUB_BITS) - 1))]++;
}

static void got_message(struct client *c, uint64_t now)
{
    uint64_t number = c->received++;
    if (c->stage == GREETING) {
        c->stage = OPEN;
        opened++;
        return;
    }
    if (number >= (mode == BROADCAST ? broadcasts : c->sent)) {
        is_wrong(c, "a message that nobody has asked for");
        return;
    }
    messages++;
    underway--;
    last_answer = now;
    keep_latency(now - (mode == BROADCAST ? clients : c)->due[number % variants]);
    if (mode == ECHO) {
        if (may_begin(now))
            begin(c, now);
    } else if (++delivered[number % variants] == connections && may_begin(now)) {
        begin(clients, now);
        flush(clients);
    }
}

static void got_control(struct client *c)
{
    uint8_t bytes = c->frame[1];
    switch (c->frame[0] & 15) {
    case PING: /* only the last of several needs an answer (RFC 6455, 5.5.3) */
        if (c->pong_at == 0 && !ending) { /* nothing follows a Close */
            c->pong[0] = FIN | PONG;
            c->pong[1] = MASKED | bytes;
            memset(c->pong + 2, 0, 4);
            memcpy(c->pong + 6, c->control, bytes);
            c->pong_len = 6 + bytes;
        }
        break;
    case CLOSE:
        is_lost(c, "closed with", bytes >= 2 ? c->control[0] << 8 | c->control[1] : 1005);
        break;
    case PONG:
        break;
    default:
        is_wrong(c, "an unknown opcode");
    }
}

/* The head of a frame is whole: 0 when it cannot be right. */
static int frame_begins(struct client *c)
{
    unsigned char first = c->frame[0], code = first & 15;
    uint64_t bytes = c->frame[1];
    if (bytes >= 126) {
        bytes = 0;
        for (int i = 2; i < c->frame_need; i++)
            bytes = bytes << 8 | c->frame[i];
    }
    c->left = bytes;
    if (code >= CLOSE)
        return (first & 0xf0) == FIN && bytes <= 125;
    if ((first & 0x70) || code != (c->in_message ? CONTINUATION : opcode) || bytes > length - c->message_at)
        return 0;
    c->in_message = 1;
    return 1;
}

/* Take in bytes that follow the handshake. */
static void feed(struct client *c, const unsigned char *at, size_t bytes, uint64_t now)
{
    while (c->stage != GONE) {
        if (c->frame_len < c->frame_need) {
            if (bytes == 0)
                return;
            c->frame[c->frame_len++] = *at++;
            bytes--;
            if (c->frame_len == 2 && c->frame_need == 2 && c->frame[1] >= 126)
                c->frame_need = c->frame[1] == 126 ? 4 : 10;
            if (c->frame_len < c->frame_need)
                continue;
            if ((c->frame[1] & MASKED) || !frame_begins(c)) {
                is_wrong(c, "a frame that is not the expected one");
                return;
            }
        }
        size_t take = bytes < c->left ? bytes : (size_t)c->left;
        int control = (c->frame[0] & 15) >= CLOSE;
        if (control) {
            memcpy(c->control + (c->frame[1] - c->left), at, take);
        } else {
            if (memcmp(expected + c->received % variants * length + c->message_at, at, take) != 0) {
                is_wrong(c, "content that is not the expected one");
                return;
            }
            c->message_at += (uint32_t)take;
        }
        at += take;
        bytes -= take;
        c->left -= take;
        if (c->left)
            return;
        c->frame_len = 0;
        c->frame_need = 2;
        if (control) {
            got_control(c);
        } else if (c->frame[0] & FIN) {
            if (c->message_at != length) {
                is_wrong(c, "a message that is too short");
                return;
            }
            c->message_at = c->in_message = 0;
            got_message(c, now);
        }
    }
}

static void feed_head(struct client *c, const unsigned char *at, size_t bytes, uint64_t now)
{
    if (c->head_len + bytes >= MOST_HEAD) {
        is_wrong(c, "a long answer to the handshake");
        return;
    }
    memcpy(c->head + c->head_len, at, bytes);
    c->head_len += (uint32_t)bytes;
    c->head[c->head_len] = 0;
    char *end = strstr(c->head, "\r\n\r\n");
    if (end == NULL)
        return;
    *end = 0;
    if (strncmp(c->head, "HTTP/1.1 101 ", 13) != 0 || strcasestr(c->head, "\r\nsec-websocket-extensions:") != NULL
        || strcasestr(c->head, "\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") == NULL) {
        end = strstr(c->head, "\r\n");
        note("the handshake is answered by %.*s", end ? (int)(end - c->head) : 80, c->head);
        is_wrong(c, "");
        return;
    }
    char *head = c->head;
    size_t used = (size_t)(end + 4 - head);
    c->head = NULL;
    c->stage = GREETING;
    c->frame_need = 2;
    c->owed = 1;
    flush(c);
    feed(c, (unsigned char *)head + used, c->head_len - used, now);
    free(head);
}

static void receive(struct client *c, int to_the_end)
{
    while (c->stage != GONE) {
        ssize_t n = recv(c->fd, received, sizeof received, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0) {
            is_lost(c, "cut, error", n < 0 ? errno : 0);
            return;
        }
        if (c->stage == SHAKING)
            feed_head(c, received, (size_t)n, now_ns());
        else
            feed(c, received, (size_t)n, now_ns());
        if ((size_t)n < sizeof received && !to_the_end)
            break; /* more would be an edge of its own */
    }
    flush(c);
}

static void connected(struct client *c)
{
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    c->head = malloc(MOST_HEAD);
    if (error || c->head == NULL || send(c->fd, request, request_len, MSG_NOSIGNAL) != (ssize_t)request_len)
        die("connection %u of %u: %s", (uint32_t)(c - clients) + 1, connections, strerror(error ? error : errno));
    c->stage = SHAKING;
}

/* Read what is to be done; answers are given when it is. */
static void take_orders(void)
{
    static char line[256];
    static size_t used;
    double seconds;
    unsigned long long at_most;
    ssize_t n = read(STDIN_FILENO, line + used, sizeof line - 1 - used);
    if (n <= 0) {
        orders_ended = 1;
        epoll_ctl(poller, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
        return;
    }
    used += (size_t)n;
    line[used] = 0;
    if (line[used - 1] != '\n' && used < sizeof line - 1)
        return;
    if (sscanf(line, "%lf %llu", &seconds, &at_most) != 2 || seconds < 0 || seconds > 86400)
        die("not an order: %s", line);
    used = 0;
    running = 1;
    began = last_answer = now_ns();
    deadline = began + (uint64_t)(seconds * 1e9);
    most = at_most;
}

/* Wait for events until `until` and see to them. */
static void turn(uint64_t until)
{
    struct epoll_event events[MOST_EVENTS];
    uint64_t now = now_ns();
    int wait_ms = until == 0 ? -1 : until <= now ? 0 : (int)((until - now) / 1000000 + 1);
    int count = epoll_wait(poller, events, MOST_EVENTS, wait_ms);
    for (int i = 0; i < count; i++) {
        struct client *c = events[i].data.ptr;
        uint32_t what = events[i].events;
        if (c == NULL) {
            take_orders();
            continue;
        }
        if (c->stage == CONNECTING && (what & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
            connected(c);
        if (what & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP))
            receive(c, (what & (EPOLLRDHUP | EPOLLERR | EPOLLHUP)) != 0);
        else if (what & EPOLLOUT)
            flush(c);
    }
}

static void watch(int fd, uint32_t what, void *whose)
{
    struct epoll_event event = { .events = what, .data.ptr = whose };
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0)
        die("cannot watch %s: %s", whose ? "a socket" : "stdin (give it a pipe)", strerror(errno));
}

static void open_one(struct client *c)
{
    int yes = 1;
    struct sockaddr_in from = { .sin_family = AF_INET }, to = { .sin_family = AF_INET, .sin_port = htons(port) };
    from.sin_addr.s_addr = htonl(0x7f000002 + begun_opening / PER_SOURCE_ADDRESS);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        die("connection %u of %u: %s", begun_opening + 1, connections, strerror(errno));
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (bind(c->fd, (struct sockaddr *)&from, sizeof from) < 0
        || (connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS))
        die("connection %u of %u: %s", begun_opening + 1, connections, strerror(errno));
    watch(c->fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, c);
    begun_opening++;
}

static void open_all(void)
{
    uint64_t give_up = 0;
    for (uint32_t before = 0; opened < connections;) {
        if (give_up == 0 || opened > before)
            give_up = now_ns() + OPEN_TIMEOUT_NS;
        before = opened;
        while (begun_opening < connections && begun_opening - opened < MOST_OPENING)
            open_one(&clients[begun_opening]);
        if (now_ns() > give_up)
            die("%u of %u connections are open, and none more for %d s", opened, connections,
                (int)(OPEN_TIMEOUT_NS / 1000000000));
        turn(give_up);
    }
}

/* The latency, in µs, that `share` of the messages did not exceed: the middle of its step. */
static double latency_us(double share)
{
    uint64_t seen = 0, rank = (uint64_t)((double)messages * share) + 1;
    for (uint64_t i = 0; i < sizeof latencies / sizeof *latencies; i++) {
        seen += latencies[i];
        if (seen >= rank) {
            uint64_t step = 1ull << ((i >> SUB_BITS) - SUB_BITS);
            return (double)(((i & ((1 << SUB_BITS) - 1)) + (1 << SUB_BITS)) * step + step / 2) / 1000;
        }
    }
    return 0;
}

static void load(void)
{
    uint64_t cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    messages = begun = 0;
    memset(latencies, 0, sizeof latencies);
    if (mode != IDLE && deadline > began)
        for (uint32_t i = 0; i < (mode == ECHO ? connections : 1); i++) {
            for (uint32_t n = 0; n < depth && clients[i].stage == OPEN && may_begin(now_ns()); n++)
                begin(&clients[i], now_ns());
            flush(&clients[i]);
        }
    while (gone == 0 && !orders_ended) {
        uint64_t now = now_ns();
        if (underway == 0 && (now >= deadline || (most && begun >= most)))
            break;
        if (now >= deadline + ANSWER_TIMEOUT_NS)
            break;
        turn(underway && now >= deadline ? deadline + ANSWER_TIMEOUT_NS : deadline);
    }
    running = 0;
    cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    unanswered += underway;
    underway = 0;
    printf("{\"messages\": %llu, \"seconds\": %.6f, \"cpu_s\": %.6f, \"p50_us\": %.2f, \"p99_us\": %.2f, "
           "\"pings\": %llu, \"wrong\": %llu, \"lost\": %llu, \"unanswered\": %llu, \"first_fault\": \"",
           (unsigned long long)messages, (double)(last_answer - began) / 1e9, (double)cpu / 1e9, latency_us(0.5),
           latency_us(0.99), (unsigned long long)answered_pings, (unsigned long long)wrong, (unsigned long long)lost,
           (unsigned long long)unanswered);
    for (char *at = first_fault; *at; at++)
        putchar(*at < ' ' || *at > '~' || *at == '"' || *at == '\\' ? '?' : *at);
    puts("\"}");
    fflush(stdout);
}

static void close_all(void)
{
    uint64_t give_up = now_ns() + CLOSE_TIMEOUT_NS;
    ending = 1;
    for (uint32_t i = 0; i < connections; i++)
        if (clients[i].stage == OPEN && clients[i].out_at == 0 && clients[i].pong_at == 0) {
            clients[i].owed = clients[i].pong_len = 0;
            if (send(clients[i].fd, "\x88\x82\0\0\0\0\x03\xe8", 8, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
                drop(&clients[i]);
        }
    while (gone < connections && now_ns() < give_up)
        turn(give_up);
}

static uint32_t number(const char *text, uint32_t least, uint32_t highest)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text == 0 || *end != 0 || value < least || value > highest)
        die("%s: not a number from %u to %u", text, least, highest);
    return (uint32_t)value;
}

int main(int count, char **words)
{
    struct rlimit files;
    if (count != 7)
        die("usage: wsload echo|broadcast|idle PORT CONNECTIONS BYTES DEPTH text|binary");
    if (strcmp(words[1], "echo") && strcmp(words[1], "broadcast") && strcmp(words[1], "idle"))
        die("no such mode: %s", words[1]);
    mode = words[1][0] == 'e' ? ECHO : words[1][0] == 'b' ? BROADCAST : IDLE;
    port = (uint16_t)number(words[2], 1, 65535);
    connections = number(words[3], 1, 100000);
    length = number(words[4], 1, MOST_BYTES);
    depth = number(words[5], 1, VARIANTS);
    opcode = strcmp(words[6], "text") == 0 ? TEXT : BINARY;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    request_len = (uint32_t)snprintf(request, sizeof request,
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", port);
    clients = calloc(connections, sizeof *clients);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (clients == NULL || poller < 0)
        die("no memory");
    make_all();
    open_all();
    puts("open");
    fflush(stdout);
    watch(STDIN_FILENO, EPOLLIN, NULL);
    while (!orders_ended) {
        turn(0);
        if (running)
            load();
    }
    close_all();
    return 0;
}
