/* What a line of the access log is made of: bytes escaped, numbers, times. In the reactor's private memory.
 *
 * A line is written straight into the ring, which has SW_LOG_SLACK bytes more than the longest line takes: texts are
 * copied in pieces of 16 bytes, past their end.
 *
 * Escaping, as Apache's (ap_escape_logitem): a backslash before " and \, \n \t and so on by their letters, every other
 * byte below 0x20 or above 0x7e as \xhh. In JSON (RFC 8259 §7) \u00hh for all but the first two: a byte is a code point.
 * Either way a line holds printable ASCII only, and the bytes can be had back.
 */
#ifndef SWHTTP_LOGLINE_H
#define SWHTTP_LOGLINE_H

#include <stdint.h>
#include <string.h>
#include <time.h>

#include "swhttp/reactor/logring.h"

#define SW_LOG_SLACK 32
#define SW_LOG_PARTS 65      /* with the newline */
#define SW_LOG_TEXTS 8192    /* bytes of all texts and names, each padded to 16 */
#define SW_LOG_NAMES 16
#define SW_LOG_LONGEST_NAME 63 /* of a field whose length has a bit of its own */
#define SW_LOG_TIME_BYTES 128
#define SW_LOG_ANSWERS 64    /* whose lines are made together: that many cache lines, and blocks that are kept */

/* The kinds of accessformat.Kind. */
enum {
    LOG_TEXT = 0,
    LOG_CLIENT = 1, LOG_LOCAL, LOG_REQUEST, LOG_METHOD, LOG_PATH, LOG_QUERY, LOG_BARE_QUERY, LOG_PROTOCOL,
    LOG_REQUEST_FIELD, LOG_RESPONSE_FIELD, LOG_HOST,
    LOG_TIME = 16, LOG_TIME_UTC, LOG_SECONDS, LOG_MILLISECONDS, LOG_MICROSECONDS, LOG_MILLI_PART, LOG_MICRO_PART,
    LOG_STATUS = 32, LOG_BYTES, LOG_BYTES_OR_DASH, LOG_WIRE_BYTES, LOG_DURATION_US, LOG_DURATION_MS, LOG_DURATION_S,
    LOG_DURATION_DECIMAL, LOG_PID, LOG_KEPT_ALIVE, LOG_CONNECTION, LOG_LOCAL_PORT, LOG_REMOTE_PORT
};

typedef struct {
    uint8_t kind;
    uint8_t index;   /* of a name or a time */
    uint8_t ends;    /* a time: that of the line */
    uint32_t length; /* of a text */
    const unsigned char *text;
} sw_log_part;

typedef struct {
    const unsigned char *text; /* lower case */
    uint32_t length;
} sw_log_name;

typedef struct {
    const unsigned char *value;
    uint32_t length;
    uint8_t found;
    uint8_t again; /* the field stands in more than one line */
} sw_log_found;

/* A time as text, made once a second. */
typedef struct {
    int64_t second;
    const char *format; /* strftime's */
    uint32_t length;
    uint8_t utc;
    unsigned char text[SW_LOG_TIME_BYTES + SW_LOG_SLACK];
} sw_log_time;

/* What a line says of a request and its answer, beside what is in the request's block. */
typedef struct {
    uint64_t since_ns;     /* CLOCK_MONOTONIC; the block may know better */
    uint64_t body_bytes;
    uint64_t wire_bytes;
    unsigned char *fields; /* of the response head, or NULL */
    uint32_t row;          /* of the connection */
    uint32_t flags;        /* likewise */
    uint32_t served;
    uint32_t block;
    int pid;
    uint16_t status;
    uint8_t block_class;
} sw_log_answer;

