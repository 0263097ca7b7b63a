from libc.stdint cimport uint64_t

from swhttp.adapters.call cimport Call
from swhttp.adapters.compression cimport Compression
from swhttp.adapters.exchange cimport Exchange
from swhttp.adapters.flag cimport flag
from swhttp.adapters.outlet cimport Outlet
from swhttp.adapters.scope cimport ScopeParts, Scopes
from swhttp.adapters.spool cimport OpenFile
from swhttp.adapters.stream cimport Stream
from swhttp.ipc.frame cimport sw_descriptor


cdef enum:
    TURN_BYTES = 65536   # send() gives others a turn after so many body bytes
    TURN_CALLS = 16      # or so many calls
    MAX_LINKS = 16       # of exceptions that came of one another
    # What is between a client's leaving and the exception of send(), for apps that listen for it as well.
    LEAVING_CALLS = 4    # of send() that drop their message
    LEAVING_TURNS = 16   # of the loop, that the next one waits

cdef bint is_of_ours(object error, int depth)


cdef class AsgiAdapter:
    cdef Outlet outlet
    cdef object app
    cdef object loop
    cdef Compression compression
    cdef Scopes scopes
    cdef list waiting           # per reactor: request_id -> exchange that waits for news of its client
    cdef list streams           # per reactor: request_id -> exchange whose request body is still to come
    cdef list crowded           # exchanges that wait for room in a ring
    cdef list spare             # exchanges to use again
    cdef readonly Py_ssize_t active
    cdef AsgiExchange take(self, int reactor, const sw_descriptor *descriptor)
    cdef object call(self, AsgiExchange exchange)
    cdef int ended(self, AsgiExchange exchange, object error) except -1
    cdef int chunk(self, int reactor, const sw_descriptor *descriptor) except -1
    cdef int news(self, int reactor, uint64_t request_id) except -1
    cdef int news_for_all(self) except -1
    cdef int room(self) except -1
    cdef bint has_room(self) noexcept
    cdef int let_go(self) except -1
    cdef int _settle(self, AsgiExchange exchange) except -1


cdef enum Left:                 # the client is gone: what becomes of a message to it
    PASSES                      # it is dropped, without an exception
    WAITS                       # others get a turn first
    RAISES


cdef class AsgiExchange(Exchange):
    cdef AsgiAdapter adapter
    cdef dict scope
    cdef ScopeParts parts
    cdef bytes body             # None once the app has it
    cdef object receive_method
    cdef object send_method
    cdef list waiters           # futures of calls that wait for anything
    cdef int turn_calls
    cdef int leaving_calls      # of send() since the client left
    cdef flag finished          # the app has sent its last body message
    cdef flag lasting           # it may be with us for hours: what serves it is not kept for another
    cdef flag is_waiting        # in adapter.waiting
    cdef flag listens           # a receive() has waited for the client to leave
    cdef flag owes_end          # the app is through, the final frame had no room yet
    cdef flag owes_credit       # credit for its request body had no room yet
    cdef flag delivered         # the whole body is published, trailers follow
    cdef flag trailed           # the app has sent its last trailers message
    cdef Stream stream          # of a body that comes in chunks, or None
    cdef bytes trailers         # lines so far
    cdef int equip(self) except -1
    cdef int give_credit(self) except -1
    cdef object wait(self)
    cdef int watch(self) except -1
    cdef int wake(self) except -1
    cdef Left when_left(self, flag *passes, int *turns) noexcept


cdef class ReceiveCall(Call):
    cdef AsgiExchange exchange
    cdef bint _from_stream(self) except -1


cdef enum What:
    BODY_PIECE
    EARLY_HINTS
    TRAILERS
    FILE


cdef class SendCall(Call):
    cdef AsgiExchange exchange
    cdef object message
    cdef What what
    cdef bytes body             # or lines
    cdef OpenFile file
    cdef uint64_t file_bytes
    cdef Py_ssize_t sent
    cdef bint last
    cdef bint resting
    cdef int leaving_turns      # that it has waited since the client left
    cdef flag passes            # the client is gone, and this message is dropped without an exception
    cdef bint refused           # the client is gone: raises
    cdef Left _left(self) except *
    cdef int _start(self) except -1
    cdef object _get(self, str key, object otherwise=*)
    cdef int _take_body(self) except -1
    cdef int _begin_body(self) except -1
    cdef int _take_other(self, object kind) except -1
    cdef int _take_hints(self) except -1
    cdef int _take_trailers(self) except -1
    cdef int _take_file(self) except -1
    cdef int _push_once(self) except -1
    cdef bint _push(self) except -1
