"""The ASGI worker: a uvloop event loop on which the slot's eventfd is one more reader.

It owns the loop, the order of life (lifespan startup, ready, serve, drain, lifespan shutdown) and the draining of the
request rings. A drain takes what the rings hold, at most DRAIN_REQUESTS, so that timers and sockets get their turn;
then it announces sleep and looks once more. Between drains the slot is asleep for the reactors although the loop
may be busy with other things: the eventfd then waits for it.

What has come for a WebSocket whose app waits for it is given to it within the drain, after what was found with it: so
its answers are out before sleep is announced.
"""

import asyncio
import functools
import gc
import json
import logging
import os
import signal

from libc.stdint cimport uint64_t

from cpython.ref cimport PyObject

from swhttp.adapters.asgi cimport AsgiExchange
from swhttp.adapters.pusher cimport LoopPusher
from swhttp.adapters.sessions cimport SessionAdapter, Sessions
from swhttp.adapters.socketadapter cimport SocketAdapter
from swhttp.ipc.frame cimport (EVENT_BUFFER_EMPTY, EVENT_BUFFER_FULL, EVENT_CLOSE, EVENT_PACKAGE, EVENT_PACKAGE_CHUNK,
                               EVENT_PACKAGE_END, EVENT_PACKAGE_START, EVENT_STOP, EVENT_WS_CLOSE, EVENT_WS_MESSAGE,
                               EVENT_WS_OPEN, SW_WS_SESSION_NEWS, sw_descriptor)
from swhttp.ipc.ring cimport SW_ASLEEP, sw_eventfd_drain, sw_sleep_begin, sw_sleep_end
from swhttp.ipc.scoreboard cimport SLOT_SLEEPS, SLOT_TAKEN
from swhttp.worker.channel cimport Channel
from swhttp.worker.runner cimport Runner, Runners
from swhttp.worker.trim cimport Departure, arena_is_crowded, give_back

import uvloop

from swhttp import limits
from swhttp.sockets import use
from swhttp.adapters.lifespan import Lifespan
from swhttp.worker import stacks
from swhttp.worker.handles import Handles
from swhttp.worker.oldmemory import OldMemory

cdef extern from "Python.h":
    unsigned int PyType_ClearCache()

cdef object logger = logging.getLogger("swhttp.worker")

cdef enum:
    DRAIN_REQUESTS = 256  # taken in one drain
    LOOKS = 8             # for a lone request in one drain
    CROWD = 128           # requests that have suspended: what is made for more is not kept for long
    CLEARS = 2            # after one: at the first, what was in use lay where the crowd had been, and is freed by now


