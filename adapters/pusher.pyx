"""What a worker sends beside responses: frames about WebSockets, from any of its threads.

It owns the way of such a frame into the ring, in order for each reactor, and who waits for room there. It never touches
a ring except through its outlet, and does not know what the frames mean. Contract: with the GIL, as the outlet.

A frame goes inline, or its body in a block of the arena; when all blocks are in use, inline as far as the ring can take
it at all. Past that it has to be tried again by and by: nobody says when a block is given back.

Where there is no room:

 * a thread of a WSGI worker waits, in the outlet;
 * the thread of an event loop must not: what it sends waits here, up to PUSH_BACKLOG_BYTES, past which it is told so
   (BufferError), unless it awaits room (`asend`). Other threads of that worker wait past the same bound.

Whether a session's client is slow, and who pushes is to wait then (SW_WS_BLOCK), is a word in the session table, which
the reactor writes. EVENT_BUFFER_EMPTY only wakes those who wait.
"""

import asyncio
import collections
import threading
import time

cimport cython

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from swhttp.adapters.outlet cimport PUSHES, Outlet
from swhttp.ipc.frame cimport (EVENT_WS_SESSION, SW_FRAME_LAST, sw_frame, sw_frame_bytes, sw_shm_ref,
                               sw_ws_session_generation, sw_ws_session_reactor, sw_ws_session_row)
from swhttp.ipc.scoreboard cimport SLOT_ARENA_FULL, SLOT_SHM_FRAMES
from swhttp.ipc.sessions cimport SW_SESSION_BLOCKS, SW_SESSION_SLOW

from swhttp import limits

cdef extern from "pythread.h":
    unsigned long PyThread_get_thread_ident()

cdef Py_ssize_t BACKLOG_BYTES = limits.PUSH_BACKLOG_BYTES
cdef Py_ssize_t COST_BYTES = limits.PUSH_COST_BYTES
cdef double AGAIN_S = limits.PUSH_AGAIN_S

cdef enum:
    TURN_CALLS = 16  # of asend(), before the others get their turn


@cython.freelist(64)
cdef class Frame:
    """One of them, as frame.h has it. `type`: that of the inline form; the other one is the next number."""

    cdef Py_ssize_t cost(self) noexcept:
        """What it counts for while it waits."""
        return COST_BYTES + PyBytes_GET_SIZE(self.head) + PyBytes_GET_SIZE(self.body)


