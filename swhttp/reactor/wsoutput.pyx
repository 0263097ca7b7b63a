"""WebSocket messages on their way to a client: frames around them, and compressed where that was agreed upon.

It owns the order of what goes out. A message of several pieces becomes as many fragments (RFC 6455 §5.4): so a ping is
answered in the middle of one, and a worker that dies there leaves a stream in which a Close can still be sent. What is
pushed meanwhile by others waits for its end, and so does a Close that they want behind it. It decides nothing else
about the connection: False means that it is lost. Runs without the GIL, but to compress.

Answers to a client from whom more messages wait with the worker are put together, and so is what comes by broadcasts:
they leave at the end of the turn, one system call for all of them. A message of 64 bytes to each of 1,000 clients costs
5 us each, nearly all of it in that call; of 16 such messages that are under way at a time each costs a fraction of it.
"""

from libc.stdint cimport uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from swhttp.ipc.arena cimport sw_arena_give
from swhttp.ipc.rfc6455 cimport (SW_WS_CLOSE, SW_WS_CONTINUATION, SW_WS_CONTROL_BYTES, SW_WS_HEADER_BYTES, SW_WS_PONG,
                                 SW_WS_REASON_BYTES)
from swhttp.ipc.scoreboard cimport REACTOR_WS_SENT
from swhttp.reactor.connection cimport conn_close
from swhttp.reactor.outbox cimport out_begin, out_keep, out_put, out_put_block
from swhttp.reactor.response cimport response_progress
from swhttp.reactor.state cimport CONN_WRITABLE_WAIT, WS_OPEN, WsHeld
from swhttp.reactor.system cimport iovec
from swhttp.reactor.websocket cimport ws_close, ws_flushed
from swhttp.reactor.wscodec cimport ws_header
from swhttp.reactor.wsdeflate cimport Deflation

from swhttp import limits

cdef size_t COMPRESS_LEAST_BYTES = limits.WS_COMPRESS_LEAST_BYTES
cdef uint64_t PONG_BACKLOG_BYTES = limits.WS_PONG_BACKLOG_BYTES
cdef uint64_t CORKED_BYTES = limits.HIGH_WATER_BYTES // 2

cdef enum:
    SMALL_BYTES = 4096       # goes behind its header in one piece of memory


cdef bint _send(State *s, Conn *c, iovec *pieces, int count) noexcept nogil:
    if c.ws.corked or (c.ws.queued > 0 and c.out_first == NULL):
        return _cork(s, c, pieces, count)
    return out_put(s, c, pieces, count, False)


cdef bint _cork(State *s, Conn *c, iovec *pieces, int count) noexcept nogil:
    """Keep it for the end of the turn."""
    cdef int i
    for i in range(count):
        if not out_keep(s, c, <unsigned char *>pieces[i].iov_base, pieces[i].iov_len):
            return False
    if not c.ws.corked:
        c.ws.corked = True
        c.ws.cork_next = s.corked
        s.corked = c
    if c.out_bytes > CORKED_BYTES and not c.flags & CONN_WRITABLE_WAIT:
        return out_begin(s, c)  # else it would look slow, who has been offered nothing yet
    return True


cdef void wsout_uncork(State *s) noexcept nogil:
    """The turn's answers leave. epoll tells nothing of what the socket takes here: what follows from it is due now."""
    cdef Conn *c
    cdef bint much
    while s.corked != NULL:
        c = s.corked
        s.corked = c.ws.cork_next
        c.ws.corked = False
        if c.fd < 0:
            continue
        much = c.out_bytes > CORKED_BYTES
        if not out_begin(s, c):
            conn_close(s, c)
            continue
        if much:  # its worker has not heard of so much, and may wait
            response_progress(s, c)
        if c.ws.state != WS_OPEN or c.ws.full or c.ws.pong != NULL:
            ws_flushed(s, c)


cdef bint _frame(State *s, Conn *c, uint8_t opcode, bint fin, bint compressed, const unsigned char *data,
                 size_t length) noexcept nogil:
    cdef iovec pieces[2]
    cdef unsigned char header[SW_WS_HEADER_BYTES]
    cdef unsigned char *p = s.scratch
    cdef int size
    if length <= SMALL_BYTES:
        size = ws_header(p, opcode, fin, compressed, length)
        memcpy(p + size, data, length)
        pieces[0].iov_base = p
        pieces[0].iov_len = size + length
        return _send(s, c, pieces, 1)
    size = ws_header(header, opcode, fin, compressed, length)
    pieces[0].iov_base = header
    pieces[0].iov_len = size
    pieces[1].iov_base = <void *>data
    pieces[1].iov_len = length
    return _send(s, c, pieces, 2)


