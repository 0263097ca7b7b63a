"""A response head while it is written: status line and field lines, checked as they come.

It owns one buffer, used again for every response of its exchange. What comes from the app goes on the wire only
after the checks here; what is the reactor's business (Connection, Transfer-Encoding and their kin) is left out.

    field-line   = field-name ":" OWS field-value OWS          (RFC 9112 §5)
    field-name   = token
    status-line  = HTTP-version SP status-code SP [ reason-phrase ]
"""

from http import HTTPStatus

from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from swhttp.adapters.octets cimport sw_equals_lower, sw_is_field_value, sw_is_token, sw_parse_length
from swhttp.ipc.frame cimport SW_FRAME_CLOSE, SW_FRAME_HAS_DATE, SW_FRAME_HAS_SERVER, SW_NO_LENGTH

from swhttp.adapters.errors import InvalidResponse

cdef enum:
    FIRST_STATUS = 200  # interim responses are the reactor's
    LAST_STATUS = 999
    USUAL_BYTES = 1024
    VERSION_BYTES = 9   # "HTTP/1.1 "


cdef tuple _status_lines():
    reasons = {int(status): status.phrase for status in HTTPStatus}
    return tuple([b"HTTP/1.1 %d %s\r\n" % (code, reasons.get(code, "").encode())
                  for code in range(FIRST_STATUS, LAST_STATUS + 1)])

cdef tuple STATUS_LINES = _status_lines()


cdef class Head:
    """The head of one response.

    `limit`: bytes it may take, because it must fit in one frame. `content_length` is what it announces, or
    SW_NO_LENGTH; `flags` are SW_FRAME_ flags that the app's fields stand for. Errors are InvalidResponse.
    """

    def __cinit__(self, size_t limit):
        self.limit = limit
        self._room(USUAL_BYTES if USUAL_BYTES < limit else limit)

    def __dealloc__(self):
        free(self.data)

    cdef int _room(self, size_t more) except -1:
        cdef size_t capacity = self.capacity or more
        cdef void *data
        if self.length + more <= self.capacity:
            return 0
        if self.length + more > self.limit:
            raise InvalidResponse(f"response-head-too-large: more than {self.limit} bytes")
        while capacity < self.length + more:
            capacity *= 2
        data = realloc(self.data, capacity)
        if data == NULL:
            raise MemoryError
        self.data = <unsigned char *>data
        self.capacity = capacity
        return 0

    cdef int _clear(self, int status) except -1:
        if not FIRST_STATUS <= status <= LAST_STATUS:
            raise InvalidResponse(f"status {status} is not one of a final response")
        self.length = 0
        self.status = status
        self.flags = 0
        self.content_length = SW_NO_LENGTH
        return 0

    cdef int begin(self, int status) except -1:
        """Start with a status code and its registered reason phrase."""
        cdef bytes line
        self._clear(status)
        line = <bytes>STATUS_LINES[status - FIRST_STATUS]
        self.length = PyBytes_GET_SIZE(line)
        memcpy(self.data, PyBytes_AS_STRING(line), self.length)
        return 0

    cdef int begin_text(self, const unsigned char *text, size_t length) except -1:
        """Start with a status as PEP 3333 has it, such as "200 OK"."""
        if (length < 3 or (length > 3 and text[3] != 32) or sw_parse_length(text, 3) < 0
                or not sw_is_field_value(text, length)):
            raise InvalidResponse(f"bad status {text[:length]!r}")
        self._clear(<int>sw_parse_length(text, 3))
        self._room(VERSION_BYTES + length + 3)
        memcpy(self.data, b"HTTP/1.1 ", VERSION_BYTES)
        memcpy(self.data + VERSION_BYTES, text, length)
        self.length = VERSION_BYTES + length
        if length == 3:  # the space stays when there is no reason phrase
            self.data[self.length] = 32
            self.length += 1
        self.data[self.length] = 13
        self.data[self.length + 1] = 10
        self.length += 2
        return 0

    cdef int add(self, const unsigned char *name, size_t name_len,
                 const unsigned char *value, size_t value_len) except -1:
        """Add one field line, or take note of what it says."""
        cdef unsigned char *at
        cdef int64_t announced
        if not sw_is_token(name, name_len):
            raise InvalidResponse(f"bad header name {name[:name_len]!r}")
        if not sw_is_field_value(value, value_len):
            raise InvalidResponse(f"bad value of header {name[:name_len]!r}: {value[:value_len]!r}")
        if name_len == 14 and sw_equals_lower(name, b"content-length", 14):
            announced = sw_parse_length(value, value_len)
            if announced < 0 or (self.content_length != SW_NO_LENGTH and self.content_length != announced):
                raise InvalidResponse(f"bad content-length {value[:value_len]!r}")
            if self.content_length == announced or self.status == 204:  # RFC 9110 §8.6
                return 0
            self.content_length = announced
        elif self._is_ours(name, name_len, value, value_len):
            return 0
        self._room(name_len + value_len + 4)
        at = self.data + self.length
        memcpy(at, name, name_len)
        at += name_len
        at[0] = 58
        at[1] = 32
        memcpy(at + 2, value, value_len)
        at += 2 + value_len
        at[0] = 13
        at[1] = 10
        self.length += name_len + value_len + 4
        return 0

    cdef bint _is_ours(self, const unsigned char *name, size_t name_len,
                       const unsigned char *value, size_t value_len) noexcept:
        """Fields that speak of the connection are the reactor's: they are left out, `close` is passed on as a flag."""
        if name_len == 4:
            if sw_equals_lower(name, b"date", 4):
                self.flags |= SW_FRAME_HAS_DATE
        elif name_len == 6:
            if sw_equals_lower(name, b"server", 6):
                self.flags |= SW_FRAME_HAS_SERVER
        elif name_len == 7:
            return sw_equals_lower(name, b"upgrade", 7)
        elif name_len == 10:
            if sw_equals_lower(name, b"connection", 10):
                if value_len == 5 and sw_equals_lower(value, b"close", 5):
                    self.flags |= SW_FRAME_CLOSE
                return True
            return sw_equals_lower(name, b"keep-alive", 10)
        elif name_len == 17 and sw_equals_lower(name, b"transfer-encoding", 17):
            return True
        return name_len > 6 and (name[0] | 32) == 112 and sw_equals_lower(name, b"proxy-", 6)

    cdef int announce(self, int64_t content_length) except -1:
        """Add our own Content-Length: the whole body is known."""
        cdef unsigned char digits[24]
        cdef int at = 24
        cdef uint64_t rest = <uint64_t>content_length
        while True:
            at -= 1
            digits[at] = <unsigned char>(48 + rest % 10)
            rest //= 10
            if rest == 0:
                break
        return self.add(b"content-length", 14, digits + at, 24 - at)
