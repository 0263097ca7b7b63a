"""All shared memory: memfd mappings made before the first fork, touched lazily, offsets only inside.

It owns the mappings, the eventfds, the channels for fds and the geometry of all; who may see what is decided here too
(`keep_for_worker`, `keep_for_zygote`, `keep_for_user`, `keep_for_manager`). It never looks at what the rings or blocks
hold.

    per reactor   blocks, session table (workers: read-only; the latter is all that user processes have)
    per slot      | sleeping words | request rings, one per reactor | response rings | request tables | arena |
    once          scoreboard

What a worker may write is its own slot and its page of the scoreboard; so each reactor has a sleeping word and an
eventfd for each slot, or one worker could take the others' wake-ups away. It cannot make more of it writable, because
the manager maps the rest anew, from an fd that cannot write; and the processes that an application forks have not even
its slot.
"""

from libc.errno cimport errno
from libc.stdint cimport uint32_t, uint64_t
from posix.mman cimport (MAP_FAILED, MAP_FIXED, MAP_NORESERVE, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, mprotect,
                         munmap)

import fcntl
import os
import socket

from swhttp.ipc.arena cimport sw_arena, sw_arena_add, sw_arena_attach, sw_arena_reset
from swhttp.ipc.fdpass cimport sw_fd_drain
from swhttp.ipc.frame cimport sw_ws_session_generation, sw_ws_session_reactor, sw_ws_session_row
from swhttp.ipc.ring cimport sw_ring_reset, sw_sleep_end, sw_sleeping
from swhttp.ipc.sessions cimport sw_session, sw_session_slow

from swhttp import limits
from swhttp.ipc import scoreboard as scoreboard_module

cdef extern from "<sys/mman.h>" nogil:
    enum:
        MADV_DONTFORK
        MADV_REMOVE
    int madvise(void *address, size_t length, int advice)

cdef enum:
    PAGE = 4096
    F_SEAL_FUTURE_WRITE = 16  # Linux 5.1; Python does not name it
    RING_HEAD = 128        # sizeof(sw_ring)
    WAKE_WORD = 64         # sizeof(sw_sleeping)
    SESSION_ROW = 128      # sizeof(sw_session)
    TABLE_ROW = 64         # sizeof(sw_request_entry)
    ARENA_WORDS = 256      # SW_ARENA_CLASSES * sizeof(sw_arena_returned)


cdef size_t _pages(size_t size):
    return (size + PAGE - 1) // PAGE * PAGE