cdef bint _compresses(Conn *c, bint more, size_t length) noexcept nogil:
    """Is this piece to be compressed? The first of a message decides."""
    if c.ws.mid_message:
        return c.ws.mid_compressed
    return c.ws.deflation != NULL and (more or length >= COMPRESS_LEAST_BYTES)


cdef bint _compressed(State *s, Conn *c, uint8_t opcode, bint fin, const unsigned char *data,
                      size_t length) noexcept nogil:
    cdef bint done = False
    with gil:
        try:
            packed = (<Deflation>c.ws.deflation).deflate(data, length, fin)
            # A fragment that has nothing yet is not worth a frame, unless it is the first, which carries RSV1.
            done = (not fin and opcode == SW_WS_CONTINUATION and not packed) or _frame(
                s, c, opcode, fin, opcode != SW_WS_CONTINUATION,
                <const unsigned char *>PyBytes_AS_STRING(packed), PyBytes_GET_SIZE(packed))
        except MemoryError:
            done = False
    return done


cdef uint8_t _frame_opcode(State *s, Conn *c, uint8_t opcode) noexcept nogil:
    """Of the next piece of a message of the worker's."""
    if c.ws.mid_message:
        return SW_WS_CONTINUATION
    s.line[REACTOR_WS_SENT] += 1
    return opcode


cdef bint _end_piece(State *s, Conn *c, bint more, bint compressed) noexcept nogil:
    """It is out; with the last of its message what others have pushed follows, and their Close."""
    cdef WsHeld *held
    cdef bint kept = True
    c.ws.mid_message = more
    c.ws.mid_compressed = compressed
    if more:
        return True
    while c.ws.held_first != NULL and kept and c.ws.state == WS_OPEN:
        held = c.ws.held_first
        c.ws.held_first = held.next
        c.ws.held_bytes -= <uint32_t>(sizeof(WsHeld) + held.length)
        if held.opcode == SW_WS_CLOSE:
            ws_close(s, c, held.code, <unsigned char *>held + sizeof(WsHeld), <uint32_t>held.length)
        else:
            kept = wsout_push(s, c, held.opcode, <unsigned char *>held + sizeof(WsHeld), held.length)
        free(held)
    if c.ws.held_first == NULL:
        c.ws.held_last = NULL
    return kept


cdef bint wsout_message(State *s, Conn *c, uint8_t opcode, bint more, const unsigned char *data,
                        size_t length) noexcept nogil:
    """A message of its worker's, or a piece of one. False: the connection is lost."""
    cdef bint compressed = _compresses(c, more, length)
    cdef bint sent
    opcode = _frame_opcode(s, c, opcode)
    if compressed:
        sent = _compressed(s, c, opcode, not more, data, length)
    else:
        sent = _frame(s, c, opcode, not more, False, data, length)
    return sent and _end_piece(s, c, more, compressed)


cdef bint wsout_message_in_block(State *s, Conn *c, uint8_t opcode, bint more, unsigned char *data, size_t length,
                                 int slot, uint32_t block) noexcept nogil:
    """The same, in a block of an arena, which is given back in any case."""
    cdef bint compressed = _compresses(c, more, length)
    cdef unsigned char header[SW_WS_HEADER_BYTES]
    cdef iovec pieces[2]
    cdef bint sent
    opcode = _frame_opcode(s, c, opcode)
    if compressed:
        sent = _compressed(s, c, opcode, not more, data, length)
        sw_arena_give(&s.links[slot].arena, block)
    else:
        pieces[0].iov_base = header
        pieces[0].iov_len = ws_header(header, opcode, not more, False, length)
        pieces[1].iov_base = data
        pieces[1].iov_len = length
        sent = out_put_block(s, c, pieces, 2, 1, slot, block)
    return sent and _end_piece(s, c, more, compressed)


cdef bint _hold(Conn *c, uint8_t opcode, uint16_t code, const unsigned char *data, size_t length) noexcept nogil:
    """Keep a push, or a Close, for the end of the message that is under way; behind a Close nothing goes out. False: no
    memory."""
    cdef WsHeld *held
    if c.ws.held_last != NULL and c.ws.held_last.opcode == SW_WS_CLOSE:
        return True
    held = <WsHeld *>malloc(sizeof(WsHeld) + length)
    if held == NULL:
        return False
    held.next = NULL
    held.opcode = opcode
    held.code = code
    held.length = length
    if length > 0:
        memcpy(<unsigned char *>held + sizeof(WsHeld), data, length)
    if c.ws.held_last != NULL:
        c.ws.held_last.next = held
    else:
        c.ws.held_first = held
    c.ws.held_last = held
    c.ws.held_bytes += <uint32_t>(sizeof(WsHeld) + length)
    return True


