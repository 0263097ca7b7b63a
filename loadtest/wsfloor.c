/* What WebSocket messages cost at the least: no app, no checks, one thread on epoll.
 *
 *     wsfloor echo|broadcast PORT
 *
 * To the figures of servers what nginx's `return 200` is for HTTP. It speaks with wsload.c only, whose handshake is always
 * the same and whose messages are whole frames; GET without an upgrade is answered 200, as every scenario's app does.
 * What one read brings is answered by one write; in a broadcast, by one write to each. The first message of a connection
 * goes back to it, in a broadcast too, and makes it one of all. It never leaves by itself: a signal ends it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES (256u << 10)
#define MOST_HELD (32u << 20) /* of a connection, either way; more ends the program */
#define MOST_FILES 65536
#define HTTP_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, World!"
#define WEBSOCKET_ANSWER "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

enum stage { FREE, SHAKING, GREETING, MEMBER };

struct bytes {
    unsigned char *at;
    size_t used, room;
};

struct client {
    enum stage stage;
    int place; /* among the members */
    struct bytes in, out;
};

static struct client clients[MOST_FILES]; /* by descriptor */
static int members[MOST_FILES], count;
static unsigned char piece[READ_BYTES];
static struct bytes answer;
static int poller, broadcast;

static void add(struct bytes *to, const void *what, size_t bytes)
{
    if (to->used + bytes > to->room) {
        to->room = (to->used + bytes) * 2;
        to->at = realloc(to->at, to->room);
        if (to->at == NULL || to->room > MOST_HELD) {
            fputs("wsfloor: too much is held\n", stderr);
            exit(1);
        }
    }
    memcpy(to->at + to->used, what, bytes);
    to->used += bytes;
}

static void take(struct bytes *from, size_t bytes)
{
    from->used -= bytes;
    memmove(from->at, from->at + bytes, from->used);
    if (from->used == 0) {
        free(from->at);
        memset(from, 0, sizeof *from);
    }
}

static void leave(int fd)
{
    struct client *c = &clients[fd];
    if (c->stage == MEMBER) {
        members[c->place] = members[--count];
        clients[members[c->place]].place = c->place;
    }
    free(c->in.at);
    free(c->out.at);
    memset(c, 0, sizeof *c);
    close(fd);
}

static void give(int fd, const void *what, size_t bytes)
{
    struct client *c = &clients[fd];
    ssize_t n = 0;
    if (c->out.used == 0)
        n = send(fd, what, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0)
        n = 0; /* a full socket says when it has room, one that is gone says so when it is read */
    if ((size_t)n < bytes)
        add(&c->out, (const char *)what + n, bytes - (size_t)n);
}

static void go_on(int fd)
{
    struct client *c = &clients[fd];
    ssize_t n;
    while (c->out.used && (n = send(fd, c->out.at, c->out.used, MSG_NOSIGNAL | MSG_DONTWAIT)) > 0)
        take(&c->out, (size_t)n);
}

/* Frame the answer to the frame at `at`, and unmask: its bytes, 0 when it is not whole, -1 when it says farewell. */
static ssize_t answered(const unsigned char *at, size_t bytes)
{
    size_t head = 2, length = bytes < 2 ? 0 : at[1] & 127;
    if (bytes < 2)
        return 0;
    if (length >= 126) {
        head = length == 126 ? 4 : 10;
        if (bytes < head)
            return 0;
        length = 0;
        for (size_t i = 2; i < head; i++)
            length = length << 8 | at[i];
    }
    if (bytes < head + 4 + length)
        return 0;
    if ((at[0] & 15) >= 8)
        return -1;
    const unsigned char *key = at + head, *content = key + 4;
    unsigned char second = at[1] & 127;
    add(&answer, at, 1);
    add(&answer, &second, 1);
    add(&answer, at + 2, head - 2);
    add(&answer, content, length);
    unsigned char *out = answer.at + answer.used - length;
    unsigned long long wide, word;
    memcpy(&wide, key, 4);
    memcpy((char *)&wide + 4, key, 4);
    size_t i = 0;
    for (; i + 8 <= length; i += 8) {
        memcpy(&word, out + i, 8);
        word ^= wide;
        memcpy(out + i, &word, 8);
    }
    for (; i < length; i++)
        out[i] ^= key[i % 4];
    return (ssize_t)(head + 4 + length);
}

static void hear(int fd, const unsigned char *at, size_t bytes)
{
    struct client *c = &clients[fd];
    size_t used = 0;
    ssize_t n;
    if (c->in.used) {
        add(&c->in, at, bytes);
        at = c->in.at;
        bytes = c->in.used;
    }
    if (c->stage == SHAKING) {
        unsigned char *end = memmem(at, bytes, "\r\n\r\n", 4);
        if (end != NULL && memmem(at, bytes, "Upgrade: websocket", 18) != NULL) {
            c->stage = GREETING;
            give(fd, WEBSOCKET_ANSWER, sizeof WEBSOCKET_ANSWER - 1);
            used = (size_t)(end + 4 - at);
        } else if (end != NULL) {
            give(fd, HTTP_ANSWER, sizeof HTTP_ANSWER - 1);
            used = (size_t)(end + 4 - at);
        }
    }
    answer.used = 0;
    while (c->stage != SHAKING && (n = answered(at + used, bytes - used)) != 0) {
        if (n < 0) {
            leave(fd);
            return;
        }
        used += (size_t)n;
        if (c->stage == GREETING) {
            c->stage = MEMBER;
            c->place = count;
            members[count++] = fd;
            give(fd, answer.at, answer.used);
            answer.used = 0;
        }
    }
    if (c->in.used)
        take(&c->in, used);
    else if (used < bytes)
        add(&c->in, at + used, bytes - used);
    if (answer.used == 0)
        return;
    if (!broadcast)
        give(fd, answer.at, answer.used);
    for (int i = 0; broadcast && i < count; i++)
        give(members[i], answer.at, answer.used);
}

static void watch(int fd, uint32_t what)
{
    struct epoll_event event = { .events = what, .data.fd = fd };
    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
}

int main(int words, char **word)
{
    int yes = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in here = { .sin_family = AF_INET };
    struct epoll_event events[256];
    struct rlimit files;
    if (words != 3) {
        fputs("usage: wsfloor echo|broadcast PORT\n", stderr);
        return 2;
    }
    broadcast = word[1][0] == 'b';
    here.sin_port = htons((uint16_t)atoi(word[2]));
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) < 0 || listen(listener, 4096) < 0) {
        perror("wsfloor");
        return 1;
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max < MOST_FILES ? files.rlim_max : MOST_FILES;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    poller = epoll_create1(0);
    watch(listener, EPOLLIN);
    for (;;) {
        int ready = epoll_wait(poller, events, 256, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                int fresh = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                if (fresh < 0)
                    continue;
                setsockopt(fresh, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
                clients[fresh].stage = SHAKING;
                watch(fresh, EPOLLIN | EPOLLOUT | EPOLLET);
                continue;
            }
            if (events[i].events & EPOLLOUT)
                go_on(fd);
            for (ssize_t n = sizeof piece; n == sizeof piece && clients[fd].stage != FREE;) {
                n = recv(fd, piece, sizeof piece, MSG_DONTWAIT);
                if (n == 0 || (n < 0 && errno != EAGAIN))
                    leave(fd);
                else if (n > 0)
                    hear(fd, piece, (size_t)n);
            }
        }
    }
}
