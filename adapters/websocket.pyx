"""ASGI 3 for WebSockets: scope, receive and send of one, from its handshake to its end.

It owns the WebSockets of one worker as `asgi` does requests, on top of that. The protocol itself is the reactor's:
what comes are whole messages in blocks of its own, which stay there until the app asks for them; what goes are
messages and the wish to close. So nothing here looks at a client, and a block that has been counted as read must not
be looked at again.

    HANDSHAKE --> OPEN --> CLOSING            the app accepts, closes; the end is always one frame with LAST:
        \\-------> REFUSED                     a close, or the final one of a response that refuses

A receive() that waits is resumed by the drain that brings its message (swhttp.adapters.bell), so a short answer is out
before the worker sleeps. Pieces of a message that has not come whole are taken out of their blocks at once: the reactor
has a window of blocks, and would wait for us.

It is long because a WebSocket, its two kinds of calls and its adapter know of each other.
"""

import logging

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from cpython.unicode cimport PyUnicode_DecodeUTF8

from swhttp.adapters.asgi cimport (LEAVING_CALLS, LEAVING_TURNS, MAX_LINKS, TURN_BYTES, TURN_CALLS, AsgiAdapter,
                                   AsgiExchange, SendCall, is_of_ours)
from swhttp.adapters.bell cimport Bell
from swhttp.adapters.call cimport Call
from swhttp.adapters.exchange cimport WAIT_ACK, WAIT_NONE, WAIT_SPACE, WAIT_TURN, Exchange, Wait
from swhttp.adapters.lines cimport accept_lines, octets
from swhttp.adapters.outlet cimport Outlet
from swhttp.ipc.frame cimport (EVENT_WS_CLOSE, EVENT_WS_MESSAGE, EVENT_WS_MESSAGE_SHM, EVENT_WS_OPEN, SW_FRAME_LAST,
                               SW_FRAME_MORE, SW_NO_LENGTH, SW_WS_BINARY, SW_WS_CLOSE, SW_WS_MORE, SW_WS_TEXT,
                               sw_chunk, sw_descriptor, sw_frame, sw_frame_bytes, sw_shm_ref, sw_ws_record,
                               sw_ws_record_bytes)
from swhttp.ipc.request_table cimport (SW_REQUEST_MAX_ENTRIES, sw_request_closed, sw_request_index, sw_request_set_read,
                                       sw_request_want_ack)
from swhttp.ipc.scoreboard cimport SLOT_APP_ERRORS, SLOT_ARENA_FULL, SLOT_SHM_FRAMES, SLOT_WEBSOCKETS

from swhttp.adapters.errors import ClientDisconnected, InvalidResponse

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL

cdef enum:
    NORMAL = 1000        # close codes (RFC 6455 §7.4)
    NO_STATUS = 1005
    ABNORMAL = 1006
    APP_FAILED = 1011
    MAX_REASON_BYTES = 123
    FEW_BLOCKS = 4

cdef object logger = logging.getLogger("swhttp.worker")
cdef str TYPE = "type"
cdef str TEXT = "text"
cdef str BYTES = "bytes"
cdef str CONNECT = "websocket.connect"
cdef str RECEIVE = "websocket.receive"
cdef str DISCONNECT = "websocket.disconnect"
cdef str ACCEPT_MESSAGE = "websocket.accept"
cdef str SEND_MESSAGE = "websocket.send"
cdef str CLOSE_MESSAGE = "websocket.close"
cdef str RESPONSE_START = "websocket.http.response.start"
cdef str RESPONSE_BODY = "websocket.http.response.body"


