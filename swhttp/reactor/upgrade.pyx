"""A request that asks for a WebSocket (RFC 6455 §4.2.1): judged, and its answer made, before any worker hears of it.

It owns what is asked of such a request, and that it reaches a worker as EVENT_WS_OPEN. The verdict and the text of the
101 are wsproto's (swhttp.reactor.handshake). It never sends and never dispatches: `http1` does. With the GIL (phase 2).
"""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcmp, memcpy, memset

from cpython.bytes cimport PyBytes_AS_STRING

from swhttp.ipc.frame cimport EVENT_WS_OPEN, sw_block, sw_header, sw_ws_event, sw_ws_session_id
from swhttp.ipc.scoreboard cimport REACTOR_IN_FLIGHT
from swhttp.reactor.reasons cimport (REASON_BLOCKS_FULL, REASON_INTERNAL, REASON_MANY_SOCKETS, REASON_NONE,
                                     REASON_WS_BAD_EXTENSION, REASON_WS_BAD_HANDSHAKE, REASON_WS_BAD_KEY,
                                     REASON_WS_BAD_SUBPROTOCOL, REASON_WS_BAD_VERSION, REASON_WS_MANY_KEYS,
                                     REASON_WS_NOT_GET)
from swhttp.reactor.response cimport SW_CONTINUE
from swhttp.reactor.state cimport State
from swhttp.reactor.websocket cimport ws_offer
from swhttp.reactor.wsdeflate cimport Deflation

from swhttp import limits
from swhttp.reactor.handshake import Refused, negotiate

cdef uint32_t SPARED_SHARE = limits.WS_SPARED_SHARE
cdef bytes PREFIX = b"sec-websocket-"
cdef dict WS_REASONS = {
    "ws-bad-version": REASON_WS_BAD_VERSION, "ws-bad-key": REASON_WS_BAD_KEY, "ws-many-keys": REASON_WS_MANY_KEYS,
    "ws-bad-subprotocol": REASON_WS_BAD_SUBPROTOCOL, "ws-bad-extension": REASON_WS_BAD_EXTENSION,
    "ws-bad-handshake": REASON_WS_BAD_HANDSHAKE}


cdef int upgrade(Http1 http1, Conn *c, Http1Parser parser):
    """The client asks for a WebSocket (RFC 6455 §4.2.1). One that is right goes its way like any request, and its
    answer may be the 101 that is made here."""
    cdef State *s = http1.state
    cdef sw_ws_event event
    cdef object deflation = None
    cdef uint32_t at = parser.block.headers_off
    cdef const sw_header *record
    cdef list fields = []
    cdef int _nth
    if parser.block.method_len != 3 or memcmp(parser.base + sizeof(sw_block), b"GET", 3) != 0:
        return REASON_WS_NOT_GET
    for _nth in range(parser.block.headers_count):
        record = <const sw_header *>(parser.base + at)
        at += <uint32_t>sizeof(sw_header)
        if record.name_len > len(PREFIX) and memcmp(parser.base + at, PyBytes_AS_STRING(PREFIX), len(PREFIX)) == 0:
            fields.append((parser.base[at:at + record.name_len],
                           parser.base[at + record.name_len:at + record.name_len + record.value_len]))
        at += record.name_len + record.value_len
    verdict = negotiate(fields, deflate=bool(s.ws_deflate))
    if isinstance(verdict, Refused):
        return WS_REASONS[verdict.reason]
    if verdict.deflate is not None:
        deflation = Deflation(*verdict.deflate)
    if not s.asgi and not s.ws_calls:
        return REASON_NONE  # nobody here can be a WebSocket's other end: it is an ordinary request
    if not s.ws_calls and s.line[REACTOR_IN_FLIGHT] >= <int64_t>(s.table_entries - s.table_entries // SPARED_SHARE):
        return REASON_MANY_SOCKETS  # each has an entry for as long as it lives: the rest is for what comes and goes
    if s.ws_calls:
        c.body_at = (c.body_at + 7) & ~<uint32_t>7
        if not http1.room_for_body(c, parser, sizeof(event)):
            return REASON_BLOCKS_FULL
        parser.block.body_off = c.body_at
        memset(&event, 0, sizeof(event))
        event.kind = EVENT_WS_OPEN
        event.session = sw_ws_session_id(<uint32_t>s.index, c.row, c.generation)
        memcpy(parser.base + c.body_at, &event, sizeof(event))
        parser.block.body_len = sizeof(event)
        c.body_at += sizeof(event)
    # RFC 9110 §7.8: to who expects 100 Continue it is sent before 101, body or not.
    return REASON_NONE if ws_offer(s, c, SW_CONTINUE + verdict.head if parser.expects else verdict.head,
                                   deflation) else REASON_INTERNAL
