"""A reactor without its thread, on a stand: turned by hand, with the harness for its client and its worker.

It is the real reactor over real sockets, epoll and shared memory, and does nothing but when it is told to: no waiting,
no threads. The client's ends and the worker's are plain Python (`swhttp.ipc.ring`). Slot 0 has the worker.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

import os
import socket

from swhttp.adapters.cache cimport CacheRow
from swhttp.adapters.fields cimport AsgiFields, WsgiFields
from swhttp.adapters.targets cimport AsgiTargets
from swhttp.ipc.blocks cimport sw_blocks, sw_blocks_destroy
from swhttp.ipc.frame cimport sw_block
from swhttp.ipc.memory cimport Segment, SharedMemory
from swhttp.ipc.sessions cimport sw_address
from swhttp.reactor.accept cimport accept_adopt
from swhttp.reactor.accesswriter cimport AccessWriter
from swhttp.reactor.logline cimport sw_log_head
from swhttp.reactor.loop cimport Reactor
from swhttp.reactor.settle cimport settle_dead
from swhttp.reactor.slots cimport slot_up
from swhttp.reactor.state cimport (CONN_PIECE, SLOT_CORRUPT, State, sw_gauge, sw_gauge_add, sw_gauge_get, sw_load,
                                   sw_load_reset, sw_mail, sw_mailbox, sw_mailbox_init, sw_mailbox_take)

cdef extern from "<stdlib.h>" nogil:
    void *aligned_alloc(size_t alignment, size_t size)

cdef extern from *:
    """
    /* Bytes of the block that begins at this offset, 0: none does. */
    static uint32_t sw_block_room(const sw_blocks *blocks, uint32_t block)
    {
        for (int i = 0; i < blocks->classes; i++) {
            const sw_block_class *c = &blocks->by_size[i];
            uint32_t units = c->bytes / SW_BLOCK_UNIT;
            if (block - c->first < units * c->count)
                return (block - c->first) % units == 0 ? c->bytes : 0;
        }
        return 0;
    }
    """
    uint32_t sw_block_room(sw_blocks *blocks, uint32_t block)


cdef void *_zeroed(size_t size) except NULL:
    cdef void *memory = aligned_alloc(64, (size + 63) // 64 * 64)
    if memory == NULL:
        raise MemoryError
    memset(memory, 0, size)
    return memory


cdef class Stand:
    """A reactor of `settings` (ReactorSettings) in shared memory of `geometry`, and slot 0 with a worker of an `asgi`
    app or a WSGI one. `access`: an AccessWriter that is not started, or None."""

    cdef Reactor reactor
    cdef readonly SharedMemory memory
    cdef AccessWriter access
    cdef sw_load *loads
    cdef sw_gauge *gauges
    cdef sw_mailbox *boxes
    cdef int report_fd
    cdef int eventfd
    cdef bint asgi
    cdef uint32_t generation
    cdef AsgiFields asgi_fields
    cdef WsgiFields wsgi_fields
    cdef AsgiTargets targets

    def __init__(self, settings, geometry, *, bint asgi=True, AccessWriter access=None):
        cdef State *s
        assert geometry.reactors == 1
        self.memory = SharedMemory(geometry)
        self.asgi = asgi
        self.access = access
        self.asgi_fields, self.wsgi_fields, self.targets = AsgiFields(), WsgiFields(), AsgiTargets()
        self.report_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.eventfd = self.memory.reactor_eventfds[0]
        self.loads = <sw_load *>_zeroed(geometry.slots * sizeof(sw_load))
        self.gauges = <sw_gauge *>_zeroed(5 * sizeof(sw_gauge))
        self.boxes = <sw_mailbox *>_zeroed(2 * sizeof(sw_mailbox))
        sw_mailbox_init(&self.boxes[0], self.eventfd)
        sw_mailbox_init(&self.boxes[1], self.report_fd)
        self.reactor = Reactor()
        s = &self.reactor.state
        s.loads, s.inboxes, s.reports = self.loads, self.boxes, &self.boxes[1]
        s.open_gauges, s.waiting_gauges, s.switch_gauges = self.gauges, self.gauges + 1, self.gauges + 2
        s.places, s.holding_gauge, s.most_places = self.gauges + 3, self.gauges + 4, geometry.sessions
        s.peer_eventfds = &self.eventfd
        self.reactor.setup(0, self.memory, settings, [])
        s.asgi = asgi
        if access is not None:
            access.wire(0, s, s.reports)
        self.begin_worker()

    def begin_worker(self):
        """There is a new worker in slot 0, whose memory is as new."""
        self.generation += 1
        self.memory.reset_slot(0)
        sw_load_reset(&self.loads[0], self.generation)
        slot_up(&self.reactor.state, 0, self.generation, self.asgi)

    def end_worker(self):
        """The worker in slot 0 is dead: how many requests it had begun."""
        return settle_dead(&self.reactor.state, 0)

    def connect(self, bytes peer=b"192.0.2.1", int buffer_bytes=0):
        """A client's socket, connected to the reactor, whose side holds `buffer_bytes` unsent (0: as many as usual)."""
        cdef State *s = &self.reactor.state
        cdef sw_address address
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        if buffer_bytes:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
        memset(&address, 0, sizeof(address))
        address.peer_len, address.peer_port = len(peer), 4711
        memcpy(address.peer, <const char *>peer, len(peer))
        address.local_len, address.local_port = 9, 80
        memcpy(address.local, b"192.0.2.2", 9)
        sw_gauge_add(&self.gauges[0], 1)
        sw_gauge_add(s.places, 1)
        if accept_adopt(s, theirs.detach(), &address) == NULL:
            raise AssertionError("no room for a connection")
        return ours

    def turn(self):
        """One round of phases 1, 2 and 3, without sleep. True: there is more to do already."""
        cdef State *s = &self.reactor.state
        cdef sw_mail mail
        cdef bint had
        cdef int i
        s.piece_count = 0
        s.slab_at = 0
        s.more_published = True  # phase 1 looks no further, and does not sleep
        with nogil:
            self.reactor._phase1()
        had = s.piece_count > 0 or s.graves != NULL
        self.reactor.http1.bury()
        for i in range(s.piece_count):
            s.pieces[i].c.flags &= ~CONN_PIECE
            self.reactor.http1.input(s.pieces[i].c, s.pieces[i].data, s.pieces[i].length)
        with nogil:
            self.reactor._phase3()
            while sw_mailbox_take(s.reports, &mail):
                pass
        if self.access is not None:
            self.access._drain(0, sw_log_head(&self.access.rings[0]))
        return had or s.todo_first != NULL or s.ready_first != NULL or s.graves != NULL or s.more_published

    def settle(self, int most=2000):
        """Turn until nothing is left to do. Raises AssertionError when that takes `most` turns: it would spin."""
        cdef int idle = 0, turns = 0
        while idle < 2:
            idle = 0 if self.turn() else idle + 1
            turns += 1
            if turns > most:
                raise AssertionError(f"still not idle after {most} turns")

    def feed_starved(self):
        """The time has come to look at those for which there was no block or no room in a ring."""
        if self.reactor.state.starved != NULL:
            self.reactor.state.starved_until_ns = 1

    @property
    def is_corrupt(self):
        """Was what the worker wrote found to be impossible?"""
        return self.reactor.state.links[0].state == SLOT_CORRUPT

    def held(self):
        """What the reactor holds for its connections; all is 0 once every client and worker has gone."""
        cdef State *s = &self.reactor.state
        cdef uint32_t i, rows = 0, entries = 0
        for i in range(s.conns_used):
            rows += s.conns[i].generation > 0 and s.conns[i].fd >= 0
        for i in range(s.entries_used):
            entries += s.in_flight[i] != NULL
        return {
            "connections": s.open, "gauge": sw_gauge_get(&self.gauges[0]), "places": sw_gauge_get(s.places),
            "rows": rows, "missing rows": s.conns_used - s.free_row_count, "blocks": s.blocks.in_use,
            "requests": entries, "missing entries": s.entries_used - s.free_entry_count,
            "at the worker": s.links[0].in_flight, "waiting": s.waiting_count,
        }

    def room_of(self, uint32_t block):
        """Bytes of the request block at this offset, in units of 64 bytes. Raises AssertionError: none begins there."""
        cdef uint32_t room = sw_block_room(&self.reactor.state.blocks, block)
        if room == 0:
            raise AssertionError(f"no block begins at {block}")
        return room

    def give_up_blocks(self):
        """The arena of request blocks is the harness's from now on: the reactor takes no more."""
        sw_blocks_destroy(&self.reactor.state.blocks)

    def shown(self, uint32_t block):
        """How the adapters show this block to apps: ASGI's fields, WSGI's as an environ, (path, raw_path, query)."""
        cdef const sw_block *b = <const sw_block *>(<char *>(<Segment>self.memory.blocks[0]).address
                                                    + <uint64_t>block * 64)
        cdef const unsigned char *records = <const unsigned char *>b + b.headers_off
        cdef CacheRow *target = self.targets.read(b)
        cdef dict environ = {}
        seen = ("/", b"/", b"")
        if target != NULL:
            seen = (<object>target.first, <object>target.second, <object>target.third)
        self.wsgi_fields.read(records, b.headers_count, environ)
        return self.asgi_fields.read(records, b.headers_count), environ, seen

    def __dealloc__(self):
        free(self.loads)
        free(self.gauges)
        free(self.boxes)
