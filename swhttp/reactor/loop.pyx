"""The reactor: one thread that owns its client connections and goes round in three phases.

    phase 1  no GIL   epoll_wait, accept, receive                               (swhttp.reactor.receive)
    phase 2  GIL      httptools, request by request, into request blocks        (swhttp.reactor.http1)
    phase 3  no GIL   dispatch, responses out of the rings and onto sockets, deadlines, wake-ups

It owns the epoll set and the order of things. It never runs application code, never logs (it reports) and
never waits for anything but epoll. It is long by its setup and its imports: every room of the reactor is entered from
here, and its memory is laid out here, so that one reading shows what a reactor holds.
"""

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.errno cimport errno
from libc.stdint cimport int64_t, uint32_t, uint64_t

from libc.string cimport memcpy, memset
from posix.unistd cimport close

import faulthandler
import os
import time

from swhttp import logs
from swhttp.ipc.blocks cimport sw_blocks_add, sw_blocks_at, sw_blocks_destroy, sw_blocks_init
from swhttp.ipc.clock cimport sw_monotonic_ns
from swhttp.ipc.memory cimport Segment, SharedMemory
from swhttp.ipc.request_table cimport sw_request_entry
from swhttp.ipc.ring cimport (SW_ASLEEP, SW_ASLEEP_WITH_TICK, sw_ring_attach, sw_sleep_end, sw_sleep_fence,
                              sw_sleep_say, sw_sleeping)
from swhttp.ipc.scoreboard cimport (REACTOR_GIL_NS, REACTOR_GIL_TURNS, REACTOR_GIL_WAIT_NS, REACTOR_IN_FLIGHT,
                                    REACTOR_TICKS, REACTOR_TIMEOUTS, REACTOR_TLS_TIMEOUT, REACTOR_TURNS,
                                    REACTOR_WEBSOCKETS, Scoreboard)
from swhttp.ipc.sessions cimport sw_address, sw_session
from swhttp.ipc.spin cimport SW_SPIN_LOOKS, sw_spin_pause, sw_spin_yield
from swhttp.reactor.accept cimport (SW_DATA_CONNECTIONS, SW_DATA_LISTENERS, accept_adopt, accept_again,
                                    accept_hold_no_more, accept_listen, accept_new, accept_rest, accept_wait_ns)
from swhttp.reactor.accesslog cimport access_publish
from swhttp.reactor.audit cimport audit_look, audit_next_ns
from swhttp.reactor.connection cimport (conn_close, conn_end, conn_feed_starved, conn_give_up, conn_next, conn_release,
                                        conn_todo)
from swhttp.reactor.dispatch cimport (dispatch_could_go_on, dispatch_flush, dispatch_leave_queue, dispatch_rebalance,
                                      dispatch_submit, dispatch_untaken, dispatch_waiting)
from swhttp.reactor.http1 cimport Http1
from swhttp.reactor.iojobs cimport sw_io_job, sw_io_take
from swhttp.reactor.outbox cimport OUT_AGAIN, OUT_LOST, out_flush
from swhttp.reactor.overdue cimport overdue_look, overdue_next_ns, overdue_setup
from swhttp.reactor.pushes cimport pushes_receive
from swhttp.reactor.receive cimport receive_body, receive_is_over, receive_piece, receive_some, receive_tell
from swhttp.reactor.reasons cimport (REASON_BODY_TIMEOUT, REASON_HEAD_TIMEOUT, REASON_NONE, REASON_QUEUE_TIMEOUT,
                                     REASON_WORKER_LOST)
from swhttp.reactor.response cimport (response_clock, response_continue, response_cut, response_own, response_progress,
                                      response_refuse)
from swhttp.reactor.settle cimport settle_anything_published, settle_dead, settle_responses
from swhttp.reactor.slots cimport slot_stage, slot_stop, slot_up, slots_look, slots_next_ns, slots_switch
from swhttp.reactor.slow cimport slow_look, slow_next_ns
from swhttp.reactor.snapshot cimport Snapshot, snapshot_take
from swhttp.reactor.spares cimport spares_close
from swhttp.reactor.state cimport (CHUNK_BYTES, CONN_BODY_OPEN, CONN_EOF, CONN_EXPECT, CONN_HEAD_SENT, CONN_HUNG_UP,
                                   CONN_KEEP_ALIVE, CONN_LEFTOVER, CONN_PIECE, CONN_READABLE, CONN_READY, CONN_UNREAD,
                                   CONN_WRITABLE_WAIT, MAIL_CONNECTION, MAIL_DEAF, MAIL_DRAIN, MAIL_DRAINED,
                                   MAIL_LISTEN, MAIL_SETTLED, MAIL_SLOT_DEAD, MAIL_SLOT_STAGE, MAIL_SLOT_STOP,
                                   MAIL_SLOT_UP, MAIL_SNAPSHOT, MAIL_SNAPSHOT_TAKEN, MAIL_STOP, MAIL_SWITCH,
                                   MAX_EVENTS, MAX_PIECES, MAX_RECV_BYTES, SCRATCH_BYTES, SLAB_BYTES, SLOT_DOWN,
                                   STAGE_BODY, STAGE_CHUNKED, STAGE_DISCARD, STAGE_FINISHING, STAGE_HEAD, STAGE_IDLE,
                                   STAGE_LINGER, STAGE_READY, SW_MAILBOX_SIZE, WHEEL_TICK_NS, Conn, Piece, SlotLink,
                                   State, sw_mail, sw_mailbox_pending, sw_mailbox_send, sw_mailbox_take)