cdef class Pusher:
    """`outlet`: where frames go; `reactors`: how many there are."""

    def __init__(self, Outlet outlet, int reactors, *_):
        self.outlet = outlet
        self.reactors = reactors

    cdef Put put(self, Frame frame) noexcept:
        """Publish a frame, if there is room."""
        cdef Outlet outlet = self.outlet
        cdef uint64_t head_len = PyBytes_GET_SIZE(frame.head), body_len = PyBytes_GET_SIZE(frame.body)
        cdef uint64_t size = sw_frame_bytes(head_len, body_len)
        cdef unsigned char *at
        cdef unsigned char *block = NULL
        cdef sw_frame *put
        cdef sw_shm_ref reference
        cdef uint32_t room
        if head_len + body_len > outlet.max_payload_bytes and body_len > sizeof(sw_shm_ref):
            at = outlet.reserve(frame.reactor, sw_frame_bytes(head_len, sizeof(sw_shm_ref)))
            if at == NULL:
                self.need = sw_frame_bytes(head_len, sizeof(sw_shm_ref))
                return PUT_NO_SPACE
            block = outlet.shm_take(body_len, &room, &reference.block)
            if block != NULL and room < body_len:
                outlet.shm_return(reference.block)
                block = NULL
            if block == NULL:
                outlet.line[SLOT_ARENA_FULL] += 1
                if size > outlet.max_frame_bytes:
                    return PUT_NO_BLOCK
            else:
                size = sw_frame_bytes(head_len, sizeof(sw_shm_ref))
        at = outlet.reserve(frame.reactor, size)
        if at == NULL:  # never with a block: its frame was reserved
            self.need = size
            return PUT_NO_SPACE
        put = <sw_frame *>at
        put.size = <uint32_t>size
        put.type = frame.type
        put.flags = frame.flags
        put.status = frame.status
        put.request_id = frame.request_id
        put.content_length = frame.content_length
        put.head_len = <uint32_t>head_len
        put.body_len = <uint32_t>body_len
        at += sizeof(sw_frame)
        memcpy(at, PyBytes_AS_STRING(frame.head), head_len)
        at += head_len
        if block == NULL:
            memcpy(at, PyBytes_AS_STRING(frame.body), body_len)
        else:
            put.type += 1
            reference.zero = 0
            memcpy(block, PyBytes_AS_STRING(frame.body), body_len)
            memcpy(at, &reference, sizeof(reference))
            outlet.line[SLOT_SHM_FRAMES] += 1
        outlet.publish(frame.reactor, size, frame.type != EVENT_WS_SESSION and (frame.flags & SW_FRAME_LAST) != 0)
        return PUT_DONE

    cdef Frame verb(self, int reactor, int flags, int status, int64_t target, bytes head, bytes body):
        """A frame of EVENT_WS_SESSION. Raises ValueError for one that can never go."""
        cdef Frame frame = Frame.__new__(Frame)
        cdef uint64_t length = PyBytes_GET_SIZE(body)
        if length > self.outlet.max_block_bytes and sw_frame_bytes(len(head), length) > self.outlet.max_frame_bytes:
            raise ValueError(f"a message of {length} bytes does not fit this server's memory")
        frame.reactor = reactor
        frame.type = EVENT_WS_SESSION
        frame.flags = <uint8_t>flags
        frame.status = <unsigned short>status
        frame.request_id = 0
        frame.content_length = target
        frame.head = head
        frame.body = body
        return frame

    cdef bint is_full(self, int64_t session, int waits) noexcept:
        """Has who pushes to this session to wait? `waits`: 0 never, 1 as the session has it, 2 if its client is slow.
        """
        cdef uint32_t slow
        if waits == 0:
            return False
        slow = self.outlet.slowness(sw_ws_session_reactor(session), sw_ws_session_row(session),
                                    sw_ws_session_generation(session))
        return slow & SW_SESSION_SLOW != 0 and (waits == 2 or slow & SW_SESSION_BLOCKS != 0)

    cdef int post(self, Frame frame) except -1:
        """Send one that must go, whatever waits already: of a handler's event."""
        raise NotImplementedError

    cdef int wake(self) except -1:
        """Those who wait are to look again."""
        return 0


cdef class BlockingPusher(Pusher):
    """Of a WSGI worker: whoever finds no room waits in its thread. Who waits is woken by the outlet."""

    def send(self, int reactor, int flags, int status, int64_t target, bytes head, bytes body, int waits):
        """Send a verb about a session or a group. `waits`: while the session is full."""
        cdef Frame frame = self.verb(reactor, flags, status, target, head, body)
        if self.is_full(target, waits):
            self.waits += 1
            key = PUSHES | self.waits
            self.outlet.watch(reactor, key)
            try:
                while self.is_full(target, waits):
                    self.outlet.wait(reactor, key, 0)
            finally:
                self.outlet.unwatch(reactor, key)
        self.post(frame)

    cdef int post(self, Frame frame) except -1:
        cdef Put result = self.put(frame)
        cdef uint64_t key
        if result == PUT_DONE:
            return 0
        self.waits += 1
        key = PUSHES | self.waits
        self.outlet.watch(frame.reactor, key)
        try:
            while True:
                self.outlet.want_space(frame.reactor)
                result = self.put(frame)
                if result == PUT_DONE:
                    return 0
                if result == PUT_NO_SPACE:
                    self.outlet.wait(frame.reactor, key, self.need)
                else:
                    time.sleep(AGAIN_S)
        finally:
            self.outlet.unwatch(frame.reactor, key)

    async def asend(self, *frame):
        """The same, for an event loop that the application has made here: in a thread."""
        await asyncio.to_thread(self.send, *frame)


