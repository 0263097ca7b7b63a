from libc.stdint cimport uint8_t

from swhttp.adapters.asgi cimport SendCall
from swhttp.adapters.bell cimport Bell
from swhttp.adapters.exchange cimport Wait
from swhttp.adapters.flag cimport flag
from swhttp.adapters.websocket cimport Message, WebSocket


cdef class Receive:
    cdef WebSocket socket


cdef class Send:
    cdef WebSocket socket


cdef class Receiving(Bell):
    cdef WebSocket socket
    cdef int _stop_waiting(self) except -1


cdef enum Verb:
    NOTHING
    ACCEPT
    MESSAGE
    CLOSE
    RESPONSE


cdef class Sending(Message):
    cdef WebSocket socket
    cdef object message
    cdef SendCall response          # for a message that is one of a response
    cdef int leaving_turns
    cdef uint8_t verb
    cdef flag passes                # the client is gone, and this message is dropped without an exception
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
