"""The WSGI worker: one or more threads that take requests, run the app, and block while there is nothing to do.

It owns the threads and their sleep. The GIL is the lock between them: everything here happens with it, except the
blocking calls themselves.

Idle threads all block in epoll_wait on one edge-triggered epoll instance; the kernel wakes one of them for each write
to the slot's eventfd, so there is no leader to hand over, and the eventfd need not be read. A thread that takes a
request while others sleep announces sleep for them again: a slow app stops nobody.

A thread whose client is slow, or whose ring is full, waits in the middle of a request. When nobody else watches the
rings it does (`wait`): what is news for others is passed on, requests go to a backlog without being taken, so that
the reactor can still have them back. When somebody else does, it waits for a kick on an eventfd of its own, and a
watcher that leaves while nobody else watches kicks one who waits. So with any number of threads the rings are
watched whenever anyone waits for something in them.

Signals: no thread blocks any, for programs that the app starts inherit that, and could not be terminated. Python runs
handlers in the main thread, and the kernel prefers that thread for a process's signals: EINTR runs them there, and
waits on everywhere. (One that comes while another is pending there may go elsewhere, and is then handled with the next
event.)
"""

import collections
import logging
import os
import select
import signal
import threading

from cpython.exc cimport PyErr_CheckSignals

from libc.errno cimport EINTR, errno
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from swhttp.adapters.outlet cimport PUSHES
from swhttp.adapters.pusher cimport BlockingPusher
from swhttp.adapters.sessions cimport Sessions
from swhttp.adapters.wsgi cimport WsgiAdapter
from swhttp.ipc.clock cimport sw_monotonic_ns
from swhttp.ipc.frame cimport (EVENT_BUFFER_EMPTY, EVENT_BUFFER_FULL, EVENT_CLOSE, EVENT_PACKAGE, EVENT_STOP,
                               EVENT_WS_CLOSE, EVENT_WS_OPEN, SW_WS_SESSION_NEWS, sw_descriptor)
from swhttp.ipc.memory cimport SharedMemory
from swhttp.ipc.ring cimport SW_ASLEEP, sw_eventfd_drain, sw_eventfd_write, sw_sleep_begin
from swhttp.ipc.scoreboard cimport SLOT_CURRENT_REQUEST, SLOT_CURRENT_SINCE_NS, SLOT_SERVICE_NS, SLOT_SLEEPS, SLOT_TAKEN
from swhttp.worker.channel cimport Channel
from swhttp.worker.trim cimport Departure, arena_is_crowded, give_back

import swhttp
from swhttp import limits, sockets
from swhttp.errors import ExitCode

cdef extern from "<sys/epoll.h>" nogil:
    enum:
        EPOLLIN
        EPOLLRDHUP
        EPOLLET
    ctypedef union epoll_data:
        int fd
    struct epoll_event:
        unsigned int events
        epoll_data data
    int epoll_wait(int epfd, epoll_event *events, int count, int timeout_ms)

cdef extern from "<poll.h>" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    enum:
        POLLIN
    int poll(pollfd *fds, unsigned long count, int timeout_ms)


cdef object logger = logging.getLogger("swhttp.worker")
cdef uint64_t TRIM_EVERY_NS = <uint64_t>(limits.TRIM_EVERY_S * 1e9)
cdef uint64_t TRIM_AGAIN_NS = <uint64_t>(limits.TRIM_AGAIN_S * 1e9)