cdef class LoopPusher(Pusher):
    """Of an ASGI worker. `loop`: the worker's, whose thread makes this."""

    def __init__(self, Outlet outlet, int reactors, loop):
        Pusher.__init__(self, outlet, reactors)
        self.loop = loop
        self.thread = PyThread_get_thread_ident()
        self.queues = [collections.deque() for _ in range(reactors)]
        self.needs = [0] * reactors
        self.waiters = []

    def send(self, int reactor, int flags, int status, int64_t target, bytes head, bytes body, int waits):
        """Send a verb about a session or a group. `waits`: while the session is full. Raises BufferError, in the
        loop's thread."""
        cdef Frame frame = self.verb(reactor, flags, status, target, head, body)
        if self.is_full(target, waits) or self._is_crowded():
            if PyThread_get_thread_ident() == self.thread:
                raise BufferError("the client is slow: await swhttp.apush() instead of calling push()"
                                  if self.is_full(target, waits) else
                                  "too much waits to be sent already: await swhttp.apush() or abroadcast()")
            while True:
                done = threading.Event()
                self.waiters.append(done.set)  # first: the news may come while we look
                if not self.is_full(target, waits) and not self._is_crowded():
                    break
                done.wait()
        self._queue(frame)

    async def asend(self, reactor, flags, status, target, head, body, waits):
        """The same; it waits where `send` raises, and gives others a turn now and then."""
        frame = self.verb(reactor, flags, status, target, head, body)
        if self.is_full(target, waits) or self._is_crowded():
            while True:
                news = self.next_news()
                if not self.is_full(target, waits) and not self._is_crowded():
                    break
                await news
        self._queue(frame)
        self.calls += 1
        if self.calls % TURN_CALLS == 0:
            await asyncio.sleep(0)

    def next_news(self):
        """A future, of the loop that runs, that is done at the next piece of news."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        if loop is self.loop:
            self.waiters.append(lambda: future.done() or future.set_result(None))
        else:
            self.waiters.append(lambda: _tell(loop, future))
        return future

    def is_crowded(self):
        """Does so much wait that others should wait as well?"""
        return self._is_crowded()

    cdef bint _is_crowded(self) noexcept:
        return self.backlog_bytes > BACKLOG_BYTES

    cdef int post(self, Frame frame) except -1:
        return self._queue(frame)

    cdef int _queue(self, Frame frame) except -1:
        queue = self.queues[frame.reactor]
        if not queue and self.put(frame) == PUT_DONE:
            return 0
        queue.append(frame)
        self.waiting += 1
        self.backlog_bytes += frame.cost()
        if not self.drains:
            self.drains = True
            if PyThread_get_thread_ident() == self.thread:
                self.loop.call_soon(self._drain)
            else:
                self.loop.call_soon_threadsafe(self._drain)
        return 0

    def _drain(self):
        self.drains = False
        if self.drain is not None:  # else the worker does not serve yet: it will drain when it does
            self.drain()

    cdef int wake(self) except -1:
        cdef list waiters = self.waiters
        if waiters:
            self.waiters = []
            for waiter in waiters:
                waiter()
        return 0

    cdef int room(self) except -1:
        """There may be room in the rings again."""
        cdef Put result = PUT_DONE
        cdef Frame frame
        cdef bint was_crowded = self._is_crowded(), again = False
        cdef int reactor
        if self.waiting == 0:
            return 0
        for reactor in range(self.reactors):
            queue = self.queues[reactor]
            while queue:
                frame = <Frame>queue[0]
                result = self.put(frame)
                if result != PUT_DONE:
                    again = again or result == PUT_NO_BLOCK
                    self.needs[reactor] = self.need if result == PUT_NO_SPACE else 0
                    break
                queue.popleft()
                self.waiting -= 1
                self.backlog_bytes -= frame.cost()
        if was_crowded and not self._is_crowded():
            self.wake()
        if again and not self.drains:
            self.drains = True
            self.loop.call_later(AGAIN_S, self._drain)
        return 0

    cdef bint has_room(self) noexcept:
        """Before sleep, once it is announced: ask for room again, and look. True when somebody can go on."""
        cdef int reactor
        for reactor in range(self.reactors):
            if self.queues[reactor] and self.needs[reactor]:
                self.outlet.want_space(reactor)
                if self.outlet.has_room(reactor, self.needs[reactor]):
                    return True
        return False


def _tell(loop, future):
    try:
        loop.call_soon_threadsafe(lambda: future.done() or future.set_result(None))
    except RuntimeError:
        return  # that loop is closed