cdef class Segment:
    """One mapping of a memfd.

    `name`: shown in /proc as `/memfd:swhttp-NAME`; `size`: bytes, rounded up to whole pages. Raises OSError. The
    size is sealed: no process can shrink it under another's feet.
    """

    def __cinit__(self, *_, **__):
        self.fd = -1  # or an instance that failed to be made would close fd 0

    def __init__(self, str name, size_t size):
        size = _pages(size)
        fd = os.memfd_create("swhttp-" + name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, size)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
        self._map(name, size, fd, PROT_READ | PROT_WRITE)

    @staticmethod
    def from_fd(int fd):
        """Map somebody else's segment, read-only. Takes the fd over."""
        cdef Segment segment = Segment.__new__(Segment)
        segment._map("attached", os.fstat(fd).st_size, fd, PROT_READ)
        return segment

    def _map(self, str name, size_t size, int fd, int protection):
        self.name, self.size, self.fd = name, size, fd
        self.address = mmap(NULL, size, protection, MAP_SHARED | MAP_NORESERVE, fd, 0)
        if self.address == MAP_FAILED:
            self.address = NULL
            raise OSError(errno, f"mmap of {name}")

    def protect(self, size_t offset=0, size_t length=0, *, bint writable=False):
        """Make a part (whole pages; length 0: to the end) read-only, or writable again, in this process."""
        cdef int protection = PROT_READ | PROT_WRITE if writable else PROT_READ
        if self.address != NULL and mprotect(<char *>self.address + offset,
                                             length or self.size - offset, protection):
            raise OSError(errno, f"mprotect of {self.name}")

    def seal(self):
        """Make it read-only in this process and all that it forks, for good; where it is mapped already it stays
        writable.

        A mapping of an fd that is open for reading only cannot be made writable. A seal would do, too, but with
        F_SEAL_FUTURE_WRITE the kernel refuses MADV_REMOVE to those that write: no memory would ever be given back.
        """
        cdef int fd = self.fd
        cdef bint reopened = True
        try:
            fd = os.open(f"/proc/self/fd/{self.fd}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # no /proc, in a chroot: then memory stays rather than that a worker can write to it
            reopened = False
            try:
                fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, F_SEAL_FUTURE_WRITE)
            except OSError:  # this kernel does not know it either: read-only, until somebody makes it writable
                self.protect()
                return
        failed = mmap(self.address, self.size, PROT_READ, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, 0) == MAP_FAILED
        if reopened:
            os.close(fd)
        if failed:
            raise OSError(errno, f"mmap of {self.name}")

    def keep_from_children(self):
        """Processes that this one forks do not have it."""
        if madvise(self.address, self.size, MADV_DONTFORK):
            raise OSError(errno, f"madvise of {self.name}")

    def close_fd(self):
        """Close the memfd; the mapping stays."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def unmap(self):
        """Drop the mapping and the memfd in this process."""
        if self.address != NULL:
            munmap(self.address, self.size)
            self.address = NULL
        self.close_fd()

    def __dealloc__(self):
        if self.address != NULL:
            munmap(self.address, self.size)
        if self.fd >= 0:
            os.close(self.fd)

    def view(self):
        """The memory as a writable memoryview, for tests and tools."""
        return <unsigned char[:self.size]>self.address


cdef class SharedMemory:
    """Everything that master, manager and workers share. `geometry`: a `swhttp.ipc.geometry.Geometry`."""

    def __init__(self, geometry):
        cdef int r
        g = geometry
        self.geometry = g
        board = Segment("scoreboard", scoreboard_module.size_bytes(g.reactors, g.slots))
        self.scoreboard = scoreboard_module.Scoreboard(board, g.reactors, g.slots)
        self.blocks = [Segment(f"blocks-{r}", g.arena_bytes) for r in range(g.reactors)]
        self.sessions = [Segment(f"sessions-{r}", g.sessions * SESSION_ROW) for r in range(g.reactors)]
        self.slots = [Segment(f"slot-{s}", self._slot_bytes()) for s in range(g.slots)]
        flags = os.EFD_CLOEXEC | os.EFD_NONBLOCK
        self.reactor_eventfds = [os.eventfd(0, flags) for _ in range(g.reactors)]
        self.slot_eventfds = [os.eventfd(0, flags) for _ in range(g.slots)]
        # [slot][reactor]: by which the slot's worker wakes that reactor. -1: closed in this process.
        self.wake_eventfds = [[os.eventfd(0, flags) for _ in range(g.reactors)] for _ in range(g.slots)]
        # [slot][reactor]: the reactor's end, and the worker's. -1: closed in this process.
        pairs = [[_socket_pair() for _ in range(g.reactors)] for _ in range(g.slots)]
        self.reactor_channels = [[ours for ours, _ in row] for row in pairs]
        self.worker_channels = [[theirs for _, theirs in row] for row in pairs]
        # [reactor]: the reactor's end, and the one that all user processes share, by which they push to WebSockets.
        pairs = [_socket_pair() for _ in range(g.reactors)]
        self.pusher_sockets = [ours for ours, _ in pairs]
        self.user_sockets = [theirs for _, theirs in pairs]
        for fd in self.user_sockets:
            _widen(fd, limits.PUSH_PACKET_BYTES)

    def _slot_bytes(self):
        g = self.geometry
        return (self._arena_start() + _pages(ARENA_WORDS + 4 * g.arena_blocks)
                + sum(size * count for size, count in g.arena_classes))

    # The sleeping words, the worker's first, have a cache line each; then the data of the rings, their heads, the
    # request tables, the arena.
    cdef void *_at(self, int slot, size_t offset) noexcept:
        return <char *>(<Segment>self.slots[slot]).address + offset

    cdef void *slot_sleeping(self, int slot) noexcept:
        return self._at(slot, 0)

    cdef void *reactor_sleeping(self, int slot, int reactor) noexcept:
        return self._at(slot, WAKE_WORD * (1 + <size_t>reactor))

    cdef size_t _rings_data(self) noexcept:
        return _pages(WAKE_WORD * (1 + <size_t>self.geometry.reactors))

    cdef void *request_ring(self, int slot, int reactor) noexcept:
        return self._at(slot, self._rings_start() + 2 * reactor * RING_HEAD)

    cdef void *response_ring(self, int slot, int reactor) noexcept:
        return self._at(slot, self._rings_start() + (2 * reactor + 1) * RING_HEAD)

    cdef size_t _rings_start(self) noexcept:
        cdef size_t data = self.geometry.reactors * (self.geometry.request_ring_bytes
                                                     + self.geometry.response_ring_bytes)
        return self._rings_data() + data

    cdef void *request_ring_data(self, int slot, int reactor) noexcept:
        return self._at(slot, self._rings_data() + <size_t>self.geometry.request_ring_bytes * reactor)

    cdef void *response_ring_data(self, int slot, int reactor) noexcept:
        return self._at(slot, self._rings_data()
                        + <size_t>self.geometry.request_ring_bytes * self.geometry.reactors
                        + <size_t>self.geometry.response_ring_bytes * reactor)

    cdef size_t _tables_start(self) noexcept:
        return _pages(self._rings_start() + 2 * RING_HEAD * <size_t>self.geometry.reactors)

    cdef size_t _table_bytes(self) noexcept:
        return _pages(TABLE_ROW * <size_t>self.geometry.table_entries)

    cdef void *request_table(self, int slot, int reactor) noexcept:
        return self._at(slot, self._tables_start() + self._table_bytes() * reactor)

    cdef size_t _arena_start(self):
        return self._tables_start() + self._table_bytes() * <size_t>self.geometry.reactors

    cdef size_t _arena_blocks_start(self):
        return self._arena_start() + _pages(ARENA_WORDS + 4 * <size_t>self.geometry.arena_blocks)

    cdef describe_arena(self, int slot, sw_arena *arena):
        """Describe a slot's response arena, for a reactor or its worker."""
        cdef size_t at = self._arena_blocks_start()
        sw_arena_attach(arena, self._at(slot, self._arena_start()), self.geometry.arena_blocks)
        for size, count in self.geometry.arena_classes:
            sw_arena_add(arena, size, count, self._at(slot, at))
            at += <size_t>size * <size_t>count

    def reset_slot(self, int slot):
        """Make a slot's rings, arena and channels empty for a new generation. Only while no process uses them."""
        cdef int r
        for r in range(self.geometry.reactors):
            sw_ring_reset(self.request_ring(slot, r))
            sw_ring_reset(self.response_ring(slot, r))
            sw_sleep_end(<sw_sleeping *>self.reactor_sleeping(slot, r))
        self.drain_channels(slot)
        sw_arena_reset(self._at(slot, self._arena_start()))
        sw_sleep_end(<sw_sleeping *>self.slot_sleeping(slot))

    def slowness(self, session):
        """SW_SESSION_ bits of the session with this id, for those who have the session tables; 0 when it is gone."""
        cdef uint64_t name = session
        cdef uint32_t row = sw_ws_session_row(name), reactor = sw_ws_session_reactor(name)
        if reactor >= <uint32_t>self.geometry.reactors or row >= <uint32_t>self.geometry.sessions:
            return 0
        return sw_session_slow(<sw_session *>(<Segment>self.sessions[reactor]).address + row,
                               sw_ws_session_generation(name))

    def give_back(self, int slot):
        """What the arena of a slot has used goes back to the kernel: its worker is dead, and no reactor holds any."""
        cdef size_t size = sum(size * count for size, count in self.geometry.arena_classes)
        madvise(self._at(slot, self._arena_blocks_start()), size, MADV_REMOVE)  # if it fails the memory merely stays

    def drain_channels(self, int slot):
        """Close the files that were sent to the slot's worker, which is dead: else what they hold on the disk stays
        taken until the slot is used again. Only while no reactor sends any."""
        cdef int r
        for r in range(self.geometry.reactors):
            sw_fd_drain(self.worker_channels[slot][r])

    def keep_for_worker(self, int slot):
        """In a new worker: what it may not see is unmapped, what it may only read is made read-only."""
        cdef int s
        for segment in self.blocks + self.sessions:
            (<Segment>segment).protect()
        for s in range(self.geometry.slots):
            if s != slot:
                (<Segment>self.slots[s]).unmap()
        (<Segment>self.slots[slot]).protect(writable=True)
        # A child that an application has forked may outlive us, and would have what the next worker here is given.
        (<Segment>self.slots[slot]).keep_from_children()
        self.scoreboard.keep_slot(slot)
        self._close_memfds()
        _close_rows([*self.reactor_channels, self.pusher_sockets, self.user_sockets])
        _close_rows(row for s, row in enumerate(self.worker_channels) if s != slot)
        _close_rows(row for s, row in enumerate(self.wake_eventfds) if s != slot)

    def keep_for_zygote(self):
        """In a zygote, where foreign code runs: the same as the manager, but it writes nothing that is a worker's."""
        for segment in self.blocks + self.sessions + self.slots:
            (<Segment>segment).protect()
        self.scoreboard.keep_slot(-1)
        _close_rows([self.user_sockets])

    def keep_for_user(self):
        """In a user process: nothing but its ends of the sockets for pushes, and the session tables, to read."""
        kept, self.user_sockets = self.user_sockets, []
        tables, self.sessions = self.sessions, []
        self.close()
        for segment in tables:
            (<Segment>segment).protect()
            (<Segment>segment).close_fd()
        self.user_sockets, self.sessions = kept, tables

    def keep_for_manager(self):
        """In the manager: it looks at the scoreboard only, but hands everything down to the workers it forks."""
        for segment in self.blocks + self.sessions:
            (<Segment>segment).seal()
        for fd in self.reactor_eventfds:
            os.close(fd)
        self.reactor_eventfds = []
        self._close_memfds()
        _close_rows([*self.reactor_channels, self.pusher_sockets])

    def keep_for_master(self):
        """In the master, once the manager is forked: the others' ends of the channels are the manager's to hand on."""
        _close_rows([*self.worker_channels, self.user_sockets])

    def _close_memfds(self):
        for segment in [*self.blocks, *self.sessions, *self.slots,
                        self.scoreboard.segment]:
            (<Segment>segment).close_fd()

    def worker_fds(self, int slot):
        """The fds that the worker in `slot` needs: its own eventfd, those by which it wakes reactors, its channels."""
        return [self.slot_eventfds[slot], *self.wake_eventfds[slot], *self.worker_channels[slot]]

    def manager_fds(self):
        """The fds that the manager needs for itself and all workers."""
        return [*self.slot_eventfds, *(fd for row in self.wake_eventfds + self.worker_channels for fd in row),
                *self.user_sockets]

    def close(self):
        """Unmap all and close all fds, in this process."""
        for segment in [*self.blocks, *self.sessions, *self.slots,
                        self.scoreboard.segment]:
            (<Segment>segment).unmap()
        for fd in [*self.reactor_eventfds, *self.slot_eventfds]:
            os.close(fd)
        self.reactor_eventfds, self.slot_eventfds = [], []
        _close_rows(self.wake_eventfds)
        _close_rows([*self.reactor_channels, *self.worker_channels, self.pusher_sockets, self.user_sockets])


def _socket_pair():
    """Two connected SEQPACKET sockets, as fds."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    return ours.detach(), theirs.detach()


def _widen(fd, size):
    """Have a socket take packets of `size` bytes, several of them: no less than it takes anyway."""
    with socket.socket(fileno=os.dup(fd)) as end:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF,
                       max(4 * size, end.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 2))


def _close_rows(rows):
    """Close these fds and forget them."""
    for row in rows:
        for i, fd in enumerate(row):
            if fd >= 0:
                os.close(fd)
                row[i] = -1
