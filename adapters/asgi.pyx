"""ASGI 3 for http: scope, receive and send of one request after the other.

It owns the exchanges of one worker. It never runs the app's coroutine (the loop's runners do) and never touches a
ring except through its outlet. Of the extensions there are trailers, early hints and pathsend. It is long because a
request has one state for both directions: what send() does about a client that has left is decided by what receive()
has been asked and has told.

`receive()` and `send()` return coroutines in C (swhttp.adapters.call), which nearly always complete within the `await`
itself. They wait, on a future, only when the client is slow, the ring is full, for more of a request's body, or for the
client to go away; and `send()` gives others a turn every TURN_BYTES or TURN_CALLS although it could go on.
"""

import logging

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem
from cpython.ref cimport PyObject

from libc.stdint cimport uint64_t

from swhttp.adapters.call cimport Call
from swhttp.adapters.compression cimport Compression
from swhttp.adapters.exchange cimport WAIT_NONE, WAIT_SPACE, WAIT_TURN, Exchange, Wait
from swhttp.adapters.lines cimport hint_lines, octets, trailer_lines
from swhttp.adapters.outlet cimport Outlet
from swhttp.adapters.scope cimport ScopeParts, Scopes
from swhttp.adapters.sharing cimport SW_KEPT_REFERENCES, sw_references, sw_unshared
from swhttp.adapters.spool cimport OpenFile
from swhttp.adapters.stream cimport Stream
from swhttp.ipc.frame cimport (EVENT_PACKAGE_END, EVENT_PACKAGE_START, SW_BLOCK_EXPECTS, SW_FRAME_INTERIM,
                               SW_FRAME_LAST, SW_FRAME_TRAILERS, sw_descriptor)
from swhttp.ipc.request_table cimport sw_request_want_ack
from swhttp.ipc.scoreboard cimport SLOT_APP_ERRORS

from swhttp.adapters.errors import ClientDisconnected, InvalidResponse
from swhttp.adapters.files import open_file

cdef enum:
    MAX_SPARE = 256      # exchanges kept for the next request

cdef object logger = logging.getLogger("swhttp.worker")
cdef str TYPE = "type"
cdef str HEADERS = "headers"
cdef str STATUS = "status"
cdef str BODY = "body"
cdef str MORE_BODY = "more_body"
cdef str RESPONSE_START = "http.response.start"
cdef str RESPONSE_BODY = "http.response.body"
cdef str TRAILERS_MESSAGE = "http.response.trailers"
cdef str EARLY_HINT = "http.response.early_hint"
cdef str PATHSEND = "http.response.pathsend"
cdef str DISCONNECT = "http.disconnect"
cdef str REQUEST = "http.request"
cdef str SOCKET_LEFT = "WebSocketDisconnect"  # Starlette's, FastAPI's, Litestar's


