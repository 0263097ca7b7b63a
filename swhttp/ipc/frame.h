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
 * 4. WebSockets
 *
 *    A worker that serves ASGI has a WebSocket like a request, from EVENT_WS_OPEN to the frame with LAST. What its
 *    client sends comes in blocks that EVENT_WS_MESSAGE points to, each with one record or more:
 *
 *     | sw_chunk: length u32, zero u32 | record | record | ...        length: of all records, with their padding
 *     record: | sw_ws_record: length u32, opcode u8, flags u8, code u16 | bytes, padded to a multiple of 8 |
 *
 *    SW_WS_MORE: the message goes on in the next record, of the next block; only a block's last record has it. A record
 *    of opcode SW_WS_CLOSE is the last of all, in EVENT_WS_CLOSE's block; without a block, which is told by `flags`, not
 *    by `block`, that has the code in `flags`. A block is read when the worker's word `read` in the request table has
 *    counted it, which EVENT_CREDIT (content_length: the same count) only tells sooner.
 *
 *    Out: EVENT_WS_OPEN (head: field lines), EVENT_WS_MESSAGE or _SHM (status: opcode; flags: SW_FRAME_MORE; the first
 *    frame of a message that has several says its whole length in content_length, the others SW_NO_LENGTH),
 *    EVENT_WS_CLOSE (status: code or 0 for none; body: reason). An ordinary response instead of EVENT_WS_OPEN refuses.
 *
 *    A session of the callback API is with no worker between its events. Each is a request of its own: a request block
 *    whose body is | sw_ws_event | state, padded to a multiple of 8 | records |, answered by EVENT_WS_DONE (WebSockets in
 *    docs/architecture.md).
 *
 * A file travels as an fd over the slot's channel with this reactor (fdpass.h), in a message that names its request,
 * before the descriptor or frame that refers to it.
 */
#ifndef SWHTTP_FRAME_H
#define SWHTTP_FRAME_H

#include <stdint.h>
#include <string.h>

#include "swhttp/ipc/rfc6455.h"

/* Types of descriptors (master to worker). */
#define EVENT_PACKAGE 1       /* a whole request; `block` holds it */
#define EVENT_CLOSE 2         /* the client of `request_id` is gone: `closed` is set; this only wakes */
#define EVENT_BUFFER_EMPTY 3  /* the client of `request_id` took data: `acked` has grown; this only wakes */
#define EVENT_STOP 4          /* no more requests come from this reactor: finish what was taken and exit */
#define EVENT_PACKAGE_START 5 /* a request whose body goes on in chunks, as its worker gives credit */
#define EVENT_PACKAGE_CHUNK 6 /* more of its body, in a chunk block */
#define EVENT_PACKAGE_END 7   /* the last of its body, in a chunk block, which may be empty */
#define EVENT_BUFFER_FULL 8   /* the client of `request_id` is slow: `full` is set; this only wakes */
#define EVENT_WS_OPEN 10      /* a WebSocket handshake; `block` holds the request */
#define EVENT_WS_MESSAGE 11   /* messages of a WebSocket: its worker's (records in a block), or of a session's handler */
#define EVENT_WS_CLOSE 12     /* the WebSocket has ended: no more comes of it */

/* Types of response frames (worker to master). */
#define RESPONSE_SMALL 1      /* head and body inline */
#define RESPONSE_SHM 2        /* head inline, body in a block of the slot's arena, which the reactor gives back */
#define RESPONSE_TMPFILE 3    /* head inline, body in a file */
#define EVENT_CREDIT 9        /* more of the request body may come; what went before it has been read */
/* EVENT_WS_OPEN                 the handshake is accepted: `head` holds the app's field lines */
/* EVENT_WS_MESSAGE              a message, or a piece of one, inline */
#define EVENT_WS_MESSAGE_SHM 13 /* the same in a block of the slot's arena */
/* EVENT_WS_CLOSE                begin the closing handshake; with LAST the worker is done with it */
#define EVENT_WS_SESSION 14   /* a verb about a session or a group (SW_WS_PUSH ...), its data inline */
#define EVENT_WS_SESSION_SHM 15 /* the same, its data in a block of the slot's arena */
#define EVENT_WS_DONE 16      /* a session's handler is through with a message, with LAST with its event */
#define EVENT_WS_DONE_SHM 17  /* the same, the session's new state in a block of the slot's arena */

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

/* Flags of WebSocket frames: SW_FRAME_LAST, and these. */
#define SW_FRAME_MORE 1       /* EVENT_WS_MESSAGE: the message goes on in the next frame of this request */
#define SW_FRAME_STATE 1      /* EVENT_WS_DONE: the body is the session's new state */
#define SW_FRAME_BAD 4        /* EVENT_WS_DONE: the handler failed; the session is closed with 1011 */

/* Verbs of EVENT_WS_SESSION: `flags` holds one, and for a push what becomes of it where its client is slow. */
#define SW_WS_PUSH 1          /* content_length: session id; status: opcode; body: the message */
#define SW_WS_BROADCAST 2     /* head: the group; status: opcode; content_length: a session id left out, or -1; body */
#define SW_WS_JOIN 3          /* content_length: session id; head: the group */
#define SW_WS_LEAVE 4         /* content_length: session id; head: the group */
#define SW_WS_END 5           /* content_length: session id; status: close code; body: reason */
#define SW_WS_OVERFLOW 6      /* content_length: session id; status: one of SW_WS_DROP ... from now on */
#define SW_WS_VERB 15         /* mask */
#define SW_WS_POLICY_SHIFT 4  /* of a push: 0: as the session has it, else one of SW_WS_DROP ... plus 1 */