from swhttp.reactor.staticfiles cimport static_done, static_takes
from swhttp.reactor.system cimport (EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLL_CLOEXEC,
                                    EPOLL_CTL_ADD, epoll_create1, epoll_ctl, epoll_event, sw_epoll_wait)
from swhttp.reactor.timers cimport timer_arm, timer_expired, timer_next_ns, timer_set
from swhttp.reactor.trim cimport trim_look, trim_next_ns
from swhttp.reactor.tls cimport tls_flush, tls_free, tls_setup, tls_shaking
from swhttp.reactor.trusted cimport Trusted
from swhttp.reactor.websocket cimport ws_end_all, ws_flushed, ws_go_on, ws_is_open, ws_timer
from swhttp.reactor.wsoutput cimport wsout_uncork
from swhttp.reactor.wspush cimport wspush_verb

from swhttp import cpus, limits
from swhttp.reactor.settings import DISPATCH_MODES, FORWARDED_HEADERS, PROXY_PROTOCOLS

cdef int64_t TICK_NS = <int64_t>(limits.TICK_S * 1e9)
cdef uint64_t GONE_AFTER_NS = <uint64_t>(limits.GONE_AFTER_S * 1e9)
cdef int64_t SPIN_IN_FLIGHT = limits.SPIN_IN_FLIGHT
cdef int64_t QUEUE_LOOK_NS = <int64_t>(limits.QUEUE_LOOK_S * 1e9)
assert (MAX_RECV_BYTES, CHUNK_BYTES, MAX_EVENTS, MAX_PIECES, SW_MAILBOX_SIZE) == (
    limits.RECV_BYTES, limits.CHUNK_BYTES, limits.EVENTS_PER_TURN, limits.PIECES_PER_TURN, limits.MAILBOX_MESSAGES)

cdef int64_t EPOCH_S = 1577836800  # 2020; with a connection a millisecond on one row 41 bits are enough to 2089

cdef enum:
    DATA_PUSHES = 2  # of the socket of user processes
    DATA_WAKE = 1  # epoll's user data of our eventfds, below the first listener's
    DATE_LINE_BYTES = 37  # "date: Sun, 06 Nov 1994 08:49:37 GMT" and its CRLF (RFC 9110 §5.6.7)


cdef int64_t _sooner(int64_t wait_ns, int64_t other_ns) noexcept nogil:
    """Of two waits the shorter; below 0: for ever."""
    return other_ns if wait_ns < 0 or 0 <= other_ns < wait_ns else wait_ns