cdef class AsgiAdapter:
    """Makes exchanges of descriptors and keeps those that wait.

    outlet: where frames go; app: the ASGI callable; loop: the worker's event loop; state: of the lifespan, copied
    for each request; binds: texts of the listeners; reactors: how many; root_path: below which the app lives;
    compression: what is compressed, None: nothing is.
    """

    def __init__(self, Outlet outlet, app, loop, dict state, tuple binds, int reactors, str root_path="",
                 Compression compression=None):
        self.outlet = outlet
        self.app = app
        self.loop = loop
        self.compression = compression
        self.scopes = Scopes(outlet, state, binds, root_path)
        self.waiting = [{} for _ in range(reactors)]
        self.streams = [{} for _ in range(reactors)]
        self.crowded = []
        self.spare = []

    cdef AsgiExchange take(self, int reactor, const sw_descriptor *descriptor):
        """The exchange of a request that has just been taken; None when it has ended here."""
        cdef AsgiExchange exchange
        if self.spare:
            exchange = <AsgiExchange>self.spare.pop()
        else:
            exchange = AsgiExchange(self.outlet, self)
            exchange.equip()
        exchange.open(reactor, descriptor)
        exchange.finished = exchange.is_waiting = exchange.owes_end = False
        exchange.delivered = exchange.trailed = exchange.listens = False
        exchange.leaving_calls = 0
        exchange.expects = (exchange.block.flags & SW_BLOCK_EXPECTS) != 0
        exchange.turn_calls = 0
        self.active += 1
        try:
            if descriptor.type == EVENT_PACKAGE_START:
                exchange.stream = Stream()
                (<dict>self.streams[reactor])[exchange.request_id] = exchange
            exchange.body = PyBytes_FromStringAndSize(
                <const char *>exchange.block + exchange.block.body_off, exchange.block.body_len)
            exchange.scope = self.scopes.make(exchange.parts, reactor, exchange.block)
        except BaseException as error:  # out of memory, say: this request fails, the others do not
            self.ended(exchange, error)
            return None
        return exchange

    cdef object call(self, AsgiExchange exchange):
        """Call the app: what it returns is to be awaited."""
        cdef dict scope = exchange.scope
        exchange.scope = None
        return self.app(scope, exchange.receive_method, exchange.send_method)

    cdef int ended(self, AsgiExchange exchange, object error) except -1:
        """The app is through with a request, with `error` or None: see that its final frame goes out. Raises what the
        log does: a filter there may be the app's."""
        try:
            if error is not None:
                if not (exchange.gone and (isinstance(error, OSError) or is_of_ours(error, MAX_LINKS))):
                    self.outlet.line[SLOT_APP_ERRORS] += 1
                    logger.error("exception in the ASGI app", exc_info=error)
            elif not exchange.complete and not exchange.is_gone():
                self.outlet.line[SLOT_APP_ERRORS] += 1
                logger.error("the ASGI app returned without %s",
                             "completing its response" if exchange.started else "starting a response")
        finally:
            self._settle(exchange)
        return 0

    cdef int _settle(self, AsgiExchange exchange) except -1:
        if not exchange.complete and not exchange.fail():
            self.outlet.want_space(exchange.reactor)
            if not exchange.fail():
                exchange.owes_end = True
                self.crowded.append(exchange)
                return 0
        exchange.owes_end = False  # it may be among the crowded twice: for a send() that was cancelled, too
        self.active -= 1
        exchange.scope = exchange.body = None
        if exchange.stream is not None:
            exchange.stream = None
            exchange.owes_credit = False
            (<dict>self.streams[exchange.reactor]).pop(exchange.request_id, None)
        if exchange.trailing:
            exchange.trailers = None
        if exchange.packer is not None:
            exchange.unpack()
        if exchange.is_waiting:
            (<dict>self.waiting[exchange.reactor]).pop(exchange.request_id, None)
        if exchange.waiters:
            exchange.wake()
        # Held by its two methods and our caller, and they by it alone: the next request can have it. Else the app
        # has kept something (or it is among the crowded still): it keeps a finished exchange.
        if (sw_references(<PyObject *>exchange) == SW_KEPT_REFERENCES and len(self.spare) < MAX_SPARE
                and sw_unshared(<PyObject *>exchange.receive_method)
                and sw_unshared(<PyObject *>exchange.send_method)):
            self.spare.append(exchange)
        else:
            exchange.receive_method = exchange.send_method = None
        return 0

    cdef int chunk(self, int reactor, const sw_descriptor *descriptor) except -1:
        """More of a request body. Nobody looks at what comes late: once the final frame is out, the block may hold
        anything."""
        cdef AsgiExchange exchange
        cdef bint last = descriptor.type == EVENT_PACKAGE_END
        cdef dict streams = <dict>self.streams[reactor]
        found = streams.get(descriptor.request_id)
        if found is None:
            return 0
        exchange = <AsgiExchange>found
        if last:
            del streams[descriptor.request_id]
        if not exchange.complete:
            exchange.stream.add(self.outlet.chunk(reactor, descriptor), last)
            exchange.wake()
        return 0

    cdef int news(self, int reactor, uint64_t request_id) except -1:
        """A client took data, or is gone."""
        exchange = (<dict>self.waiting[reactor]).get(request_id)
        if exchange is not None:
            (<AsgiExchange>exchange).wake()
        return 0

    cdef int news_for_all(self) except -1:
        """Nobody knows whose news was lost: everyone who waits looks."""
        cdef dict waiting
        for waiting in self.waiting:
            for exchange in waiting.values():
                (<AsgiExchange>exchange).wake()
        return 0

    cdef int room(self) except -1:
        """There may be room in the rings again: let everyone who waits for that try."""
        cdef AsgiExchange exchange
        cdef list crowded = self.crowded
        if crowded:
            self.crowded = []
            crowded.reverse()
            while crowded:
                exchange = <AsgiExchange>crowded.pop()
                if exchange.owes_credit:
                    exchange.owes_credit = False
                    exchange.give_credit()
                if exchange.owes_end:
                    self._settle(exchange)
                else:
                    exchange.wake()
        return 0

    cdef bint has_room(self) noexcept:
        """Before sleep, once it is announced: ask for room again, and look. True when somebody can go on."""
        cdef AsgiExchange exchange
        for exchange in self.crowded:
            self.outlet.want_space(exchange.reactor)
            if self.outlet.has_room(exchange.reactor, exchange.need):
                return True
        return False

    cdef int let_go(self) except -1:
        """Forget the exchanges that wait for a request, and addresses."""
        cdef AsgiExchange exchange
        while self.spare:
            exchange = <AsgiExchange>self.spare.pop()
            exchange.receive_method = exchange.send_method = None
        self.scopes.peers.forget()
        return 0


