from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from cpython.ref cimport PyObject

from swhttp.adapters.asgi cimport AsgiAdapter, AsgiExchange, SendCall
from swhttp.adapters.bell cimport Bell
from swhttp.adapters.call cimport Call
from swhttp.adapters.exchange cimport Wait
from swhttp.ipc.frame cimport sw_chunk, sw_descriptor, sw_ws_record


cdef class SocketAdapter(AsgiAdapter):
    cdef PyObject ***rows           # per reactor: index in the request table -> WebSocket
    cdef int reactors
    cdef readonly Py_ssize_t sockets
    cdef list rung                  # bells, for the drain
    cdef PyObject *find(self, int reactor, uint64_t request_id) noexcept
    cdef void _count(self, int by) noexcept
    cdef int _keep(self, WebSocket socket) except -1
    cdef int resume(self) except -1


cdef enum Phase:
    HANDSHAKE                       # the app has not answered it
    REFUSED                         # by a response, which may not be complete
    OPEN
    CLOSING                         # the app has closed it


cdef class WebSocket(AsgiExchange):
    cdef SocketAdapter home         # the adapter
    cdef Phase phase
    cdef bint greeted               # the app has had websocket.connect
    cdef bint ended                 # nothing comes any more
    cdef uint16_t code              # how it has ended
    cdef uint16_t end_code          # what it is closed with when the app is through
    cdef str reason
    cdef uint32_t read              # blocks
    cdef uint32_t told              # of them, so that the reactor knows
    cdef const unsigned char *at    # the next record, of the block that is read; NULL: none is
    cdef const unsigned char *end
    cdef const sw_chunk **blocks    # that wait behind it, a ring
    cdef uint32_t blocks_first, blocks_count, blocks_room
    cdef bytearray pieces           # of a message whose end has not come
    cdef Bell bells                 # of receive() calls that wait
    cdef SendCalling sender         # whose message is out in part
    cdef int arrived(self, const sw_descriptor *descriptor) except -1
    cdef int told_news(self) except -1
    cdef int finish(self) except -1
    cdef int left(self) except -1
    cdef bint is_turn_due(self) noexcept
    cdef int queue(self, const sw_chunk *block) except -1
    cdef const sw_ws_record *next_record(self) noexcept
    cdef void consume(self, const sw_ws_record *record) noexcept
    cdef bint gather(self) except -1
    cdef int _append(self, const sw_ws_record *record) except -1
    cdef object next_message(self)
    cdef dict disconnect(self)
    cdef Bell wait_for_message(self)
    cdef int forget_bell(self, Bell bell) except -1
    cdef int ring_all(self, bint here) except -1
    cdef bint put(self, uint8_t type, uint8_t flags, uint16_t status, int64_t length, const void *payload,
                  uint32_t payload_len, uint32_t head_len, uint32_t body_len) noexcept
    cdef Wait push_message(self, SendCalling message) noexcept
    cdef int go_on(self) except -1


cdef class ReceiveCalling(Call):
    cdef WebSocket socket
    cdef Bell bell


cdef enum Verb:
    NOTHING
    ACCEPT
    MESSAGE
    CLOSE
    RESPONSE


cdef class SendCalling(Call):
    cdef WebSocket socket
    cdef object message
    cdef object data                # the bytes or str that `at` points into, lines, a reason
    cdef const unsigned char *at
    cdef Py_ssize_t length
    cdef Py_ssize_t sent
    cdef Verb verb
    cdef uint16_t status            # opcode, or close code
    cdef bint given_up              # nobody awaits it, but its message is out in part
    cdef bint passes                # the client is gone, and this message is dropped without an exception
    cdef int leaving_turns
    cdef SendCall response          # for a message that is one of a response
    cdef int _begin(self) except -1
    cdef object _get(self, str key)
    cdef int _take_accept(self) except -1
    cdef int _take_message(self) except -1
    cdef int _take_close(self) except -1
    cdef int _take_response(self, str kind) except -1
    cdef bint _respond(self) except -1
    cdef bint _push(self) except -1
    cdef bint _leave(self) except -1
    cdef Wait _push_once(self) noexcept