cdef class WsgiLoop(Channel):
    """Serves the requests of one slot. `manager`: the fd whose end means that the manager is gone; `exiting`: called
    when the first reactor has sent EVENT_STOP."""

    cdef WsgiAdapter adapter
    cdef BlockingPusher pusher
    cdef Sessions sessions       # None: WebSockets are not for us
    cdef object exiting
    cdef object epoll
    cdef int epoll_fd
    cdef int manager
    cdef bint alone              # this worker has one thread
    cdef int sleepers            # threads in epoll_wait, or on their way out of it
    cdef object backlog          # (reactor, descriptor) of requests that a waiting thread found; not taken
    cdef list bells              # eventfds that no thread waits for
    cdef dict watched            # (reactor, request_id) -> eventfd of a thread in the middle of that request
    cdef Departure departure
    cdef uint64_t trim_at_ns     # when to look next, if the arena is crowded then

    def __init__(self, SharedMemory memory, int slot, int manager, int threads, exiting):
        self.alone = threads == 1
        self.manager = manager
        self.exiting = exiting
        self.backlog = collections.deque()
        self.watched = {}
        self.departure = Departure()
        self.pusher = BlockingPusher(self, self.reactors)
        # One a thread, made now: a worker that is out of fds must still be able to wait.
        self.bells = [os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK) for _ in range(threads)]
        self.epoll = select.epoll()
        self.epoll.register(self.eventfd, select.EPOLLIN | select.EPOLLET)
        self.epoll.register(manager, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET)
        self.epoll_fd = self.epoll.fileno()
        self.may_hold = True  # every thread flushes before it sleeps

    # ---- a thread's life

    def work(self, bint is_main):
        """Serve until every reactor has sent EVENT_STOP and nothing is left here."""
        cdef sw_descriptor descriptor
        cdef int reactor
        cdef int64_t begun_ns = 0, now_ns
        while True:
            if not self._next(&descriptor, &reactor):
                begun_ns = 0
                if self.stops == self.reactors:
                    break
                self._sleep()
                continue
            if not self.take(reactor, &descriptor):
                continue
            if self.sleepers or self.watched:
                self._hand_over()
            if begun_ns == 0:
                begun_ns = <int64_t>sw_monotonic_ns()
            if is_main:
                self.line[SLOT_CURRENT_SINCE_NS] = begun_ns
                self.line[SLOT_CURRENT_REQUEST] = <int64_t>descriptor.request_id
            if descriptor.type == EVENT_PACKAGE:
                self.adapter.run(reactor, &descriptor)
            else:
                self.sessions.run(reactor, &descriptor)
            if is_main:
                self.line[SLOT_CURRENT_REQUEST] = 0
            now_ns = <int64_t>sw_monotonic_ns()
            self._served(now_ns - begun_ns)
            begun_ns = now_ns  # when the next is here already, this one's end is its beginning
        self.flush()
        self._hand_over()
        sw_eventfd_write(self.eventfd)  # the next sleeper finds the end too

    cdef void _served(self, int64_t service_ns) noexcept:
        cdef int64_t average_ns = self.line[SLOT_SERVICE_NS]
        self.line[SLOT_SERVICE_NS] = average_ns + ((service_ns - average_ns) >> 3) if average_ns else service_ns

    cdef bint _next(self, sw_descriptor *descriptor, int *reactor) except? True:
        """The next request for this thread; what else is in the rings is dealt with on the way."""
        cdef bytes kept
        if self.backlog:
            reactor[0], kept = self.backlog.popleft()
            memcpy(descriptor, <const char *>kept, sizeof(sw_descriptor))
            return True
        while self.pop(descriptor, reactor):
            if self.missed_news(False):
                self._missed()
            if self._is_request(descriptor):
                return True
            self._event(descriptor, reactor[0])
        if self.missed_news(True):
            self._missed()
        return False

    cdef bint _is_request(self, const sw_descriptor *descriptor) noexcept:
        return (descriptor.type == EVENT_PACKAGE
                or self.sessions is not None and EVENT_WS_OPEN <= descriptor.type <= EVENT_WS_CLOSE)

    cdef int _event(self, const sw_descriptor *descriptor, int reactor) except -1:
        if (descriptor.type == EVENT_CLOSE or descriptor.type == EVENT_BUFFER_EMPTY
                or descriptor.type == EVENT_BUFFER_FULL):
            fd = self.watched.get((reactor, descriptor.request_id))
            if fd is not None:
                sw_eventfd_write(fd)
            elif descriptor.request_id & SW_WS_SESSION_NEWS:
                self._kick()  # of those who push, nobody knows who waits for this one
        elif descriptor.type == EVENT_STOP:
            self.stop(reactor)
            self.exiting()
        return 0

    cdef int _hand_over(self) except -1:
        """This thread is going to be busy, for nobody knows how long: others must hear of what comes."""
        if self.sleepers:
            sw_sleep_begin(self.sleeping, SW_ASLEEP)
            if self.backlog or self.has_more():
                sw_eventfd_write(self.eventfd)
        else:
            self._kick()  # one of them watches the rings now
        return 0

    # ---- sleep

    cdef int _sleep(self) except -1:
        """Block until something may have come, as one of those whom the slot's eventfd wakes."""
        self.flush()
        if self.alone and self.look():
            return 0
        if arena_is_crowded(&self.arena):
            self._trim_look()
        self.sleepers += 1
        sw_sleep_begin(self.sleeping, SW_ASLEEP)
        if self.backlog or self.has_more() or self.stops == self.reactors:
            self.sleepers -= 1
            return 0
        self._block()
        self._kick()  # there may be room in their rings
        return 0

    cdef int _block(self) except -1:
        """epoll_wait. `sleepers` counts us already, and not any more afterwards."""
        cdef epoll_event event
        cdef int count, timeout_ms
        self.line[SLOT_SLEEPS] += 1
        try:
            while True:
                PyErr_CheckSignals()  # one that came since the last bytecode would wait for the next wake-up
                timeout_ms = self._trim_in_ms() if arena_is_crowded(&self.arena) else -1
                with nogil:
                    count = epoll_wait(self.epoll_fd, &event, 1, timeout_ms)
                if count >= 0:
                    break
                if errno != EINTR:
                    raise OSError(errno, "epoll_wait")
        finally:
            self.sleepers -= 1
        if count > 0 and event.data.fd == self.manager:
            _manager_is_gone(self.manager)
        return 0

    # ---- memory

    cdef int _trim_look(self) except -1:
        """When a crowd has left, give back what the arena had for it."""
        cdef uint64_t now_ns = sw_monotonic_ns()
        if now_ns < self.trim_at_ns:
            return 0
        self.trim_at_ns = now_ns + TRIM_EVERY_NS
        if self.departure.look(<int64_t>len(self.watched), self.line[SLOT_TAKEN]):
            give_back(&self.arena)
            self.trim_at_ns = now_ns + TRIM_AGAIN_NS  # if there is still more: what is in use lies too high
        return 0

    cdef int _trim_in_ms(self) noexcept:
        cdef uint64_t now_ns = sw_monotonic_ns()
        return <int>((self.trim_at_ns - now_ns) // 1000000) + 1 if self.trim_at_ns > now_ns else 0

    # ---- waiting in the middle of a request

    cdef int watch(self, int reactor, uint64_t request_id) except -1:
        if request_id & PUSHES:  # any thread, of any number
            self.watched[reactor, request_id] = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        else:
            self.watched[reactor, request_id] = self.bells.pop()
        return 0

    cdef int unwatch(self, int reactor, uint64_t request_id) except -1:
        fd = self.watched.pop((reactor, request_id))
        if request_id & PUSHES:
            os.close(fd)
        else:
            sw_eventfd_drain(fd)
            self.bells.append(fd)
        return self._hand_over()

    cdef int wait(self, int reactor, uint64_t request_id, uint64_t need) except -1:
        cdef pollfd waits[2]
        cdef epoll_event event
        cdef int count
        cdef bint watching
        self.flush()
        sw_sleep_begin(self.sleeping, SW_ASLEEP)
        self._pump()
        if need:
            self.want_space(reactor)
            if self.has_room(reactor, need):
                return 0
        waits[0].fd = self.watched[reactor, request_id]
        waits[1].fd = self.epoll_fd
        waits[0].events = waits[1].events = POLLIN
        watching = self.sleepers == 0
        if watching:
            self.sleepers += 1
            self.line[SLOT_SLEEPS] += 1
        try:
            while True:
                with nogil:
                    count = poll(waits, 2 if watching else 1, -1)
                if count > 0:
                    break
                if errno != EINTR:
                    raise OSError(errno, "poll")
                PyErr_CheckSignals()
        finally:
            if watching:
                self.sleepers -= 1
        sw_eventfd_drain(waits[0].fd)
        if watching and waits[1].revents:
            if epoll_wait(self.epoll_fd, &event, 1, 0) > 0 and event.data.fd == self.manager:
                _manager_is_gone(self.manager)
            self._kick()
            self._pump()
        return 0

    cdef int _pump(self) except -1:
        """Empty the rings without taking a request."""
        cdef sw_descriptor descriptor
        cdef int reactor
        while self.pop(&descriptor, &reactor):
            if self._is_request(&descriptor):
                self.backlog.append((reactor, (<char *>&descriptor)[:sizeof(sw_descriptor)]))
            else:
                self._event(&descriptor, reactor)
        if self.missed_news(True):
            self._missed()
        if self.backlog and self.sleepers:
            sw_eventfd_write(self.eventfd)
        return 0

    cdef int _missed(self) except -1:
        """News may be lost."""
        self.pusher.wake()
        return self._kick()

    cdef int _kick(self) except -1:
        """Whoever waits in the middle of a request is to look again."""
        for fd in self.watched.values():
            sw_eventfd_write(fd)
        return 0


def _manager_is_gone(fd):
    """The manager has nothing to say to us: what is readable is its end. Nobody would take our answers."""
    os._exit(1)


def _work(WsgiLoop worker, bint is_main):
    """One thread's life. An exception that escapes ends the process: its requests get their 502, and the other
    threads, which the interpreter would wait for, end as well."""
    try:
        worker.work(is_main)
    except BaseException:
        try:
            logger.critical("a thread of the worker cannot go on", exc_info=True)
        finally:
            os._exit(ExitCode.INTERNAL)


def serve(context, loaded, ready, stopping, hooks, compression):
    """Serve what was loaded (`swhttp.worker.context.Loaded`) in the slot of `context` until every reactor
    has sent EVENT_STOP.

    ready, stopping: called when requests can come, and when this process was asked to leave; hooks: a
    `swhttp.worker.hookcalls.HookCalls`; compression: a `swhttp.adapters.compression.Compression` or None.
    """
    cdef WsgiLoop worker = WsgiLoop(context.memory, context.slot, context.channel.fileno(), context.threads,
                                    hooks.exit)
    sockets.use(worker.pusher)
    hooks.start()
    try:
        _serve(worker, context, loaded, ready, stopping, compression)
    finally:
        hooks.stop()


def _serve(WsgiLoop worker, context, loaded, ready, stopping, compression):
    signal.signal(signal.SIGTERM, lambda number, frame: stopping())
    worker.adapter = WsgiAdapter(worker, loaded.app, context.binds, context.threads > 1, f"swhttp/{swhttp.__version__}",
                                 context.tmp_dir, context.response_spool_max_bytes, context.root_path, compression)
    if loaded.ws_handler is not None:
        worker.sessions = Sessions(worker, worker.pusher, loaded.ws_handler, context.binds, context.root_path)
    threads = [threading.Thread(target=_work, args=(worker, False), name=f"swhttp-{number}")
               for number in range(1, context.threads)]
    for thread in threads:
        thread.start()
    ready()
    _work(worker, True)
    for thread in threads:
        thread.join()
