"""One request and its response, as frames: what ASGI and WSGI have in common.

It owns the state of the response between the app and the ring, and the promise behind it: a request that was taken
gets exactly one final frame, whatever the app does. It never waits: `push` says what it would have to wait for and
the adapter awaits or blocks.

    open --> started --> opened --> complete
       \\--------\\----------\\------^      fail(): 500, if nothing is out yet;  abort(): cut, if something is

Three ways for the body, one after the other as need be; the reactor sends frames in their order, so each piece may
take another:

 * inline, what fits one frame (RESPONSE_SMALL);
 * in a block of the slot's arena, what is larger (RESPONSE_SHM). A full arena leaves inline pieces, or a file;
 * in a file (RESPONSE_TMPFILE): one of the app's (`push_file`), or a temp file of ours, the spool. The adapter of an
   app that blocks its thread allows it (`spool_max_bytes`): then a client that is slow, or a full arena, sends the rest
   of that response to the spool, and the thread is free. When the disk fails, the response goes on as without one.

A body that is compressed (compression.pyx) goes through a packer before: in pieces of PIECE_BYTES, each of which counts
for the turn of the others, and what the app has given in one call is flushed, so that its client can read all of it.
"""

import logging
import os

cimport cython

from libc.errno cimport EAGAIN
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from swhttp.adapters.compression cimport FEED_END, FEED_FLUSH, FEED_MORE, Packer
from swhttp.adapters.outlet cimport NEED_CHANNEL, Outlet
from swhttp.adapters.spool cimport Spool
from swhttp.ipc.frame cimport (EVENT_CREDIT, RESPONSE_SHM, RESPONSE_SMALL, RESPONSE_TMPFILE, SW_BLOCK_HEAD_METHOD,
                               SW_FRAME_ABORT, SW_FRAME_CLOSE, SW_FRAME_HEAD, SW_FRAME_LAST, SW_NO_LENGTH,
                               sw_descriptor, sw_file_ref, sw_frame, sw_frame_bytes, sw_shm_ref)
from swhttp.ipc.request_table cimport sw_request_acked, sw_request_closed, sw_request_is_full
from swhttp.ipc.scoreboard cimport (SLOT_ARENA_FULL, SLOT_CREDITS, SLOT_DROPPED, SLOT_FILE_FRAMES, SLOT_SHM_FRAMES,
                                    SLOT_SPILLED_BYTES)

cdef enum:
    NO_PLACE = -1            # neither arena nor spool takes it
    SPOOL_STEP = 1048576     # bytes of one write to the spool, at most
    PIECE_BYTES = 65536      # of a body that is compressed: about a millisecond
    WHOLE_BYTES = 1048576    # up to this a body that is there at once is compressed before any of it goes out

cdef object logger = logging.getLogger("swhttp.worker")
cdef bytes ERROR_TYPE = b"text/plain; charset=utf-8"
cdef bytes ERROR_BODY = b"Internal Server Error"


