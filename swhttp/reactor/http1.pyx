"""HTTP/1.1 requests: bytes in, request blocks out. This is phase 2, the only one that holds the GIL.

It owns the pool of parsers and the order in which a message is taken apart: its head (swhttp.reactor.parser makes the
block of it), then its body. It never sends and never dispatches: what it finds goes on the ready list, for phase 3.

Rules for httptools (0.9), each of which a test holds:

* A head reaches it whole and in one piece, and messages one at a time (swhttp.reactor.boundary), so nothing is
  joined by `+=`, and message 2 can never raise in the call that completes message 1.
* Bodies of known length are counted, not parsed: they go straight from the socket to where they are wanted. Chunked
  bodies are followed by `boundary` and judged by httptools; when the two disagree about the end, the request is
  refused. Where a body goes that does not fit in the request block is `body`'s business.
* A parser goes back to the pool only after on_message_complete of a keep-alive message without an exception and
  without an upgrade. Otherwise it is thrown away: after `Connection: close` the next bytes raise, and they would be
  another client's.
* With `Upgrade`, httptools takes every message as complete at its head. Without a body it is served as an ordinary
  request and what follows goes to another parser; with one it is refused, for its body would be read as a request.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.buffer cimport PyBUF_READ
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.errno cimport errno
from libc.stdint cimport int64_t, uint64_t, uint8_t
from libc.string cimport memchr, memcmp, memcpy

import httptools

from swhttp.ipc.blocks cimport SW_NO_BLOCK, sw_blocks_at, sw_blocks_bytes, sw_blocks_give, sw_blocks_take
from swhttp.ipc.frame cimport (SW_BLOCK_BODY_FILE, SW_BLOCK_EXPECTS, SW_BLOCK_HEAD_METHOD, SW_BLOCK_KEEP_ALIVE,
                               SW_BLOCK_MORE_BODY, SW_BLOCK_TLS, SW_BLOCK_TLS_FACTS, sw_block)
from swhttp.ipc.scoreboard cimport REACTOR_BLOCKS, REACTOR_REQUESTS
from swhttp.ipc.sessions cimport sw_address
from swhttp.ipc.tempfile cimport sw_write_all
from swhttp.reactor.accesslog cimport access_head_bytes, access_wants_head
from swhttp.reactor.body cimport (body_discards, body_move_block, body_open, body_post, body_progress, body_received,
                                  body_room, body_so_far, body_target, body_to_file, body_untouched, body_waits,
                                  body_whole)
from swhttp.reactor.boundary cimport BOUNDARY_FULL, BOUNDARY_MORE, BOUNDARY_WHOLE, boundary_chunks, boundary_head
from swhttp.reactor.connection cimport conn_consume_input, conn_keep_input, conn_release, conn_set_address, conn_todo
from swhttp.reactor.forwarded cimport Forwarded, forwarded_read
from swhttp.reactor.grammar cimport sw_is_tchar
from swhttp.reactor.networks cimport SW_IP_TEXT, sw_ip_text
from swhttp.reactor.origin cimport origin_room, origin_write
from swhttp.reactor.parser cimport Http1Parser
from swhttp.reactor.proxyprotocol cimport PROXY_BAD, PROXY_MORE, ProxyHeader, proxy_read
from swhttp.reactor.reasons cimport (REASON_BAD_CHUNK, REASON_BAD_PROXY_HEADER, REASON_BAD_REQUEST_LINE,
                                     REASON_BAD_SYNTAX, REASON_BAD_TRAILER, REASON_BLOCKS_FULL, REASON_BODY_TOO_LARGE,
                                     REASON_CONNECT_METHOD, REASON_INTERNAL, REASON_NONE, REASON_SPOOL_FAILED,
                                     REASON_UNKNOWN_METHOD, REASON_UPGRADE_WITH_BODY)
from swhttp.reactor.state cimport (CHUNK_BYTES, CHUNK_SIZE, CHUNK_TRAILER, CONN_BODY_OPEN, CONN_EXPECT,
                                   CONN_HEAD_METHOD, CONN_HTTP10, CONN_KEEP_ALIVE, CONN_PROXY_DUE, CONN_READABLE,
                                   CONN_READY, CONN_TIMED, CONN_TLS, CONN_TRUSTED, CONN_UNREAD, STAGE_BODY,
                                   STAGE_CHUNKED, STAGE_DISCARD, STAGE_HEAD, STAGE_IDLE, STAGE_READY)
from swhttp.reactor.statictarget cimport TARGET_OTHER, Target, static_target
from swhttp.reactor.timers cimport timer_arm, timer_set
from swhttp.reactor.tls cimport Tls, tls_feed
from swhttp.reactor.upgrade cimport upgrade

from swhttp import limits

cdef uint32_t MEMORY_BODY_BYTES = limits.MEMORY_BODY_BYTES
cdef uint64_t DISCARD_BYTES = limits.DISCARD_BYTES
cdef uint64_t MAX_LENGTH = 1 << 62
cdef int POOLED_PARSERS = limits.POOLED_PARSERS  # a turn seldom needs more than one
cdef uint32_t COPY_BYTES = 4096  # a piece up to this length is copied to a bytes object: cheaper than a view


cdef void ready(State *s, Conn *c) noexcept nogil:
    """Let phase 3 look at `c`."""
    if c.flags & CONN_READY:
        return
    c.flags |= CONN_READY
    c.ready_next = NULL
    if s.ready_last != NULL:
        s.ready_last.ready_next = c
    else:
        s.ready_first = c
    s.ready_last = c


cdef class Http1:
    """The parsing side of one reactor: `input` for bytes that came, `bury` for parsers of closed connections."""

    def __init__(self):
        self.pool = []
        self.unknown_method = httptools.HttpParserInvalidMethodError
        self.bad_syntax = httptools.HttpParserError
        self.callback_failed = httptools.HttpParserCallbackError
        self.upgraded = httptools.HttpParserUpgrade

    cdef void bury(self):
        """Drop the parsers of connections that were closed without the GIL."""
        cdef Conn *c
        while self.state.graves != NULL:
            c = self.state.graves
            self.state.graves = c.grave_next
            (<Http1Parser>c.parser).drop()
            Py_DECREF(<object>c.parser)
            c.parser = NULL
            conn_release(self.state, c)

    cdef void input(self, Conn *c, const unsigned char *data, uint32_t length):
        """Take what `c` has sent (NULL: what it sent before and is kept), as far as the end of one message."""
        cdef State *s = self.state
        cdef bint kept = c.input_to > c.input_from or data == NULL
        cdef uint32_t used = 0
        cdef int reason = REASON_NONE
        if kept:
            if data != NULL and not conn_keep_input(c, data, length):
                reason = REASON_INTERNAL
            data = c.input + c.input_from
            length = c.input_to - c.input_from
        if reason == REASON_NONE:
            reason = self.advance(c, data, length, &used)
        if reason == REASON_NONE:
            if kept:
                if used:
                    conn_consume_input(c, used)
            elif used < length and not conn_keep_input(c, data + used, length - used):
                reason = REASON_INTERNAL
        if reason != REASON_NONE:
            if s.access != NULL and access_wants_head(s, c):  # keep what was asked, as far as it came
                if kept:
                    conn_consume_input(c, used)
                else:
                    conn_keep_input(c, data + used, access_head_bytes(c, length - used))
            c.flags = (c.flags | CONN_UNREAD) & ~CONN_KEEP_ALIVE  # the message has not been read to its end
            c.reason = reason
            if not c.flags & CONN_BODY_OPEN:  # else a worker has it, or it is on its way to one
                c.stage = STAGE_READY
                timer_arm(s, c)
            ready(s, c)
        elif c.stage == STAGE_READY:
            pass
        elif c.flags & CONN_READABLE or (c.flags & CONN_BODY_OPEN and c.input_to > c.input_from
                                         and not body_waits(s, c)):
            conn_todo(s, c)  # the socket may hold more, or the end, and epoll will not say so again

    cdef int advance(self, Conn *c, const unsigned char *data, uint32_t length, uint32_t *used):
        """One step of at most one message. Returns a reason; `used`: bytes that need not be kept."""
        cdef uint32_t start = 0, end = 0
        cdef int found
        if c.stage == STAGE_CHUNKED or c.flags & CONN_BODY_OPEN:
            if c.parser == NULL:
                return REASON_NONE  # its end has come meanwhile: what is here is the next message
            return self.chunks(c, <Http1Parser>c.parser, data, length, used)
        if c.flags & CONN_PROXY_DUE:
            found = self.proxied(c, data, length, &start)
            if found != REASON_NONE or c.flags & CONN_PROXY_DUE:
                return found
            if c.tls != NULL:  # what follows is TLS
                used[0] = length
                c.flags |= CONN_READABLE
                return REASON_NONE if tls_feed(self.state, c, data + start, length - start) else REASON_INTERNAL
            if start < length:
                found = self.advance(c, data + start, length - start, used)
            used[0] += start
            return found
        if c.stage == STAGE_IDLE:
            c.stage = STAGE_HEAD
            c.scan_at = c.line_at = c.head_at = 0
            c.fields = 0
            c.since_ns = self.state.now_ns
            if not c.flags & CONN_TIMED:
                c.deadline_ns = 0  # set below, unless the head is whole already
            c.flags &= ~CONN_TIMED
        found = boundary_head(self.state, c, data, length, &start, &end)
        if found == BOUNDARY_WHOLE:
            return self.head(c, data, start, end, length, used)
        if length - c.head_at >= 5 and memcmp(data + c.head_at, b"HEAD ", 5) == 0:
            c.flags |= CONN_HEAD_METHOD  # it may be refused before it is whole, and then too without a body
        if found == BOUNDARY_MORE:
            if c.deadline_ns == 0:
                timer_set(self.state, c, self.state.now_ns + self.state.head_timeout_ns)
            return REASON_NONE
        return found

    cdef int proxied(self, Conn *c, const unsigned char *data, uint32_t length, uint32_t *used):
        """Take the PROXY header that the connection begins with. Its deadline is that of the first head, and runs."""
        cdef State *s = self.state
        cdef ProxyHeader header
        cdef sw_address address
        cdef char text[SW_IP_TEXT]
        cdef int64_t found = proxy_read(data, length, s.proxy_protocol, &header)
        if found == PROXY_BAD:
            return REASON_BAD_PROXY_HEADER
        if found == PROXY_MORE:
            c.stage = STAGE_HEAD
            return REASON_NONE
        used[0] = <uint32_t>found
        c.stage = STAGE_IDLE
        c.flags = (c.flags | CONN_TIMED) & ~CONN_PROXY_DUE
        if header.tls:
            c.flags |= CONN_TLS
        if header.has_addresses:
            address = s.sessions[c.row].address
            address.peer_len = <uint8_t>sw_ip_text(&header.source, text)
            memcpy(address.peer, text, address.peer_len)
            address.peer_port = header.source_port
            address.local_len = <uint8_t>sw_ip_text(&header.target, text)
            memcpy(address.local, text, address.local_len)
            address.local_port = header.target_port
            conn_set_address(s, c, &address)
        elif not header.local:
            c.flags &= ~CONN_TRUSTED  # it speaks for somebody whom it cannot name: these are not its own words
        return REASON_NONE

    cdef int head(self, Conn *c, const unsigned char *data, uint32_t start, uint32_t end, uint32_t length,
                  uint32_t *used):
        cdef State *s = self.state
        cdef const unsigned char *line = data + start
        cdef const unsigned char *first_space = <const unsigned char *>memchr(line, 32, end - start)
        cdef const unsigned char *line_end = <const unsigned char *>memchr(line, 13, end - start)
        cdef uint32_t method_len = <uint32_t>(first_space - line)
        cdef bint http10 = (line_end - 1)[0] == 48
        cdef Http1Parser parser
        cdef bint upgraded = False
        cdef int reason
        if http10:
            c.flags |= CONN_HTTP10
        if method_len == 4 and memcmp(line, b"HEAD", 4) == 0:
            c.flags |= CONN_HEAD_METHOD
        elif method_len == 7 and memcmp(line, b"CONNECT", 7) == 0:
            return REASON_CONNECT_METHOD
        # A field's record has 4 bytes more than its name and value; on the wire it had at least 3 more.
        # An authority in the target may stand once more, as the value of Host.
        c.block = sw_blocks_take(&s.blocks, sizeof(sw_block) + (end - start) + (line_end - line) + c.fields + 1,
                                 &c.block_class)
        s.line[REACTOR_BLOCKS] = s.blocks.in_use
        if c.block == SW_NO_BLOCK:
            return REASON_BLOCKS_FULL
        parser = self.pool.pop() if self.pool else Http1Parser()
        parser.begin(<unsigned char *>sw_blocks_at(&s.blocks, c.block), line, method_len, http10,
                     c.flags & CONN_TRUSTED != 0)
        reason = self.feed_piece(parser, line, end - start, &upgraded)
        if parser.reason:
            reason = parser.reason
        if reason == REASON_NONE:
            reason = parser.checks()
        if reason == REASON_UNKNOWN_METHOD:
            while method_len > 0:
                method_len -= 1
                if not sw_is_tchar(line[method_len]):
                    reason = REASON_BAD_REQUEST_LINE
        c.body_at = parser.at
        if reason != REASON_NONE:
            if parser.block.headers_off > 0:  # the logs show as much as there is
                parser.block.headers_len = parser.at - parser.block.headers_off
                if parser.forwarded:
                    self.origin(c, parser)
            parser.drop()
            return reason
        parser.block.headers_len = parser.at - parser.block.headers_off
        parser.block.http_minor = 0 if http10 else 1
        parser.block.session = c.row
        parser.block.session_generation = c.generation
        parser.block.flags = ((SW_BLOCK_KEEP_ALIVE if parser.keep_alive else 0)
                              | (SW_BLOCK_TLS if c.flags & CONN_TLS else 0)
                              | (SW_BLOCK_HEAD_METHOD if c.flags & CONN_HEAD_METHOD else 0)
                              | (SW_BLOCK_EXPECTS if parser.expects and not http10
                                 and (parser.chunked or parser.content_length > 0) else 0))
        if parser.keep_alive:
            c.flags |= CONN_KEEP_ALIVE
        if parser.forwarded:
            reason = self.origin(c, parser)
            if reason != REASON_NONE:
                parser.drop()
                return reason
        if c.tls != NULL and not self.secure(c, parser):
            parser.drop()
            return REASON_BLOCKS_FULL
        parser.block.body_off = c.body_at
        reason = self.body(c, parser, upgraded, data, end, length, used)
        if c.parser != <void *>parser and not parser.pooled:
            parser.drop()
        return reason

    cdef int origin(self, Conn *c, Http1Parser parser):
        """A proxy that is believed has sent forwarding fields: write what they say behind the headers."""
        cdef State *s = self.state
        cdef Forwarded said
        if not forwarded_read(parser.base + parser.block.headers_off, parser.block.headers_count, s.forwarded_headers,
                              s.trusted, s.trusted_count, &said):
            return REASON_NONE
        if not self.room_for_body(c, parser, origin_room(&said)):
            return REASON_BLOCKS_FULL
        c.body_at = parser.at = origin_write(parser.block, &s.sessions[c.row].address, &said)
        return REASON_NONE

    cdef bint secure(self, Conn *c, Http1Parser parser):
        """Write what was agreed upon in TLS behind the headers. False: there is no room."""
        cdef bytes facts = <bytes>(<Tls *>c.tls).facts
        cdef uint32_t length = <uint32_t>PyBytes_GET_SIZE(facts)
        if not self.room_for_body(c, parser, length):
            return False
        memcpy(parser.base + c.body_at, PyBytes_AS_STRING(facts), length)
        parser.block.flags |= SW_BLOCK_TLS_FACTS
        c.body_at += length
        parser.at = c.body_at
        return True

    cdef int body(self, Conn *c, Http1Parser parser, bint upgraded, const unsigned char *data, uint32_t end,
                  uint32_t length, uint32_t *used):
        """The head was right; what of the body is here?"""
        cdef State *s = self.state
        cdef uint64_t whole
        cdef uint32_t here = length - end
        cdef bint lazily  # is 100 Continue still to be sent, and the body to be asked for?
        cdef int reason
        used[0] = end
        if upgraded and (parser.chunked or parser.content_length > 0):
            return REASON_UPGRADE_WITH_BODY
        if parser.websocket and upgraded and s.websockets and not parser.http10:
            reason = upgrade(self, c, parser)
            if reason != REASON_NONE:
                return reason
        lazily = parser.expects and not parser.http10 and here == 0
        if parser.chunked:
            c.stage = STAGE_CHUNKED
            c.chunk_state = CHUNK_SIZE
            c.body_left = 0
            c.line_bytes = c.line_at = c.scan_at = 0
            Py_INCREF(parser)
            c.parser = <void *>parser
            timer_set(s, c, s.now_ns + s.body_timeout_ns)
            if lazily:
                return self.expect(c, parser)
            reason = self.chunks(c, parser, data + end, here, used)
            used[0] += end
            return reason
        if parser.content_length > 0:
            whole = <uint64_t>parser.content_length
            if s.max_body_bytes and whole > s.max_body_bytes:
                return REASON_BODY_TOO_LARGE
            if here > whole:
                here = <uint32_t>whole
            used[0] = end + here
            c.body_left = whole - here
            if c.body_left > 0:  # the rest does not come here; this parser saw only a head
                c.stage = STAGE_BODY
                timer_set(s, c, s.now_ns + s.body_timeout_ns)
            if c.body_left > 0 and (lazily or whole > s.inline_body_bytes) and self.follows(parser):
                reason = self.into_block(c, parser, data + end, here, here)
                if reason != REASON_NONE:
                    return reason
                return self.expect(c, parser) if lazily else self.stream(c, parser)
            reason = REASON_BLOCKS_FULL
            if whole <= MEMORY_BODY_BYTES:
                reason = self.into_block(c, parser, data + end, here, body_room(s, here, <uint32_t>whole))
                parser.block.body_len = <uint32_t>whole
            if reason != REASON_NONE and not s.asgi:
                reason = self.into_file(c, parser, data + end, here)
            elif reason != REASON_NONE and c.body_left > 0 and self.into_block(
                    c, parser, data + end, here, here) == REASON_NONE:
                return self.stream(c, parser)  # no block for it in one piece
            if reason != REASON_NONE:
                return reason
            if c.body_left > 0:
                return self.expect(c, parser) if lazily else REASON_NONE
            reason = self.feed_piece(parser, data + end, here, &upgraded)
            if reason != REASON_NONE:
                return reason
        if not parser.complete:
            return REASON_BAD_SYNTAX
        self.done(c, parser, upgraded)
        return REASON_NONE

    cdef bint follows(self, Http1Parser parser):
        """Is a large body to follow its request, rather than to come with it? An ASGI app reads it piece by piece; of
        one for a --static file nobody wants anything, and the answer does not wait for it."""
        cdef State *s = self.state
        cdef Target target
        return s.asgi or s.site != NULL and static_target(
            s.site, parser.base + parser.block.path_off, parser.block.path_len, &target) != TARGET_OTHER

    cdef int into_block(self, Conn *c, Http1Parser parser, const unsigned char *data, uint32_t here, uint32_t room):
        """Put what is here of a body into the request block, which gets room for `room` bytes."""
        if not self.room_for_body(c, parser, room):
            return REASON_BLOCKS_FULL
        parser.block.body_len = here
        memcpy(parser.base + c.body_at, data, here)
        c.body_at += here
        return REASON_NONE

    cdef int into_file(self, Conn *c, Http1Parser parser, const unsigned char *data, uint32_t here):
        """Collect the body in a file, from these bytes on."""
        cdef int reason
        parser.block.flags |= SW_BLOCK_BODY_FILE
        parser.block.body_len = 0
        with nogil:
            reason = body_to_file(self.state, c, data, here)
        c.body_at = parser.block.body_off
        self.shrink(c, parser)
        return reason

    cdef void shrink(self, Conn *c, Http1Parser parser):
        """The block holds a head alone now: a small one will do."""
        cdef State *s = self.state
        cdef uint8_t smaller_class = 0
        cdef uint32_t smaller = sw_blocks_take(&s.blocks, c.body_at, &smaller_class)
        if smaller == SW_NO_BLOCK:
            return
        if smaller_class >= c.block_class:
            sw_blocks_give(&s.blocks, smaller, smaller_class)
        else:
            self.move(c, parser, smaller, smaller_class)

    cdef int expect(self, Conn *c, Http1Parser parser):
        """The client waits for 100 Continue. WSGI wants the whole body, so it comes at once; an ASGI app asks."""
        c.flags |= CONN_EXPECT
        if self.follows(parser):
            return self.stream(c, parser)
        ready(self.state, c)
        return REASON_NONE

    cdef int stream(self, Conn *c, Http1Parser parser):
        """Send the request on its way; its body follows."""
        parser.block.flags |= SW_BLOCK_MORE_BODY
        parser.block.body_len = c.body_at - parser.block.body_off
        if not body_open(self.state, c, parser.block.body_len):
            return REASON_INTERNAL
        c.reason = REASON_NONE
        c.stage = STAGE_READY
        ready(self.state, c)
        return REASON_NONE

    cdef void release(self, Http1Parser parser, bint upgraded):
        """This parser has seen a message to its end: it may serve another."""
        if parser.keep_alive and not upgraded and len(self.pool) < POOLED_PARSERS:
            parser.pooled = True
            self.pool.append(parser)

    cdef void done(self, Conn *c, Http1Parser parser, bint upgraded):
        """A message is whole: phase 3 sends it on its way."""
        self.release(parser, upgraded)
        self.state.line[REACTOR_REQUESTS] += 1
        c.reason = REASON_NONE
        c.stage = STAGE_READY
        timer_arm(self.state, c)
        ready(self.state, c)

    cdef int chunks(self, Conn *c, Http1Parser parser, const unsigned char *data, uint32_t length, uint32_t *used):
        """Follow a chunked body as far as there is a place for its content; what is beyond that is not `used`."""
        cdef State *s = self.state
        cdef uint32_t room = 0, step = 0, copied = 0
        cdef uint64_t allowed
        cdef unsigned char *to
        cdef bint upgraded = False
        cdef int found, reason
        used[0] = 0
        body_progress(s, c, length)
        while True:
            to = self.sink(c, parser, length - used[0], &room)
            allowed = MAX_LENGTH
            if s.max_body_bytes and not body_discards(c):
                allowed = s.max_body_bytes - body_so_far(s, c)
            found = boundary_chunks(c, data + used[0], length - used[0], &step, to, room, &copied, allowed)
            if found > 0:
                return found
            if step > 0:
                reason = self.feed_piece(parser, data + used[0], step, &upgraded)
                if reason != REASON_NONE:
                    return REASON_BAD_TRAILER if c.chunk_state >= CHUNK_TRAILER else REASON_BAD_CHUNK
            used[0] += step
            if (found == BOUNDARY_WHOLE) != parser.complete:
                return REASON_BAD_CHUNK
            reason = self.sunk(c, copied)
            if reason != REASON_NONE:
                return reason
            if found != BOUNDARY_FULL:
                break
            if c.upload == NULL and not c.flags & CONN_BODY_OPEN:  # the block has all that it may hold
                parser.block.body_len = c.body_at - parser.block.body_off
                if self.follows(parser):
                    return self.stream(c, parser)
                reason = self.into_file(c, parser, parser.base + parser.block.body_off, parser.block.body_len)
                if reason != REASON_NONE:
                    return reason
            elif room == 0:
                break
        if found == BOUNDARY_WHOLE:
            self.chunks_end(c, parser, upgraded)
        if c.flags & CONN_BODY_OPEN:
            body_post(s, c)
            body_untouched(s, c)
        return REASON_NONE

    cdef unsigned char *sink(self, Conn *c, Http1Parser parser, uint32_t more, uint32_t *room):
        """Where content goes next; room 0: nowhere at the moment."""
        cdef uint32_t most, copied
        cdef unsigned char *to
        cdef size_t size = 0
        if c.stage == STAGE_CHUNKED and c.upload == NULL:
            copied = c.body_at - parser.block.body_off
            most = self.state.inline_body_bytes if self.state.asgi else MEMORY_BODY_BYTES
            room[0] = most - copied if more > most - copied else more
            # The block grows with what has come: a client that promises much and sends little costs little.
            if self.room_for_body(c, parser, room[0]):
                return parser.base + c.body_at
            room[0] = 0  # BOUNDARY_FULL then: on to a file, or to the app with what is here
            return parser.base
        if c.stage == STAGE_CHUNKED:
            room[0] = CHUNK_BYTES
            return self.state.through
        to = body_target(self.state, c, &size)
        room[0] = <uint32_t>size if to != NULL else 0
        return to

    cdef int sunk(self, Conn *c, uint32_t copied):
        """So much content is where `sink` said."""
        cdef int reason = REASON_NONE
        if copied == 0:
            return reason
        if c.stage == STAGE_CHUNKED and c.upload == NULL:
            c.body_at += copied
        elif c.stage == STAGE_CHUNKED:
            with nogil:
                if not sw_write_all(c.upload.fd, self.state.through, copied, c.upload.received):
                    self.state.spool_error = errno
                    reason = REASON_SPOOL_FAILED
            c.upload.received += copied
        else:
            reason = body_received(self.state, c, copied)
            if c.discarded > DISCARD_BYTES and body_discards(c):
                reason = REASON_BODY_TOO_LARGE  # nobody hears of it: the answer is out, the connection ends
        return reason

    cdef void chunks_end(self, Conn *c, Http1Parser parser, bint upgraded):
        """A chunked body has come to its end."""
        c.parser = NULL
        if c.flags & CONN_BODY_OPEN:
            self.release(parser, upgraded)
            body_whole(self.state, c)
            if c.stage == STAGE_DISCARD:
                ready(self.state, c)
        else:
            if c.upload == NULL:
                parser.block.body_len = c.body_at - parser.block.body_off
            self.done(c, parser, upgraded)
        if not parser.pooled:
            parser.drop()
        Py_DECREF(parser)

    cdef int feed_piece(self, Http1Parser parser, const unsigned char *data, uint32_t length, bint *upgraded):
        """Feed httptools. Returns a reason; sets `upgraded` when it stopped for an Upgrade."""
        cdef object piece
        if length <= COPY_BYTES:
            piece = PyBytes_FromStringAndSize(<const char *>data, length)
        else:
            piece = PyMemoryView_FromMemory(<char *>data, length, PyBUF_READ)
        try:
            parser.feed(piece)
        except self.upgraded:
            upgraded[0] = True
        except self.unknown_method:
            return REASON_UNKNOWN_METHOD
        except self.callback_failed:
            return REASON_INTERNAL
        except self.bad_syntax:
            return REASON_BAD_SYNTAX
        return REASON_NONE

    cdef bint room_for_body(self, Conn *c, Http1Parser parser, uint32_t more):
        """Make sure that the block has room for `more` bytes of body; it may become another one."""
        cdef State *s = self.state
        cdef uint64_t need = <uint64_t>c.body_at + more
        cdef uint32_t larger
        cdef uint8_t larger_class = 0
        if need <= sw_blocks_bytes(&s.blocks, c.block_class):
            return True
        larger = sw_blocks_take(&s.blocks, need, &larger_class)
        if larger == SW_NO_BLOCK:
            return False
        self.move(c, parser, larger, larger_class)
        return True

    cdef void move(self, Conn *c, Http1Parser parser, uint32_t block, uint8_t block_class):
        body_move_block(self.state, c, block, block_class)
        parser.base = <unsigned char *>sw_blocks_at(&self.state.blocks, block)
        parser.block = <sw_block *>parser.base
