"""WebSocket messages that come in: bytes from the socket, records in blocks for the worker.

It owns the block that is being filled, those that its worker has not read yet (frame.h, 4.), how long a message may be
under way, as long as a request's body (`--body-timeout`), and how much may wait: `--ws-max-queue` messages,
BLOCKS_AHEAD blocks with the worker, and one that is filled meanwhile. Past that it says no (`wsin_wants`), and the
socket is not read. What a stuck worker leaves unread is in few blocks, however small its messages are: so a client that
says little is heard for as long as it takes, its pings too.

Bytes are unmasked into the block, checked there (UTF-8), and never touched again: the worker makes its objects straight
from them. What is compressed is inflated up to the room that there is, and goes on when there is more (a bomb stops at
`--ws-max-size`). The end of the stream, wherever it comes from, is `websocket`'s. Runs without the GIL, but to inflate.
"""

from libc.stdint cimport int32_t, uint64_t, uint8_t
from libc.string cimport memcpy, memmove

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from swhttp.ipc.blocks cimport (SW_NO_BLOCK, sw_blocks_at, sw_blocks_bytes, sw_blocks_give, sw_blocks_half_free,
                                sw_blocks_take)
from swhttp.ipc.frame cimport EVENT_WS_CLOSE, EVENT_WS_MESSAGE, SW_WS_MORE, sw_chunk, sw_ws_record, sw_ws_record_bytes
from swhttp.ipc.request_table cimport sw_request_index, sw_request_read
from swhttp.ipc.rfc6455 cimport (SW_CLOSE_BAD_DATA, SW_CLOSE_INTERNAL_ERROR, SW_CLOSE_TOO_BIG, SW_WS_CLOSE,
                                 SW_WS_TEXT)
from swhttp.ipc.scoreboard cimport REACTOR_BLOCKS, REACTOR_WS_RECEIVED
from swhttp.reactor.connection cimport conn_starve, conn_todo
from swhttp.reactor.dispatch cimport dispatch_chunk, dispatch_event
from swhttp.reactor.state cimport CONN_READABLE, WS_CLOSING, WS_OPEN, Ws, WsBlock
from swhttp.reactor.websocket cimport ws_fail, ws_ping, ws_peer_closes
from swhttp.reactor.wsbytes cimport SW_UTF8_BAD, SW_UTF8_WHOLE, sw_utf8, sw_ws_unmask
from swhttp.reactor.wscodec cimport WS_BAD, WS_CLOSED, WS_DATA, WS_PING, WsLimits, WsPiece, ws_decode
from swhttp.reactor.wsdeflate cimport Deflation

from swhttp import limits

cdef uint32_t MOST_FILL_BYTES = limits.WS_BLOCK_BYTES          # of an ASGI socket's block
cdef uint32_t MOST_CALLS_BYTES = limits.WS_CALLS_BLOCK_BYTES   # of records that wait for a handler
cdef uint32_t INFLATE_BYTES = 65536  # at once
cdef uint64_t BYTE_NS = 1000000000 // limits.MIN_RATE_BYTES_S  # what a byte adds to its message's time
cdef uint32_t RECORD = sizeof(sw_ws_record)

cdef enum:
    BLOCKS_AHEAD = 4

assert BLOCKS_AHEAD == sizeof((<Ws *>NULL).taken.blocks) // sizeof(WsBlock) == limits.WS_BLOCKS_AHEAD


# ---- the block that is filled ----

cdef void _give(State *s, uint32_t block, uint8_t block_class) noexcept nogil:
    sw_blocks_give(&s.blocks, block, block_class)
    s.line[REACTOR_BLOCKS] = s.blocks.in_use


cdef uint32_t _size(State *s, Ws *w) noexcept nogil:
    return sw_blocks_bytes(&s.blocks, w.filling_class) if w.filling != SW_NO_BLOCK else 0


cdef unsigned char *_base(State *s, Ws *w) noexcept nogil:
    return <unsigned char *>sw_blocks_at(&s.blocks, w.filling)


cdef inline uint32_t _most(Ws *w) noexcept nogil:
    """How large that block may become."""
    return MOST_CALLS_BYTES if w.calls else MOST_FILL_BYTES