cdef class Exchange:
    """A taken request. `outlet`: where its frames go. Used again for request after request."""

    def __cinit__(self, Outlet outlet, *args):
        self.outlet = outlet
        # A head must fit one frame beside a reference to a block or file.
        self.head = Head(outlet.max_payload_bytes - sizeof(sw_file_ref))
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
        self.overlong = self.short = self.expects = self.trailing = False
        self.weighed = self.coded = False
        self.spills = self.spool_max_bytes != 0
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
        self.blocked = WAIT_NONE
        if not self.opened:
            self._open_response(length, last)
        if self.packer is not None:
            return self._push_packed(data, length, last, last)
        return self._publish(data, length, last)

    @cython.final
    cdef Py_ssize_t _publish(self, const unsigned char *data, Py_ssize_t length, bint last) except -1:
        """As `push`, of bytes as they go out; the framing is known, and `blocked` is WAIT_NONE."""
        cdef Py_ssize_t done = 0, end = length, step, room
        cdef bint final, inline_only = False
        if self.bodiless:
            done = length
        else:
            end = <Py_ssize_t>self._within(self.remaining, length, last)
        while not self.complete:
            step = end - done
            room = <Py_ssize_t>(self.outlet.max_payload_bytes - (0 if self.opened else self.head.length))
            if (step > room or (self.spool is not None and step > 0)) and not inline_only:
                step = self._put_apart(data + done, step, last)
                if step > 0:
                    done += step
                    continue
                if step != NO_PLACE:
                    if self.blocked == WAIT_NONE:  # the client is gone
                        break
                    return done
                inline_only = True
                continue
            if step > room:
                step = room
            final = done + step == end and (last or (self.measured and self.remaining == step))
            if not final:
                if step == 0 and self.opened:
                    break
                if self.is_gone():
                    break
                if self.turn_bytes >= self.turn_limit:
                    self.blocked = WAIT_TURN
                    return done
                if self._is_slow():
                    if self.spills and sw_request_is_full(self.request) and self._begin_spool():
                        continue
                    self.blocked = WAIT_ACK
                    return done
            if not self._put(RESPONSE_SMALL, self._flags(final), data + done, <uint32_t>step, <uint32_t>step):
                self.blocked = WAIT_SPACE
                return done
            done += step
            self._given(step)
        return length

    cdef bint push_file(self, int fd, uint64_t offset, uint64_t length, bint last) except -1:
        """Publish a part of a regular file as body, which `last` says is all or the rest of it.

        False: nothing was done, wait for what `blocked` says and repeat. What goes past the announced length stays
        here. The fd stays the caller's. Raises OSError when the file cannot be passed on; nothing was done then.
        """
        cdef bint final
        self.blocked = WAIT_NONE
        if not self.opened:
            self.weighed = True  # the reactor sends it: it stays as it is
            self._open_response(<int64_t>length, last)
        if self.packer is not None:  # it comes after pieces that are compressed
            return self._push_file_packed(fd, offset, length, last)
        if not self.bodiless and self.remaining != SW_NO_LENGTH:
            # More of a file than was announced is no mistake: so apps send a part of one.
            length = <uint64_t>self._within(self.remaining, min(<int64_t>length, self.remaining), last)
        if self.bodiless or length == 0:
            self.push(NULL, 0, last)
            return self.blocked == WAIT_NONE
        if self.complete or self.is_gone():
            return True
        final = last or (self.measured and <uint64_t>self.remaining == length)
        if self._put_file(self._flags(final), fd, offset, length, True) == 0:
            self.blocked = WAIT_SPACE
            return False
        self._given(length)
        return True

    cdef int64_t _within(self, int64_t promised, int64_t length, bint last):
        """How many of the next `length` bytes of body the announced length has room for. `promised`: what is left of
        it, or SW_NO_LENGTH. That a response is too long, or has come to its end too soon, is said once."""
        if promised == SW_NO_LENGTH:
            return length
        if length > promised:
            if not self.overlong:
                self.overlong = True
                logger.error("the app's response is longer than its Content-Length: cut there")
            return promised
        if last and length < promised:
            self._too_short(promised - length)
        return length

    cdef void _too_short(self, int64_t missing):
        if not self.short:
            self.short = True
            logger.error("the app's response is %d bytes shorter than its Content-Length: connection cut", missing)

    cdef int _open_response(self, int64_t length, bint last) except -1:
        """The first body bytes are here: now the framing is known."""
        cdef int status = self.head.status
        self.bodiless = self.is_head or status == 204 or status == 304
        if self.compression is not None and not self.weighed:
            self._weigh(length, last)
        if last and self.head.content_length == SW_NO_LENGTH and not self.coded and (
                not self.bodiless or (self.is_head and length and status != 204 and status != 304)):
            self.head.announce(length)
        self.remaining = SW_NO_LENGTH if self.bodiless else self.head.content_length
        self.measured = not self.trailing
        return 0

    cdef bint _is_slow(self) noexcept:
        """Is the response as far ahead of its client as it may be?"""
        return self.body_bytes - sw_request_acked(self.request) > self.outlet.high_water_bytes

    @cython.final
    cdef uint8_t _flags(self, bint final) noexcept:
        if not final:
            return 0
        return SW_FRAME_LAST | SW_FRAME_ABORT if self.short else SW_FRAME_LAST

    @cython.final
    cdef void _given(self, uint64_t step) noexcept:
        """So many body bytes are published."""
        self.turn_bytes += step
        self.body_bytes += step
        if self.remaining != SW_NO_LENGTH:
            self.remaining -= <int64_t>step

    # ---- bodies that are compressed

    cdef int _weigh(self, int64_t length, bint last) except -1:
        """Decide, once, whether the response is compressed, before its head goes out. `length`, `last`: of its first
        piece."""
        cdef int64_t promised = self.head.content_length, known
        cdef int status = self.head.status
        cdef str coding
        self.weighed = True
        if status == 304:
            return self.compression.weigh_revalidation(self.head, self.block)
        if status == 204 or status == 205:
            return 0
        if status == 206:
            self.compression.weigh(self.head, self.block, SW_NO_LENGTH, True)
            return 0
        if promised != SW_NO_LENGTH:
            known = promised
            if last and length < promised and not self.is_head:  # to be cut, which has to show
                return 0
        else:
            known = length if last and not (self.is_head and length == 0) else SW_NO_LENGTH
        coding = self.compression.weigh(self.head, self.block, known, False)
        if coding is None:
            return 0
        self.coded = True
        if not self.is_head:
            self.packer = self.compression.pack(coding, known)
            self.packer.promised = promised
            self.packer.whole = not self.trailing and known != SW_NO_LENGTH and known <= min(length, WHOLE_BYTES)
        return 0

    cdef Py_ssize_t _push_packed(self, const unsigned char *data, Py_ssize_t length, bint last, bint ends) except -1:
        """As `push`, through the packer. `ends`: the body ends with these bytes, if not the response."""
        cdef Packer packer = self.packer
        cdef Py_ssize_t done = 0, end = length, step, put
        if packer.promised != SW_NO_LENGTH:
            end = <Py_ssize_t>self._within(packer.promised, length, last)
            if self.measured and end == packer.promised:
                ends = True
        while not self.complete:
            if packer.waiting() and (packer.ended or not packer.whole):
                if packer.ended and not self.opened and packer.whole:
                    self.head.announce(packer.waiting())
                    self.remaining = packer.waiting()
                put = self._publish(<unsigned char *>PyByteArray_AS_STRING(packer.out) + packer.out_at,
                                    packer.waiting(), packer.ended and not self.trailing)
                packer.taken(put)
                if self.blocked != WAIT_NONE:
                    return done
                continue
            if packer.ended or (done == end and not ends):
                if packer.ended and not self.trailing:
                    self._publish(NULL, 0, True)
                elif not self.opened:  # the app lets its head go before it has a body
                    self._publish(NULL, 0, False)
                if self.blocked != WAIT_NONE:
                    return done
                break
            if self.is_gone():
                break
            if self.turn_bytes >= self.turn_limit:
                self.blocked = WAIT_TURN
                return done
            step = min(end - done, PIECE_BYTES)
            if done + step < end:
                packer.feed(data + done, step, FEED_MORE)
            elif ends and not self.short:
                packer.feed(data + done, step, FEED_END)
            else:
                packer.feed(data + done, step, FEED_FLUSH)
                packer.ended = ends
            done += step
            self.turn_bytes += step
            if packer.promised != SW_NO_LENGTH:
                packer.promised -= step
        return length

    cdef bint _push_file_packed(self, int fd, uint64_t offset, uint64_t length, bint last) except -1:
        """As `push_file`, of the end of a body whose beginning is compressed."""
        cdef Packer packer = self.packer
        cdef uint64_t left
        cdef bytes piece
        cdef bint ends
        while not self.complete and not self.is_gone():
            left = length - packer.file_bytes
            piece = os.pread(fd, min(<uint64_t>PIECE_BYTES, left), offset + packer.file_bytes)
            if left and not piece:
                raise OSError("a file has become shorter")
            ends = <uint64_t>PyBytes_GET_SIZE(piece) == left
            packer.file_bytes += self._push_packed(
                <const unsigned char *>PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece), last and ends, ends)
            if self.blocked != WAIT_NONE:
                return False
            if ends:
                break
        return True

    cdef bint finish_packed(self) except -1:
        """The body has ended, trailers follow. False: wait for what `blocked` says and repeat."""
        self._push_packed(NULL, 0, False, True)
        return self.blocked == WAIT_NONE

    cdef int unpack(self) except -1:
        """The packer is needed no more."""
        self.packer.release()
        self.packer = None
        return 0

    cdef int64_t missing(self) noexcept:
        """Body bytes announced and not yet given, or SW_NO_LENGTH."""
        return self.remaining if self.packer is None else self.packer.promised

    # ---- bodies outside the ring

    cdef Py_ssize_t _put_apart(self, const unsigned char *data, Py_ssize_t rest, bint last) except -2:
        """Put what is too large for one frame, or follows what is in the spool, into one block or into the spool.

        Returns how many bytes. 0: none now, `blocked` says why, or the client is gone. NO_PLACE: inline, then.
        """
        cdef uint64_t ahead
        cdef Py_ssize_t put
        if self.is_gone():
            return 0
        if self.turn_bytes >= self.turn_limit:
            self.blocked = WAIT_TURN
            return 0
        ahead = self.body_bytes - sw_request_acked(self.request)
        if self.spool is None:
            if ahead > self.outlet.high_water_bytes:
                if not (self.spills and sw_request_is_full(self.request) and self._begin_spool()):
                    self.blocked = WAIT_ACK
                    return 0
            else:
                put = self._put_block(data, rest, last)
                if put != NO_PLACE:
                    return put
                self.outlet.line[SLOT_ARENA_FULL] += 1
                if not self.spills or not self._begin_spool():
                    return NO_PLACE
        return self._put_spooled(data, rest, last, ahead)

    cdef Py_ssize_t _put_block(self, const unsigned char *data, Py_ssize_t rest, bint last) noexcept:
        """Into one block of the arena, as `_put_apart`. Ring room first: a full ring must not lose a block."""
        cdef uint64_t size = self._frame_bytes(sizeof(sw_shm_ref))
        cdef sw_shm_ref reference
        cdef uint32_t room
        cdef unsigned char *at
        if self.outlet.reserve(self.reactor, size) == NULL:
            self.need = size
            self.blocked = WAIT_SPACE
            return 0
        at = self.outlet.shm_take(rest, &room, &reference.block)
        if at == NULL:
            return NO_PLACE
        reference.zero = 0
        if rest < <Py_ssize_t>room:
            room = <uint32_t>rest
        memcpy(at, data, room)
        self.outlet.line[SLOT_SHM_FRAMES] += 1  # before the frame is out: who has seen that may look here
        self._put(RESPONSE_SHM,
                  self._flags(room == rest and (last or (self.measured and self.remaining == rest))),
                  &reference, sizeof(reference), room)
        self._given(room)
        return room

    cdef Py_ssize_t _put_spooled(self, const unsigned char *data, Py_ssize_t rest, bint last,
                                 uint64_t ahead) except -2:
        """Into the spool, as `_put_apart`. `ahead`: bytes that the client has not taken."""
        cdef uint64_t step
        cdef int put
        if ahead >= self.spool_max_bytes:
            self.blocked = WAIT_ACK
            return 0
        step = min(<uint64_t>rest, <uint64_t>SPOOL_STEP, self.spool_max_bytes - ahead)
        # Before the work of writing. It holds for no longer than the GIL is ours: `_put_file` asks again.
        if self.outlet.reserve(self.reactor, self._frame_bytes(sizeof(sw_file_ref))) == NULL:
            self.need = self._frame_bytes(sizeof(sw_file_ref))
            self.blocked = WAIT_SPACE
            return 0
        try:
            if self.spool.offset >= self.spool_max_bytes:
                # What was sent from it cannot be written over: the socket may still refer to its pages. So a new one,
                # and the old one goes when the reactor is through with it.
                self.spool = Spool(self.spool_dir)
            step = self.spool.write(data, step)
            put = self._put_file(
                self._flags(step == <uint64_t>rest and (last or (self.measured and self.remaining == rest))),
                self.spool.fd, self.spool.offset, step, not self.spool.passed)
        except OSError as error:
            self._spool_failed(error)
            return NO_PLACE
        if put == 0:  # what was written will be written again: only what is published moves the offset
            self.blocked = WAIT_SPACE
            return 0
        self.spool.passed = True
        self.spool.offset += step
        self.outlet.line[SLOT_SPILLED_BYTES] += step
        self._given(step)
        return <Py_ssize_t>step

    cdef bint _begin_spool(self) except -1:
        try:
            self.spool = Spool(self.spool_dir)
        except OSError as error:
            self._spool_failed(error)
            return False
        return True

    cdef int _spool_failed(self, error) except -1:
        """Nothing is lost: what comes from here on waits for its client."""
        self.spool = None
        self.spills = False
        logger.warning("reason=spool-failed directory=%s: %s; this response waits for its client", self.spool_dir,
                       os.strerror(error.errno) if error.errno else error)
        return 0

    cdef int _put_file(self, uint8_t flags, int fd, uint64_t offset, uint64_t length, bint passed) except -1:
        """Publish a frame that refers to a file. `passed`: pass it to the reactor before. 0: no room now."""
        cdef uint64_t size = self._frame_bytes(sizeof(sw_file_ref))
        cdef sw_file_ref reference
        cdef int error
        if self.outlet.reserve(self.reactor, size) == NULL:
            self.need = size
            return 0
        if passed:
            error = self.outlet.pass_file(self.reactor, fd, self.request_id)
            if error == EAGAIN:
                self.need = size | NEED_CHANNEL
                return 0
            if error != 0:
                raise OSError(error, f"a file cannot be passed on: {os.strerror(error)}")
        reference.offset, reference.length, reference.passed, reference.zero = offset, length, passed, 0
        self.outlet.line[SLOT_FILE_FRAMES] += 1
        self._put(RESPONSE_TMPFILE, flags, &reference, sizeof(reference), 0)
        return 1

    # ---- frames

    cdef uint64_t _frame_bytes(self, uint32_t inline_len) noexcept:
        return sw_frame_bytes(0 if self.opened else self.head.length, inline_len)

    cdef bint _put(self, uint8_t type, uint8_t flags, const void *payload, uint32_t payload_len,
                   uint32_t body_len) noexcept:
        """Write and publish one frame: the head in the first. False while there is no room.

        `payload`: what follows the head in the ring, the body itself or a reference to it.
        """
        cdef uint32_t head_len = 0 if self.opened else <uint32_t>self.head.length
        cdef uint64_t size = sw_frame_bytes(head_len, payload_len)
        cdef unsigned char *at = self.outlet.reserve(self.reactor, size)
        cdef sw_frame *frame = <sw_frame *>at
        if at == NULL:
            self.need = size
            return False
        frame.size = <uint32_t>size
        frame.type = type
        frame.status = 0
        frame.request_id = self.request_id
        frame.content_length = SW_NO_LENGTH
        frame.head_len = head_len
        frame.body_len = body_len
        if head_len:
            flags |= SW_FRAME_HEAD | self.head.flags
            if self.expects:  # nobody knows whether the body will come
                flags |= SW_FRAME_CLOSE
            frame.status = <unsigned short>self.head.status
            frame.content_length = self.head.content_length
            memcpy(at + sizeof(sw_frame), self.head.data, head_len)
            self.opened = True
        frame.flags = flags
        if payload_len:
            memcpy(at + sizeof(sw_frame) + head_len, payload, payload_len)
        if flags & SW_FRAME_LAST:
            self.complete = True
        self.outlet.publish(self.reactor, size, self.complete)
        return True

    cdef bint put(self, uint8_t type, uint8_t flags, uint16_t status, int64_t length, const void *payload,
                  uint32_t payload_len, uint32_t head_len, uint32_t body_len) noexcept:
        """Write and publish a frame that has nothing of the head: fields of sw_frame, and what follows it. False while
        there is no room."""
        cdef uint64_t size = sw_frame_bytes(0, payload_len)
        cdef unsigned char *at = self.outlet.reserve(self.reactor, size)
        cdef sw_frame *frame = <sw_frame *>at
        if at == NULL:
            self.need = size
            return False
        frame.size = <uint32_t>size
        frame.type = type
        frame.flags = flags
        frame.status = status
        frame.request_id = self.request_id
        frame.content_length = length
        frame.head_len = head_len
        frame.body_len = body_len
        if payload_len:
            memcpy(at + sizeof(sw_frame), payload, payload_len)
        if flags & SW_FRAME_LAST:
            self.complete = True
        self.outlet.publish(self.reactor, size, self.complete)
        return True

    cdef bint put_lines(self, uint8_t flags, uint16_t status, bytes lines) noexcept:
        """Publish lines that are not the head's: of an interim response, or trailers. False while there is no room."""
        cdef uint32_t length = <uint32_t>PyBytes_GET_SIZE(lines)
        return self.put(RESPONSE_SMALL, flags, status, SW_NO_LENGTH, <const char *>PyBytes_AS_STRING(lines), length,
                        length, 0)

    cdef bint put_credit(self, uint64_t total_bytes) noexcept:
        """Let the reactor post the request body up to `total_bytes` of it. False while there is no room."""
        if not self.put(EVENT_CREDIT, 0, 0, <int64_t>total_bytes, NULL, 0, 0, 0):
            return False
        self.outlet.line[SLOT_CREDITS] += 1
        return True

    # ---- ends

    cdef bint fail(self) noexcept:
        """The app failed: 500 when nothing is out yet, else cut. False while there is no room: call again."""
        cdef uint32_t length = 0 if self.is_head else <uint32_t>len(ERROR_BODY)
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
        return self._put(RESPONSE_SMALL, SW_FRAME_LAST, <const char *>ERROR_BODY, length, length)

    cdef bint abort(self) noexcept:
        """End without a whole response. False while there is no room: call again."""
        if self.complete:
            return True
        self.opened = True  # no head any more
        return self._put(RESPONSE_SMALL, SW_FRAME_LAST | SW_FRAME_ABORT, NULL, 0, 0)
