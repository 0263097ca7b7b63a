/* What crosses between reactor and worker: little structs in native byte order (both ends are one machine and one
 * build).
 *
 * 1. Descriptor (request ring, 16 bytes)
 *
 *     0                8           12     14      16
 *     | request_id u64 | block u32 | type | flags |       block = offset in the reactor's arena / 64
 *
 * 2. Request block (reactor's arena, read-only in workers): what EVENT_PACKAGE and EVENT_PACKAGE_START point to
 *
 *     | sw_block | method | target | header records ... | origin | tls | body |
 *     header record: | name_len u16 | value_len u16 | name, lower case | value |     (packed)
 *     origin, with SW_BLOCK_ORIGIN: | sw_origin | client | server |                  (packed)
 *     tls, with SW_BLOCK_TLS_FACTS: | sw_tls | cipher's name | server's certificate | client's certificates |
 *                                   each of the client's behind its length u32       (packed)
 *
 *    Chunk block (the same arena): what EVENT_PACKAGE_CHUNK and EVENT_PACKAGE_END point to
 *
 *     | sw_chunk: length u32, zero u32 | body bytes |
 *
 * 3. Response frame (response ring, 32 bytes and a payload, padded to a multiple of 8)
 *
 *     0          4      5       6        8                16               24         28         32
 *     | size u32 | type | flags | status | request_id u64 | content_length | head_len | body_len | payload
 *
 *     RESPONSE_SMALL    payload: head | body
 *     RESPONSE_SHM      payload: head | sw_shm_ref (8 bytes)       body_len bytes in that block of the slot's arena
 *     RESPONSE_TMPFILE  payload: head | sw_file_ref (24 bytes)     body_len is 0: the length is in the reference
 *     EVENT_CREDIT      no payload; content_length: how much of the request body may have been posted by now
 *
 *     head: status line and field lines as on the wire, each ended by CRLF, without the empty line. The reactor
 *     adds Date, Server, Connection and Transfer-Encoding, and frames the body. With SW_FRAME_TRAILERS the head
 *     holds trailer lines, with SW_FRAME_INTERIM those of an interim response; neither counts as the head.
 *
 * A file travels as an fd over the slot's channel with this reactor (fdpass.h), in a message that names its request,
 * before the descriptor or frame that refers to it.
 */
#ifndef SWHTTP_FRAME_H
#define SWHTTP_FRAME_H

#include <stdint.h>
#include <string.h>

/* Types of descriptors (master to worker). */
#define EVENT_PACKAGE 1       /* a whole request; `block` holds it */
#define EVENT_CLOSE 2         /* the client of `request_id` is gone: `closed` is set; this only wakes */
#define EVENT_BUFFER_EMPTY 3  /* the client of `request_id` took data: `acked` has grown; this only wakes */
#define EVENT_STOP 4          /* no more requests come from this reactor: finish what was taken and exit */
#define EVENT_PACKAGE_START 5 /* a request whose body goes on in chunks, as its worker gives credit */
#define EVENT_PACKAGE_CHUNK 6 /* more of its body, in a chunk block */
#define EVENT_PACKAGE_END 7   /* the last of its body, in a chunk block, which may be empty */
#define EVENT_BUFFER_FULL 8   /* the client of `request_id` is slow: `full` is set; this only wakes */

/* Types of response frames (worker to master). */
#define RESPONSE_SMALL 1      /* head and body inline */
#define RESPONSE_SHM 2        /* head inline, body in a block of the slot's arena, which the reactor gives back */
#define RESPONSE_TMPFILE 3    /* head inline, body in a file */
#define EVENT_CREDIT 9        /* more of the request body may come; what went before it has been read */

/* Flags of descriptors. */
#define SW_DESCRIPTOR_FD 1    /* the fd of its body file is in the channel */

/* Flags of response frames. */
#define SW_FRAME_HEAD 1       /* carries the response head */
#define SW_FRAME_LAST 2       /* the response is complete; the worker is done with the request */
#define SW_FRAME_ABORT 4      /* with LAST: the app failed half-way; cut the connection, so that it shows */
#define SW_FRAME_CLOSE 8      /* with HEAD: Connection: close */
#define SW_FRAME_HAS_DATE 16
#define SW_FRAME_HAS_SERVER 32
#define SW_FRAME_TRAILERS 64  /* with LAST: `head` holds the trailer lines */
#define SW_FRAME_INTERIM 128  /* `head` is that of an interim response (1xx); nothing else of the response */

/* Flags of request blocks. */
#define SW_BLOCK_KEEP_ALIVE 1
#define SW_BLOCK_TLS 2        /* https: we speak TLS with the client, or a proxy says that it does */
#define SW_BLOCK_HEAD_METHOD 4
#define SW_BLOCK_MORE_BODY 8  /* the block holds the beginning of the body: chunks follow */
#define SW_BLOCK_BODY_FILE 16 /* the whole body is in the file that came with the descriptor, none in the block */
#define SW_BLOCK_EXPECTS 32   /* the client waits for 100 Continue, which the first credit brings */
#define SW_BLOCK_ORIGIN 64    /* a proxy has said who is at the ends: not those of the session */
#define SW_BLOCK_TLS_FACTS 128 /* we speak TLS with the client: what was agreed upon is there */

#define SW_BLOCK_UNIT 64     /* descriptors count block offsets in this many bytes */
#define SW_NO_LENGTH (-1)