cdef uint32_t _left(State *s, Ws *w) noexcept nogil:
    """Room for payload in the block that is filled."""
    cdef uint32_t at = w.fill_at + (RECORD if w.record_at == 0 else 0)
    cdef uint32_t size = _size(s, w)
    if size > _most(w):
        size = _most(w)
    size &= ~<uint32_t>7  # a record is padded
    return size - at if size > at else 0


cdef uint32_t _room(State *s, Conn *c, uint64_t want) noexcept nogil:
    """How much of `want` bytes there is a place for, in a larger block if need be."""
    cdef Ws *w = c.ws
    cdef uint32_t left = _left(s, w)
    cdef uint32_t larger
    cdef uint64_t need
    cdef uint8_t larger_class = 0
    if left >= want:
        return <uint32_t>want
    need = (w.fill_at if w.filling != SW_NO_BLOCK else sizeof(sw_chunk)) + 2 * RECORD + want
    if w.fill_messages > 0:
        need *= 2  # they pile up
    if need > _most(w):
        need = _most(w)
    if need > _size(s, w):
        # Half of each size stays for what ends by itself: requests, and the events that take messages to a handler.
        larger = SW_NO_BLOCK
        if sw_blocks_half_free(&s.blocks, need):
            larger = sw_blocks_take(&s.blocks, need, &larger_class)
        if larger == SW_NO_BLOCK and w.filling == SW_NO_BLOCK:
            larger = sw_blocks_take(&s.blocks, 2 * RECORD + sizeof(sw_chunk) + 8, &larger_class)
        if larger != SW_NO_BLOCK:
            if w.filling == SW_NO_BLOCK:
                w.fill_at = sizeof(sw_chunk)
                w.record_at = w.fill_messages = 0
            else:
                memcpy(sw_blocks_at(&s.blocks, larger), _base(s, w), w.fill_at)
                _give(s, w.filling, w.filling_class)
            w.filling = larger
            w.filling_class = larger_class
            s.line[REACTOR_BLOCKS] = s.blocks.in_use
    left = _left(s, w)
    if left == 0 and not w.calls and _part(s, c):
        return _room(s, c, want)
    return left if left < want else <uint32_t>want


cdef void _open(State *s, Ws *w) noexcept nogil:
    """Begin a record: of a message, or of what follows of it."""
    w.record_at = w.fill_at
    w.fill_at += RECORD


cdef void _seal(State *s, Ws *w, bint whole) noexcept nogil:
    """The record ends here. `whole`: its message too."""
    cdef sw_ws_record *record = <sw_ws_record *>(_base(s, w) + w.record_at)
    record.length = w.fill_at - w.record_at - RECORD
    record.opcode = w.opcode
    record.flags = 0 if whole else SW_WS_MORE
    record.code = 0
    w.record_at = 0
    w.fill_at = (w.fill_at + 7) & ~<uint32_t>7
    if whole:
        w.fill_messages += 1
        w.queued += 1
        s.line[REACTOR_WS_RECEIVED] += 1


cdef bint _part(State *s, Conn *c) noexcept nogil:
    """The block is full: let the worker have it, with the beginning of the message that is under way. False: it may
    have no more at the moment."""
    cdef Ws *w = c.ws
    if w.posted_count == BLOCKS_AHEAD or w.filling == SW_NO_BLOCK:
        return False
    wsin_post(s, c)
    return w.filling == SW_NO_BLOCK


cdef void wsin_post(State *s, Conn *c) noexcept nogil:
    """Give the worker of an ASGI socket what there is, as far as it may be ahead, and the end when it comes to that."""
    cdef Ws *w = c.ws
    cdef sw_chunk *chunk
    cdef WsBlock *posted
    cdef uint64_t payload
    if w.calls or c.request_id == 0:
        return
    if w.filling != SW_NO_BLOCK and w.posted_count < BLOCKS_AHEAD:
        if w.record_at != 0:
            payload = w.fill_at - w.record_at - RECORD
            if w.fill_messages == 0 and _left(s, w) > 0 and not w.ended:
                return  # a message is coming, and there is room for more of it
            if w.ended or payload == 0:  # what has come of an unfinished message is of no use
                w.fill_at = w.record_at
                w.record_at = 0
            else:
                _seal(s, w, False)
        if w.fill_at == sizeof(sw_chunk):
            _give(s, w.filling, w.filling_class)
            w.filling = SW_NO_BLOCK
        else:
            chunk = <sw_chunk *>_base(s, w)
            chunk.length = w.fill_at - sizeof(sw_chunk)
            chunk.zero = 0
            if not dispatch_chunk(s, c, w.filling, EVENT_WS_MESSAGE):
                conn_starve(s, c)
                return
            posted = &w.taken.blocks[(w.posted_first + w.posted_count) % BLOCKS_AHEAD]
            posted.block = w.filling
            posted.block_class = w.filling_class
            posted.messages = w.fill_messages
            w.posted_count += 1
            w.filling = SW_NO_BLOCK
            w.fill_messages = 0
    if w.ended and not w.end_told and w.filling == SW_NO_BLOCK:
        if dispatch_event(s, c, EVENT_WS_CLOSE, w.end_block if w.end_block != SW_NO_BLOCK else 0,
                          0 if w.end_block != SW_NO_BLOCK else w.end_code):
            w.end_told = True
        else:
            conn_starve(s, c)