/* A reactor's access log: its format, and its end of the ring. */
typedef struct {
    sw_log_ring *ring;
    sw_log_bell *bell;
    uint64_t own;         /* end of the last line */
    uint64_t at;          /* its place in the ring */
    uint64_t published;
    uint64_t peer;        /* the writer's index, as seen last */
    uint32_t line_bytes;  /* the longest line */
    uint32_t field_bytes; /* the most that one value takes */
    int json;
    int part_count;
    int name_count;       /* request fields that are wanted */
    int out_count;        /* response fields */
    int time_count;
    uint64_t name_lengths; /* bit n: one of the names has n bytes */
    int64_t clock_s;      /* when `offset_ns` was looked at */
    int64_t offset_ns;    /* from the monotonic clock to the wall's */
    sw_log_part parts[SW_LOG_PARTS];
    sw_log_name names[SW_LOG_NAMES];
    sw_log_name outs[SW_LOG_NAMES];
    sw_log_time times[SW_LOG_NAMES];
    sw_log_answer answers[SW_LOG_ANSWERS]; /* of this turn, whose lines are to be made */
    uint32_t texts_used;
    unsigned char texts[SW_LOG_TEXTS];
} sw_access_log;

/* ---- escaping ---- */

/* Not 0 when one of the 8 bytes is below 0x20, above 0x7e, a quote or a backslash. Exact: a borrow or a bit 7 that
 * comes from a neighbour means that the neighbour is such a byte. */
static inline uint64_t sw_log_odd(uint64_t x)
{
    const uint64_t ones = ~UINT64_C(0) / 255;
    return ((x - ones * 0x20) | ((x ^ ones * 0x22) - ones) | ((x ^ ones * 0x5c) - ones) | ((x ^ ones * 0x7f) - ones) | x)
        & (ones * 0x80);
}

static inline int sw_log_escape_byte(unsigned char *to, unsigned char byte, int json)
{
    static const char hex[] = "0123456789abcdef";
    static const char letters[] = "btnvfr"; /* 8 to 13 */
    if (byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\') {
        to[0] = byte;
        return 1;
    }
    to[0] = '\\';
    if (byte == '"' || byte == '\\') {
        to[1] = byte;
        return 2;
    }
    if (json) {
        memcpy(to + 1, "u00", 3);
        to[4] = (unsigned char)hex[byte >> 4];
        to[5] = (unsigned char)hex[byte & 15];
        return 6;
    }
    if (byte >= 8 && byte <= 13 && byte != 12) {
        to[1] = (unsigned char)letters[byte - 8];
        return 2;
    }
    to[1] = 'x';
    to[2] = (unsigned char)hex[byte >> 4];
    to[3] = (unsigned char)hex[byte & 15];
    return 4;
}

/* Copy bytes up to the first 8 that have one to escape. Returns how many. `to` has room for all. */
static inline size_t sw_log_plain(unsigned char *to, const unsigned char *from, size_t length)
{
    size_t at = 0;
    uint64_t x;
    uint32_t first, last;
    for (; length - at >= 8; at += 8) {
        memcpy(&x, from + at, 8);
        if (sw_log_odd(x))
            return at;
        memcpy(to + at, &x, 8);
    }
    if (at == length)
        return at;
    if (at > 0) { /* the last 8, some of them once more */
        memcpy(&x, from + length - 8, 8);
        if (sw_log_odd(x))
            return at;
        memcpy(to + length - 8, &x, 8);
    } else if (length >= 4) {
        memcpy(&first, from, 4);
        memcpy(&last, from + length - 4, 4);
        if (sw_log_odd((uint64_t)last << 32 | first))
            return 0;
        memcpy(to, &first, 4);
        memcpy(to + length - 4, &last, 4);
    } else {
        unsigned char middle = from[length / 2], end = from[length - 1];
        if (sw_log_odd(UINT64_C(0x6161616161000000) | (uint64_t)end << 16 | (uint64_t)middle << 8 | from[0]))
            return 0;
        to[0] = from[0];
        to[length / 2] = middle;
        to[length - 1] = end;
    }
    return length;
}

/* Append `length` bytes, escaped, as far as they fit before `limit`, whole sequences only. Returns the end; `full`: they
 * did not all fit. */
