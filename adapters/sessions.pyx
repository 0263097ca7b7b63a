"""Sessions of the callback API, as a worker has them: for one event at a time.

It owns what handlers see of a session (`Session`), the event that they are called for (`Event`), and what is said to
the reactor about it: that the handshake is accepted or refused, and after each message that it is done with, with the
session's new state. Everything of an event goes through the worker's pusher, so it is in order with what handlers push.
It does not call handlers (swhttp.adapters.handling does), and promises that every event gets its last frame.

    OPEN     [accept] --> DONE, or an ordinary response that refuses: 403, 500 when the handler has failed
    MESSAGE  DONE after each message;  after a failure, or close(), the rest is not delivered any more
    CLOSE    DONE
"""

import logging
from http import HTTPStatus

from cpython.bytes cimport PyBytes_CheckExact, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeUTF8

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t
from libc.string cimport memcpy

from swhttp.adapters.asgi cimport AsgiExchange
from swhttp.adapters.cache cimport CacheRow
from swhttp.adapters.lines cimport accept_lines
from swhttp.adapters.outlet cimport Outlet
from swhttp.adapters.peers cimport PeerRow
from swhttp.adapters.pusher cimport Frame, LoopPusher, Pusher
from swhttp.adapters.scope cimport offered_subprotocols
from swhttp.adapters.socketadapter cimport SocketAdapter
from swhttp.ipc.frame cimport (EVENT_WS_CLOSE, EVENT_WS_DONE, EVENT_WS_OPEN, RESPONSE_SMALL,
                               SW_BLOCK_ORIGIN, SW_FRAME_BAD, SW_FRAME_HEAD, SW_FRAME_LAST, SW_FRAME_STATE,
                               SW_NO_LENGTH, SW_WS_AGAIN, sw_block, sw_descriptor, sw_ws_event, sw_ws_event_records,
                               sw_ws_record, sw_ws_record_bytes)
from swhttp.ipc.rfc6455 cimport SW_CLOSE_NORMAL, SW_WS_TEXT
from swhttp.ipc.scoreboard cimport SLOT_APP_ERRORS

from swhttp import limits, sockets
from swhttp.adapters import handling

cdef object logger = logging.getLogger("swhttp.worker")
cdef Py_ssize_t MOST_STATE_BYTES = limits.WS_STATE_BYTES
cdef dict POLICIES = {number: name for name, number in sockets.POLICIES.items()}