cdef bint is_of_ours(object error, int depth):
    """Is an exception of the app's our ClientDisconnected, or what frameworks have made of it?

    A group of such (anyio's task groups), or an exception of a framework's own that came of one: Starlette's
    ClientDisconnect, Litestar's LitestarException. A built-in exception that came of one is a bug of who handled it.
    And what they raise where a WebSocket's client has left while the app listens: they share the name alone.
    """
    cdef object cause = error.__cause__ if error.__suppress_context__ else error.__context__
    if isinstance(error, ClientDisconnected) or any([kind.__name__ == SOCKET_LEFT for kind in type(error).__mro__]):
        return True
    if depth == 0:  # of exceptions that are linked in a circle, for one
        return False
    if isinstance(error, BaseExceptionGroup):
        return all([is_of_ours(one, depth - 1) for one in error.exceptions])
    return cause is not None and type(error).__module__ != "builtins" and is_of_ours(cause, depth - 1)


cdef class AsgiExchange(Exchange):
    """One http request: the two callables that the app gets, and who waits in them."""

    def __cinit__(self, Outlet outlet, AsgiAdapter adapter, *_):
        self.adapter = adapter
        self.compression = adapter.compression
        self.turn_limit = TURN_BYTES

    cdef int equip(self) except -1:
        """With what serves request after request."""
        self.parts = ScopeParts()
        self.receive_method = self.receive
        self.send_method = self.send
        return 0

    def receive(self):
        """The next event: http.request with the body, or as much of it as has come; then http.disconnect."""
        cdef ReceiveCall call = ReceiveCall.__new__(ReceiveCall)
        call.exchange = self
        return call

    def send(self, message):
        """Take an http.response message. Raises InvalidResponse, ClientDisconnected, RuntimeError, OSError."""
        cdef SendCall call = SendCall.__new__(SendCall)
        call.exchange = self
        call.message = message
        return call

    cdef object wait(self):
        """A future that is done at the next piece of news."""
        future = self.adapter.loop.create_future()
        future._asyncio_future_blocking = True
        if self.waiters is None:
            self.waiters = []
        self.waiters.append(future)
        return future

    cdef int wake(self) except -1:
        cdef list waiters = self.waiters
        if waiters:
            self.waiters = None
            for future in waiters:
                if not future.done():
                    future.set_result(None)
        return 0

    cdef int watch(self) except -1:
        """Ask to hear when the client takes data or goes away."""
        if not self.is_waiting:
            self.is_waiting = True
            (<dict>self.adapter.waiting[self.reactor])[self.request_id] = self
        sw_request_want_ack(self.request)
        return 0

    cdef Left when_left(self, flag *passes, int *turns) noexcept:
        """The client is gone: what becomes of a message, of which `passes` and `turns` keep what was said before.

        An exception, as the specification has it since 2.4, for who does not listen. Django, Litestar and Quart do so
        in a task of its own, and cancel the one that sends. When an exception comes first, or the cancellation while
        it is in send(), their generators end with some later garbage collection: so it goes on to where it waits
        for something else, and is cancelled there.
        """
        if not self.listens or self.complete:
            return RAISES
        if not passes[0] and self.leaving_calls < LEAVING_CALLS:
            self.leaving_calls += 1
            passes[0] = True
        if passes[0]:
            return PASSES
        if turns[0] == LEAVING_TURNS:
            return RAISES
        turns[0] += 1
        return WAITS

    cdef int give_credit(self) except -1:
        """Let the reactor post more of the request body."""
        cdef uint64_t total_bytes
        if self.complete or self.stream is None:
            return 0
        total_bytes = self.stream.credit()
        if not self.put_credit(total_bytes):
            self.outlet.want_space(self.reactor)
            if not self.put_credit(total_bytes) and not self.owes_credit:
                self.owes_credit = True
                self.adapter.crowded.append(self)
        return 0