cdef class SocketAdapter(AsgiAdapter):
    """An `AsgiAdapter` that has WebSockets as well."""

    def __cinit__(self, Outlet outlet, app, loop, dict state, tuple binds, int reactors, *_, **__):
        self.rung = []
        self.reactors = reactors
        self.rows = <PyObject ***>calloc(reactors, sizeof(PyObject **))
        if self.rows == NULL:
            raise MemoryError

    def __dealloc__(self):
        cdef int reactor
        if self.rows != NULL:
            for reactor in range(self.reactors):
                free(self.rows[reactor])
            free(self.rows)

    cdef AsgiExchange take(self, int reactor, const sw_descriptor *descriptor):
        cdef WebSocket socket
        if descriptor.type != EVENT_WS_OPEN:
            return AsgiAdapter.take(self, reactor, descriptor)
        socket = WebSocket(self.outlet, self)
        socket.open(reactor, descriptor)
        self.active += 1
        self._count(1)
        try:
            self._keep(socket)
            socket.scope = self.scopes.make_socket(reactor, socket.block)
        except BaseException as error:  # out of memory, say: this one fails, the others do not
            self.ended(socket, error)
            return None
        return socket

    cdef void _count(self, int by) noexcept:
        self.sockets += by
        self.outlet.line[SLOT_WEBSOCKETS] = self.sockets

    cdef int _keep(self, WebSocket socket) except -1:
        cdef PyObject **row = self.rows[socket.reactor]
        if row == NULL:
            # Touched where there are sockets only.
            row = self.rows[socket.reactor] = <PyObject **>calloc(SW_REQUEST_MAX_ENTRIES, sizeof(PyObject *))
            if row == NULL:
                raise MemoryError
        Py_INCREF(socket)
        row[sw_request_index(socket.request_id)] = <PyObject *>socket
        return 0

    cdef PyObject *find(self, int reactor, uint64_t request_id) noexcept:
        """The WebSocket that this is, or NULL."""
        cdef PyObject **row = self.rows[reactor]
        cdef PyObject *found
        if row == NULL:
            return NULL
        found = row[sw_request_index(request_id)]
        return found if found != NULL and (<WebSocket>found).request_id == request_id else NULL

    cdef int ended(self, AsgiExchange exchange, object error) except -1:
        cdef WebSocket socket
        if type(exchange) is not WebSocket:
            return AsgiAdapter.ended(self, exchange, error)
        socket = <WebSocket>exchange
        if error is not None:
            socket.end_code = APP_FAILED
            if not (socket.gone and (isinstance(error, OSError) or is_of_ours(error, MAX_LINKS))):
                self.outlet.line[SLOT_APP_ERRORS] += 1
                logger.error("exception in the ASGI app", exc_info=error)
        elif socket.phase < OPEN and not socket.complete and not socket.is_gone():
            self.outlet.line[SLOT_APP_ERRORS] += 1
            logger.error("the ASGI app returned without %s",
                         "completing its response" if socket.started else "an answer to a WebSocket's handshake")
        return self._settle(socket)

    cdef int _settle(self, AsgiExchange exchange) except -1:
        cdef PyObject **row
        if type(exchange) is not WebSocket:
            return AsgiAdapter._settle(self, exchange)
        (<WebSocket>exchange).sender = None
        AsgiAdapter._settle(self, exchange)
        if exchange.complete:
            self._count(-1)
            (<WebSocket>exchange).finish()
            if self.find(exchange.reactor, exchange.request_id) != NULL:
                row = self.rows[exchange.reactor]
                row[sw_request_index(exchange.request_id)] = NULL
                Py_DECREF(exchange)
        return 0

    cdef int chunk(self, int reactor, const sw_descriptor *descriptor) except -1:
        cdef PyObject *found
        if descriptor.type != EVENT_WS_MESSAGE and descriptor.type != EVENT_WS_CLOSE:
            return AsgiAdapter.chunk(self, reactor, descriptor)
        found = self.find(reactor, descriptor.request_id)
        if found != NULL:
            (<WebSocket>found).arrived(descriptor)
        return 0

    cdef int news(self, int reactor, uint64_t request_id) except -1:
        cdef PyObject *found = self.find(reactor, request_id)
        if found == NULL:
            return AsgiAdapter.news(self, reactor, request_id)
        return (<WebSocket>found).told_news()

    cdef int news_for_all(self) except -1:
        cdef int reactor, index
        AsgiAdapter.news_for_all(self)
        if self.sockets:
            for reactor in range(self.reactors):
                if self.rows[reactor] != NULL:
                    for index in range(SW_REQUEST_MAX_ENTRIES):
                        if self.rows[reactor][index] != NULL:
                            (<WebSocket>self.rows[reactor][index]).told_news()
        return 0

    cdef int resume(self) except -1:
        """Make the steps of tasks that messages have come for. Not within a task."""
        cdef list rung = self.rung
        if rung:
            rung.reverse()
            while rung:
                (<Bell>rung.pop()).ring()
        return 0