cdef class AsgiLoop(Runners):
    """Serves one slot. `ended`: a future, done when every reactor has sent EVENT_STOP and all is done; `exiting`:
    called when the first has."""

    cdef Channel channel
    cdef SocketAdapter sockets   # the adapter
    cdef bint handled            # WebSockets are a handler's: each of their events is a request
    cdef AsgiExchange first      # the next request, which has been taken
    cdef LoopPusher pusher
    cdef readonly object ended
    cdef object exiting
    cdef int budget
    cdef bint again              # a call of `drain` is scheduled
    cdef bint trims              # one of `trim_look` is
    cdef int clears              # to come, of the crowd that there is or was
    cdef Departure departure
    cdef object handles
    cdef object old_memory       # from before the crowd, while clears are to come

    def __init__(self, Channel channel, SocketAdapter adapter, LoopPusher pusher, loop, exiting):
        Runners.__init__(self, adapter, loop)
        self.channel = channel
        self.sockets = adapter
        self.handled = isinstance(adapter, SessionAdapter)
        self.pusher = pusher
        pusher.drain = self.drain
        self.ended = loop.create_future()
        self.exiting = exiting
        self.departure = Departure()
        self.handles = Handles(loop)

    cdef AsgiExchange next_exchange(self):
        cdef AsgiExchange exchange
        cdef sw_descriptor descriptor
        cdef int reactor
        if self.first is not None:
            exchange = self.first
            self.first = None
            return exchange
        try:
            while self.budget > 0 and self.channel.pop(&descriptor, &reactor):
                self.budget -= 1
                if (descriptor.type == EVENT_PACKAGE or descriptor.type == EVENT_PACKAGE_START
                        or descriptor.type == EVENT_WS_OPEN
                        or self.handled and EVENT_WS_OPEN <= descriptor.type <= EVENT_WS_CLOSE):
                    if self.channel.take(reactor, &descriptor):
                        exchange = self.adapter.take(reactor, &descriptor)
                        if exchange is not None:
                            return exchange
                elif (descriptor.type == EVENT_WS_MESSAGE or descriptor.type == EVENT_PACKAGE_CHUNK
                        or descriptor.type == EVENT_PACKAGE_END or descriptor.type == EVENT_WS_CLOSE):
                    self.adapter.chunk(reactor, &descriptor)
                elif (descriptor.type == EVENT_CLOSE or descriptor.type == EVENT_BUFFER_EMPTY
                        or descriptor.type == EVENT_BUFFER_FULL):
                    if descriptor.request_id & SW_WS_SESSION_NEWS:
                        self.pusher.wake()
                    else:
                        self.adapter.news(reactor, descriptor.request_id)
                elif descriptor.type == EVENT_STOP:
                    self.channel.stop(reactor)
                    self.exiting()
        except BaseException as error:  # the rings themselves cannot be read: end, or we would spin on them
            self.budget = 0
            if not self.ended.done():
                self.ended.set_exception(error)
        return None

    def on_event(self):
        """The slot's eventfd is readable."""
        sw_eventfd_drain(self.channel.eventfd)
        self.drain()

    def drain(self):
        """Take what there is, then announce sleep."""
        cdef Channel channel = self.channel
        cdef SocketAdapter sockets = self.sockets
        cdef int looks = LOOKS
        self.again = False
        sw_sleep_end(channel.sleeping)
        self.adapter.room()
        self.pusher.room()
        self.budget = DRAIN_REQUESTS
        channel.may_hold = True
        try:
            while True:
                while self.budget > 0 and channel.has_more() or self.first is not None:
                    # What is no request is seen to without a runner.
                    self.first = self.next_exchange()
                    if self.first is not None:
                        self.run()
                    sockets.resume()
                channel.flush()
                if self.budget <= 0:
                    break
                if looks > 0 and self.adapter.active == 0 and channel.look():
                    looks -= 1
                    continue
                sw_sleep_begin(channel.sleeping, SW_ASLEEP)
                if not channel.has_more():
                    break
                sw_sleep_end(channel.sleeping)
        finally:
            channel.may_hold = False
        if channel.missed_news(self.budget > 0):
            self.adapter.news_for_all()
            self.pusher.wake()
        sockets.resume()
        if (self.budget <= 0 or (self.adapter.crowded and self.adapter.has_room())
                or self.pusher.has_room()):
            self._drain_soon()
        else:
            channel.line[SLOT_SLEEPS] += 1
            if arena_is_crowded(&channel.arena):
                self._trim_soon(limits.TRIM_EVERY_S)
        if (channel.stops == channel.reactors and self.adapter.active == 0 and self.pusher.waiting == 0
                and not self.ended.done()):
            self.close()
            self.ended.set_result(None)

    cdef int _drain_soon(self) except -1:
        if not self.again:
            self.again = True
            self.loop.call_soon(self.drain)
        return 0

    cdef int grown(self) except -1:
        if self.suspended_count >= CROWD:
            if self.clears == 0:
                self.old_memory = OldMemory()
            self.clears = CLEARS
            self.departure.most = max(self.departure.most, self.suspended_count)  # it may be gone at the next look
            self._trim_soon(limits.TRIM_EVERY_S)
        return 0

    cdef int _trim_soon(self, double delay_s) except -1:
        if not self.trims:
            self.trims = True
            self.loop.call_later(delay_s, self.trim_look)
        return 0

    def trim_look(self):
        """When the crowd has left, give back what was made for it."""
        cdef Channel channel = self.channel
        cdef double delay_s = limits.TRIM_EVERY_S
        self.trims = False
        cdef bint departed = self.departure.look(self.adapter.active, channel.line[SLOT_TAKEN])
        if departed or 0 < self.clears < CLEARS and not self.departure.busy:
            if self.clears > 0:
                self._clear()
            give_back(&channel.arena)
            if self.clears == 0:
                delay_s = limits.TRIM_AGAIN_S  # what is in use lies too high
        # WebSockets may stay for days: while they are a crowd themselves, the next look is when one has left.
        if (arena_is_crowded(&channel.arena)
                or self.clears > 0 and not self.departure.is_crowd(self.sockets.sockets)):
            self._trim_soon(delay_s)

    cdef int _clear(self) except -1:
        # Python gives back no arena in which anything lies: so all that is kept for the next request goes. Its
        # collector empties the lists of tuples, dicts and so on that are kept for the next; names of attributes that
        # C has looked up are in the cache of types. And what comes next should not lie where the crowd was.
        self.clears -= 1
        self.let_go()
        self.adapter.let_go()
        self.handles.swap()
        gc.collect()
        PyType_ClearCache()
        self.old_memory.prefer()
        if self.clears == 0:
            self.old_memory = None
        return 0

    def app_tasks(self):
        """Tasks that are not ours: of requests, and of what the app has started."""
        return [task for task in asyncio.all_tasks(self.loop)
                if type(coroutine := stacks.coroutine_of(task)) is not Runner
                or (<Runner>coroutine).exchange is not None]

    def task_of(self, int reactor, uint64_t request_id):
        """The task that runs a request, or None."""
        cdef PyObject *found = self.suspended
        cdef Runner runner
        while found != NULL:
            runner = <Runner>found
            if (runner.exchange is not None and runner.exchange.reactor == reactor
                    and runner.exchange.request_id == request_id):
                return runner.task
            found = runner.next
        return None

    cdef int freed(self) except -1:
        if self.clears > 0 or arena_is_crowded(&self.channel.arena):  # since the last drain, may be
            self._trim_soon(limits.TRIM_EVERY_S)
        return self._drain_soon() if self.channel.stops == self.channel.reactors else 0


