from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from swhttp.adapters.asgi cimport AsgiExchange
from swhttp.adapters.bell cimport Bell
from swhttp.adapters.call cimport Call
from swhttp.adapters.exchange cimport Wait
from swhttp.adapters.flag cimport flag
from swhttp.ipc.frame cimport sw_chunk, sw_descriptor, sw_ws_record


cdef enum Phase:
    HANDSHAKE                       # the app has not answered it
    REFUSED                         # by a response, which may not be complete
    OPEN
    CLOSING                         # the app has closed it


cdef class Message(Call):
    cdef object data                # the bytes or str that `at` points into, or whatever else is sent
    cdef const unsigned char *at
    cdef Py_ssize_t length
    cdef Py_ssize_t sent
    cdef uint16_t status            # opcode, or close code
    cdef flag given_up              # nobody awaits it, but it is out in part


cdef class WebSocket(AsgiExchange):
    cdef list rung                  # the adapter's
    cdef str reason                 # why it has ended
    cdef uint16_t code              # how
    cdef uint16_t end_code          # what it is closed with when the app is through
    cdef uint8_t phase
    cdef flag greeted               # the app has had websocket.connect
    cdef flag ended                 # nothing comes any more
    cdef uint32_t read              # blocks
    cdef uint32_t told              # of them, so that the reactor knows
    cdef uint32_t blocks_first, blocks_count, blocks_room
    cdef const sw_chunk **blocks    # that wait behind it, a ring
    cdef const unsigned char *at    # the next record, of the block that is read; NULL: none is
    cdef const unsigned char *end
    cdef bytearray pieces           # of a message whose end has not come
    cdef Bell bells                 # of receive() calls that wait
    cdef Message sender             # that is out in part
    cdef void *knower               # the task that has had websocket.disconnect, which may be gone; NULL: none
    cdef int arrived(self, const sw_descriptor *descriptor) except -1
    cdef int told_news(self) except -1
    cdef int finish(self) except -1
    cdef int end_input(self) except -1
    cdef bint is_turn_due(self) noexcept
    cdef int queue(self, const sw_chunk *block) except -1
    cdef const sw_ws_record *next_record(self) noexcept
    cdef void consume(self, const sw_ws_record *record) noexcept
    cdef bint gather(self) except -1
    cdef int _append(self, const sw_ws_record *record) except -1
    cdef object next_message(self)
    cdef dict disconnect(self)
    cdef bint is_known(self) except -1
    cdef bint wait_for_message(self, Bell bell) except -1
    cdef int forget_bell(self, Bell bell) except -1
    cdef int ring_all(self, bint here) except -1
    cdef Wait push_message(self, Message message) noexcept
    cdef int go_on(self) except -1