#define SW_WS_DROP 0          /* a push for a session whose client is slow is dropped */
#define SW_WS_CUT 1           /* the session is closed (1013) */
#define SW_WS_BLOCK 2         /* who pushes waits; what is under way by then is sent */

/* In the request_id of EVENT_BUFFER_EMPTY: the rest is the id of a session whose client has caught up. */
#define SW_WS_SESSION_NEWS (1ull << 63)

/* Records of messages that come in: SW_WS_TEXT, SW_WS_BINARY, SW_WS_CLOSE (rfc6455.h), and these. */
#define SW_WS_MORE 1          /* flag: the message goes on in the next record */
#define SW_WS_AGAIN 2         /* flag: a worker has died that had this message */

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

typedef struct {
    uint32_t length;       /* of the bytes that follow, without padding */
    uint8_t opcode;        /* SW_WS_TEXT, SW_WS_BINARY, SW_WS_CLOSE */
    uint8_t flags;
    uint16_t code;         /* SW_WS_CLOSE: the bytes are the reason */
} sw_ws_record;

typedef struct {
    uint64_t session;      /* its id (sw_ws_session_id) */
    uint64_t sequence;     /* of the first message here; messages of a session are counted from 1 */
    uint32_t state_len;
    uint32_t records_len;
    uint16_t kind;         /* EVENT_WS_OPEN, EVENT_WS_MESSAGE, EVENT_WS_CLOSE */
    uint16_t code;         /* EVENT_WS_CLOSE: the close code; its reason is the one record */
    uint32_t overflow;     /* one of SW_WS_DROP ..., as it has been set by earlier handlers */
} sw_ws_event;

_Static_assert(sizeof(sw_ws_record) == 8 && sizeof(sw_ws_event) == 32, "packed");
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

/* A session's id: where its connection is, and which of those that have been there. */
#define SW_SESSION_ROW_BITS 16
#define SW_SESSION_REACTOR_BITS 6

static inline uint64_t sw_ws_session_id(uint32_t reactor, uint32_t row, uint64_t generation)
{
    return generation << (SW_SESSION_ROW_BITS + SW_SESSION_REACTOR_BITS) | (uint64_t)row << SW_SESSION_REACTOR_BITS
        | reactor;
}

static inline uint32_t sw_ws_session_reactor(uint64_t id)
{
    return (uint32_t)(id & ((1u << SW_SESSION_REACTOR_BITS) - 1));
}

static inline uint32_t sw_ws_session_row(uint64_t id)
{
    return (uint32_t)(id >> SW_SESSION_REACTOR_BITS & ((1u << SW_SESSION_ROW_BITS) - 1));
}

static inline uint64_t sw_ws_session_generation(uint64_t id)
{
    return id >> (SW_SESSION_ROW_BITS + SW_SESSION_REACTOR_BITS);
}

/* Bytes that a record takes in its block. */
static inline uint64_t sw_ws_record_bytes(uint64_t length)
{
    return (sizeof(sw_ws_record) + length + 7) & ~(uint64_t)7;
}

/* Where an event's records begin, counted from its sw_ws_event. */
static inline uint32_t sw_ws_event_records(uint32_t state_len)
{
    return (uint32_t)sizeof(sw_ws_event) + ((state_len + 7) & ~7u);
}

/* What sw_frame_read does with the copy of a WebSocket's frame. */
static inline int sw_frame_read_ws(const sw_frame *frame)
{
    int shm = frame->type == EVENT_WS_MESSAGE_SHM || frame->type == EVENT_WS_SESSION_SHM
        || frame->type == EVENT_WS_DONE_SHM;
    if ((shm && frame->body_len == 0)
        || sw_frame_bytes(frame->head_len, shm ? sizeof(sw_shm_ref) : frame->body_len) != frame->size)
        return 0;
    switch (frame->type) {
    case EVENT_WS_OPEN:
        return frame->flags == 0 && frame->body_len == 0;
    case EVENT_WS_MESSAGE:
    case EVENT_WS_MESSAGE_SHM:
        return (frame->flags & ~SW_FRAME_MORE) == 0 && frame->head_len == 0
            && (frame->status == SW_WS_TEXT || frame->status == SW_WS_BINARY);
    case EVENT_WS_CLOSE:
        return (frame->flags & ~SW_FRAME_LAST) == 0 && frame->head_len == 0 && frame->body_len <= SW_WS_REASON_BYTES;
    case EVENT_WS_SESSION:
    case EVENT_WS_SESSION_SHM:
        return (frame->flags & SW_WS_VERB) >= SW_WS_PUSH && (frame->flags & SW_WS_VERB) <= SW_WS_OVERFLOW
            && frame->flags >> SW_WS_POLICY_SHIFT <= SW_WS_BLOCK + 1;
    default: /* EVENT_WS_DONE, EVENT_WS_DONE_SHM */
        return (frame->flags & ~(SW_FRAME_LAST | SW_FRAME_STATE | SW_FRAME_BAD)) == 0 && frame->head_len == 0;
    }
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
    else if (frame->type >= EVENT_WS_OPEN && frame->type <= EVENT_WS_DONE_SHM)
        return sw_frame_read_ws(frame);
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