cdef class Sessions:
    """All of one worker. outlet: where events are read; pusher: where frames go; handler: a
    `swhttp.worker.sockethandler.SocketHandler`; binds: texts of the listeners; root_path: below which the app lives."""

    def __init__(self, Outlet outlet, Pusher pusher, handler, tuple binds, str root_path=""):
        self.outlet = outlet
        self.pusher = pusher
        self.handler = handler
        self.peers = Peers(outlet, binds)
        self.origins = AsgiOrigins()
        self.targets = AsgiTargets(root_path)
        self.fields = AsgiFields()

    cdef Event event(self, int reactor, const sw_descriptor *descriptor):
        """The event that has just been taken."""
        cdef const sw_block *block = self.outlet.block(reactor, descriptor)
        cdef const unsigned char *body = <const unsigned char *>block + block.body_off
        cdef sw_ws_event head
        cdef Event event = Event.__new__(Event)
        cdef Session session = Session.__new__(Session)
        memcpy(&head, body, sizeof(head))
        event.sessions = self
        event.reactor = reactor
        event.request_id = descriptor.request_id
        event.session = session
        event.kind = head.kind
        event.code = head.code
        event.sequence = head.sequence
        event.accepted = head.kind != EVENT_WS_OPEN
        event.at = body + sw_ws_event_records(head.state_len)
        event.stop = event.at + head.records_len
        session.event = event
        session.id = head.session
        session.sequence = head.sequence
        session.memory = PyBytes_FromStringAndSize(<const char *>body + sizeof(head), head.state_len)
        session.policy = POLICIES[head.overflow]
        self._describe(session, reactor, block)
        return event

    cdef int _describe(self, Session session, int reactor, const sw_block *block) except -1:
        """Who it is with, and what for."""
        cdef const unsigned char *base = <const unsigned char *>block
        cdef CacheRow *target = self.targets.read(block)
        cdef PeerRow *peer
        cdef list fields
        if target != NULL:
            session.path = <object>target.first
            session.query_string = (<bytes><object>target.third).decode("latin-1")
        else:
            session.path = self.targets.root.decode() + "/"
            session.query_string = ""
        peer = self.peers.find(reactor, block.session, block.session_generation)
        session.client = <object>peer.client
        if block.flags & SW_BLOCK_ORIGIN:
            client = <object>self.origins.read(block).first
            if client is not None:
                session.client = client
        if session.event.kind == EVENT_WS_OPEN:
            fields = self.fields.read(base + block.headers_off, block.headers_count)
            session.headers = _joined(fields)
            session.subprotocols = offered_subprotocols(fields)
        else:
            session.subprotocols = []
        return 0

    cdef int run(self, int reactor, const sw_descriptor *descriptor) except -1:
        """Run the handlers of an event, in this thread, to its end."""
        cdef Event event = self.event(reactor, descriptor)
        try:
            handling.handle(event, self.handler)
        except BaseException as error:
            if event.over:  # what has failed then was the log
                raise
            event.failed("handler", error)
        return 0


cdef dict _joined(list fields):
    """Fields as a dictionary: those of one name are joined, as RFC 9110 §5.3 has it, and cookies as RFC 9113 §8.2.3."""
    cdef dict joined = {}
    for raw_name, raw_value in fields:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name in joined:
            value = joined[name] + ("; " if name == "cookie" else ", ") + value
        joined[name] = value
    return joined


cdef class Event:
    """One event of a session, until its last frame is on its way: what `handling` asks, and tells what came of it."""

    # ---- messages

    def messages(self):
        """Is there another one?"""
        return not self.over and self.at < self.stop

    def next(self):
        """The next one: str or bytes."""
        cdef sw_ws_record record
        cdef const char *data = <const char *>self.at + sizeof(sw_ws_record)
        cdef object message
        memcpy(&record, self.at, sizeof(record))
        if record.opcode == SW_WS_TEXT:
            message = PyUnicode_DecodeUTF8(data, record.length, NULL)
        else:
            message = PyBytes_FromStringAndSize(data, record.length)
        self.session.redelivered = (record.flags & SW_WS_AGAIN) != 0
        self.session.sequence = self.sequence
        self.at += sw_ws_record_bytes(record.length)
        return message

    # ---- what comes of it

    def opened(self, answer):
        """on_open has returned this."""
        cdef Session session = self.session
        if answer is False and session.denied == 0:
            session.denied = 403
        if not session.denied:
            if not self.accepted:
                self.accept(b"")
            self._done(0, True)
        elif self.accepted:
            raise RuntimeError("on_open refuses a WebSocket that it has accepted, or pushed to")
        else:
            self._refuse(session.denied)

    def done(self):
        """A message's handler has returned."""
        self._done(0, self.session.ended or self.at >= self.stop)

    def end(self):
        """Nobody is to be called, or to be called any more."""
        self._done(0, True)

    def failed(self, str what, error):
        """A handler has failed. What it has made of the state is forgotten. Raises what the log does."""
        self.sessions.outlet.line[SLOT_APP_ERRORS] += 1
        try:
            handling.log(what, error)
        finally:
            if not self.over:
                self.session.remembers = False
                if self.accepted:
                    self._done(SW_FRAME_BAD, True)
                else:
                    self._refuse(500)

    cdef int accept(self, bytes lines) except -1:
        self.accepted = True
        return self._put(EVENT_WS_OPEN, 0, 0, SW_NO_LENGTH, lines, b"")

    cdef int _refuse(self, int status) except -1:
        cdef bytes head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-length: 0\r\n".encode()
        self.over = self.accepted = True
        self.session.event = None
        return self._put(RESPONSE_SMALL, SW_FRAME_HEAD | SW_FRAME_LAST, <unsigned short>status, 0, head, b"")

    cdef int _done(self, uint8_t flags, bint last) except -1:
        cdef Session session = self.session
        cdef bytes state = b""
        if session.remembers:
            flags |= SW_FRAME_STATE
            state = session.memory
            session.remembers = False
        if last:
            flags |= SW_FRAME_LAST
            self.over = True
            session.event = None
        self._put(EVENT_WS_DONE, flags, 0, <int64_t>self.sequence, b"", state)
        self.sequence += 1
        return 0

    cdef int _put(self, uint8_t type, uint8_t flags, uint16_t status, int64_t length, bytes head, bytes body) except -1:
        cdef Frame frame = Frame.__new__(Frame)
        frame.reactor = self.reactor
        frame.type = type
        frame.flags = flags
        frame.status = status
        frame.request_id = self.request_id
        frame.content_length = length
        frame.head = head
        frame.body = body
        return self.sessions.pusher.post(frame)

    # ---- on an event loop

    def is_crowded(self):
        """Does so much wait to be sent that this should wait as well?"""
        return (<LoopPusher>self.sessions.pusher).is_crowded()

    async def room(self):
        """Wait until it is not."""
        while self.is_crowded():
            await (<LoopPusher>self.sessions.pusher).next_news()