cdef class Reactor:
    """One reactor thread's state and phases."""

    def __cinit__(self):
        memset(&self.state, 0, sizeof(State))

    def __dealloc__(self):
        cdef State *s = &self.state
        if s.epoll > 0:
            close(s.epoll)
        spares_close(s)
        sw_blocks_destroy(&s.blocks)
        for memory in (<size_t>s.conns, <size_t>s.free_rows, <size_t>s.in_flight, <size_t>s.free_entries,
                       <size_t>s.links, <size_t>s.scratch, <size_t>s.slab, <size_t>s.through, <size_t>s.events,
                       <size_t>s.listener_fds, <size_t>s.pieces, <size_t>s.fields_tail, <size_t>s.secure,
                       <size_t>s.spares):
            PyMem_RawFree(<void *><size_t>memory)
        tls_free(s)

    cdef void *_zeroed(self, size_t count, size_t size) except NULL:
        cdef void *memory = PyMem_RawCalloc(count if count else 1, size)
        if memory == NULL:
            raise MemoryError("reactor")
        return memory

    cdef setup(self, int index, SharedMemory memory, settings, list listeners):
        """Private memory, epoll and this reactor's view of the shared memory."""
        cdef State *s = &self.state
        cdef int i
        geometry = memory.geometry
        s.index = index
        s.reactors = geometry.reactors
        s.slots = geometry.slots
        s.eventfd = memory.reactor_eventfds[index]
        s.line = (<Scoreboard>memory.scoreboard).reactor(index)
        s.dispatch = DISPATCH_MODES.index(settings.dispatch)
        s.threads = settings.threads
        s.concurrency = settings.worker_concurrency
        s.queue_size = settings.queue_size
        s.queue_timeout_ns = <uint64_t>(settings.queue_timeout_s * 1e9)
        s.replay = settings.replay == "safe"
        s.spin_ns = <uint64_t>(limits.SPIN_S * 1e9) if cpus.usable() > 1 else 0
        s.keep_alive_ns = <uint64_t>(settings.keep_alive_s * 1e9)
        s.head_timeout_ns = <uint64_t>(settings.head_timeout_s * 1e9)
        s.body_timeout_ns = <uint64_t>(settings.body_timeout_s * 1e9)
        s.write_timeout_ns = <uint64_t>(settings.write_timeout_s * 1e9)
        s.max_line_bytes = settings.max_line_bytes
        s.max_field_bytes = settings.max_field_bytes
        s.max_fields = settings.max_fields
        s.max_body_bytes = settings.max_body_bytes
        s.inline_body_bytes = settings.inline_body_bytes
        self.tmp_dir = os.fsencode(settings.tmp_dir)
        s.tmp_dir = self.tmp_dir
        self.trusted = Trusted(settings.trusted)
        s.trusted = self.trusted.networks
        s.trusted_count = self.trusted.count
        s.forwarded_headers = FORWARDED_HEADERS.index(settings.forwarded_headers)
        s.proxy_protocol = PROXY_PROTOCOLS.index(settings.proxy_protocol)
        overdue_setup(s, <uint64_t>(settings.slow_after_s * 1e9), <uint64_t>(settings.request_timeout_s * 1e9))
        s.websockets = settings.ws
        s.ws_calls = settings.ws_handler
        s.ws_deflate = settings.ws_deflate
        s.ws_limits.max_message_bytes = settings.ws_max_bytes
        if settings.ws_handler and settings.ws_max_bytes > limits.WS_PUSH_BYTES:
            s.ws_limits.max_message_bytes = limits.WS_PUSH_BYTES
        s.ws_limits.max_fragments = limits.MAX_WS_FRAGMENTS
        s.ws_max_queue = settings.ws_max_queue
        s.ws_ping_interval_ns = <uint64_t>(settings.ws_ping_interval_s * 1e9)
        s.ws_ping_timeout_ns = <uint64_t>(settings.ws_ping_timeout_s * 1e9)
        s.ws_drain_ns = <uint64_t>(settings.websocket_drain_s * 1e9)
        # Ids of sessions are not used again, not even by the next server: generations go on with the time.
        s.last_generation = <uint64_t>(int(time.time()) - EPOCH_S) << 10
        s.push_fd = memory.pusher_sockets[index] if settings.ws else -1
        s.pushers = <uint64_t>(geometry.slots + limits.MAX_USER_PROCESSES)
        s.groups.seed = <uint32_t>int.from_bytes(os.urandom(4), "little")
        sw_blocks_init(&s.blocks, (<Segment>memory.blocks[index]).address)
        for size, count in geometry.block_classes:
            if not sw_blocks_add(&s.blocks, size, count):
                raise MemoryError("request blocks")
        s.table_entries = geometry.table_entries
        s.sessions = <sw_session *>(<Segment>memory.sessions[index]).address
        s.max_conns = geometry.sessions
        s.conns = <Conn *>self._zeroed(s.max_conns, sizeof(Conn))
        s.free_rows = <uint32_t *>self._zeroed(s.max_conns, sizeof(uint32_t))
        s.in_flight = <Conn **>self._zeroed(s.table_entries, sizeof(Conn *))
        s.free_entries = <uint32_t *>self._zeroed(s.table_entries, sizeof(uint32_t))
        s.links = <SlotLink *>self._zeroed(s.slots, sizeof(s.links[0]))
        s.scratch = <unsigned char *>self._zeroed(1, SCRATCH_BYTES)
        s.slab = <unsigned char *>self._zeroed(1, SLAB_BYTES)
        s.through = <unsigned char *>self._zeroed(1, CHUNK_BYTES)
        s.spares = <int *>self._zeroed(limits.SPARE_FILES, sizeof(int))
        s.events = <epoll_event *>self._zeroed(MAX_EVENTS, sizeof(epoll_event))
        s.pieces = <Piece *>self._zeroed(MAX_PIECES + 1, sizeof(Piece))
        s.listener_count = len(listeners)
        s.listener_fds = <int *>self._zeroed(s.listener_count, sizeof(int))
        for i in range(s.listener_count):
            s.listener_fds[i] = listeners[i][0]
        if settings.secure:
            tls_setup(s)
            s.handshake_timeout_ns = <uint64_t>(settings.handshake_timeout_s * 1e9)
            s.secure = <unsigned char *>self._zeroed(s.listener_count, 1)
            for i in settings.secure:
                s.secure[i] = True
        for i in range(s.slots):
            sw_ring_attach(&s.links[i].requests, memory.request_ring(i, index),
                           memory.request_ring_data(i, index), geometry.request_ring_bytes)
            sw_ring_attach(&s.links[i].responses, memory.response_ring(i, index),
                           memory.response_ring_data(i, index), geometry.response_ring_bytes)
            s.links[i].table = <sw_request_entry *>memory.request_table(i, index)
            s.links[i].sleeping = <sw_sleeping *>memory.slot_sleeping(i)
            s.links[i].eventfd = memory.slot_eventfds[i]
            s.links[i].wakes_us = <sw_sleeping *>memory.reactor_sleeping(i, index)
            s.links[i].channel = memory.reactor_channels[i][index]
            memory.describe_arena(i, &s.links[i].arena)
            s.links[i].line = (<Scoreboard>memory.scoreboard).slot(i)
        s.now_ns = sw_monotonic_ns()
        s.wheel_done = <int64_t>(s.now_ns // WHEEL_TICK_NS)
        s.wheel_next = s.wheel_done + 1
        # The Server line stands behind the Date line, whose length never changes.
        name = b"server: " + settings.server_header + b"\r\n" if settings.server_header else b""
        name = b"\0" * (DATE_LINE_BYTES if settings.date_header else 0) + name
        s.date_len = DATE_LINE_BYTES if settings.date_header else 0
        s.extra_at = <int>len(name)
        name += settings.extra_fields
        if len(name) > limits.MAX_DEFAULT_FIELDS_BYTES:
            raise ValueError("server_header and extra_fields are too long")
        s.fields_tail = <char *>self._zeroed(1, len(name) + 1)
        s.fields_tail_len = <int>len(name)
        memcpy(s.fields_tail, <const char *>name, len(name))
        response_clock(s)
        s.epoll = epoll_create1(EPOLL_CLOEXEC)
        if s.epoll < 0:
            raise OSError(errno, "epoll_create1")
        self.watch(s.eventfd, EPOLLIN | EPOLLET, DATA_WAKE)
        for i in range(s.slots):
            self.watch(memory.wake_eventfds[i][index], EPOLLIN | EPOLLET, DATA_WAKE)
        if s.push_fd >= 0:
            self.watch(s.push_fd, EPOLLIN | EPOLLET, DATA_PUSHES)
        s.io_inbox.eventfd = s.eventfd
        self.http1 = Http1()
        self.http1.state = s

    cdef watch(self, int fd, uint32_t events, size_t data):
        cdef epoll_event event
        event.events = events
        event.data.ptr = <void *>data
        if epoll_ctl(self.state.epoll, EPOLL_CTL_ADD, fd, &event) != 0:
            raise OSError(errno, "epoll_ctl")

    cdef certify(self, certificates):
        """The certificates of new connections from now on. Called with the GIL, as they are used."""
        self.state.certificates = <void *>certificates
        self.certificates = certificates

    def run(self):
        """The thread. Nothing may escape: a server whose reactor died in silence is worse than one that restarts."""
        try:
            self._run()
        except BaseException:
            try:
                logs.last_words("A reactor thread has failed")
            finally:
                faulthandler.disable()
                os.abort()

    cdef _run(self):
        cdef State *s = &self.state
        cdef uint64_t wanted_ns = 0, held_ns
        cdef int i
        while not s.stopping:
            with nogil:
                self._without_gil()
                wanted_ns = sw_monotonic_ns()
            held_ns = sw_monotonic_ns()
            s.line[REACTOR_GIL_WAIT_NS] += <int64_t>(held_ns - wanted_ns)
            s.line[REACTOR_GIL_TURNS] += 1
            self.http1.bury()
            for i in range(s.piece_count):
                s.pieces[i].c.flags &= ~CONN_PIECE
                self.http1.input(s.pieces[i].c, s.pieces[i].data, s.pieces[i].length)
            s.line[REACTOR_GIL_NS] += <int64_t>(sw_monotonic_ns() - held_ns)
        self._close_all()
        self.http1.bury()

    cdef void _without_gil(self) noexcept nogil:
        """Phases 3 and 1, over and over, until something needs parsing."""
        cdef State *s = &self.state
        s.piece_count = 0
        s.slab_at = 0
        while True:
            s.line[REACTOR_TURNS] += 1
            self._phase3()
            if s.stopping:
                return
            self._phase1()
            if s.piece_count > 0 or s.graves != NULL:
                return

    # ---- phase 1 ----

    cdef void _phase1(self) noexcept nogil:
        cdef State *s = &self.state
        cdef int64_t timeout_ns = 0
        cdef int n, i
        cdef bint tick = False
        cdef size_t data
        cdef bint slept = False
        cdef bint accepting = False
        if (s.todo_first == NULL and s.ready_first == NULL and not s.more_published and not self.pushes_wait
                and not self._spin()):
            tick = dispatch_untaken(s)
            self._announce_sleep(SW_ASLEEP_WITH_TICK if tick else SW_ASLEEP)
            slept = True
            if not (settle_anything_published(s) or sw_mailbox_pending(&s.inboxes[s.index])
                    or dispatch_could_go_on(s)):
                timeout_ns = self._sleep_ns(tick)
        n = sw_epoll_wait(s.epoll, s.events, MAX_EVENTS, timeout_ns)
        if slept:
            self._end_sleep()
        s.now_ns = sw_monotonic_ns()
        if n <= 0 and tick and timeout_ns == TICK_NS:
            s.line[REACTOR_TICKS] += 1
        self._do_todo()
        for i in range(n):
            data = <size_t>s.events[i].data.ptr
            if data >= SW_DATA_CONNECTIONS:
                self._event(<Conn *>s.events[i].data.ptr, s.events[i].events)
            elif data == DATA_PUSHES:
                self.pushes_wait = True
            elif data != DATA_WAKE:
                accepting = True
        if not accepting:
            return
        # Last: a row that this turn has closed must not be given out while events of its old owner are at hand.
        for i in range(n):
            data = <size_t>s.events[i].data.ptr
            if SW_DATA_LISTENERS <= data < SW_DATA_CONNECTIONS:
                accept_new(s, <int>(data - SW_DATA_LISTENERS))

    cdef void _announce_sleep(self, uint32_t how) noexcept nogil:
        """To the workers that may have news for us: answers, or room where we want some."""
        cdef State *s = &self.state
        cdef SlotLink *link
        cdef int slot
        for slot in range(s.slots_used):
            link = &s.links[slot]
            link.told = link.in_flight > 0 or link.stop_owed or (
                (s.waiting_count > 0 or s.websockets) and link.state != SLOT_DOWN)
            if link.told:
                sw_sleep_say(link.wakes_us, how)
        sw_sleep_fence()

    cdef void _end_sleep(self) noexcept nogil:
        cdef int slot
        for slot in range(self.state.slots_used):
            if self.state.links[slot].told:
                sw_sleep_end(self.state.links[slot].wakes_us)

    cdef bint _spin(self) noexcept nogil:
        """Look for a lone response a little longer, when experience says that it is about to come.

        To sleep and be woken costs a write by the worker, an interrupt and a context switch: with one or two
        requests in flight and an app that answers in some 10 µs that is most of a client's waiting time, and more
        CPU than looking on. With more in flight there is always something else to do, and with a slow app the
        moving average forbids it.
        """
        cdef State *s = &self.state
        cdef uint64_t until_ns, now_ns
        cdef int _look
        # Sockets of an ASGI app are in flight for as long as they last.
        cdef int64_t lone = s.line[REACTOR_IN_FLIGHT] - (0 if s.ws_calls else s.line[REACTOR_WEBSOCKETS])
        if (s.spin_ns == 0 or lone <= 0 or lone > SPIN_IN_FLIGHT
                or s.round_trip_ns > s.spin_ns):
            return False
        now_ns = sw_monotonic_ns()
        until_ns = now_ns + s.spin_ns
        while now_ns < until_ns:
            for _look in range(SW_SPIN_LOOKS):
                if settle_anything_published(s):
                    return True
                sw_spin_pause()
            sw_spin_yield()
            now_ns = sw_monotonic_ns()
        s.round_trip_ns += s.spin_ns >> 3  # in vain: a few of these, and it is given up
        return False

    cdef int64_t _sleep_ns(self, bint tick) noexcept nogil:
        """How long epoll may wait: -1 for ever."""
        cdef State *s = &self.state
        cdef int64_t wait_ns
        if tick:
            return TICK_NS
        wait_ns = _sooner(_sooner(timer_next_ns(s), slow_next_ns(s)), trim_next_ns(s))
        if s.overdue_every_ns != 0:
            wait_ns = _sooner(wait_ns, overdue_next_ns(s))
        wait_ns = _sooner(wait_ns, audit_next_ns(s))
        if s.websockets:
            wait_ns = _sooner(wait_ns, slots_next_ns(s))
        if s.waiting_count > 0:
            wait_ns = _sooner(wait_ns, QUEUE_LOOK_NS)
        if s.crowded or s.accept_told:
            wait_ns = _sooner(wait_ns, accept_wait_ns(s))
        if s.starved_until_ns:
            wait_ns = _sooner(wait_ns, <int64_t>(s.starved_until_ns - s.now_ns) if s.starved_until_ns > s.now_ns else 0)
        return wait_ns

    cdef void _do_todo(self) noexcept nogil:
        """Connections with work left over from earlier turns."""
        cdef State *s = &self.state
        cdef Conn *c
        cdef Conn *last = s.todo_last
        cdef bint done = last == NULL
        while not done:
            c = s.todo_first
            done = c == last
            s.todo_first = c.todo_next
            if s.todo_first == NULL:
                s.todo_last = NULL
            c.flags &= ~CONN_LEFTOVER
            if c.fd < 0 and c.ws != NULL:
                ws_go_on(s, c)
            elif c.fd < 0:
                conn_release(s, c)
            elif c.flags & CONN_HUNG_UP:
                conn_close(s, c)
            elif c.flags & CONN_WRITABLE_WAIT and not self._writable(c):
                pass
            elif s.piece_count >= MAX_PIECES:
                conn_todo(s, c)
            elif c.ws != NULL and ws_is_open(c):
                if c.flags & CONN_READABLE:
                    receive_some(s, c)
                else:
                    ws_go_on(s, c)
            elif c.flags & CONN_BODY_OPEN:
                receive_body(s, c)
            elif c.input_to > c.input_from and c.stage == STAGE_IDLE:  # in STAGE_HEAD it has been looked at
                receive_piece(s, c, NULL, 0)
            elif c.flags & CONN_READABLE:
                receive_some(s, c)

    cdef void _event(self, Conn *c, uint32_t events) noexcept nogil:
        cdef State *s = &self.state
        if c.fd < 0:
            return
        if c.flags & CONN_PIECE or c.stage == STAGE_READY:
            # It stands on a list of this turn and cannot be closed now: look again in the next one.
            if events & (EPOLLERR | EPOLLHUP):
                c.flags |= CONN_HUNG_UP
            if events & EPOLLRDHUP:
                c.flags |= CONN_EOF
            c.flags |= CONN_READABLE
            conn_todo(s, c)
            return
        if events & EPOLLOUT and c.flags & CONN_WRITABLE_WAIT and not self._writable(c):
            return
        if c.tls != NULL and events & EPOLLOUT and not tls_flush(s, c):
            conn_close(s, c)
            return
        # Once we have shut our own side, EPOLLHUP says no more than that the client has ended: what it sent before is
        # read, for a socket that is closed with something unread sends a reset. One of the client's is read as well.
        if events & (EPOLLERR | EPOLLHUP) and c.stage != STAGE_LINGER and not (ws_is_open(c) and c.ws.parted):
            conn_close(s, c)  # reset, or closed both ways: nothing can be delivered
            return
        if events & EPOLLRDHUP:
            c.flags |= CONN_EOF
            if not ws_is_open(c) and receive_is_over(s, c):
                return
        if events & (EPOLLIN | EPOLLRDHUP):
            c.flags |= CONN_READABLE
            if c.flags & CONN_BODY_OPEN:
                receive_body(s, c)
            elif c.stage != STAGE_IDLE or c.input_to == c.input_from:  # else the next turn has what is kept
                receive_some(s, c)

    cdef bint _writable(self, Conn *c) noexcept nogil:
        """The socket takes bytes again. False: the connection has ended."""
        cdef State *s = &self.state
        cdef int flushed = out_flush(s, c)
        if flushed == OUT_LOST and c.flags & CONN_HEAD_SENT and c.stage != STAGE_LINGER and not ws_is_open(c):
            response_cut(s, c)  # it may be our file that has an end
        elif flushed == OUT_LOST:
            conn_close(s, c)
        elif ws_is_open(c) and c.stage != STAGE_LINGER:
            if flushed == OUT_AGAIN:
                conn_todo(s, c)
            response_progress(s, c)
            ws_flushed(s, c)
        elif c.stage == STAGE_FINISHING and c.out_first == NULL:
            conn_next(s, c)
        else:
            if flushed == OUT_AGAIN:
                conn_todo(s, c)
            elif c.out_first == NULL and (c.stage == STAGE_BODY or c.stage == STAGE_CHUNKED):
                timer_set(s, c, s.now_ns + s.body_timeout_ns)  # 100 Continue waited, and took the body's deadline away
            response_progress(s, c)
        return c.fd >= 0

    # ---- phase 3 ----

    cdef void _phase3(self) noexcept nogil:
        cdef State *s = &self.state
        response_clock(s)
        if sw_mailbox_pending(&s.inboxes[s.index]):
            self._commands()
        if s.site != NULL:
            self._take_files()
        self._submit_ready()
        dispatch_flush(s)
        s.more_published = settle_responses(s)
        if self.pushes_wait:
            self.pushes_wait = pushes_receive(s, s.push_fd, wspush_verb) > 0
            wsout_uncork(s)
        slots_look(s)
        dispatch_waiting(s)
        dispatch_rebalance(s)
        audit_look(s)
        conn_feed_starved(s)
        slow_look(s)
        trim_look(s)
        if s.overdue_every_ns != 0:
            overdue_look(s)
        self._deadlines()  # before the flush: ending a connection may be news for its worker
        if s.corked != NULL:
            wsout_uncork(s)
        dispatch_flush(s)
        if s.access != NULL:
            access_publish(s)
        if s.draining and not s.drained and s.open == 0 and s.ws_rows == 0:
            s.drained = True
            self._report(MAIL_DRAINED, s.index)

    cdef void _take_files(self) noexcept nogil:
        """What the I/O threads have opened or read."""
        cdef State *s = &self.state
        cdef sw_io_job *job = sw_io_take(&s.io_inbox)
        cdef sw_io_job *following
        cdef Conn *c
        while job != NULL:
            following = job.next
            c = <Conn *>job.connection
            if static_done(s, job):
                self._writable(c)
            job = following

    cdef void _submit_ready(self) noexcept nogil:
        cdef State *s = &self.state
        cdef Conn *c = s.ready_first
        cdef Conn *following
        cdef int reason
        s.ready_first = s.ready_last = NULL
        while c != NULL:
            following = c.ready_next
            c.flags &= ~CONN_READY
            if c.fd < 0:
                conn_release(s, c)
            elif c.flags & CONN_BODY_OPEN and c.stage != STAGE_READY:  # its body has gone wrong
                response_refuse(s, c, c.reason)
            elif c.stage == STAGE_DISCARD:
                conn_next(s, c)
            elif c.flags & CONN_EXPECT and c.stage != STAGE_READY:
                c.flags &= ~CONN_EXPECT
                response_continue(s, c)
            elif c.stage == STAGE_READY:
                reason = c.reason
                if reason == REASON_NONE:
                    sw_blocks_at(&s.blocks, c.block).ready_ns = s.now_ns
                    if s.site != NULL and static_takes(s, c):
                        c = following
                        continue
                    reason = dispatch_submit(s, c, False)
                if reason != REASON_NONE:
                    response_own(s, c, reason)
                elif c.flags & CONN_EOF and not c.flags & CONN_BODY_OPEN:
                    c.gone_by_ns = s.now_ns + GONE_AFTER_NS
                    timer_arm(s, c)
            c = following

    cdef void _deadlines(self) noexcept nogil:
        cdef State *s = &self.state
        cdef Conn *c
        while True:
            c = timer_expired(s)
            if c == NULL:
                break
            s.line[REACTOR_TIMEOUTS] += 1
            c.deadline_ns = 0
            if c.stage == STAGE_HEAD:
                response_own(s, c, REASON_HEAD_TIMEOUT)
            elif c.stage == STAGE_BODY or c.stage == STAGE_CHUNKED:
                response_own(s, c, REASON_BODY_TIMEOUT)
            elif c.stage == STAGE_DISCARD:
                c.flags = (c.flags | CONN_UNREAD) & ~CONN_KEEP_ALIVE
                conn_end(s, c)
            elif c.write_by_ns != 0 and s.now_ns >= c.write_by_ns:
                conn_give_up(c)
                if c.flags & CONN_HEAD_SENT:
                    response_cut(s, c)
                else:
                    conn_close(s, c)
            elif c.upload != NULL and c.upload.deadline_ns != 0 and s.now_ns >= c.upload.deadline_ns:
                c.upload.deadline_ns = 0
                response_refuse(s, c, REASON_BODY_TIMEOUT)
            elif ws_is_open(c) and c.ws.due_ns != 0 and s.now_ns >= c.ws.due_ns:
                ws_timer(s, c)
            elif c.gone_by_ns != 0 and s.now_ns >= c.gone_by_ns:
                c.gone_by_ns = 0
                if not receive_is_over(s, c):
                    timer_arm(s, c)
            else:
                if c.tls != NULL and c.stage == STAGE_IDLE and tls_shaking(c) and not s.draining:
                    s.line[REACTOR_TLS_TIMEOUT] += 1
                    receive_tell(s, c, b"tls-handshake-timeout")
                conn_close(s, c)
        if s.waiting_count > 0:
            while s.orphaned and s.up == 0 and s.waiting_first != NULL:
                c = s.waiting_first
                dispatch_leave_queue(s, c)
                response_own(s, c, REASON_WORKER_LOST)
            self._expire_queue(s.waiting_first)
            self._expire_keyed()
        accept_again(s)

    cdef void _expire_queue(self, Conn *c) noexcept nogil:
        cdef State *s = &self.state
        cdef Conn *following
        while c != NULL and s.now_ns - c.since_ns > s.queue_timeout_ns:
            following = c.next
            dispatch_leave_queue(s, c)
            response_own(s, c, REASON_QUEUE_TIMEOUT)
            c = following

    cdef void _expire_keyed(self) noexcept nogil:
        cdef int slot
        for slot in range(self.state.slots_used):
            self._expire_queue(self.state.links[slot].waiting_first)

    # ---- commands ----

    cdef void _report(self, int kind, int which, int count=0) noexcept nogil:
        cdef sw_mail mail
        mail.kind = kind
        mail.a = which
        mail.b = count
        sw_mailbox_send(self.state.reports, &mail, False)

    cdef void _commands(self) noexcept nogil:
        cdef State *s = &self.state
        cdef Conn *c
        cdef Snapshot *snapshot
        cdef sw_mail mail
        while sw_mailbox_take(&s.inboxes[s.index], &mail):
            if mail.kind == MAIL_CONNECTION:
                c = accept_adopt(s, mail.a, <sw_address *>&mail.text[0])
                s.drained = False  # it may be closed already: that is an end to report, too
                if s.draining and c != NULL:
                    self._last_look(c)
            elif mail.kind == MAIL_SLOT_UP:
                slot_up(s, mail.a, <uint32_t>mail.b, mail.c)
                if not s.listening and not s.draining and not s.holds_back and not s.holding:
                    accept_listen(s, True)
            elif mail.kind == MAIL_LISTEN:
                s.holds_back = False
                if not s.listening and not s.draining:
                    accept_listen(s, True)
            elif mail.kind == MAIL_SLOT_STAGE:
                slot_stage(s, mail.a, <uint32_t>mail.b, mail.c)
            elif mail.kind == MAIL_SWITCH:
                slots_switch(s, mail.a)
            elif mail.kind == MAIL_SLOT_STOP:
                slot_stop(s, mail.a)
            elif mail.kind == MAIL_SLOT_DEAD:
                self._report(MAIL_SETTLED, mail.a, settle_dead(s, mail.a))
            elif mail.kind == MAIL_DRAIN:
                s.orphaned = s.orphaned or mail.a != 0
                self._drain()
            elif mail.kind == MAIL_SNAPSHOT:
                memcpy(&snapshot, mail.text, sizeof(snapshot))
                snapshot_take(s, snapshot)
                self._report(MAIL_SNAPSHOT_TAKEN, s.index)
            elif mail.kind == MAIL_STOP:
                s.stopping = True

    cdef void _drain(self) noexcept nogil:
        """No connections but those in the backlog; idle ones end now; what is under way is finished. Asked for once
        more when the manager is gone: what waits for a worker then gets its 502 (`orphaned`)."""
        cdef State *s = &self.state
        cdef uint32_t row
        cdef Conn *c
        if s.listening:
            accept_listen(s, False)
        if not s.draining:
            s.draining = True
            accept_hold_no_more(s)
            if not s.holds_back:
                accept_rest(s)
        for row in range(s.conns_used):
            c = &s.conns[row]
            if c.fd >= 0 and c.stage == STAGE_IDLE and c.generation > 0:
                self._last_look(c)
        ws_end_all(s)
        self._report(MAIL_DEAF, s.index)

    cdef void _last_look(self, Conn *c) noexcept nogil:
        """A request may just have come in: look before closing."""
        c.flags |= CONN_READABLE
        conn_todo(&self.state, c)

    cdef void _close_all(self):
        cdef State *s = &self.state
        cdef uint32_t row
        for row in range(s.conns_used):
            if s.conns[row].generation > 0:
                conn_close(s, &s.conns[row])
        if s.access != NULL:
            access_publish(s)
