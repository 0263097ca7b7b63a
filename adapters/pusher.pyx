"""What a worker sends beside responses: frames about WebSockets, from any of its threads.

It owns the way of such a frame into the ring, in order for each reactor, and who waits for room there. It never touches
a ring except through its outlet, and does not know what the frames mean. Contract: with the GIL, as the outlet.

A frame goes inline, or its body in a block of the arena; when all blocks are in use, inline as far as the ring can take
it at all. Past that it has to be tried again by and by: nobody says when a block is given back.

Where there is no room:

 * a thread of a WSGI worker waits, in the outlet;
 * the thread of an event loop must not: what it sends waits here, up to PUSH_BACKLOG_BYTES, past which it is told so
   (BufferError), unless it awaits room (`asend`). Other threads of that worker wait past the same bound.

Whether a session's client is slow, and whether who pushes is to wait then (SW_WS_BLOCK), is a word in the session
table, which the reactor writes when it has read what makes the client slow. So whoever is to wait does so as well while
more than PUSH_AHEAD_BYTES, pushed by this process in that way to the same reactor, are not read (`may_go`): else all
that fits in ring and arena could be under way before the word is there. What has been read is looked up before the
word, in which it shows then. That wait is short: a reactor reads whatever its clients do. EVENT_BUFFER_EMPTY only wakes
those who wait for a client; a reactor that has been asked for room wakes those who wait for it to read.
"""

import asyncio
import collections
import threading
import time

cimport cython

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from swhttp.adapters.outlet cimport NEED_READ, PUSHES, Outlet
from swhttp.ipc.frame cimport (EVENT_WS_SESSION, SW_FRAME_LAST, SW_WS_BLOCK, SW_WS_OVERFLOW, sw_frame, sw_frame_bytes,
                               sw_shm_ref, sw_ws_session_generation, sw_ws_session_row)
from swhttp.ipc.scoreboard cimport SLOT_ARENA_FULL, SLOT_SHM_FRAMES
from swhttp.ipc.sessions cimport SW_SESSION_BLOCKS, SW_SESSION_SLOW

from swhttp import limits, sockets

cdef extern from "pythread.h":
    unsigned long PyThread_get_thread_ident()

cdef Py_ssize_t BACKLOG_BYTES = limits.PUSH_BACKLOG_BYTES
cdef Py_ssize_t COST_BYTES = limits.PUSH_COST_BYTES
cdef Py_ssize_t AHEAD_BYTES = limits.PUSH_AHEAD_BYTES
cdef double AGAIN_S = limits.PUSH_AGAIN_S
cdef int NOT_AT_ALL = sockets.NOT_AT_ALL  # `waits`, as `Way.send` takes it
cdef int AS_IT_HAS = sockets.AS_IT_HAS

