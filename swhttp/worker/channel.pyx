"""The worker's end of shared memory: request rings in, response rings out, one pair per reactor.

It owns the private ends of this slot's rings, its arena and its channels for files, the fds that came with requests
until an adapter takes them, and when reactors are woken. It never looks into a request (adapters
do) and never sleeps (the loops do).

Wake moderation. A response is published at once, but while more requests wait here the reactor may be left to find
it by itself: `sw_wake_claim(quiet)` says whether it will (it is awake, or sleeps with a tick). After
limits.QUIET_RESPONSES of those, and always before this worker sleeps or waits, it is woken (`flush`).

Contract: every call with the GIL held, which is the lock between the threads of one worker.
"""

import os

from libc.errno cimport EIO, errno
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from posix.unistd cimport close

from swhttp.adapters.outlet cimport NEED_CHANNEL, NEED_READ, Outlet
from swhttp.ipc.arena cimport SW_NO_ARENA_BLOCK, sw_arena_at, sw_arena_own, sw_arena_take, sw_arena_take_back
from swhttp.ipc.clock cimport sw_monotonic_ns
from swhttp.ipc.fdpass cimport sw_fd_receive, sw_fd_send
from swhttp.ipc.frame cimport (SW_BLOCK_UNIT, SW_DESCRIPTOR_FD, sw_block, sw_chunk, sw_descriptor, sw_frame)
from swhttp.ipc.memory cimport Segment, SharedMemory
from swhttp.ipc.request_table cimport sw_request_entry, sw_request_index, sw_request_take
from swhttp.ipc.ring cimport (sw_eventfd_write, sw_ring_advance, sw_ring_attach, sw_ring_has_more, sw_ring_max_frame,
                              sw_ring_peek, sw_ring_publish, sw_ring_release, sw_ring_reserve, sw_ring_unread,
                              sw_ring_want_space, sw_sleeping, sw_wake_claim)
from swhttp.ipc.scoreboard cimport (SLOT_DONE, SLOT_FRAME_BYTES, SLOT_FRAMES, SLOT_LOST, SLOT_QUIET, SLOT_TAKEN,
                                    SLOT_WAKES, Scoreboard)
from swhttp.ipc.sessions cimport sw_address, sw_session, sw_session_address, sw_session_slow
from swhttp.ipc.spin cimport SW_SPIN_LOOKS, sw_spin_pause, sw_spin_yield
from swhttp.worker.looks cimport Looks

from swhttp import cpus, limits

cdef extern from "<poll.h>" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    enum:
        POLLOUT
    int poll(pollfd *fds, unsigned long count, int timeout_ms)

cdef int QUIET_RESPONSES = limits.QUIET_RESPONSES