cdef class WebSocket(AsgiExchange):
    """One WebSocket: the two callables that the app gets, what has come for it, and who waits in them."""

    def __cinit__(self, Outlet outlet, SocketAdapter adapter):
        self.home = adapter
        self.code = ABNORMAL
        self.end_code = NORMAL
        self.reason = ""
        self.parts = None
        self.lasting = True

    def __dealloc__(self):
        free(self.blocks)

    def receive(self):
        """The next event: websocket.connect, each message, then websocket.disconnect."""
        cdef ReceiveCalling call = ReceiveCalling.__new__(ReceiveCalling)
        call.socket = self
        return call

    def send(self, message):
        """Take a websocket message. Raises InvalidResponse, ClientDisconnected, RuntimeError."""
        cdef SendCalling call = SendCalling.__new__(SendCalling)
        call.socket = self
        call.message = message
        return call

    cdef bint is_gone(self) noexcept:
        """Is the client gone? That a WebSocket has ended is no answer lost: it is not counted as one."""
        if self.phase < OPEN:
            return Exchange.is_gone(self)
        if not self.gone and not self.complete and sw_request_closed(self.request):
            self.gone = True
        return self.gone

    cdef int watch(self) except -1:
        """The adapter finds a WebSocket anyway."""
        sw_request_want_ack(self.request)
        return 0

    cdef int wake(self) except -1:
        """For those who send."""
        if self.sender is not None and self.sender.given_up:
            self.go_on()
        if self.waiters:
            AsgiExchange.wake(self)
        return 0

    cdef bint is_turn_due(self) noexcept:
        return self.turn_calls >= TURN_CALLS or self.turn_bytes >= <uint64_t>TURN_BYTES

    # ---- what comes

    cdef int arrived(self, const sw_descriptor *descriptor) except -1:
        """Messages, or the end."""
        cdef const sw_chunk *block = self.outlet.chunk(self.reactor, descriptor)
        cdef const sw_ws_record *record
        cdef bint whole
        if self.complete:  # the blocks may hold anything
            return 0
        if descriptor.type == EVENT_WS_MESSAGE:
            self.queue(block)
            if self.bells is None:
                return 0
            try:
                whole = self.gather()
            except MemoryError:
                whole = True  # not here: the app gets it, in receive()
            if not whole:
                if self.read != self.told:
                    self.give_credit()
                return 0
        else:
            self.code = descriptor.flags
            if descriptor.flags == 0:  # not the block is looked at: the first one of all is 0
                record = <const sw_ws_record *>(<const unsigned char *>block + sizeof(sw_chunk))
                self.code = record.code
                self.reason = PyUnicode_DecodeUTF8(<const char *>record + sizeof(sw_ws_record), record.length,
                                                   "replace")
            return self.left()
        return self.ring_all(True)

    cdef int left(self) except -1:
        """Nothing comes any more. In a drain."""
        self.ended = True
        self.ring_all(True)
        return self.wake()

    cdef int told_news(self) except -1:
        """The client took data, or is gone; of one that was open EVENT_WS_CLOSE tells, behind its last message. In a
        drain."""
        if not self.ended and not self.complete and self.phase < OPEN and sw_request_closed(self.request):
            self.left()
        return self.wake()

    cdef int finish(self) except -1:
        """The final frame is out: the blocks are the reactor's."""
        self.ended = True
        self.at = NULL
        free(self.blocks)
        self.blocks = NULL
        self.blocks_count = self.blocks_room = 0
        self.pieces = None
        return self.ring_all(False)

    cdef int queue(self, const sw_chunk *block) except -1:
        cdef const sw_chunk **larger
        cdef uint32_t i, room
        if self.at == NULL:
            self.at = <const unsigned char *>block + sizeof(sw_chunk)
            self.end = self.at + block.length
            return 0
        if self.blocks_count == self.blocks_room:
            room = self.blocks_room * 2 or FEW_BLOCKS
            larger = <const sw_chunk **>malloc(room * sizeof(sw_chunk *))
            if larger == NULL:
                raise MemoryError
            for i in range(self.blocks_count):
                larger[i] = self.blocks[(self.blocks_first + i) & (self.blocks_room - 1)]
            free(self.blocks)
            self.blocks = larger
            self.blocks_first = 0
            self.blocks_room = room
        self.blocks[(self.blocks_first + self.blocks_count) & (self.blocks_room - 1)] = block
        self.blocks_count += 1
        return 0

    cdef const sw_ws_record *next_record(self) noexcept:
        return <const sw_ws_record *>self.at

    cdef void consume(self, const sw_ws_record *record) noexcept:
        """It has been read; with the last of its block, the block."""
        cdef const sw_chunk *block
        self.at += sw_ws_record_bytes(record.length)
        if self.at < self.end:
            return
        self.at = NULL
        self.read += 1
        sw_request_set_read(self.request, self.read)
        if self.blocks_count:
            block = self.blocks[self.blocks_first]
            self.blocks_first = (self.blocks_first + 1) & (self.blocks_room - 1)
            self.blocks_count -= 1
            self.at = <const unsigned char *>block + sizeof(sw_chunk)
            self.end = self.at + block.length

    cdef bint gather(self) except -1:
        """Take out what is there of a message whose end has not come. True: the next record makes one whole."""
        cdef const sw_ws_record *record
        while self.at != NULL:
            record = self.next_record()
            if not record.flags & SW_WS_MORE:
                return True
            if self.pieces is None:
                self.pieces = bytearray()
            self._append(record)
            self.consume(record)
        return False

    cdef int _append(self, const sw_ws_record *record) except -1:
        cdef Py_ssize_t length = PyByteArray_GET_SIZE(self.pieces)
        PyByteArray_Resize(self.pieces, length + record.length)
        memcpy(PyByteArray_AS_STRING(self.pieces) + length, <const char *>record + sizeof(sw_ws_record), record.length)
        return 0

    cdef object next_message(self):
        """The next whole message, or None."""
        cdef const sw_ws_record *record
        cdef const char *data
        cdef Py_ssize_t length
        cdef dict message
        if not self.gather():
            return None
        record = self.next_record()
        data = <const char *>record + sizeof(sw_ws_record)
        length = record.length
        if record.opcode == SW_WS_CLOSE:
            self.code = record.code
            self.reason = PyUnicode_DecodeUTF8(data, length, "replace")
            self.ended = True
            self.consume(record)
            return None
        if self.pieces is not None:
            self._append(record)
            data = PyByteArray_AS_STRING(self.pieces)
            length = PyByteArray_GET_SIZE(self.pieces)
        if record.opcode == SW_WS_TEXT:
            message = {TYPE: RECEIVE, TEXT: PyUnicode_DecodeUTF8(data, length, NULL)}
        else:
            message = {TYPE: RECEIVE, BYTES: PyBytes_FromStringAndSize(data, length)}
        self.pieces = None
        self.consume(record)
        return message

    cdef dict disconnect(self):
        self.gone = True
        return {TYPE: DISCONNECT, "code": self.code, "reason": self.reason}

    cdef Bell wait_for_message(self):
        """What rings when there is something for receive(); None when there is by now."""
        cdef Bell bell, last
        if self.phase < OPEN:
            self.watch()
            if self.is_gone():
                self.ended = True
                return None
        else:
            if self.read != self.told:
                self.give_credit()
        bell = Bell.__new__(Bell)
        bell.loop = self.adapter.loop
        bell._asyncio_future_blocking = True
        if self.bells is None:
            self.bells = bell
        else:
            last = self.bells
            while last.next is not None:
                last = last.next
            last.next = bell
        self.listens = True
        self.turn_calls = 0
        self.turn_bytes = 0
        return bell

    cdef int forget_bell(self, Bell bell) except -1:
        cdef Bell before = self.bells
        if before is bell:
            self.bells = bell.next
        elif before is not None:
            while before.next is not None and before.next is not bell:
                before = before.next
            if before.next is bell:
                before.next = bell.next
        bell.next = None
        return 0

    cdef int ring_all(self, bint here) except -1:
        """Let everyone who waits in receive() look. `here`: in a drain, which resumes them."""
        cdef Bell bell
        while self.bells is not None:
            bell = self.bells
            self.bells = bell.next
            bell.next = None
            if here:
                self.home.rung.append(bell)
            else:
                bell.ring_soon()
        return 0

    cdef int give_credit(self) except -1:
        """Let the reactor know what has been read."""
        if self.complete:
            return 0
        if not self.put_credit(self.read):
            self.outlet.want_space(self.reactor)
            if not self.put_credit(self.read):
                if not self.owes_credit:
                    self.owes_credit = True
                    self.adapter.crowded.append(self)
                return 0
        self.told = self.read
        return 0

    # ---- what goes

    cdef bint put(self, uint8_t type, uint8_t flags, uint16_t status, int64_t length, const void *payload,
                  uint32_t payload_len, uint32_t head_len, uint32_t body_len) noexcept:
        """Write and publish one frame. False while there is no room."""
        cdef uint64_t size = sw_frame_bytes(0, payload_len)
        cdef unsigned char *at = self.outlet.reserve(self.reactor, size)
        cdef sw_frame *frame = <sw_frame *>at
        if at == NULL:
            self.need = size
            return False
        frame.size = <uint32_t>size
        frame.type = type
        frame.flags = flags
        frame.status = status
        frame.request_id = self.request_id
        frame.content_length = length
        frame.head_len = head_len
        frame.body_len = body_len
        if payload_len:
            memcpy(at + sizeof(sw_frame), payload, payload_len)
        if type == EVENT_WS_CLOSE and flags & SW_FRAME_LAST:
            self.complete = True
        self.told = self.read
        self.outlet.publish(self.reactor, size, self.complete)
        return True

    cdef Wait push_message(self, SendCalling message) noexcept:
        """Publish the rest of a message, as far as there is room. When the client is gone, what is left is dropped."""
        cdef Py_ssize_t rest, step
        cdef bint inline_only = False
        cdef sw_shm_ref reference
        cdef unsigned char *at
        cdef uint32_t room = 0
        cdef uint8_t flags
        while not self.is_gone() and not self.complete:
            rest = message.length - message.sent
            if message.sent and self.turn_bytes >= <uint64_t>TURN_BYTES:
                return WAIT_TURN
            if self._is_slow():
                return WAIT_ACK
            if <uint64_t>rest > self.outlet.max_payload_bytes and not inline_only:
                if self.outlet.reserve(self.reactor, sw_frame_bytes(0, sizeof(sw_shm_ref))) == NULL:
                    self.need = sw_frame_bytes(0, sizeof(sw_shm_ref))
                    return WAIT_SPACE
                at = self.outlet.shm_take(rest, &room, &reference.block)
                if at == NULL:
                    self.outlet.line[SLOT_ARENA_FULL] += 1
                    inline_only = True
                    continue
                step = min(rest, <Py_ssize_t>room)
                memcpy(at, message.at + message.sent, step)
                reference.zero = 0
                flags = SW_FRAME_MORE if step < rest else 0
                self.outlet.line[SLOT_SHM_FRAMES] += 1  # before the frame is out: who has seen that may look here
                self.put(EVENT_WS_MESSAGE_SHM, flags, message.status,
                         message.length if flags and not message.sent else SW_NO_LENGTH,
                         &reference, sizeof(reference), 0, <uint32_t>step)
            else:
                step = min(rest, <Py_ssize_t>self.outlet.max_payload_bytes)
                flags = SW_FRAME_MORE if step < rest else 0
                if not self.put(EVENT_WS_MESSAGE, flags, message.status,
                                message.length if flags and not message.sent else SW_NO_LENGTH,
                                message.at + message.sent, <uint32_t>step, 0, <uint32_t>step):
                    return WAIT_SPACE
            message.sent += step
            self.body_bytes += step
            self.turn_bytes += step
            if not flags:
                break
        return WAIT_NONE

    cdef int go_on(self) except -1:
        """With a message that its sender has given up when it was out in part."""
        cdef Wait asked = WAIT_NONE, blocked
        cdef SendCalling sender = self.sender
        while True:
            blocked = self.push_message(sender)
            if blocked == WAIT_NONE:
                self.sender = None
                return self.wake()
            if blocked == WAIT_TURN:
                self.turn_bytes = 0
                continue
            if blocked == asked:
                if blocked == WAIT_SPACE:
                    self.adapter.crowded.append(self)
                return 0
            asked = blocked
            if blocked == WAIT_SPACE:
                self.outlet.want_space(self.reactor)
            else:
                self.watch()

    # ---- ends

    cdef bint fail(self) noexcept:
        """The app is through. False while there is no room: call again."""
        if self.complete:
            return True
        if self.phase < OPEN:
            return Exchange.fail(self)
        return self.put(EVENT_WS_CLOSE, SW_FRAME_LAST, self.end_code, SW_NO_LENGTH, NULL, 0, 0, 0)