assert MOST_REACTORS >= limits.MAX_REACTORS

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
        self.first = [None] * reactors
        self.last = [None] * reactors
        self.told = {}

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
        if frame.counts:
            self._under_way(frame)
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
        if flags == SW_WS_OVERFLOW:
            self._settle(reactor)  # if nobody ever pushes, this does it
            frame.counts = status == SW_WS_BLOCK
        return frame

    # ---- who is to wait

    cdef uint32_t _pace(self, Frame frame) noexcept:
        """SW_SESSION_ bits of the session that it is for."""
        cdef uint64_t session = <uint64_t>frame.content_length
        return self.outlet.slowness(frame.reactor, sw_ws_session_row(session), sw_ws_session_generation(session))

    cdef bint may_go(self, Frame frame, int waits) noexcept:
        """May it be sent now? With `waits` not while its client is slow, or too much is under way. False: `need` says
        for what `Outlet.wait` is to wait."""
        cdef bint has_way
        if waits == NOT_AT_ALL:
            return True
        if waits == AS_IT_HAS and not self._pace(frame) & SW_SESSION_BLOCKS and (
                not self.told or frame.content_length not in self.told):
            return True
        frame.counts = True
        frame.ahead = frame.cost()
        has_way = self._has_way(frame)  # before the look at the word: what has been read is in it
        if self._pace(frame) & SW_SESSION_SLOW:
            self.need = 0
            return False
        return has_way

    cdef bint _has_way(self, Frame frame) noexcept:
        """Is little enough under way to its reactor?"""
        cdef int reactor = frame.reactor
        cdef Py_ssize_t ahead
        self._settle(reactor)
        ahead = self.ahead[reactor] + self.queued[reactor]
        if ahead == 0 or ahead + frame.ahead <= AHEAD_BYTES:
            return True
        self.need = 0
        if self.first[reactor] is not None:
            self.need = NEED_READ | (self.outlet.published(reactor) - (<Frame>self.first[reactor]).end)
        return False

    cdef void _under_way(self, Frame frame) noexcept:
        """It has been published just now."""
        cdef int reactor = frame.reactor
        frame.end = self.outlet.published(reactor)
        frame.head = frame.body = b""
        self.ahead[reactor] += frame.ahead
        if self.first[reactor] is None:
            self.first[reactor] = frame
        else:
            (<Frame>self.last[reactor]).next = frame
        self.last[reactor] = frame
        if frame.flags == SW_WS_OVERFLOW:
            self.told[frame.content_length] = frame

    cdef void _settle(self, int reactor) noexcept:
        """What the reactor has read is not under way any more."""
        cdef Frame frame = <Frame>self.first[reactor]
        cdef uint64_t read
        if frame is None:
            return
        read = self.outlet.published(reactor) - self.outlet.unread(reactor)
        while frame is not None and frame.end <= read:
            self.moved = True
            self.ahead[reactor] -= frame.ahead
            if frame.flags == SW_WS_OVERFLOW and self.told.get(frame.content_length) is frame:
                del self.told[frame.content_length]
            frame = frame.next
            self.first[reactor] = frame

    cdef int post(self, Frame frame) except -1:
        """Send one that must go, whatever waits already: of a handler's event."""
        raise NotImplementedError

    cdef int wake(self) except -1:
        """Those who wait are to look again."""
        return 0