cdef class Session:
    """A WebSocket of the callback API, as its handlers see it.

    id: by which anybody can push to it; path: decoded; query_string: as it came; client: (address, port), or None;
    sequence: of the message, counted from 1; redelivered: a worker has died while it had this message, which may have
    been handled before; headers, subprotocols: the handshake's, in on_open only. What can be said to it can be said
    after its handler as well, by the functions of the package: its state alone is its handlers'.
    """

    @property
    def state(self):
        """Bytes that the next handler finds here, whichever worker it runs in; 64 KiB at most. Setting it raises
        TypeError, ValueError, and RuntimeError where no handler of it runs."""
        return self.memory

    @state.setter
    def state(self, value):
        if not PyBytes_CheckExact(value):
            if not isinstance(value, (bytes, bytearray, memoryview)):
                raise TypeError(f"a session's state is bytes, not {value!r:.100}")
            value = bytes(value)
        if len(value) > MOST_STATE_BYTES:
            raise ValueError(f"a state of {len(value)} bytes is longer than {MOST_STATE_BYTES}")
        if self.event is None:
            raise RuntimeError("a session's state can be set only while a handler of it runs")
        self.memory = value
        self.remembers = True

    @property
    def overflow(self):
        """What becomes of pushes while its client is slow: "drop", "close" or "block". Setting it raises what
        `swhttp.push` does."""
        return self.policy

    @overflow.setter
    def overflow(self, value):
        self._speak()
        sockets.set_overflow(self.id, value)
        self.policy = value

    def accept(self, subprotocol=None, headers=()):
        """on_open: accept the handshake. Returning from on_open does so too, or whatever is said to the session there.

        subprotocol: one of those that the client offers, or None; headers: (name, value) pairs of str or bytes, to be
        sent with the answer. Raises ValueError for what cannot be sent, RuntimeError when the handshake is answered.
        """
        if self.event is None or self.event.accepted:
            raise RuntimeError("the handshake of this WebSocket has been answered")
        if self.denied:
            raise RuntimeError("on_open has refused this WebSocket")
        if subprotocol is not None and subprotocol not in self.subprotocols:
            raise ValueError(f"the client has not offered the subprotocol {subprotocol!r}")
        lines = accept_lines(subprotocol, [(_octets(name), _octets(value)) for name, value in headers])
        if <uint64_t>len(lines) > self.event.sessions.outlet.max_payload_bytes:
            raise ValueError("the header fields are too large")
        self.event.accept(lines)

    def deny(self, int status=403):
        """on_open: refuse the handshake when the handler returns. status: of HTTP, from 400 on. Raises ValueError for
        another one, RuntimeError when the handshake is answered."""
        if self.event is None or self.event.accepted:
            raise RuntimeError("the handshake of this WebSocket has been answered")
        if HTTPStatus(status) < 400:
            raise ValueError(f"{status} refuses nothing")
        self.denied = status

    def push(self, data, *, overflow=None):
        """Send a message. Arguments and errors: as of `swhttp.push`."""
        self._speak()
        sockets.push(self.id, data, overflow=overflow)

    async def apush(self, data, *, overflow=None):
        """Send a message, awaiting room. Arguments and errors: as of `swhttp.apush`."""
        self._speak()
        await sockets.apush(self.id, data, overflow=overflow)

    def join(self, group):
        """Be one of a group, to which `swhttp.broadcast` sends. Argument and errors: as of `swhttp.join`."""
        self._speak()
        sockets.join(self.id, group)

    def leave(self, group):
        """Be one of it no more. Argument and errors: as of `swhttp.join`."""
        self._speak()
        sockets.leave(self.id, group)

    def close(self, code=SW_CLOSE_NORMAL, reason=""):
        """Close it. What its client has sent and no handler has seen is not delivered any more. Arguments and errors:
        as of `swhttp.close_session`."""
        self._speak()
        sockets.close_session(self.id, code, reason)
        self.ended = True

    cdef int _speak(self) except -1:
        """Something is said to it: it must be open for that."""
        if self.event is not None and not self.event.accepted:
            if self.denied:
                raise RuntimeError("on_open has refused this WebSocket")
            self.event.accept(b"")
        return 0