cdef class Channel(Outlet):
    """The rings of one slot, seen by its worker.

    memory: the server's; slot: ours, whose rings were reset for this generation.
    """

    def __cinit__(self, SharedMemory memory, int slot, *_):
        cdef Link *link
        cdef int r
        geometry = memory.geometry
        self.memory = memory
        self.reactors = geometry.reactors
        self.rows = geometry.sessions
        self.links = <Link *>calloc(self.reactors, sizeof(Link))
        if self.links == NULL:
            raise MemoryError
        for r in range(self.reactors):
            link = &self.links[r]
            sw_ring_attach(&link.requests, memory.request_ring(slot, r), memory.request_ring_data(slot, r),
                           geometry.request_ring_bytes)
            sw_ring_attach(&link.responses, memory.response_ring(slot, r), memory.response_ring_data(slot, r),
                           geometry.response_ring_bytes)
            link.table = <sw_request_entry *>memory.request_table(slot, r)
            link.blocks = <const unsigned char *>(<Segment>memory.blocks[r]).address
            link.sessions = <sw_session *>(<Segment>memory.sessions[r]).address
            link.sleeping = <sw_sleeping *>memory.reactor_sleeping(slot, r)
            link.eventfd = memory.wake_eventfds[slot][r]
            link.files = memory.worker_channels[slot][r]
        memory.describe_arena(slot, &self.arena)
        if not sw_arena_own(&self.arena):
            raise MemoryError
        self.body_files = {}
        self.sleeping = <sw_sleeping *>memory.slot_sleeping(slot)
        self.looks = Looks(limits.SPIN_IN_FLIGHT)
        self.spin_ns = <uint64_t>(limits.SPIN_S * 1e9) if cpus.usable() > 1 else 0
        self.ring_descriptors = geometry.request_ring_bytes // sizeof(sw_descriptor)
        self.eventfd = memory.slot_eventfds[slot]
        self.line = (<Scoreboard>memory.scoreboard).slot(slot)
        self.max_payload_bytes = min(limits.MAX_SMALL_FRAME_BYTES, sw_ring_max_frame(geometry.response_ring_bytes)
                                     - sizeof(sw_frame))
        self.max_frame_bytes = sw_ring_max_frame(geometry.response_ring_bytes)
        self.max_block_bytes = max(size for size, _ in geometry.arena_classes)
        self.high_water_bytes = limits.HIGH_WATER_BYTES

    def __dealloc__(self):
        free(self.links)
        free(self.arena.own)

    # ---- requests in

    cdef bint pop(self, sw_descriptor *descriptor, int *reactor) except? True:
        """The next descriptor of any ring, round robin: False when there is none."""
        cdef Link *link
        cdef unsigned char *at
        cdef long long ready
        cdef int _nth, r = self.turn
        for _nth in range(self.reactors):
            link = &self.links[r]
            ready = sw_ring_peek(&link.requests, &at)
            reactor[0] = r
            r += 1
            if r == self.reactors:
                r = 0
            if ready >= <long long>sizeof(sw_descriptor):
                memcpy(descriptor, at, sizeof(sw_descriptor))
                sw_ring_advance(&link.requests, sizeof(sw_descriptor))
                if sw_ring_release(&link.requests):
                    self._wake(link)
                self.turn = r
                self.popped += 1
                if descriptor.flags & SW_DESCRIPTOR_FD:
                    self._receive(reactor[0], descriptor)
                return True
            if ready != 0:
                raise RuntimeError(f"request ring of reactor {reactor[0]} is corrupt")
        return False

    cdef bint take(self, int reactor, const sw_descriptor *descriptor) noexcept:
        """Make the request ours; False when the reactor has taken it back."""
        if sw_request_take(self.entry(reactor, descriptor.request_id), descriptor.request_id):
            self.line[SLOT_TAKEN] += 1
            return True
        self.line[SLOT_LOST] += 1
        if descriptor.flags & SW_DESCRIPTOR_FD:
            self._lose_file(reactor, descriptor.request_id)
        return False

    cdef int _receive(self, int reactor, const sw_descriptor *descriptor) except -1:
        """Take this descriptor's fd out of the channel. Without a free fd it is lost, and the message is gone too."""
        cdef uint64_t request_id = 0
        cdef int fd = sw_fd_receive(self.links[reactor].files, &request_id)
        if fd >= 0:
            if request_id == descriptor.request_id:
                self.body_files[reactor, request_id] = fd
            else:
                os.close(fd)
        return 0

    cdef void _lose_file(self, int reactor, uint64_t request_id) noexcept:
        cdef int fd = self.body_files.pop((reactor, request_id), -1)
        if fd >= 0:
            close(fd)

    cdef bint has_more(self) noexcept nogil:
        """Is there anything in any request ring?"""
        cdef int r
        for r in range(self.reactors):
            if sw_ring_has_more(&self.links[r].requests):
                return True
        return False

    cdef bint missed_news(self, bint emptied) noexcept:
        """May EVENT_CLOSE or EVENT_BUFFER_EMPTY have found a ring full? `emptied`: nothing is in the rings now.

        A reactor drops them then: the words they speak of are set. What filled the ring is read first, so among as
        many descriptors as fill one there is a yes. After it whoever waits for news must look at those words.
        """
        cdef bint missed = self.popped >= self.ring_descriptors
        if missed or emptied:
            self.popped = 0
        return missed

    cdef bint look(self) noexcept:
        """Before sleep: look for the next request a little longer, when requests come one at a time and soon.

        The client that waits for each answer before it asks again pays for every process that must be woken. So
        does the host.
        """
        cdef uint64_t until_ns
        cdef bint found = False
        cdef int _look
        if self.spin_ns == 0 or not self.looks.worth(self.line[SLOT_TAKEN]):
            return False
        with nogil:
            until_ns = sw_monotonic_ns() + self.spin_ns
            while sw_monotonic_ns() < until_ns:
                for _look in range(SW_SPIN_LOOKS):
                    found = self.has_more()
                    if found:
                        break
                    sw_spin_pause()
                if found:
                    break
                sw_spin_yield()
        self.looks.learn(found)
        return found

    cdef void stop(self, int reactor) noexcept:
        """EVENT_STOP has come from a reactor."""
        if not self.links[reactor].stopped:
            self.links[reactor].stopped = True
            self.stops += 1

    # ---- the outlet

    cdef sw_request_entry *entry(self, int reactor, uint64_t request_id) noexcept:
        return self.links[reactor].table + sw_request_index(request_id)

    cdef const sw_block *block(self, int reactor, const sw_descriptor *descriptor) noexcept:
        return <const sw_block *>(self.links[reactor].blocks + <uint64_t>descriptor.block * SW_BLOCK_UNIT)

    cdef const sw_chunk *chunk(self, int reactor, const sw_descriptor *descriptor) noexcept:
        return <const sw_chunk *>(self.links[reactor].blocks + <uint64_t>descriptor.block * SW_BLOCK_UNIT)

    cdef int body_file(self, int reactor, uint64_t request_id) except -2:
        return self.body_files.pop((reactor, request_id), -1)

    cdef bint address(self, int reactor, uint32_t row, uint64_t generation, sw_address *address) noexcept:
        return row < self.rows and sw_session_address(self.links[reactor].sessions + row, generation, address)

    cdef uint32_t slowness(self, int reactor, uint32_t row, uint64_t generation) noexcept:
        return sw_session_slow(self.links[reactor].sessions + row, generation) if row < self.rows else 0

    cdef unsigned char *reserve(self, int reactor, uint64_t length) noexcept:
        return sw_ring_reserve(&self.links[reactor].responses, length)

    cdef bint has_room(self, int reactor, uint64_t need) noexcept:
        cdef pollfd channel
        if need & NEED_READ:
            return self.unread(reactor) <= need & ~<uint64_t>NEED_READ
        if sw_ring_reserve(&self.links[reactor].responses, need & ~<uint64_t>NEED_CHANNEL) == NULL:
            return False
        if not need & NEED_CHANNEL:
            return True
        # Not writable: some of its files are not received, so frames of them are in the ring, and will be released.
        channel.fd = self.links[reactor].files
        channel.events = POLLOUT
        return poll(&channel, 1, 0) > 0

    cdef uint64_t published(self, int reactor) noexcept:
        return self.links[reactor].responses.own

    cdef uint64_t unread(self, int reactor) noexcept:
        return sw_ring_unread(&self.links[reactor].responses)

    cdef unsigned char *shm_take(self, uint64_t length, uint32_t *room, uint32_t *block) noexcept:
        block[0] = sw_arena_take(&self.arena, length, room)
        return NULL if block[0] == SW_NO_ARENA_BLOCK else sw_arena_at(&self.arena, block[0], 0)

    cdef void shm_return(self, uint32_t block) noexcept:
        sw_arena_take_back(&self.arena, block)

    cdef int pass_file(self, int reactor, int fd, uint64_t request_id) noexcept:
        if sw_fd_send(self.links[reactor].files, fd, request_id):
            return 0
        return errno or EIO

    cdef void publish(self, int reactor, uint64_t length, bint last) noexcept:
        cdef Link *link = &self.links[reactor]
        cdef bint quiet
        sw_ring_publish(&link.responses, length)
        self.line[SLOT_FRAMES] += 1
        self.line[SLOT_FRAME_BYTES] += length
        if last:
            self.line[SLOT_DONE] += 1
        quiet = self.may_hold and self.quiet_run < QUIET_RESPONSES and self.has_more()
        if sw_wake_claim(link.sleeping, quiet):
            sw_eventfd_write(link.eventfd)
            self.line[SLOT_WAKES] += 1
        if quiet:
            self.quiet_run += 1
            link.held = True
            self.line[SLOT_QUIET] += 1
        else:
            self.quiet_run = 0
            link.held = False

    cdef void want_space(self, int reactor) noexcept:
        self.flush()
        sw_ring_want_space(&self.links[reactor].responses)

    # ---- waking reactors

    cdef void flush(self) noexcept:
        """Wake every reactor that was left to its tick."""
        cdef int r
        self.quiet_run = 0
        for r in range(self.reactors):
            if self.links[r].held:
                self.links[r].held = False
                self._wake(&self.links[r])

    cdef void _wake(self, Link *link) noexcept:
        if sw_wake_claim(link.sleeping, False):
            sw_eventfd_write(link.eventfd)
            self.line[SLOT_WAKES] += 1