static inline unsigned char *sw_log_escape(unsigned char *to, const unsigned char *limit, const unsigned char *from,
                                           size_t length, int json, int *full)
{
    const unsigned char *end = from + length, *stop;
    unsigned char one[8];
    size_t plain;
    int n;
    while (from < end) {
        plain = sw_log_plain(to, from, (size_t)(limit - to < end - from ? limit - to : end - from));
        to += plain;
        from += plain;
        for (stop = end - from > 8 ? from + 8 : end; from < stop; from++) {
            n = sw_log_escape_byte(one, *from, json);
            if (limit - to < n) {
                *full = 1;
                return to;
            }
            memcpy(to, one, (size_t)n);
            to += n;
        }
    }
    return to;
}

/* ---- memory ---- */

/* Begin to fetch what the line after the next is made from: the head of its request's block, and its client's row. They
 * were last used before calls of the kernel, by a worker too. */
static inline void sw_log_prefetch(const void *block, const void *row)
{
    for (int at = 0; at < 256; at += 64)
        __builtin_prefetch((const unsigned char *)block + at);
    __builtin_prefetch(row);
    __builtin_prefetch((const unsigned char *)row + 64);
}

/* ---- what needs none ---- */

/* Append a text that is padded to 16 bytes. */
static inline unsigned char *sw_log_text(unsigned char *to, const unsigned char *text, uint32_t length)
{
    for (uint32_t at = 0; at < length; at += 16)
        memcpy(to + at, text + at, 16);
    return to + length;
}

/* Below 10^19, as every count of bytes or nanoseconds is. */
static inline unsigned char *sw_log_number(unsigned char *to, uint64_t number)
{
    int count = 1;
    for (uint64_t least = 10; number >= least && count < 19; least *= 10)
        count++;
    /* Where they belong at once: a copy would wait for the stores of single bytes. */
    for (int at = count - 1; at >= 0; at--) {
        to[at] = (unsigned char)('0' + number % 10);
        number /= 10;
    }
    return to + count;
}

/* With leading zeros. */
static inline unsigned char *sw_log_digits(unsigned char *to, uint32_t number, int count)
{
    for (int at = count - 1; at >= 0; at--) {
        to[at] = (unsigned char)('0' + number % 10);
        number /= 10;
    }
    return to + count;
}

/* Append the text of a time, made anew when the second has changed. */
static inline unsigned char *sw_log_time_text(unsigned char *to, sw_log_time *time, int64_t second)
{
    if (time->second != second) {
        char plain[SW_LOG_TIME_BYTES];
        struct tm broken;
        time_t when = (time_t)second;
        size_t length;
        int full = 0;
        if (time->utc)
            gmtime_r(&when, &broken);
        else
            localtime_r(&when, &broken);
        length = strftime(plain, sizeof plain, time->format, &broken);
        time->length = (uint32_t)(sw_log_escape(time->text, time->text + SW_LOG_TIME_BYTES,
                                                (unsigned char *)plain, length, 0, &full) - time->text);
        time->second = second;
    }
    return sw_log_text(to, time->text, time->length);
}

/* The difference between the wall's clock and the monotonic one. */
static inline int64_t sw_log_offset_ns(void)
{
    struct timespec wall, monotonic;
    clock_gettime(CLOCK_REALTIME, &wall);
    clock_gettime(CLOCK_MONOTONIC, &monotonic);
    return (wall.tv_sec - monotonic.tv_sec) * INT64_C(1000000000) + (wall.tv_nsec - monotonic.tv_nsec);
}

/* Is this name, in any case, `name`? */
static inline int sw_log_is_name(const unsigned char *text, const sw_log_name *name)
{
    for (uint32_t i = 0; i < name->length; i++) {
        unsigned char byte = text[i];
        if (byte >= 'A' && byte <= 'Z')
            byte |= 0x20;
        if (byte != name->text[i])
            return 0;
    }
    return 1;
}

/* Keep a text among the program's own, padded. NULL: there is no room. */
static inline const unsigned char *sw_log_keep(sw_access_log *log, const char *text, size_t length)
{
    size_t room = (length + 1 + 15) & ~(size_t)15;
    unsigned char *at = log->texts + log->texts_used;
    if (room > SW_LOG_TEXTS - log->texts_used)
        return NULL;
    memcpy(at, text, length);
    log->texts_used += (uint32_t)room;
    return at;
}

#endif