cdef bytes _octets(object text):
    return text.encode("latin-1") if isinstance(text, str) else text


cdef class SessionExchange(AsgiExchange):
    """An event as a runner of the ASGI worker has it."""


cdef class SessionAdapter(SocketAdapter):
    """A `SocketAdapter` whose WebSockets are all sessions of a handler: to be told which by `sessions`."""

    cdef AsgiExchange take(self, int reactor, const sw_descriptor *descriptor):
        cdef SessionExchange exchange
        if not EVENT_WS_OPEN <= descriptor.type <= EVENT_WS_CLOSE:
            return SocketAdapter.take(self, reactor, descriptor)
        exchange = SessionExchange(self.outlet, self)
        exchange.open(reactor, descriptor)
        self.active += 1
        try:
            exchange.event = self.sessions.event(reactor, descriptor)
        except BaseException as error:
            self.ended(exchange, error)
            return None
        return exchange

    cdef object call(self, AsgiExchange exchange):
        if type(exchange) is not SessionExchange:
            return SocketAdapter.call(self, exchange)
        return handling.handle_in_loop((<SessionExchange>exchange).event, self.sessions.handler)

    cdef int ended(self, AsgiExchange exchange, object error) except -1:
        cdef Event event
        if type(exchange) is not SessionExchange:
            return SocketAdapter.ended(self, exchange, error)
        event = (<SessionExchange>exchange).event
        if event is None:  # out of memory, say
            try:
                logger.error("an event of a WebSocket could not be read", exc_info=error)
            finally:
                # 500. Where the session is open that is no answer: the reactor gives this worker up, and another has
                # the event.
                SocketAdapter._settle(self, exchange)
            return 0
        try:
            if not event.over:
                event.failed("handler", error)
            elif error is not None:  # what has failed then was the log
                raise error
        finally:
            self.active -= 1
        return 0

    cdef int let_go(self) except -1:
        self.sessions.peers.forget()
        return SocketAdapter.let_go(self)