cdef bint wsout_push(State *s, Conn *c, uint8_t opcode, const unsigned char *data, size_t length) noexcept nogil:
    """A whole message from anywhere. False: the connection is lost, or there is no memory (ENOMEM)."""
    if c.ws.mid_message:
        return _hold(c, opcode, 0, data, length)
    s.line[REACTOR_WS_SENT] += 1
    if c.ws.deflation != NULL and length >= COMPRESS_LEAST_BYTES:
        return _compressed(s, c, opcode, True, data, length)
    return _frame(s, c, opcode, True, False, data, length)


cdef bint wsout_close_later(Conn *c, uint16_t code, const unsigned char *reason, uint32_t length) noexcept nogil:
    """A Close behind what is held. False: no memory."""
    return _hold(c, SW_WS_CLOSE, code, reason, length)


cdef bint wsout_shared(State *s, Conn *c, const unsigned char *frame, size_t length) noexcept nogil:
    """A frame that many get. Not in the middle of a message. False: the connection is lost."""
    cdef iovec piece
    s.line[REACTOR_WS_SENT] += 1
    piece.iov_base = <void *>frame
    piece.iov_len = length
    return _cork(s, c, &piece, 1)


cdef bint wsout_control(State *s, Conn *c, uint8_t opcode, const unsigned char *data, uint32_t length) noexcept nogil:
    """A Ping, a Pong or a Close (RFC 6455 §5.5). Pongs leave at the end of the turn: of a burst of pings each would
    cost a system call. The others leave now, for this turn may be at its end. False: the connection is lost."""
    cdef unsigned char frame[SW_WS_HEADER_BYTES + SW_WS_CONTROL_BYTES]
    cdef iovec piece
    cdef int size = ws_header(frame, opcode, True, False, length)
    if length > 0:
        memcpy(frame + size, data, length)
    piece.iov_base = frame
    piece.iov_len = size + length
    if c.ws.corked or (opcode == SW_WS_PONG and c.out_first == NULL):
        return _cork(s, c, &piece, 1)
    return out_put(s, c, &piece, 1, False)


cdef bint wsout_close(State *s, Conn *c, uint16_t code, const unsigned char *reason, uint32_t length) noexcept nogil:
    """A Close; code 0: without one. False: the connection is lost."""
    cdef unsigned char payload[SW_WS_CONTROL_BYTES]
    if code == 0:
        return wsout_control(s, c, SW_WS_CLOSE, NULL, 0)
    if length > SW_WS_REASON_BYTES:
        length = SW_WS_REASON_BYTES
    payload[0] = <unsigned char>(code >> 8)
    payload[1] = <unsigned char>(code & 255)
    if length > 0:
        memcpy(payload + 2, reason, length)
    return wsout_control(s, c, SW_WS_CLOSE, payload, length + 2)


cdef bint wsout_pong(State *s, Conn *c, const unsigned char *data, uint32_t length) noexcept nogil:
    """Answer a ping. Of those that come while the client takes nothing only the last is answered (RFC 6455 §5.5.3): a
    flood of pings makes no flood of pongs that wait. False: the connection is lost."""
    if c.out_bytes <= PONG_BACKLOG_BYTES:
        return wsout_control(s, c, SW_WS_PONG, data, length)
    if c.ws.pong == NULL:
        c.ws.pong = <unsigned char *>malloc(1 + SW_WS_CONTROL_BYTES)
        if c.ws.pong == NULL:
            return False
    c.ws.pong[0] = <unsigned char>length
    memcpy(c.ws.pong + 1, data, length)
    return True


cdef bint wsout_flushed(State *s, Conn *c) noexcept nogil:
    """The client has taken what waited: answer its last ping, if that is owed. False: the connection is lost."""
    cdef unsigned char *pong = c.ws.pong
    cdef bint sent
    if pong == NULL or c.out_bytes > PONG_BACKLOG_BYTES:
        return True
    c.ws.pong = NULL
    sent = wsout_control(s, c, SW_WS_PONG, pong + 1, pong[0])
    free(pong)
    return sent


cdef void wsout_free(State *s, Conn *c) noexcept nogil:
    """Let go of what waits here."""
    cdef WsHeld *held
    cdef Conn **link = &s.corked
    if c.ws.corked:
        while link[0] != c:
            link = &link[0].ws.cork_next
        link[0] = c.ws.cork_next
        c.ws.corked = False
    while c.ws.held_first != NULL:
        held = c.ws.held_first
        c.ws.held_first = held.next
        free(held)
    c.ws.held_last = NULL
    c.ws.held_bytes = 0
    free(c.ws.pong)
    c.ws.pong = NULL