cdef bint wsin_credit(State *s, Conn *c) noexcept nogil:
    """Its worker may have read some blocks: these are free. False: it says that it has read what it never got."""
    cdef Ws *w = c.ws
    cdef uint32_t read = sw_request_read(&s.links[c.slot].table[sw_request_index(c.request_id)]) - w.freed
    cdef WsBlock *block
    if read == 0:
        return True
    if read > w.posted_count:
        return False
    w.freed += read
    while read > 0:
        read -= 1
        block = &w.taken.blocks[w.posted_first]
        _give(s, block.block, block.block_class)
        w.queued -= block.messages
        w.posted_first = (w.posted_first + 1) % BLOCKS_AHEAD
        w.posted_count -= 1
    wsin_post(s, c)
    if c.fd >= 0 and (c.input_to > c.input_from or w.inflating or c.flags & CONN_READABLE):
        conn_todo(s, c)
    return True


# ---- records for a handler ----

cdef uint32_t wsin_whole(Conn *c) noexcept nogil:
    """Bytes of the whole messages that wait for a handler."""
    cdef Ws *w = c.ws
    if w.filling == SW_NO_BLOCK or w.fill_messages == 0:
        return 0
    return (w.record_at if w.record_at != 0 else w.fill_at) - <uint32_t>sizeof(sw_chunk)


cdef void wsin_take(State *s, Conn *c, unsigned char *to) noexcept nogil:
    """Move them to `to`. What has come of the next message stays."""
    cdef Ws *w = c.ws
    cdef uint32_t whole = wsin_whole(c)
    cdef unsigned char *base = _base(s, w)
    cdef uint32_t block = w.filling
    cdef uint8_t block_class = w.filling_class
    cdef uint32_t rest = w.fill_at - sizeof(sw_chunk) - whole
    memcpy(to, base + sizeof(sw_chunk), whole)
    w.fill_messages = 0
    if w.record_at == 0:
        _give(s, block, block_class)
        w.filling = SW_NO_BLOCK
        return
    memmove(base + sizeof(sw_chunk), base + sizeof(sw_chunk) + whole, rest)
    w.record_at = sizeof(sw_chunk)
    w.fill_at = sizeof(sw_chunk) + rest


cdef void wsin_forget(State *s, Conn *c) noexcept nogil:
    """What waits for a handler is not wanted any more."""
    cdef Ws *w = c.ws
    if w.filling != SW_NO_BLOCK:
        _give(s, w.filling, w.filling_class)
        w.filling = SW_NO_BLOCK
    w.queued -= w.fill_messages
    w.record_at = w.fill_messages = 0
    w.inflating = False


# ---- the time of a message under way ----
# `Ws.message_by` counts in BYTE_NS, modulo 2^32: that is 99 days, and no deadline is further off than one.