async def _serve(context, loaded, loop, ready, stopping, hooks, compression):
    cdef Channel channel = Channel(context.memory, context.slot)
    cdef LoopPusher pusher = LoopPusher(channel, channel.reactors, loop)
    use(pusher)
    await hooks.start_in_loop()
    try:
        await _serve_app(context, loaded, loop, channel, pusher, ready, stopping, hooks, compression)
    finally:
        await hooks.stop_in_loop()


async def _serve_app(context, loaded, loop, Channel channel, LoopPusher pusher, ready, stopping, hooks, compression):
    cdef SocketAdapter adapter
    cdef AsgiLoop worker
    lifespan = Lifespan(loaded.app, context.lifespan)
    await lifespan.startup()
    kind = SocketAdapter if loaded.ws_handler is None else SessionAdapter
    adapter = kind(channel, loaded.app, loop, lifespan.state, context.binds, channel.reactors, context.root_path,
                   compression)
    if loaded.ws_handler is not None:
        (<SessionAdapter>adapter).sessions = Sessions(
            channel, pusher, loaded.ws_handler, context.binds, context.root_path)
    worker = AsgiLoop(channel, adapter, pusher, loop, hooks.exit_in_loop)
    loop.add_signal_handler(signal.SIGTERM, stopping)
    ours = {asyncio.current_task(), lifespan.task}
    loop.add_reader(context.channel.fileno(), functools.partial(_on_manager, context, worker, ours))
    loop.add_reader(channel.eventfd, worker.on_event)
    loop.call_soon(worker.drain)
    ready()
    await worker.ended
    await hooks.exited_in_loop()
    await lifespan.shutdown()
    loop.remove_reader(channel.eventfd)  # now: what they push may have had to wait


def _on_manager(context, worker, ours):
    """The manager wants to know what our tasks do, or is gone: nobody would take our answers."""
    try:
        packet = context.channel.recv(limits.MAX_MESSAGE_BYTES)
        if packet:
            question = json.loads(packet)
            try:
                text = stacks.describe([task for task in worker.app_tasks() if not any(task is one for one in ours)],
                                       worker.task_of(question["reactor"], question["request"]))
            except Exception as error:  # tasks and awaitables may be of the app's own making
                text = f"The stacks of tasks could not be told: {type(error).__name__}"
            stacks.write_tasks(context.stacks_fds[context.slot], question["token"], text)
            return
    except BlockingIOError:
        return
    except OSError:
        pass
    os._exit(1)


def _end_tasks(loop):
    """Cancel what the app has left running and let it clean up, as asyncio.run does, but not for ever."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        _, left = loop.run_until_complete(asyncio.wait(tasks, timeout=limits.TASKS_END_S))
        if left:
            logger.warning("%d tasks of the application do not end when cancelled: left behind", len(left))


def serve(context, loaded, ready, stopping, hooks, compression):
    """Serve what was loaded (`swhttp.worker.context.Loaded`) in the slot of `context` until every reactor
    has sent EVENT_STOP.

    ready, stopping: called when requests can come, and when this process was asked to leave; hooks: a
    `swhttp.worker.hookcalls.HookCalls`; compression: a `swhttp.adapters.compression.Compression` or None. Raises
    LifespanFailed.
    """
    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(_serve(context, loaded, loop, ready, stopping, hooks, compression))
    finally:
        _end_tasks(loop)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
