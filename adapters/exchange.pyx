"""One request and its response, as frames: what ASGI and WSGI have in common.

It owns the state of the response between the app and the ring, and the promise behind it: a request that was taken
gets exactly one final frame, whatever the app does. It never waits: `push` says what it would have to wait for and
the adapter awaits or blocks.

    open --> started --> opened --> complete
       \\--------\\----------\\------^      fail(): 500, if nothing is out yet;  abort(): cut, if something is
"""

import logging

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from swhttp.adapters.outlet cimport Outlet
from swhttp.ipc.frame cimport (RESPONSE_SMALL, SW_BLOCK_HEAD_METHOD, SW_FRAME_ABORT, SW_FRAME_HEAD, SW_FRAME_LAST,
                               SW_NO_LENGTH, sw_descriptor, sw_frame, sw_frame_bytes)
from swhttp.ipc.request_table cimport sw_request_acked, sw_request_closed
from swhttp.ipc.scoreboard cimport SLOT_DROPPED

cdef object logger = logging.getLogger("swhttp.worker")
cdef bytes ERROR_TYPE = b"text/plain; charset=utf-8"
cdef bytes ERROR_BODY = b"Internal Server Error"


cdef class Exchange:
    """A taken request. `outlet`: where its frames go. Used again for request after request."""

    def __cinit__(self, Outlet outlet, *args):
        self.outlet = outlet
        self.head = Head(outlet.max_payload_bytes)
        self.turn_limit = ~<uint64_t>0

    cdef void open(self, int reactor, const sw_descriptor *descriptor) noexcept:
        """Begin with a request that has just been taken."""
        self.reactor = reactor
        self.request_id = descriptor.request_id
        self.request = self.outlet.entry(reactor, descriptor.request_id)
        self.block = self.outlet.block(reactor, descriptor)
        self.is_head = (self.block.flags & SW_BLOCK_HEAD_METHOD) != 0
        self.blocked = WAIT_NONE
        self.started = self.opened = self.complete = self.gone = False
        self.overlong = self.short = False
        self.body_bytes = self.turn_bytes = 0

    cdef bint is_gone(self) noexcept:
        """Is the client gone? Counted once. After the final frame the request's row is another's: not looked at."""
        if not self.gone and not self.complete and sw_request_closed(self.request):
            self.gone = True
            self.outlet.line[SLOT_DROPPED] += 1
        return self.gone

    cdef Py_ssize_t push(self, const unsigned char *data, Py_ssize_t length, bint last) except -1:
        """Publish body bytes, the head before them and the end after them, as far as there is room.

        Returns how many bytes are done with; when that is not the end of it, `blocked` says what to wait for before
        the call is repeated with the rest. `complete` is set when the final frame is out, which is with the last
        byte announced at the latest. When the client is gone the bytes are dropped. Raises InvalidResponse for a
        head that cannot be.
        """
        cdef Py_ssize_t done = 0, end = length, step, room
        cdef uint8_t flags
        cdef bint final
        self.blocked = WAIT_NONE
        if not self.opened:
            self._open_response(length, last)
        if self.bodiless:
            done = end = length
        elif self.remaining != SW_NO_LENGTH:
            if length > self.remaining:
                end = <Py_ssize_t>self.remaining
                if not self.overlong:
                    self.overlong = True
                    logger.error("the app's response is longer than its Content-Length: cut there")
            elif last and length < self.remaining and not self.short:
                self.short = True
                logger.error("the app's response is %d bytes shorter than its Content-Length: connection cut",
                             self.remaining - length)
        while not self.complete:
            step = end - done
            room = <Py_ssize_t>(self.outlet.max_payload_bytes - (0 if self.opened else self.head.length))
            if step > room:
                step = room
            final = done + step == end and (last or (self.remaining == step and not self.bodiless))
            if not final:
                if step == 0 and self.opened:
                    break
                if self.is_gone():
                    break
                if self.turn_bytes >= self.turn_limit:
                    self.blocked = WAIT_TURN
                    return done
                if self.body_bytes - sw_request_acked(self.request) > self.outlet.high_water_bytes:
                    self.blocked = WAIT_ACK
                    return done
            flags = 0
            if final:
                flags = SW_FRAME_LAST | SW_FRAME_ABORT if self.short else SW_FRAME_LAST
            if not self._put(flags, data + done, step):
                self.blocked = WAIT_SPACE
                return done
            done += step
            self.turn_bytes += step
            if self.remaining != SW_NO_LENGTH:
                self.remaining -= step
        return length

    cdef int _open_response(self, Py_ssize_t length, bint last) except -1:
        """The first body bytes are here: now the framing is known."""
        cdef int status = self.head.status
        self.bodiless = self.is_head or status == 204 or status == 304
        if last and self.head.content_length == SW_NO_LENGTH and (
                not self.bodiless or (self.is_head and length and status != 204 and status != 304)):
            self.head.announce(length)
        self.remaining = SW_NO_LENGTH if self.bodiless else self.head.content_length
        return 0

    cdef bint _put(self, uint8_t flags, const unsigned char *body, Py_ssize_t body_len) noexcept:
        """Write and publish one frame: the head in the first. False while there is no room."""
        cdef uint32_t head_len = 0 if self.opened else <uint32_t>self.head.length
        cdef uint64_t size = sw_frame_bytes(head_len, body_len)
        cdef unsigned char *at = self.outlet.reserve(self.reactor, size)
        cdef sw_frame *frame = <sw_frame *>at
        if at == NULL:
            self.need = size
            return False
        frame.size = <uint32_t>size
        frame.type = RESPONSE_SMALL
        frame.status = 0
        frame.request_id = self.request_id
        frame.content_length = SW_NO_LENGTH
        frame.head_len = head_len
        frame.body_len = <uint32_t>body_len
        if head_len:
            flags |= SW_FRAME_HEAD | self.head.flags
            frame.status = <unsigned short>self.head.status
            frame.content_length = self.head.content_length
            memcpy(at + sizeof(sw_frame), self.head.data, head_len)
            self.opened = True
        frame.flags = flags
        if body_len:
            memcpy(at + sizeof(sw_frame) + head_len, body, body_len)
            self.body_bytes += body_len
        if flags & SW_FRAME_LAST:
            self.complete = True
        self.outlet.publish(self.reactor, size, self.complete)
        return True

    cdef bint fail(self) noexcept:
        """The app failed: 500 when nothing is out yet, else cut. False while there is no room: call again."""
        if self.complete:
            return True
        if self.opened or self.is_gone():
            return self.abort()
        try:
            self.head.begin(500)
            self.head.add(b"content-type", 12, ERROR_TYPE, len(ERROR_TYPE))
            self.head.announce(len(ERROR_BODY))
        except Exception:
            return self.abort()
        return self._put(SW_FRAME_LAST, ERROR_BODY, 0 if self.is_head else len(ERROR_BODY))

    cdef bint abort(self) noexcept:
        """End without a whole response. False while there is no room: call again."""
        if self.complete:
            return True
        self.opened = True  # no head any more
        return self._put(SW_FRAME_LAST | SW_FRAME_ABORT, NULL, 0)