cdef class ReceiveCalling(Call):
    """One receive()."""

    cdef int drop(self) except -1:
        if self.bell is not None:
            self.socket.forget_bell(self.bell)
            self.bell = None
        self.socket = None
        return 0

    cdef bint advance(self) except -1:
        cdef WebSocket socket = self.socket
        if self.bell is not None:
            socket.forget_bell(self.bell)
            self.bell = None
        if not socket.greeted:
            socket.greeted = True
            self.value = {TYPE: CONNECT}
            return True
        while True:
            if socket.at != NULL and socket.phase >= OPEN:
                if socket.is_turn_due():
                    socket.turn_calls = 0
                    socket.turn_bytes = 0
                    self.value = None
                    return False
                self.value = socket.next_message()
                if self.value is not None:
                    socket.turn_calls += 1
                    socket.listens = socket.bells is not None
                    return True
            if socket.ended or socket.complete:
                self.value = socket.disconnect()
                return True
            self.bell = socket.wait_for_message()
            if self.bell is not None:
                self.value = self.bell
                return False


cdef class SendCalling(Call):
    """One send()."""

    cdef int drop(self) except -1:
        cdef WebSocket socket = self.socket
        if self.response is not None:
            self.response.drop()
        if socket is not None and socket.sender is self:
            self.given_up = True
            socket.go_on()
        self.socket = None
        return 0

    cdef bint advance(self) except -1:
        cdef WebSocket socket = self.socket
        self.value = None
        if self.verb == NOTHING:
            if socket.is_turn_due():
                socket.turn_calls = 0
                socket.turn_bytes = 0
                return False
            self._begin()
        if self.verb == RESPONSE:
            return self._respond()
        if self.verb == CLOSE and socket.is_gone():
            socket.phase = CLOSING
            return True
        return self._push()

    cdef object _get(self, str key):
        cdef PyObject *value
        if type(self.message) is dict:
            value = PyDict_GetItem(<dict>self.message, key)
            return None if value == NULL else <object>value
        return self.message.get(key)

    cdef int _begin(self) except -1:
        cdef object kind = self._get(TYPE)
        if kind == SEND_MESSAGE:
            return self._take_message()
        if kind == CLOSE_MESSAGE:
            return self._take_close()
        if kind == ACCEPT_MESSAGE:
            return self._take_accept()
        if kind == RESPONSE_START or kind == RESPONSE_BODY:
            return self._take_response(kind)
        raise RuntimeError(f"unexpected ASGI message {kind!r}")

    cdef int _take_message(self) except -1:
        cdef WebSocket socket = self.socket
        cdef object data = self._get(BYTES), text = self._get(TEXT)
        if socket.phase != OPEN:
            if socket.phase < OPEN:
                raise RuntimeError("websocket.send was sent before websocket.accept")
            if not socket.is_gone() and not socket.ended:
                raise RuntimeError("websocket.send was sent after websocket.close")
        if (data is None) == (text is None):
            raise InvalidResponse("websocket.send has neither bytes nor text" if data is None else
                                  "websocket.send has both bytes and text")
        if text is None:
            self.data = octets(data)
            self.at = <const unsigned char *>PyBytes_AS_STRING(self.data)
            self.length = PyBytes_GET_SIZE(self.data)
            self.status = SW_WS_BINARY
        else:
            if not isinstance(text, str):
                raise InvalidResponse(f"expected a str as text, not {text!r:.100}")
            self.data = text
            self.at = _utf8(text, &self.length)
            self.status = SW_WS_TEXT
        self.verb = MESSAGE
        return 0

    cdef int _take_accept(self) except -1:
        cdef WebSocket socket = self.socket
        if socket.phase != HANDSHAKE:
            raise RuntimeError("websocket.accept was sent when the handshake had been answered")
        self.data = accept_lines(self._get("subprotocol"), self._get("headers") or ())
        if <uint64_t>PyBytes_GET_SIZE(self.data) > socket.outlet.max_payload_bytes:
            raise InvalidResponse(f"header-lines-too-large: more than {socket.outlet.max_payload_bytes} bytes")
        self.verb = ACCEPT
        return 0

    cdef int _take_close(self) except -1:
        cdef WebSocket socket = self.socket
        cdef object code = self._get("code"), reason = self._get("reason")
        if socket.phase == HANDSHAKE:
            return self._take_response(CLOSE_MESSAGE)
        if socket.phase != OPEN and not socket.is_gone() and not socket.ended:
            raise RuntimeError("websocket.close was sent when it had been closed")
        self.status = NORMAL
        self.verb = CLOSE
        if socket.phase != OPEN or socket.is_gone():
            return 0
        if code is not None:
            if not isinstance(code, int) or not _can_be_sent(code):
                raise InvalidResponse(f"close code {code!r} is not one that can be sent")
            self.status = 0 if code == NO_STATUS else <uint16_t>code
        if reason:
            if not isinstance(reason, str):
                raise InvalidResponse(f"expected a str as reason, not {reason!r:.100}")
            self.data = reason
            self.at = _utf8(reason, &self.length)
            if self.length > MAX_REASON_BYTES:
                raise InvalidResponse(f"a close reason has at most {MAX_REASON_BYTES} bytes")
            if self.status == 0:
                self.length = 0
        return 0

    cdef int _take_response(self, str kind) except -1:
        """As a message of an http response, which is then pushed as such. A close: a whole one."""
        cdef WebSocket socket = self.socket
        cdef dict message
        if socket.phase >= OPEN or (socket.phase == REFUSED) != (kind == RESPONSE_BODY):
            raise RuntimeError(f"{kind} was sent " + (
                "before websocket.http.response.start" if socket.phase == HANDSHAKE else
                "when the handshake had been answered"))
        if kind == CLOSE_MESSAGE:
            message = {TYPE: "http.response.start", "status": 403}
        else:
            message = dict(self.message)
            message[TYPE] = kind.removeprefix("websocket.")
            message.pop("trailers", None)
        self.response = SendCall.__new__(SendCall)
        self.response.exchange = socket
        self.response.message = message
        if kind == CLOSE_MESSAGE:
            if not socket.is_gone():
                self.response.advance()
            socket.phase = REFUSED
            self.response = SendCall.__new__(SendCall)
            self.response.exchange = socket
            self.response.message = {TYPE: "http.response.body"}
            self.passes = socket.is_gone()
        self.verb = RESPONSE
        return 0

    cdef bint _respond(self) except -1:
        cdef bint done
        if self.passes:
            return True
        done = self.response.advance()
        self.value = self.response.value
        if done and self.socket.started:
            self.socket.phase = REFUSED
            if self.socket.complete:
                self.socket.ring_all(False)
        return done

    cdef Wait _push_once(self) noexcept:
        cdef WebSocket socket = self.socket
        cdef bint done
        if self.verb == MESSAGE:
            return socket.push_message(self)
        if socket.complete:  # the app has returned, a task of its has not
            return WAIT_NONE
        if self.verb == ACCEPT:
            if socket.phase != HANDSHAKE:  # while it waited for room another task has answered
                return WAIT_NONE
            done = socket.put(EVENT_WS_OPEN, 0, 0, SW_NO_LENGTH, <const char *>PyBytes_AS_STRING(self.data),
                              <uint32_t>PyBytes_GET_SIZE(self.data), <uint32_t>PyBytes_GET_SIZE(self.data), 0)
            if done:
                socket.phase = OPEN
                socket.opened = True
                socket.block = NULL  # that of the handshake: it is the reactor's again
                socket.head = None
        else:
            if socket.phase != OPEN:
                return WAIT_NONE
            done = socket.put(EVENT_WS_CLOSE, 0, self.status, SW_NO_LENGTH, self.at, <uint32_t>self.length, 0,
                              <uint32_t>self.length)
            if done:
                socket.phase = CLOSING
        return WAIT_NONE if done else WAIT_SPACE

    cdef bint _push(self) except -1:
        """Publish the rest: True when all is out, False to wait for `value`."""
        cdef WebSocket socket = self.socket
        cdef Wait asked = WAIT_NONE, blocked
        while True:
            if socket.sender is not None and socket.sender is not self:
                self.value = socket.wait()
                return False
            if self.verb == MESSAGE and (socket.complete or socket.is_gone()):
                if socket.sender is self:
                    socket.sender = None
                return self._leave()
            blocked = self._push_once()
            if blocked == WAIT_NONE:
                if socket.sender is self:
                    socket.sender = None
                    socket.wake()
                if self.verb == MESSAGE and socket.gone:
                    return self._leave()
                socket.turn_calls += 1
                return True
            if self.sent:
                socket.sender = self
            if blocked == WAIT_TURN:
                socket.turn_bytes = 0
                socket.turn_calls = 0
                self.value = None
                return False
            if blocked == asked:  # asked, and looked once more: now wait
                if blocked == WAIT_SPACE:
                    socket.adapter.crowded.append(socket)
                self.value = socket.wait()
                socket.turn_bytes = 0
                return False
            asked = blocked
            if blocked == WAIT_SPACE:
                socket.outlet.want_space(socket.reactor)
            else:
                socket.watch()

    cdef bint _leave(self) except -1:
        """The client is gone: what becomes of this message, as SendCall has it.

        True: it is dropped; False: the others get a turn; or ClientDisconnected.
        """
        cdef WebSocket socket = self.socket
        self.value = None
        if socket.listens and not socket.complete:
            if not self.passes and socket.leaving_calls < LEAVING_CALLS:
                socket.leaving_calls += 1
                self.passes = True
            if self.passes:
                return True
            if self.leaving_turns < LEAVING_TURNS:
                self.leaving_turns += 1
                return False
        raise ClientDisconnected("the WebSocket is closed")


cdef const unsigned char *_utf8(object text, Py_ssize_t *length) except NULL:
    """As UTF-8, which the object keeps; of ASCII it is no copy."""
    try:
        return <const unsigned char *>PyUnicode_AsUTF8AndSize(text, length)
    except UnicodeEncodeError:
        raise InvalidResponse("the text of a WebSocket cannot have surrogates") from None


cdef bint _can_be_sent(object code):
    """RFC 6455 §7.4.1, §7.4.2, and what the registry has since. NO_STATUS: a close without a code."""
    return NORMAL <= code <= 1003 or code == NO_STATUS or 1007 <= code <= 1014 or 3000 <= code <= 4999
