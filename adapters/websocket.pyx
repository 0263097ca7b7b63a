"""One WebSocket of an ASGI app, from its handshake to its end.

It owns what has come for it, who waits for that, and what of its messages is out. The protocol itself is the reactor's:
what comes are whole messages in blocks of its own, which stay there until the app asks for them; what goes are
messages and the wish to close. So nothing here looks at a client, and a block that has been counted as read must not
be looked at again.

    HANDSHAKE --> OPEN --> CLOSING            the app accepts, closes; the end is always one frame with LAST:
        \\-------> REFUSED                     a close, or the final one of a response that refuses

A receive() that waits is resumed by the drain that brings its message (swhttp.adapters.bell), so a short answer is out
before the worker sleeps. Pieces of a message that has not come whole are taken out of their blocks at once: the reactor
has a window of blocks, and would wait for us.

There may be ten thousand of them that wait: a field here is paid for by each.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeUTF8

from swhttp.adapters.asgi cimport TURN_BYTES, TURN_CALLS, AsgiAdapter, AsgiExchange
from swhttp.adapters.bell cimport Bell
from swhttp.adapters.call cimport Call
from swhttp.adapters.exchange cimport WAIT_ACK, WAIT_NONE, WAIT_SPACE, WAIT_TURN, Exchange, Wait
from swhttp.adapters.outlet cimport Outlet
from swhttp.ipc.frame cimport (EVENT_WS_CLOSE, EVENT_WS_MESSAGE, EVENT_WS_MESSAGE_SHM, SW_FRAME_LAST, SW_FRAME_MORE,
                               SW_NO_LENGTH, SW_WS_MORE, sw_chunk, sw_descriptor, sw_frame_bytes, sw_shm_ref,
                               sw_ws_record, sw_ws_record_bytes)
from swhttp.ipc.request_table cimport sw_request_closed, sw_request_set_read, sw_request_want_ack
from swhttp.ipc.rfc6455 cimport SW_CLOSE_ABNORMAL, SW_CLOSE_NORMAL, SW_WS_CLOSE, SW_WS_TEXT
from swhttp.ipc.scoreboard cimport SLOT_ARENA_FULL, SLOT_SHM_FRAMES

from asyncio import current_task

cdef enum:
    FEW_BLOCKS = 4

cdef str TYPE = "type"
cdef str TEXT = "text"
cdef str BYTES = "bytes"
cdef str RECEIVE = "websocket.receive"
cdef str DISCONNECT = "websocket.disconnect"


cdef class Message(Call):
    """What is on its way out, whoever has begun it."""


cdef class WebSocket(AsgiExchange):
    """`outlet`: where its frames go; `adapter`: whose it is; `rung`: where its bells go that a drain is to ring."""

    def __cinit__(self, Outlet outlet, AsgiAdapter adapter, list rung):
        self.rung = rung
        self.code = SW_CLOSE_ABNORMAL
        self.end_code = SW_CLOSE_NORMAL
        self.reason = ""
        self.lasting = True

    def __dealloc__(self):
        free(self.blocks)

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
            return self.end_input()
        return self.ring_all(True)

    cdef int end_input(self) except -1:
        """Nothing comes any more. In a drain."""
        self.ended = True
        self.ring_all(True)
        return self.wake()

    cdef int told_news(self) except -1:
        """The client took data, or is gone; of one that was open EVENT_WS_CLOSE tells, behind its last message. In a
        drain."""
        if not self.ended and not self.complete and self.phase < OPEN and sw_request_closed(self.request):
            self.end_input()
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
        try:
            if record.opcode == SW_WS_TEXT:
                message = {TYPE: RECEIVE, TEXT: PyUnicode_DecodeUTF8(data, length, NULL)}
            else:
                message = {TYPE: RECEIVE, BYTES: PyBytes_FromStringAndSize(data, length)}
        except MemoryError:  # the next receive() may have more luck with the same
            if self.pieces is not None:
                PyByteArray_Resize(self.pieces, length - record.length)
            raise
        self.pieces = None
        self.consume(record)
        return message

    cdef dict disconnect(self):
        """For the task that runs."""
        cdef object task = current_task()
        self.knower = <void *>task
        self.gone = True
        return {TYPE: DISCONNECT, "code": self.code, "reason": self.reason}

    cdef bint is_known(self) except -1:
        """Has the task that runs had websocket.disconnect?"""
        cdef object task = current_task()
        return self.knower == <void *>task

    cdef bint wait_for_message(self, Bell bell) except -1:
        """Have `bell` rung when there is something for receive(); False when there is by now."""
        cdef Bell last
        if self.phase < OPEN:
            self.watch()
            if self.is_gone():
                self.ended = True
                return False
        elif self.read != self.told:
            self.give_credit()
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
        return True

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
                self.rung.append(bell)
            else:
                bell.ring_soon()
        return 0

    cdef int give_credit(self) except -1:
        """Let the reactor know what has been read."""
        if self.complete:
            return 0
        if not self.put_credit(self.read):
            self.outlet.want_space(self.reactor)
            if not self.put_credit(self.read) and not self.owes_credit:
                self.owes_credit = True
                self.adapter.crowded.append(self)
        return 0

    # ---- what goes

    cdef bint put(self, uint8_t type, uint8_t flags, uint16_t status, int64_t length, const void *payload,
                  uint32_t payload_len, uint32_t head_len, uint32_t body_len) noexcept:
        """As ever; and by each frame the reactor knows what has been read."""
        if not Exchange.put(self, type, flags, status, length, payload, payload_len, head_len, body_len):
            return False
        self.told = self.read
        return True

    cdef Wait push_message(self, Message message) noexcept:
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
        cdef Message sender = self.sender
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
