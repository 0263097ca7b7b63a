"""What an ASGI app calls of a WebSocket: receive() and send().

It owns what the messages of the ASGI spec mean, and who waits: for a message, for room, for the client. What they do is
the WebSocket's.
"""

from libc.stdint cimport uint16_t, uint32_t, uint64_t

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem
from cpython.ref cimport PyObject

from swhttp.adapters.asgi cimport PASSES, RAISES, Left, SendCall
from swhttp.adapters.bell cimport NO_FUTURE, Bell
from swhttp.adapters.exchange cimport WAIT_NONE, WAIT_SPACE, WAIT_TURN, Wait
from swhttp.adapters.lines cimport accept_lines, octets
from swhttp.adapters.websocket cimport CLOSING, HANDSHAKE, OPEN, REFUSED, Message, WebSocket
from swhttp.ipc.frame cimport EVENT_WS_CLOSE, EVENT_WS_OPEN, SW_NO_LENGTH
from swhttp.ipc.rfc6455 cimport (SW_CLOSE_NORMAL, SW_CLOSE_NO_CODE, SW_WS_BINARY, SW_WS_REASON_BYTES, SW_WS_TEXT,
                                 sw_close_code_is_sendable)

from swhttp.adapters.errors import ClientDisconnected, InvalidResponse

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL


cdef str TYPE = "type"
cdef str TEXT = "text"
cdef str BYTES = "bytes"
cdef str CONNECT = "websocket.connect"
cdef str ACCEPT_MESSAGE = "websocket.accept"
cdef str SEND_MESSAGE = "websocket.send"
cdef str CLOSE_MESSAGE = "websocket.close"
cdef str RESPONSE_START = "websocket.http.response.start"
cdef str RESPONSE_BODY = "websocket.http.response.body"


cdef class Receive:
    """What the app gets as `receive`: half as large as a bound method."""

    def __call__(self):
        """The next event: websocket.connect, each message, then websocket.disconnect."""
        cdef Receiving call = Receiving.__new__(Receiving)
        call.socket = self.socket
        return call


cdef class Send:
    """What the app gets as `send`."""

    def __call__(self, message):
        """Take a websocket message. Raises InvalidResponse, ClientDisconnected, RuntimeError."""
        cdef Sending call = Sending.__new__(Sending)
        call.socket = self.socket
        call.message = message
        return call


cdef class Receiving(Bell):
    """One receive()."""

    cdef int drop(self) except -1:
        self._stop_waiting()
        self.socket = None
        return 0

    cdef int _stop_waiting(self) except -1:
        if self.blocking != NO_FUTURE:
            self.resumed()
            self.socket.forget_bell(self)
        return 0

    cdef bint advance(self) except -1:
        cdef WebSocket socket = self.socket
        self._stop_waiting()
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
            if socket.wait_for_message(self):
                return self.suspend()

    def get_loop(self):
        return self.socket.adapter.loop


cdef class Sending(Message):
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
            raise RuntimeError("websocket.close was sent after websocket.close")
        self.status = SW_CLOSE_NORMAL
        self.verb = CLOSE
        if socket.phase != OPEN or socket.is_gone():
            return 0
        if code is not None:
            if not isinstance(code, int) or not _can_be_sent(code):
                raise InvalidResponse(f"close code {code!r} is not one that can be sent")
            self.status = 0 if code == SW_CLOSE_NO_CODE else <uint16_t>code
        if reason:
            if not isinstance(reason, str):
                raise InvalidResponse(f"expected a str as reason, not {reason!r:.100}")
            self.data = reason
            self.at = _utf8(reason, &self.length)
            if self.length > SW_WS_REASON_BYTES:
                raise InvalidResponse(f"a close reason has at most {SW_WS_REASON_BYTES} bytes")
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
        """The client is gone. True: this message is dropped; False: the others get a turn; or ClientDisconnected, at
        once in a task that has been told."""
        cdef WebSocket socket = self.socket
        cdef Left left = RAISES if socket.is_known() else socket.when_left(&self.passes, &self.leaving_turns)
        if left == RAISES:
            raise ClientDisconnected("the WebSocket is closed")
        self.value = None
        return left == PASSES


cdef const unsigned char *_utf8(object text, Py_ssize_t *length) except NULL:
    """As UTF-8, which the object keeps; of ASCII it is no copy."""
    try:
        return <const unsigned char *>PyUnicode_AsUTF8AndSize(text, length)
    except UnicodeEncodeError:
        raise InvalidResponse("the text of a WebSocket cannot have surrogates") from None


cdef bint _can_be_sent(object code):
    """RFC 6455 §7.4.1, §7.4.2, and what the registry has since. SW_CLOSE_NO_CODE: a close without a code."""
    return 0 <= code <= 0xffff and (code == SW_CLOSE_NO_CODE or sw_close_code_is_sendable(code))