cdef class BlockingPusher(Pusher):
    """Of a WSGI worker: whoever finds no room waits in its thread. Who waits is woken by the outlet."""

    def send(self, int reactor, int flags, int status, int64_t target, bytes head, bytes body, int waits):
        """Send a verb about a session or a group (swhttp.sockets.Way)."""
        self._send(self.verb(reactor, flags, status, target, head, body), waits)

    cdef int post(self, Frame frame) except -1:
        return self._send(frame, NOT_AT_ALL)

    cdef int _send(self, Frame frame, int waits) except -1:
        cdef Put result = PUT_NO_WAY
        cdef uint64_t key
        if self.may_go(frame, waits):
            result = self.put(frame)
            if result == PUT_DONE:
                return 0
        self.waits += 1
        key = PUSHES | self.waits
        self.outlet.watch(frame.reactor, key)
        try:
            while True:
                self.outlet.want_space(frame.reactor)
                # Anew each time: others may have sent while this one waited for room.
                result = self.put(frame) if self.may_go(frame, waits) else PUT_NO_WAY
                if result == PUT_DONE:
                    return 0
                if result == PUT_NO_BLOCK:
                    time.sleep(AGAIN_S)
                else:
                    self.outlet.wait(frame.reactor, key, self.need)
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
        """Send a verb about a session or a group (swhttp.sockets.Way). In the loop's thread it raises BufferError where
        it would wait."""
        cdef Frame frame = self.verb(reactor, flags, status, target, head, body)
        if self._is_crowded() or not self.may_go(frame, waits):
            if PyThread_get_thread_ident() == self.thread:
                raise BufferError(self._why(frame, waits))
            while True:
                done = threading.Event()
                self._listen(done.set, frame)  # first: the news may come while we look
                if not self._is_crowded() and self.may_go(frame, waits):
                    break
                done.wait()
        self._queue(frame)

    cdef str _why(self, Frame frame, int waits):
        """Why it cannot be sent now."""
        if self._is_crowded():
            return "too much waits to be sent already: await swhttp.apush() or abroadcast()"
        if self._pace(frame) & SW_SESSION_SLOW:
            return "the client is slow: await swhttp.apush() instead of calling push()"
        return "too much is under way to see whether the client is slow: await swhttp.apush() instead of calling push()"

    async def asend(self, reactor, flags, status, target, head, body, waits):
        """The same; it waits where `send` raises, and gives others a turn now and then."""
        frame = self.verb(reactor, flags, status, target, head, body)
        if self._is_crowded() or not self.may_go(frame, waits):
            loop = asyncio.get_running_loop()
            while True:
                future = loop.create_future()
                waiter = self._teller(loop, future)
                self._listen(waiter, frame)
                if not self._is_crowded() and self.may_go(frame, waits):
                    break
                try:
                    await future
                except BaseException:  # who gives up after a while and tries again may do so until its client is cut
                    if waiter in self.waiters:
                        self.waiters.remove(waiter)
                    raise
        self._queue(frame)
        self.calls += 1
        if self.calls % TURN_CALLS == 0:
            await asyncio.sleep(0)

    cdef int _listen(self, object waiter, Frame frame) except -1:
        """`waiter` is called at the next piece of news, also when the reactor has read of what is under way there."""
        self.waiters.append(waiter)
        if self.first[frame.reactor] is not None:
            # Within a drain this is no good, for the slot is awake: but at its end `has_room` asks again.
            self.outlet.want_space(frame.reactor)
        return 0

    cdef object _teller(self, loop, future):
        if loop is self.loop:
            return lambda: future.done() or future.set_result(None)
        return lambda: _tell(loop, future)

    def next_news(self):
        """A future, of the loop that runs, that is done at the next piece of news."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self.waiters.append(self._teller(loop, future))
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
        if frame.counts:
            self.queued[frame.reactor] += frame.ahead
            if frame.flags == SW_WS_OVERFLOW:
                self.told[frame.content_length] = frame
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
        cdef Py_ssize_t cost
        if self.waiters:
            self._tell_moved()
        if self.waiting == 0:
            return 0
        for reactor in range(self.reactors):
            queue = self.queues[reactor]
            while queue:
                frame = <Frame>queue[0]
                cost = frame.cost()
                result = self.put(frame)
                if result != PUT_DONE:
                    again = again or result == PUT_NO_BLOCK
                    self.needs[reactor] = self.need if result == PUT_NO_SPACE else 0
                    break
                queue.popleft()
                self.waiting -= 1
                self.backlog_bytes -= cost
                if frame.counts:
                    self.queued[reactor] -= frame.ahead
        if was_crowded and not self._is_crowded():
            self.wake()
        if again and not self.drains:
            self.drains = True
            self.loop.call_later(AGAIN_S, self._drain)
        return 0

    cdef int _tell_moved(self) except -1:
        """Tell those who wait whether the reactors have read something of what is under way."""
        cdef int reactor
        for reactor in range(self.reactors):
            self._settle(reactor)
        if self.moved:
            self.moved = False
            self.wake()
        return 0

    cdef bint has_room(self) noexcept:
        """Before sleep, once it is announced: ask for room again, and look. True when somebody can go on."""
        cdef int reactor
        if self.waiting == 0 and not self.waiters:
            return False
        for reactor in range(self.reactors):
            if self.waiters and self.first[reactor] is not None:
                self.outlet.want_space(reactor)
                self._settle(reactor)
            if self.queues[reactor] and self.needs[reactor]:
                self.outlet.want_space(reactor)
                if self.outlet.has_room(reactor, self.needs[reactor]):
                    return True
        # Who has sent in this drain may have seen already that all was read, when nobody was told of that.
        return self.moved and bool(self.waiters)


def _tell(loop, future):
    try:
        loop.call_soon_threadsafe(lambda: future.done() or future.set_result(None))
    except RuntimeError:
        return  # that loop is closed