typedef struct {
    uint64_t request_id;
    uint32_t block;
    uint16_t type;
    uint16_t flags;
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

typedef struct __attribute__((packed)) { /* it lies at any address */
    uint16_t name_len;
    uint16_t value_len;
} sw_header;

typedef struct {
    uint16_t client_port;  /* 0: not known */
    uint16_t server_port;
    uint16_t client_len;   /* of an address as text; 0: the session's client holds, its port too */
    uint16_t server_len;   /* of a host, without brackets; 0: the session's server holds, its port too */
} sw_origin;

typedef struct {
    uint16_t version;      /* as on the wire: 0x0304 is TLS 1.3 */
    uint16_t cipher;       /* its number at IANA */
    uint16_t name_len;     /* OpenSSL's name of the cipher */
    uint16_t clients;      /* certificates that the client has sent, its own first */
    uint32_t server_len;   /* certificates are DER */
    uint32_t client_len;   /* all of the client's, with their lengths */
} sw_tls;

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

typedef struct {
    uint32_t length;       /* body bytes that follow this struct */
    uint32_t zero;
} sw_chunk;

typedef struct {
    uint32_t block;        /* number of a block of the slot's arena (arena.h) */
    uint32_t zero;
} sw_shm_ref;

typedef struct {
    uint64_t offset;
    uint64_t length;
    uint32_t passed;       /* 1: a file that the channel has brought; 0: the one that this response named last */
    uint32_t zero;
} sw_file_ref;

_Static_assert(sizeof(sw_descriptor) == 16, "descriptors are 16 bytes");
_Static_assert(sizeof(sw_frame) == 32, "response frame heads are 32 bytes");
_Static_assert(sizeof(sw_block) == 64, "block heads are 64 bytes");
_Static_assert(sizeof(sw_header) == 4 && sizeof(sw_origin) == 8 && sizeof(sw_tls) == 16, "packed");
_Static_assert(sizeof(sw_chunk) == 8 && sizeof(sw_shm_ref) == 8 && sizeof(sw_file_ref) == 24, "packed");

/* Copy the head of a block's origin; its texts, first the client's, or NULL when there is none. */
static inline const char *sw_block_origin(const sw_block *block, sw_origin *origin)
{
    const char *at = (const char *)block + block->headers_off + block->headers_len;
    if (!(block->flags & SW_BLOCK_ORIGIN))
        return NULL;
    memcpy(origin, at, sizeof *origin);
    return at + sizeof *origin;
}

/* Where a block's TLS facts begin, sw_tls first, and how long they are; NULL: there are none. */
static inline const unsigned char *sw_block_tls(const sw_block *block, uint32_t *length)
{
    const unsigned char *at = (const unsigned char *)block + block->headers_off + block->headers_len;
    sw_origin origin;
    sw_tls tls;
    if (!(block->flags & SW_BLOCK_TLS_FACTS))
        return NULL;
    if (sw_block_origin(block, &origin) != NULL)
        at += sizeof origin + origin.client_len + origin.server_len;
    memcpy(&tls, at, sizeof tls);
    *length = (uint32_t)sizeof tls + tls.name_len + tls.server_len + tls.client_len;
    return at;
}

/* The client that a proxy has named: the length of its address, which `text` points to, or 0: the session's holds. */
static inline uint32_t sw_block_client(const sw_block *block, const char **text, uint16_t *port)
{
    sw_origin origin;
    *text = sw_block_origin(block, &origin);
    if (*text == NULL || origin.client_len == 0)
        return 0;
    *port = origin.client_port;
    return origin.client_len;
}

/* Bytes that a frame with this payload takes in the ring. */
static inline uint64_t sw_frame_bytes(uint64_t head_len, uint64_t inline_len)
{
    return (sizeof(sw_frame) + head_len + inline_len + 7) & ~(uint64_t)7;
}

/* Copy a frame's head out of memory that the worker can still write, and check the copy: 1 right, 0 wrong.
 * `ready`: bytes published in one piece at `at`. Only the copy may be used afterwards. */
static inline int sw_frame_read(sw_frame *frame, const unsigned char *at, uint64_t ready)
{
    uint64_t inline_len;
    if (ready < sizeof *frame)
        return 0;
    memcpy(frame, at, sizeof *frame);
    if (frame->size > ready || (frame->size & 7) != 0 || frame->content_length < SW_NO_LENGTH)
        return 0;
    if (frame->type == RESPONSE_SMALL)
        inline_len = frame->body_len;
    else if (frame->type == RESPONSE_SHM && frame->body_len > 0)
        inline_len = sizeof(sw_shm_ref);
    else if (frame->type == RESPONSE_TMPFILE && frame->body_len == 0)
        inline_len = sizeof(sw_file_ref);
    else if (frame->type == EVENT_CREDIT)
        return frame->size == sizeof *frame && frame->flags == 0 && frame->content_length >= 0
            && frame->head_len == 0 && frame->body_len == 0;
    else
        return 0;
    if (sw_frame_bytes(frame->head_len, inline_len) != frame->size)
        return 0;
    if (frame->flags & SW_FRAME_INTERIM)
        return frame->flags == SW_FRAME_INTERIM && inline_len == 0 && frame->head_len > 0 && frame->status >= 100
            && frame->status < 200 && frame->status != 101;
    if (frame->flags & SW_FRAME_TRAILERS)
        return frame->type == RESPONSE_SMALL && inline_len == 0
            && (frame->flags & ~SW_FRAME_TRAILERS) == SW_FRAME_LAST;
    return frame->flags & SW_FRAME_HEAD ? frame->head_len > 0 && frame->status >= 200 && frame->status <= 999
                                        : frame->head_len == 0;
}

#endif