cdef class ReceiveCall(Call):
    """One receive()."""

    cdef int drop(self) except -1:
        self.exchange = None
        return 0

    cdef bint advance(self) except -1:
        cdef AsgiExchange exchange = self.exchange
        if exchange.stream is not None:
            if self._from_stream():
                return True
        elif exchange.body is not None:
            exchange.expects = False
            self.value = {TYPE: REQUEST, BODY: exchange.body, MORE_BODY: False}
            exchange.body = None
            return True
        if not exchange.complete and not exchange.is_gone():
            exchange.watch()
            if not exchange.is_gone():
                exchange.listens = exchange.stream is None or exchange.stream.over  # else it reads its body
                self.value = exchange.wait()
                return False
        self.value = {TYPE: DISCONNECT}
        return True

    cdef bint _from_stream(self) except -1:
        """A body that comes in chunks: True with its next piece, False when there is none (or none any more)."""
        cdef AsgiExchange exchange = self.exchange
        cdef Stream stream = exchange.stream
        cdef bytes data = None
        if exchange.complete or stream.over:
            return False
        if not stream.begun:
            exchange.expects = False  # this credit brings the 100 Continue
            data = stream.begin(exchange.body)
            exchange.body = None
            exchange.give_credit()
        if not data:
            data = stream.take()
            if data is None:
                return False
            if stream.owes_credit():
                exchange.give_credit()
        self.value = {TYPE: REQUEST, BODY: data, MORE_BODY: not stream.over}
        return True


cdef int _check_size(AsgiExchange exchange, bytes lines) except -1:
    if <uint64_t>PyBytes_GET_SIZE(lines) > exchange.outlet.max_payload_bytes:
        raise InvalidResponse(f"header-lines-too-large: more than {exchange.outlet.max_payload_bytes} bytes")
    return 0


