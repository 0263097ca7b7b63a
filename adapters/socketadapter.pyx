"""ASGI 3 for WebSockets: the adapter of a worker that has both them and requests.

It owns the WebSockets of one worker as `asgi` does requests, on top of that: which there are, what has come for which,
and the final frame of each. What one of them is, is `websocket`'s; what the app calls, `socketcalls`'.
"""

import logging

from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free

from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject

from swhttp.adapters.asgi cimport MAX_LINKS, AsgiAdapter, AsgiExchange, is_of_ours
from swhttp.adapters.bell cimport Bell
from swhttp.adapters.outlet cimport Outlet
from swhttp.adapters.socketcalls cimport Receive, Send
from swhttp.adapters.websocket cimport OPEN, WebSocket
from swhttp.ipc.frame cimport EVENT_WS_CLOSE, EVENT_WS_MESSAGE, EVENT_WS_OPEN, sw_descriptor
from swhttp.ipc.request_table cimport SW_REQUEST_MAX_ENTRIES, sw_request_index
from swhttp.ipc.rfc6455 cimport SW_CLOSE_INTERNAL_ERROR
from swhttp.ipc.scoreboard cimport SLOT_APP_ERRORS, SLOT_WEBSOCKETS


cdef object logger = logging.getLogger("swhttp.worker")


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
        socket = WebSocket(self.outlet, self, self.rung)
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

    cdef object call(self, AsgiExchange exchange):
        cdef Receive receive
        cdef Send send
        cdef dict scope
        if type(exchange) is not WebSocket:
            return AsgiAdapter.call(self, exchange)
        scope = exchange.scope
        exchange.scope = None
        receive = Receive.__new__(Receive)
        receive.socket = <WebSocket>exchange
        send = Send.__new__(Send)
        send.socket = <WebSocket>exchange
        return self.app(scope, receive, send)

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
        try:
            if error is not None:
                socket.end_code = SW_CLOSE_INTERNAL_ERROR
                if not (socket.gone and (isinstance(error, OSError) or is_of_ours(error, MAX_LINKS))):
                    self.outlet.line[SLOT_APP_ERRORS] += 1
                    logger.error("exception in the ASGI app", exc_info=error)
            elif socket.phase < OPEN and not socket.complete and not socket.is_gone():
                self.outlet.line[SLOT_APP_ERRORS] += 1
                logger.error("the ASGI app returned without %s",
                             "completing its response" if socket.started else "an answer to a WebSocket's handshake")
        finally:
            self._settle(socket)
        return 0

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