cdef inline uint32_t _latest(State *s) noexcept nogil:
    return <uint32_t>((s.now_ns + s.body_timeout_ns) // BYTE_NS)


cdef inline void _goes_on(State *s, Ws *w, const WsPiece *piece) noexcept nogil:
    """A piece has come of a message that is not whole: its time begins, or each byte has earned its own. Pings between
    fragments earn nothing."""
    cdef uint32_t latest = _latest(s)
    if piece.first or latest - w.message_by < piece.length:
        w.message_by = latest
    else:
        w.message_by += <uint32_t>piece.length


cdef uint64_t wsin_due_ns(State *s, Conn *c) noexcept nogil:
    """When the message under way is to be whole; 0: there is none of which anything is kept here."""
    cdef Ws *w = c.ws
    cdef int32_t left
    if w.decoder.opcode == 0 or not w.decoder.begun or w.state != WS_OPEN:
        return 0
    left = <int32_t>(w.message_by - <uint32_t>(s.now_ns // BYTE_NS))
    return s.now_ns + <uint64_t>left * BYTE_NS if left > 0 else s.now_ns


cdef void wsin_put_off(State *s, Conn *c) noexcept nogil:
    """That it is late is no fault of the client's: its time begins anew."""
    c.ws.message_by = _latest(s)


# ---- bytes ----

cdef bint wsin_wants(State *s, Conn *c) noexcept nogil:
    """May more be read of its socket?"""
    cdef Ws *w = c.ws
    if w.state != WS_OPEN:
        return True
    return w.queued < s.ws_max_queue and c.input_to == c.input_from and not w.inflating and (
        w.calls or w.posted_count < BLOCKS_AHEAD or w.filling == SW_NO_BLOCK or _left(s, w) > 0
        or _size(s, w) < MOST_FILL_BYTES)


cdef bint _text(Conn *c, const unsigned char *data, size_t length, bint last) noexcept nogil:
    """Is it UTF-8, as far as it has come?"""
    cdef Ws *w = c.ws
    if w.opcode != SW_WS_TEXT:
        return True
    w.utf8 = sw_utf8(w.utf8, data, length)
    return w.utf8 != SW_UTF8_BAD and not (last and w.utf8 != SW_UTF8_WHOLE)


cdef bint _placed(State *s, Conn *c, uint32_t length, bint last) noexcept nogil:
    """`length` bytes are in the block, behind what is there. False: the stream has been failed."""
    cdef Ws *w = c.ws
    cdef unsigned char *at = _base(s, w) + w.fill_at
    w.message_bytes += length
    if w.message_bytes > s.ws_limits.max_message_bytes:
        ws_fail(s, c, SW_CLOSE_TOO_BIG, b"ws-message-too-large")
        return False
    if not _text(c, at, length, last):
        ws_fail(s, c, SW_CLOSE_BAD_DATA, b"ws-bad-utf8")
        return False
    w.fill_at += length
    if last:
        _seal(s, w, True)
    return True


cdef void _starves(State *s, Conn *c) noexcept nogil:
    """There is no room. Where no worker has anything that it could give back, there was no block."""
    if c.ws.fill_messages == 0 if c.ws.calls else c.ws.posted_count < BLOCKS_AHEAD:
        conn_starve(s, c)


cdef bint _inflate(State *s, Conn *c, unsigned char *data, size_t length) noexcept nogil:
    """Inflate what has come, as far as there is room. False: the stream has been failed, or there is none."""
    cdef Ws *w = c.ws
    cdef uint32_t room, got
    cdef bint more = True
    cdef bint is_bad, no_memory
    while more:
        room = _room(s, c, INFLATE_BYTES)
        if room == 0:  # never at first: who calls has seen to that
            w.inflating = True
            _starves(s, c)
            return False
        if w.record_at == 0:
            _open(s, w)
        is_bad = no_memory = False
        got = 0
        with gil:
            try:
                piece = (<Deflation>w.deflation).inflate(data, length, w.last_piece, room, &more)
                if piece is None:
                    is_bad = True
                else:
                    got = <uint32_t>PyBytes_GET_SIZE(piece)
                    memcpy(_base(s, w) + w.fill_at, PyBytes_AS_STRING(piece), got)
            except MemoryError:
                no_memory = True
        if no_memory:
            ws_fail(s, c, SW_CLOSE_INTERNAL_ERROR, b"ws-no-memory")
            return False
        if is_bad:
            ws_fail(s, c, SW_CLOSE_BAD_DATA, b"ws-bad-deflate")
            return False
        length = 0
        if not _placed(s, c, got, w.last_piece and not more):
            return False
    w.inflating = False
    return True


cdef bint _data(State *s, Conn *c, WsPiece *piece) noexcept nogil:
    """A piece of a message, for which there is room. False: stop here."""
    cdef Ws *w = c.ws
    if piece.first:
        w.opcode = piece.opcode
        w.compressed = piece.compressed
        w.utf8 = SW_UTF8_WHOLE
        w.message_bytes = 0
    if not piece.last:
        _goes_on(s, w, piece)
    if w.compressed:
        w.last_piece = piece.last
        sw_ws_unmask(<unsigned char *>piece.data, piece.data, piece.length, piece.key, piece.phase)
        if piece.length == 0 and not piece.last:
            return True
        return _inflate(s, c, <unsigned char *>piece.data, piece.length)
    if piece.length == 0 and not piece.last:
        return True
    if w.record_at == 0:
        _open(s, w)
    sw_ws_unmask(_base(s, w) + w.fill_at, piece.data, piece.length, piece.key, piece.phase)
    return _placed(s, c, <uint32_t>piece.length, piece.last)


cdef size_t wsin_feed(State *s, Conn *c, unsigned char *data, size_t length) noexcept nogil:
    """Take what has come, as far as there is room, which says how much of it; it may change the bytes. Then `wsin_post`
    is due."""
    cdef Ws *w = c.ws
    cdef WsLimits rules = s.ws_limits
    cdef WsPiece piece
    cdef size_t at = 0
    cdef uint32_t room
    rules.deflate = w.deflation != NULL
    if w.inflating and not _inflate(s, c, NULL, 0):
        return 0
    while at < length and (w.state == WS_OPEN or w.state == WS_CLOSING):
        room = INFLATE_BYTES
        if w.state == WS_OPEN:
            if w.queued >= s.ws_max_queue:
                break
            room = _room(s, c, length - at if length - at < INFLATE_BYTES else INFLATE_BYTES)
            if room == 0:
                _starves(s, c)
                break
        at += ws_decode(&w.decoder, &rules, data + at, room if room < length - at else length - at, &piece)
        if piece.kind == WS_DATA:
            if w.state == WS_OPEN and not _data(s, c, &piece):
                break
        elif piece.kind == WS_PING:
            if not ws_ping(s, c, piece.control, piece.control_length):
                break
        elif piece.kind == WS_CLOSED:
            ws_peer_closes(s, c, piece.code, piece.control, piece.control_length)
        elif piece.kind == WS_BAD:
            ws_fail(s, c, piece.code, piece.why)
    if w.filling != SW_NO_BLOCK and w.fill_at == sizeof(sw_chunk):  # pings, and no message
        _give(s, w.filling, w.filling_class)
        w.filling = SW_NO_BLOCK
    return at


# ---- ends ----

cdef void wsin_end(State *s, Conn *c, uint16_t code, const unsigned char *reason, uint32_t length) noexcept nogil:
    """Nothing more comes: what is whole goes on, then the end does. For want of a block it has no reason."""
    cdef Ws *w = c.ws
    cdef sw_chunk *chunk
    cdef sw_ws_record *record
    w.ended = True
    w.end_code = code
    if length > 0:
        w.end_block = sw_blocks_take(&s.blocks, sizeof(sw_chunk) + sw_ws_record_bytes(length), &w.end_class)
        if w.end_block != SW_NO_BLOCK:
            s.line[REACTOR_BLOCKS] = s.blocks.in_use
            chunk = <sw_chunk *>sw_blocks_at(&s.blocks, w.end_block)
            chunk.zero = 0
            chunk.length = <uint32_t>sw_ws_record_bytes(length)
            record = <sw_ws_record *>(<unsigned char *>chunk + sizeof(sw_chunk))
            record.length = length
            record.opcode = SW_WS_CLOSE
            record.flags = 0
            record.code = code
            memcpy(<unsigned char *>record + RECORD, reason, length)
    w.inflating = False
    wsin_post(s, c)


cdef void wsin_free(State *s, Conn *c) noexcept nogil:
    """Give back every block: no worker may read any of them."""
    cdef Ws *w = c.ws
    while w.posted_count > 0:
        _give(s, w.taken.blocks[w.posted_first].block, w.taken.blocks[w.posted_first].block_class)
        w.posted_first = (w.posted_first + 1) % BLOCKS_AHEAD
        w.posted_count -= 1
    if w.filling != SW_NO_BLOCK:
        _give(s, w.filling, w.filling_class)
        w.filling = SW_NO_BLOCK
    if w.end_block != SW_NO_BLOCK:
        _give(s, w.end_block, w.end_class)
        w.end_block = SW_NO_BLOCK
    w.queued = 0
    w.inflating = False  # nobody wants the rest
    w.record_at = w.fill_messages = 0
