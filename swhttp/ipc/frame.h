/* What crosses between reactor and worker: three binary layouts, all little structs in native byte order (both
 * ends are one machine and one build).
 *
 * 1. Descriptor (request ring, 16 bytes)
 *
 *     0                8           12     14     16
 *     | request_id u64 | block u32 | type | zero |        block = offset in the reactor's arena / 64
 *
 * 2. Request block (reactor's arena, read-only in workers): what the event EVENT_PACKAGE points to
 *
 *     | sw_block | method | target | header records ... | body |
 *     header record: | name_len u16 | value_len u16 | name, lower case | value |     (packed)
 *
 * 3. Response frame (response ring, 32 bytes and a payload, padded to a multiple of 8)
 *
 *     0          4      5       6        8                16               24         28         32
 *     | size u32 | type | flags | status | request_id u64 | content_length | head_len | body_len | head | body |
 *
 *     head: status line and field lines as on the wire, each ended by CRLF, without the empty line. The reactor
 *     adds Date, Server, Connection and Transfer-Encoding, and frames the body.
 */
#ifndef SWHTTP_FRAME_H
#define SWHTTP_FRAME_H

#include <stdint.h>
#include <string.h>

/* Types of descriptors (master to worker). */
#define EVENT_PACKAGE 1      /* a whole request; `block` holds it */
#define EVENT_CLOSE 2        /* the client of `request_id` is gone: `closed` is set; this only wakes */
#define EVENT_BUFFER_EMPTY 3 /* the client of `request_id` took data: `acked` has grown; this only wakes */
#define EVENT_STOP 4         /* the last descriptor from this reactor: finish what was taken and exit */

/* Types of response frames (worker to master). */
#define RESPONSE_SMALL 1     /* head and body inline */

/* Flags of response frames. */
#define SW_FRAME_HEAD 1      /* carries the response head; the first frame of a response */
#define SW_FRAME_LAST 2      /* the response is complete; the worker is done with the request */
#define SW_FRAME_ABORT 4     /* with LAST: the app failed half-way; cut the connection, so that it shows */
#define SW_FRAME_CLOSE 8     /* the app asked for Connection: close */
#define SW_FRAME_HAS_DATE 16
#define SW_FRAME_HAS_SERVER 32

/* Flags of request blocks. */
#define SW_BLOCK_KEEP_ALIVE 1
#define SW_BLOCK_TLS 2
#define SW_BLOCK_HEAD_METHOD 4

#define SW_BLOCK_UNIT 64     /* descriptors count block offsets in this many bytes */
#define SW_NO_LENGTH (-1)

typedef struct {
    uint64_t request_id;
    uint32_t block;
    uint16_t type;
    uint16_t zero;
} sw_descriptor;

typedef struct {
    uint32_t method_len;   /* method begins right after this struct */
    uint32_t target_len;   /* raw request target, as on the wire, follows the method */
    uint32_t path_off;     /* offsets from the start of the block, into the target */
    uint32_t path_len;     /* still percent-encoded */
    uint32_t query_off;
    uint32_t query_len;    /* 0 without '?' */
    uint32_t headers_off;
    uint32_t headers_len;  /* bytes of all records */
    uint32_t body_off;
    uint32_t body_len;
    uint16_t headers_count;
    uint8_t http_minor;    /* HTTP/1.0 or 1.1 */
    uint8_t flags;
    uint32_t session;      /* row in the reactor's session table */
    uint64_t session_generation;
    uint64_t ready_ns;     /* CLOCK_MONOTONIC when the request was whole */
} sw_block;

typedef struct {
    uint16_t name_len;
    uint16_t value_len;
} sw_header;

typedef struct {
    uint32_t size;
    uint8_t type;
    uint8_t flags;
    uint16_t status;
    uint64_t request_id;
    int64_t content_length; /* with HEAD: what the head announces, or SW_NO_LENGTH */
    uint32_t head_len;
    uint32_t body_len;
} sw_frame;

_Static_assert(sizeof(sw_descriptor) == 16, "descriptors are 16 bytes");
_Static_assert(sizeof(sw_frame) == 32, "response frame heads are 32 bytes");
_Static_assert(sizeof(sw_block) == 64, "block heads are 64 bytes");

/* Bytes a frame takes in the ring. */
static inline uint64_t sw_frame_bytes(uint64_t head_len, uint64_t body_len)
{
    return (sizeof(sw_frame) + head_len + body_len + 7) & ~(uint64_t)7;
}

/* Copy a frame's head out of memory that the worker can still write, and check the copy: 1 right, 0 wrong.
 * `ready`: bytes published in one piece at `at`. Only the copy may be used afterwards. */
static inline int sw_frame_read(sw_frame *frame, const unsigned char *at, uint64_t ready)
{
    if (ready < sizeof *frame)
        return 0;
    memcpy(frame, at, sizeof *frame);
    return frame->size <= ready && (frame->size & 7) == 0 && frame->type == RESPONSE_SMALL
        && sw_frame_bytes(frame->head_len, frame->body_len) == frame->size
        && frame->content_length >= SW_NO_LENGTH
        && (frame->flags & SW_FRAME_HEAD ? frame->head_len > 0 && frame->status >= 200 && frame->status <= 999
                                         : frame->head_len == 0);
}

#endif