cdef class SendCall(Call):
    """One send()."""

    cdef int drop(self) except -1:
        self.exchange = None
        return 0

    cdef bint advance(self) except -1:
        cdef AsgiExchange exchange = self.exchange
        cdef object kind
        cdef Left left
        self.value = None
        if self.resting:
            return True
        if not exchange.complete and exchange.is_gone():
            left = self._left()
            if left == WAITS:
                return False
            if left == RAISES and self.body is not None:
                raise ClientDisconnected("the client is gone")
            self.refused = left == RAISES
        if self.body is None:
            kind = self._get(TYPE)
            if kind == RESPONSE_START:
                self._start()
                return True
            if kind == RESPONSE_BODY:
                self._take_body()
            else:
                self._take_other(kind)
        if self._push():
            if exchange.complete:
                if exchange.waiters:
                    exchange.wake()
                return True
            if exchange.trailing and exchange.finished:
                exchange.delivered = True
            exchange.turn_calls += 1
            if exchange.turn_calls < TURN_CALLS and exchange.turn_bytes < TURN_BYTES:
                return True
            self.resting = True
            exchange.turn_calls = 0
            exchange.turn_bytes = 0
        return False

    cdef Left _left(self) except *:
        cdef AsgiExchange exchange = self.exchange
        if exchange.listens:
            exchange.wake()  # who listens is told first
        return exchange.when_left(&self.passes, &self.leaving_turns)

    cdef object _get(self, str key, object otherwise=None):
        cdef PyObject *value
        if type(self.message) is dict:
            value = PyDict_GetItem(<dict>self.message, key)
            return otherwise if value == NULL else <object>value
        return self.message.get(key, otherwise)

    cdef int _start(self) except -1:
        cdef AsgiExchange exchange = self.exchange
        cdef bytes name, value
        cdef object pair
        if exchange.started:
            raise RuntimeError("http.response.start was sent twice")
        if self.refused:
            raise ClientDisconnected("the client is gone")
        status = self._get(STATUS)
        if not isinstance(status, int):
            raise InvalidResponse(f"status {status!r} is not an integer")
        exchange.trailing = bool(self._get("trailers"))
        exchange.head.begin(status)
        for pair in self._get(HEADERS, ()):
            if type(pair) is tuple and len(<tuple>pair) == 2:
                raw_name, raw_value = <object>(<tuple>pair)[0], <object>(<tuple>pair)[1]
            else:
                raw_name, raw_value = pair
            name = <bytes>raw_name if PyBytes_CheckExact(raw_name) else octets(raw_name)
            value = <bytes>raw_value if PyBytes_CheckExact(raw_value) else octets(raw_value)
            exchange.head.add(<unsigned char *>PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name),
                              <unsigned char *>PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
        exchange.started = True
        return 0

    cdef int _begin_body(self) except -1:
        cdef AsgiExchange exchange = self.exchange
        if not exchange.started:
            raise RuntimeError(f"{self._get(TYPE)} was sent before http.response.start")
        if exchange.finished:
            raise RuntimeError(f"{self._get(TYPE)} was sent after the response was complete")
        if self.refused:
            raise ClientDisconnected("the client is gone")
        return 0

    cdef int _take_body(self) except -1:
        cdef AsgiExchange exchange = self.exchange
        cdef object body
        self._begin_body()
        body = self._get(BODY, b"")
        self.body = <bytes>body if PyBytes_CheckExact(body) else octets(body)
        if not self._get(MORE_BODY, False):
            exchange.finished = True
            self.last = not exchange.trailing
        return 0

    cdef int _take_other(self, object kind) except -1:
        if kind == TRAILERS_MESSAGE:
            return self._take_trailers()
        if kind == EARLY_HINT:
            return self._take_hints()
        if kind == PATHSEND:
            return self._take_file()
        raise RuntimeError(f"unexpected ASGI message {kind!r}")

    cdef int _take_hints(self) except -1:
        cdef AsgiExchange exchange = self.exchange
        if exchange.started:
            raise RuntimeError("http.response.early_hint was sent after http.response.start")
        if self.refused:
            raise ClientDisconnected("the client is gone")
        self.what = EARLY_HINTS
        self.body = hint_lines(self._get("links", ()))
        _check_size(exchange, self.body)
        if exchange.block.http_minor == 0:  # it knows no interim responses
            self.body = b""
        return 0

    cdef int _take_trailers(self) except -1:
        cdef AsgiExchange exchange = self.exchange
        cdef bytes lines
        if not exchange.trailing:
            raise RuntimeError("http.response.trailers was not announced by http.response.start")
        if not exchange.delivered:
            raise RuntimeError("http.response.trailers was sent before the end of the body")
        if exchange.trailed:
            raise RuntimeError("http.response.trailers was sent after the response was complete")
        if self.refused:
            raise ClientDisconnected("the client is gone")
        lines = trailer_lines(self._get(HEADERS, ()))
        if exchange.trailers is not None:
            lines = exchange.trailers + lines
        _check_size(exchange, lines)
        exchange.trailers = lines
        self.what = TRAILERS
        self.body = lines
        exchange.trailed = self.last = not self._get("more_trailers", False)
        return 0

    cdef int _take_file(self) except -1:
        cdef AsgiExchange exchange = self.exchange
        self._begin_body()
        fd, self.file_bytes = open_file(self._get("path"))
        self.file = OpenFile(fd)
        self.what = FILE
        self.body = b""
        self.last = not exchange.trailing
        exchange.finished = True
        return 0

    cdef int _push_once(self) except -1:
        """As `Exchange.push`, for what is no piece of the body."""
        cdef AsgiExchange exchange = self.exchange
        cdef bint done = True
        if self.what == FILE:
            exchange.push_file(self.file.fd, 0, self.file_bytes, self.last)
            return 0
        exchange.blocked = WAIT_NONE
        if exchange.complete or exchange.is_gone():
            return 0
        if self.what == EARLY_HINTS:
            # While it waited for room another task may have sent the head: then it comes too late, and is dropped.
            done = not self.body or exchange.opened or exchange.put_lines(SW_FRAME_INTERIM, 103, self.body)
        elif self.last and exchange.missing() > 0:
            exchange._too_short(exchange.missing())
            done = exchange.abort()
        elif self.last and self.body:
            if exchange.packer is not None and not exchange.finish_packed():
                return 0
            done = exchange.put_lines(SW_FRAME_TRAILERS | SW_FRAME_LAST, 0, self.body)
        elif self.last:
            exchange.push(NULL, 0, True)
            return 0
        if not done:
            exchange.blocked = WAIT_SPACE
        return 0

    cdef bint _push(self) except -1:
        """Publish the rest of the body: True when all is out, False to wait for `value`."""
        cdef AsgiExchange exchange = self.exchange
        cdef Wait asked = WAIT_NONE
        cdef Left left
        while True:
            if self.what == BODY_PIECE:
                self.sent += exchange.push(<unsigned char *>PyBytes_AS_STRING(self.body) + self.sent,
                                           PyBytes_GET_SIZE(self.body) - self.sent, self.last)
            else:
                self._push_once()
            if exchange.blocked == WAIT_NONE:
                if not exchange.complete and exchange.is_gone():
                    left = self._left()
                    if left == RAISES:
                        raise ClientDisconnected("the client is gone")
                    return left == PASSES
                return True
            if exchange.blocked == WAIT_TURN:
                exchange.turn_bytes = 0
                exchange.turn_calls = 0
                return False
            if exchange.blocked == asked:  # asked, and looked once more: now wait
                if exchange.blocked == WAIT_SPACE:
                    exchange.adapter.crowded.append(exchange)
                self.value = exchange.wait()
                exchange.turn_bytes = 0
                return False
            asked = exchange.blocked
            if exchange.blocked == WAIT_SPACE:
                exchange.adapter.outlet.want_space(exchange.reactor)
            else:
                exchange.watch()
