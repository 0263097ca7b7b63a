"""Python ends of the shared memory, FOR TOOLS AND TESTS: the server's own code uses the headers directly.

It owns nothing: every class is a view of a `SharedMemory` (ring.h, request_table.h and frame.h say what the bytes
mean) and keeps it alive. A ring has one producer and one consumer in all processes together, so never make an end
of which the running server has the same one; the tables and blocks may be read at any time.

    reactor                                     worker
    DescriptorWriter  -- request ring -->       DescriptorReader
    FrameReader       <-- response ring --      FrameWriter

It is long because it has both ends of everything that crosses, side by side, so that a layout is read in one place.
"""

from libc.errno cimport errno
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from swhttp.ipc.arena cimport (SW_NO_ARENA_BLOCK, sw_arena, sw_arena_at, sw_arena_give, sw_arena_own, sw_arena_take,
                               sw_arena_take_back, sw_arena_trim)
from swhttp.ipc.fdpass cimport SW_FD_BROKEN, SW_FD_NONE, sw_fd_drain, sw_fd_receive, sw_fd_send
from swhttp.ipc.frame cimport (EVENT_BUFFER_EMPTY, EVENT_BUFFER_FULL, EVENT_CLOSE, EVENT_CREDIT, EVENT_PACKAGE,
                               EVENT_PACKAGE_CHUNK, EVENT_PACKAGE_END, EVENT_PACKAGE_START, EVENT_STOP, EVENT_WS_CLOSE,
                               EVENT_WS_DONE, EVENT_WS_DONE_SHM, EVENT_WS_MESSAGE, EVENT_WS_MESSAGE_SHM, EVENT_WS_OPEN,
                               EVENT_WS_SESSION, EVENT_WS_SESSION_SHM, RESPONSE_SHM, RESPONSE_SMALL, RESPONSE_TMPFILE,
                               SW_BLOCK_BODY_FILE, SW_BLOCK_EXPECTS, SW_BLOCK_MORE_BODY, SW_BLOCK_ORIGIN, SW_BLOCK_UNIT,
                               SW_DESCRIPTOR_FD, SW_FRAME_ABORT, SW_FRAME_CLOSE, SW_FRAME_HAS_DATE, SW_FRAME_HAS_SERVER,
                               SW_FRAME_HEAD, SW_FRAME_INTERIM, SW_FRAME_LAST, SW_FRAME_MORE, SW_FRAME_TRAILERS,
                               SW_NO_LENGTH, SW_WS_MORE, sw_block, sw_block_client, sw_chunk, sw_descriptor,
                               sw_file_ref, sw_frame, sw_frame_bytes, sw_frame_read, sw_header, sw_origin, sw_shm_ref,
                               sw_ws_record, sw_ws_record_bytes)
from swhttp.ipc.memory cimport Segment, SharedMemory
from swhttp.ipc.request_table cimport (SW_REQUEST_FREE, SW_REQUEST_QUEUED, SW_REQUEST_REVOKED, SW_REQUEST_TAKEN,
                                       sw_request_ack, sw_request_acked, sw_request_closed, sw_request_entry,
                                       sw_request_free, sw_request_id, sw_request_index, sw_request_queue,
                                       sw_request_read, sw_request_revoke, sw_request_set_full, sw_request_state,
                                       sw_request_take, sw_request_want_ack)
from swhttp.ipc.rfc6455 cimport SW_WS_BINARY, SW_WS_CLOSE, SW_WS_TEXT
from swhttp.ipc.tempfile cimport sw_is_regular, sw_temp_file, sw_write_all
# (What ring.pxd declares is in scope: it is this module's own.)

import os
from typing import NamedTuple

PACKAGE, CLOSE, BUFFER_EMPTY, STOP = EVENT_PACKAGE, EVENT_CLOSE, EVENT_BUFFER_EMPTY, EVENT_STOP
START, CHUNK, END, BUFFER_FULL = EVENT_PACKAGE_START, EVENT_PACKAGE_CHUNK, EVENT_PACKAGE_END, EVENT_BUFFER_FULL
SMALL, SHM, TMPFILE, CREDIT = RESPONSE_SMALL, RESPONSE_SHM, RESPONSE_TMPFILE, EVENT_CREDIT
WS_SESSION, WS_SESSION_SHM, WS_DONE, WS_DONE_SHM = (
    EVENT_WS_SESSION, EVENT_WS_SESSION_SHM, EVENT_WS_DONE, EVENT_WS_DONE_SHM)
MORE_BODY, BODY_FILE, EXPECTS = SW_BLOCK_MORE_BODY, SW_BLOCK_BODY_FILE, SW_BLOCK_EXPECTS
TRAILERS, INTERIM = SW_FRAME_TRAILERS, SW_FRAME_INTERIM
WS_OPEN, WS_MESSAGE, WS_MESSAGE_SHM, WS_CLOSE = EVENT_WS_OPEN, EVENT_WS_MESSAGE, EVENT_WS_MESSAGE_SHM, EVENT_WS_CLOSE
TEXT, BINARY, CLOSING, MORE_RECORDS, MORE = SW_WS_TEXT, SW_WS_BINARY, SW_WS_CLOSE, SW_WS_MORE, SW_FRAME_MORE
HEAD, LAST, ABORT, CLOSE_CONNECTION = SW_FRAME_HEAD, SW_FRAME_LAST, SW_FRAME_ABORT, SW_FRAME_CLOSE
HAS_DATE, HAS_SERVER = SW_FRAME_HAS_DATE, SW_FRAME_HAS_SERVER
NO_LENGTH = SW_NO_LENGTH
FREE, QUEUED, TAKEN, REVOKED = SW_REQUEST_FREE, SW_REQUEST_QUEUED, SW_REQUEST_TAKEN, SW_REQUEST_REVOKED
DESCRIPTOR_BYTES = sizeof(sw_descriptor)
FRAME_BYTES = sizeof(sw_frame)


class BrokenRing(Exception):
    """The other side has written what cannot be right."""


class Descriptor(NamedTuple):
    """What a request ring carries. `block`: an offset in the reactor's arena, in units of 64 bytes."""

    request_id: int
    block: int
    type: int


class Frame(NamedTuple):
    """A response frame. `status` and `content_length` count only with the flag HEAD (or INTERIM, or type CREDIT).

    `body`: wherever it was, in the ring, in a block of the arena or in a file.
    """

    request_id: int
    status: int
    flags: int
    content_length: int
    head: bytes
    body: bytes
    type: int = RESPONSE_SMALL


cdef uint64_t padded(uint64_t length):
    return (length + 7) & ~<uint64_t>7


cdef class RingEnd:
    """One side of one ring.

    `memory`: a `SharedMemory`; `slot`, `reactor`: whose ring; `responses`: the response ring, not the request ring.
    Begins as a new process does: at the start of a ring that has been reset. Raises IndexError.
    """

    cdef sw_ring_end end
    cdef readonly SharedMemory memory
    cdef readonly int slot, reactor
    cdef readonly size_t data_offset
    """Of the ring's first byte in the slot's segment."""
    cdef readonly size_t words_offset
    """Of the ring's head in the slot's segment; its tail is 64 bytes further on, `want_space` 8 more."""

    def __init__(self, SharedMemory memory, int slot=0, int reactor=0, *, bint responses=False):
        cdef void *words
        cdef void *data
        cdef char *start
        if not 0 <= slot < memory.geometry.slots or not 0 <= reactor < memory.geometry.reactors:
            raise IndexError(f"no ring of slot {slot} and reactor {reactor}")
        self.memory, self.slot, self.reactor = memory, slot, reactor
        if responses:
            words, data = memory.response_ring(slot, reactor), memory.response_ring_data(slot, reactor)
            sw_ring_attach(&self.end, words, data, memory.geometry.response_ring_bytes)
        else:
            words, data = memory.request_ring(slot, reactor), memory.request_ring_data(slot, reactor)
            sw_ring_attach(&self.end, words, data, memory.geometry.request_ring_bytes)
        start = <char *>(<Segment>memory.slots[slot]).address
        self.words_offset = <char *>words - start
        self.data_offset = <char *>data - start

    @property
    def size(self):
        """Bytes of the ring."""
        return self.end.size

    @property
    def max_frame(self):
        """The largest frame that is certain to fit into the empty ring."""
        return sw_ring_max_frame(self.end.size)

    @property
    def state(self):
        """The private view of this end, for messages: own index, and the last seen of the other side's."""
        return {"own": self.end.own, "peer": self.end.peer}


cdef class Producer(RingEnd):
    """The writing end of a ring of frames of any kind."""

    def put(self, const uint8_t[::1] frame):
        """Publish a frame (a multiple of 8 bytes, at least 8, at most `max_frame`); False: no room now."""
        cdef unsigned char *at
        cdef size_t length = frame.shape[0]
        if length == 0 or length & 7 or length > sw_ring_max_frame(self.end.size):
            raise ValueError(f"a frame of {length} bytes")
        at = sw_ring_reserve(&self.end, length)
        if at == NULL:
            return False
        memcpy(at, &frame[0], length)
        sw_ring_publish(&self.end, length)
        return True

    def catch_up(self):
        """Go on where the ring's last producer has stopped."""
        cdef uint64_t *words = <uint64_t *>(<char *>(<Segment>self.memory.slots[self.slot]).address + self.words_offset)
        self.end.own, self.end.peer = words[0], words[8]

    @property
    def unread(self):
        """Bytes that the consumer has not given back."""
        return sw_ring_unread(&self.end)

    def want_space(self):
        """Ask to be woken when there is room. See ring.h for the order of things."""
        sw_ring_want_space(&self.end)


cdef class Consumer(RingEnd):
    """The reading end of a ring of frames of any kind."""

    @property
    def has_more(self):
        """Is anything published that has not been read?"""
        return sw_ring_has_more(&self.end)

    def peek(self):
        """(offset in the ring, bytes) of what can be read in one piece, or None. Raises BrokenRing."""
        cdef unsigned char *at
        cdef int64_t ready = sw_ring_peek(&self.end, &at)
        if ready < 0:
            raise BrokenRing("head or wrap marker")
        if ready == 0:
            return None
        return at - self._data(), ready

    def take(self, uint64_t length):
        """The next `length` bytes, a frame's; None when the ring is empty. Raises BrokenRing."""
        cdef unsigned char *at
        cdef int64_t ready = sw_ring_peek(&self.end, &at)
        if ready == 0:
            return None
        if ready < 0 or <uint64_t>ready < length:
            raise BrokenRing(f"{ready} bytes where a frame of {length} should be")
        frame = at[:length]
        sw_ring_advance(&self.end, length)
        return frame

    def release(self):
        """Give back all that was read. True: the producer waits for room and must be woken."""
        return bool(sw_ring_release(&self.end))

    cdef unsigned char *_data(self):
        cdef char *start = <char *>(<Segment>self.memory.slots[self.slot]).address
        return <unsigned char *>start + self.data_offset


cdef class DescriptorWriter(Producer):
    """The reactor's end of a request ring."""

    def post(self, uint64_t request_id, uint32_t block=0, uint16_t type=EVENT_PACKAGE, *, fd=None,
             uint16_t code=0):
        """Publish a descriptor; False: the ring is full. `fd`: pass it on before; it stays the caller's as well.

        `code`: of an EVENT_WS_CLOSE without a block."""
        cdef sw_descriptor *d = <sw_descriptor *>sw_ring_reserve(&self.end, sizeof(sw_descriptor))
        if d == NULL or fd is not None and not sw_fd_send(self.memory.reactor_channels[self.slot][self.reactor], fd,
                                                          request_id):
            return False
        d.request_id, d.block, d.type = request_id, block, type
        d.flags = code if fd is None else SW_DESCRIPTOR_FD
        sw_ring_publish(&self.end, sizeof(sw_descriptor))
        return True


cdef class DescriptorReader(Consumer):
    """The worker's end of a request ring."""

    def pop(self):
        """The next `Descriptor`, or None. Its room is given back by `release`. Raises BrokenRing."""
        cdef sw_descriptor d
        raw = self.take(sizeof(d))
        if raw is None:
            return None
        memcpy(&d, <const char *>raw, sizeof(d))
        return Descriptor(d.request_id, d.block, d.type)


cdef class FrameWriter(Producer):
    """The worker's end of a response ring."""

    def __init__(self, SharedMemory memory, int slot=0, int reactor=0):
        super().__init__(memory, slot, reactor, responses=True)

    def write(self, uint64_t request_id, *, int status=200, int flags=SW_FRAME_HEAD | SW_FRAME_LAST,
              int64_t content_length=SW_NO_LENGTH, bytes head=b"", bytes body=b""):
        """Publish a RESPONSE_SMALL frame; False: no room now. Raises ValueError when it can never fit."""
        cdef uint64_t size = sw_frame_bytes(len(head), len(body))
        cdef sw_frame frame
        cdef unsigned char *at
        if size > sw_ring_max_frame(self.end.size):
            raise ValueError(f"a frame of {size} bytes in a ring of {self.end.size}")
        at = sw_ring_reserve(&self.end, size)
        if at == NULL:
            return False
        memset(&frame, 0, sizeof(frame))
        frame.size, frame.type, frame.flags, frame.status = <uint32_t>size, RESPONSE_SMALL, flags, status
        frame.request_id, frame.content_length = request_id, content_length
        frame.head_len, frame.body_len = len(head), len(body)
        memcpy(at, &frame, sizeof(frame))
        memcpy(at + sizeof(frame), <const char *>head, len(head))
        memcpy(at + sizeof(frame) + len(head), <const char *>body, len(body))
        sw_ring_publish(&self.end, size)
        return True


cdef class FrameReader(Consumer):
    """The reactor's end of a response ring, with the slot's arena and the channel for files.

    `keeps_blocks`: blocks of the arena are not given back as their frames are read; `give_back` does it.
    """

    cdef sw_arena arena
    cdef dict files
    """The fd that each response has named last."""
    cdef list kept
    cdef public bint keeps_blocks
    cdef readonly int passed
    """Files that came through the channel."""

    def __init__(self, SharedMemory memory, int slot=0, int reactor=0):
        super().__init__(memory, slot, reactor, responses=True)
        memory.describe_arena(slot, &self.arena)
        self.files = {}
        self.kept = []

    def close(self):
        """Close the files of responses that have not ended."""
        while self.files:
            os.close(self.files.popitem()[1])

    def give_back(self):
        """Give back the blocks that were kept: how many."""
        given = len(self.kept)
        while self.kept:
            sw_arena_give(&self.arena, self.kept.pop())
        return given

    cdef bytes _block(self, uint32_t block, uint32_t length):
        cdef unsigned char *at = sw_arena_at(&self.arena, block, length)
        if at == NULL:
            raise BrokenRing("not a block of the arena")
        body = at[:length]
        if self.keeps_blocks:
            self.kept.append(block)
        else:
            sw_arena_give(&self.arena, block)
        return body

    cdef bytes _file(self, uint64_t request_id, const sw_file_ref *reference):
        cdef uint64_t named = 0
        cdef int fd
        if reference.passed:
            fd = sw_fd_receive(self.memory.reactor_channels[self.slot][self.reactor], &named)
            if fd < 0 or named != request_id:
                raise BrokenRing(f"no file in the channel for {request_id}")
            if request_id in self.files:
                os.close(self.files.pop(request_id))
            self.files[request_id] = fd
            self.passed += 1
        elif request_id not in self.files:
            raise BrokenRing("a file that was never passed")
        body, offset, left = b"", reference.offset, reference.length
        while left:
            piece = os.pread(self.files[request_id], left, offset)
            if not piece:
                raise BrokenRing("the file is shorter than its reference")
            body, offset, left = body + piece, offset + len(piece), left - len(piece)
        return body

    def read(self):
        """The next `Frame`, or None. Its room is given back by `release`. Raises BrokenRing."""
        cdef sw_frame f
        cdef sw_shm_ref block
        cdef sw_file_ref file
        cdef unsigned char *at
        cdef unsigned char *payload
        cdef int64_t ready = sw_ring_peek(&self.end, &at)
        if ready == 0:
            return None
        if ready < 0 or not sw_frame_read(&f, at, <uint64_t>ready):
            raise BrokenRing("not a frame")
        head = (at + sizeof(f))[:f.head_len]
        payload = at + sizeof(f) + f.head_len
        if f.type in (RESPONSE_SHM, EVENT_WS_MESSAGE_SHM, EVENT_WS_SESSION_SHM, EVENT_WS_DONE_SHM):
            memcpy(&block, payload, sizeof(block))
            body = self._block(block.block, f.body_len)
        elif f.type == RESPONSE_TMPFILE:
            memcpy(&file, payload, sizeof(file))
            body = self._file(f.request_id, &file)
        else:
            body = payload[:f.body_len]
        sw_ring_advance(&self.end, f.size)
        if f.type < EVENT_WS_OPEN and f.flags & SW_FRAME_LAST and f.request_id in self.files:
            os.close(self.files.pop(f.request_id))
        return Frame(f.request_id, f.status, f.flags, f.content_length, head, body, f.type)


cdef class Arena:
    """A slot's response arena, both sides of it: of one slot at most one object in all processes may take."""

    cdef sw_arena arena
    cdef readonly SharedMemory memory
    cdef readonly int slot

    def __init__(self, SharedMemory memory, int slot=0):
        self.memory, self.slot = memory, slot
        memory.describe_arena(slot, &self.arena)
        if not sw_arena_own(&self.arena):
            raise MemoryError

    def __dealloc__(self):
        free(self.arena.own)

    def take(self, uint64_t length):
        """Worker: (number, bytes) of a free block, at best one that holds `length`; None: all are in use."""
        cdef uint32_t room = 0
        cdef uint32_t block = sw_arena_take(&self.arena, length, &room)
        return None if block == SW_NO_ARENA_BLOCK else (block, room)

    def take_back(self, uint32_t block):
        """Worker: a block that it took will not be published. Raises IndexError."""
        self._check(block)
        sw_arena_take_back(&self.arena, block)

    def trim(self, uint64_t keep_bytes):
        """Worker: give memory behind the last block in use back to the kernel; how many bytes."""
        return sw_arena_trim(&self.arena, keep_bytes)

    def at(self, uint32_t block, uint64_t length=0):
        """Reactor: where in the slot's segment a block begins, if it holds `length` bytes; None: there is none such."""
        cdef unsigned char *found = sw_arena_at(&self.arena, block, length)
        return None if found == NULL else <char *>found - <char *>(<Segment>self.memory.slots[self.slot]).address

    def give(self, uint32_t block):
        """Reactor: what it held has been sent. Raises IndexError."""
        self._check(block)
        sw_arena_give(&self.arena, block)

    cdef int _check(self, uint32_t block) except -1:
        if sw_arena_at(&self.arena, block, 0) == NULL:
            raise IndexError(block)
        return 0


cdef class Sleeper:
    """The sleeping word and eventfd of a worker (`slot`), or of a reactor for that worker (`reactor` too)."""

    cdef sw_sleeping *word
    cdef readonly SharedMemory memory
    cdef readonly int fd

    def __init__(self, SharedMemory memory, *, int slot=0, reactor=None):
        self.memory = memory
        if reactor is None:
            self.fd = memory.slot_eventfds[slot]
            self.word = <sw_sleeping *>memory.slot_sleeping(slot)
        else:
            self.fd = memory.wake_eventfds[slot][reactor]
            self.word = <sw_sleeping *>memory.reactor_sleeping(slot, reactor)

    @property
    def value(self):
        """0 awake, 1 asleep, 2 asleep with a tick. A glance: it orders nothing."""
        return (<uint32_t *>self.word)[0]

    def begin(self, *, bint tick=False):
        """Announce sleep: look at every ring once more before blocking."""
        sw_sleep_begin(self.word, SW_ASLEEP_WITH_TICK if tick else SW_ASLEEP)

    def end(self):
        """Awake again."""
        sw_sleep_end(self.word)

    def claim(self, *, bint quiet=False):
        """After publishing: True for the one caller that must write the eventfd."""
        return bool(sw_wake_claim(self.word, quiet))

    def wake(self, *, bint quiet=False):
        """`claim` and write; whether it was written."""
        claimed = self.claim(quiet=quiet)
        if claimed:
            sw_eventfd_write(self.fd)
        return claimed

    def drain(self):
        """Take what the eventfd holds."""
        sw_eventfd_drain(self.fd)


cdef class RequestTable:
    """A reactor's request table in a slot, both sides of it. All ids as `request_id` makes them; IndexError for
    others."""

    cdef sw_request_entry *entries
    cdef readonly SharedMemory memory
    cdef readonly int reactor, slot

    def __init__(self, SharedMemory memory, int reactor=0, int slot=0):
        self.memory, self.reactor, self.slot = memory, reactor, slot
        self.entries = <sw_request_entry *>memory.request_table(slot, reactor)

    @property
    def offset(self):
        """Where in the slot's segment it begins."""
        return <char *>self.entries - <char *>(<Segment>self.memory.slots[self.slot]).address

    cdef sw_request_entry *_entry(self, uint64_t request_id) except NULL:
        if sw_request_index(request_id) >= <uint32_t>self.memory.geometry.table_entries:
            raise IndexError(request_id)
        return &self.entries[sw_request_index(request_id)]

    def queue(self, uint64_t request_id):
        """Reactor: make the entry stand for this request, before its descriptor is posted."""
        sw_request_queue(self._entry(request_id), request_id)

    def revoke(self, uint64_t request_id):
        """Reactor: True when the request is its own again."""
        return bool(sw_request_revoke(self._entry(request_id), request_id))

    def state(self, uint64_t request_id):
        """FREE (or another's by now), QUEUED, TAKEN or REVOKED."""
        return sw_request_state(self._entry(request_id), request_id)

    def free(self, uint64_t request_id):
        """Reactor: the entry stands for nothing."""
        sw_request_free(self._entry(request_id))

    def ack(self, uint64_t request_id, uint64_t acked, *, bint closed=False):
        """Reactor: body bytes that have left, and whether the client is gone. True: the worker must be woken."""
        return bool(sw_request_ack(self._entry(request_id), acked, closed))

    def set_full(self, uint64_t request_id, bint full):
        """Reactor: the client is slow, or not any more. True: the worker must be woken."""
        return bool(sw_request_set_full(self._entry(request_id), full))

    def take(self, uint64_t request_id):
        """Worker: True when the request is its own, and a final frame owed."""
        return bool(sw_request_take(self._entry(request_id), request_id))

    def want_ack(self, uint64_t request_id):
        """Worker: ask to be woken by the next `ack`."""
        sw_request_want_ack(self._entry(request_id))

    def acked(self, uint64_t request_id):
        """Worker: body bytes that have left."""
        return sw_request_acked(self._entry(request_id))

    def read(self, uint64_t request_id):
        """Reactor: blocks of a WebSocket's messages that have been read."""
        return sw_request_read(self._entry(request_id))

    def closed(self, uint64_t request_id):
        """Worker: is the client gone?"""
        return bool(sw_request_closed(self._entry(request_id)))


def request_id(uint64_t serial, uint32_t index):
    """The id of the `serial`th request of a reactor, in this entry of its table."""
    return sw_request_id(serial, index)


def index_of(uint64_t request_id):
    """The entry of a request_id."""
    return sw_request_index(request_id)


# ---- files

def send_file(int channel, int fd, uint64_t request_id):
    """Pass `fd` on, which stays the caller's as well; False: no room."""
    return bool(sw_fd_send(channel, fd, request_id))


def receive_file(int channel):
    """(fd, request_id) of the next message; None: there is none. Raises BrokenRing for what is no message of ours, and
    when no fd is free."""
    cdef uint64_t request_id = 0
    cdef int fd = sw_fd_receive(channel, &request_id)
    if fd == SW_FD_BROKEN:
        raise BrokenRing(f"no file, in the name of {request_id}")
    return None if fd == SW_FD_NONE else (fd, request_id)


def drain_files(int channel):
    """Close what is in the channel."""
    sw_fd_drain(channel)


def temp_file(bytes directory):
    """The fd of a new file without a name. Raises OSError."""
    cdef int fd = sw_temp_file(directory)
    if fd < 0:
        raise OSError(errno, os.strerror(errno), directory)
    return fd


def write_all(int fd, bytes data, uint64_t at):
    """Write it all. Raises OSError."""
    if not sw_write_all(fd, <const unsigned char *><const char *>data, len(data), at):
        raise OSError(errno, os.strerror(errno))


def is_regular(int fd):
    """May it be sent as a body?"""
    return bool(sw_is_regular(fd))


# ---- request blocks

def write_block(SharedMemory memory, int reactor, uint32_t block, *, bytes method=b"GET", bytes target=b"/",
                headers=(), bytes body=b"", int http_minor=1, int flags=0, uint32_t session=0,
                uint64_t session_generation=0, uint64_t ready_ns=0, origin=None):
    """Lay a request out as the reactor does; the bytes it takes.

    `block`: offset in the arena, in units of 64 bytes; `headers`: (name, value) pairs of bytes, names in lower case;
    `origin`: client (bytes), its port, server (bytes), its port, which sets SW_BLOCK_ORIGIN. The path ends at
    the first `?` of the target. Raises ValueError when it would go past the arena.
    """
    cdef sw_block b
    cdef sw_header h
    cdef sw_origin o
    cdef Segment arena = memory.blocks[reactor]
    cdef bytes packed = b""
    cdef bytes everything
    for name, value in headers:
        if len(name) > 65535 or len(value) > 65535:
            raise ValueError("a header's name and value have at most 65535 bytes each")
        h.name_len, h.value_len = len(name), len(value)
        packed += (<char *>&h)[:sizeof(h)] + name + value
    path, mark, query = target.partition(b"?")
    memset(&b, 0, sizeof(b))
    b.method_len, b.target_len = len(method), len(target)
    b.path_off, b.path_len = sizeof(b) + len(method), len(path)
    b.query_off, b.query_len = b.path_off + len(path) + len(mark), len(query)
    b.headers_off, b.headers_len = b.path_off + len(target), len(packed)
    b.headers_count = len(headers)
    if origin is not None:
        o.client_len, o.client_port, o.server_len, o.server_port = len(origin[0]), origin[1], len(origin[2]), origin[3]
        packed += (<char *>&o)[:sizeof(o)] + origin[0] + origin[2]
        flags |= SW_BLOCK_ORIGIN
    b.body_off, b.body_len = b.headers_off + len(packed), len(body)
    b.http_minor, b.flags, b.session = http_minor, flags, session
    b.session_generation, b.ready_ns = session_generation, ready_ns
    everything = (<char *>&b)[:sizeof(b)] + method + target + packed + body
    if <uint64_t>block * SW_BLOCK_UNIT + len(everything) > <uint64_t>arena.size:
        raise ValueError("past the end of the arena")
    memcpy(<char *>arena.address + <uint64_t>block * SW_BLOCK_UNIT, <const char *>everything, len(everything))
    return len(everything)


def write_chunk(SharedMemory memory, int reactor, uint32_t block, bytes body):
    """Lay a chunk of a request body out as the reactor does. Raises ValueError when it would go past the arena."""
    cdef sw_chunk chunk
    cdef Segment arena = memory.blocks[reactor]
    cdef char *at = <char *>arena.address + <uint64_t>block * SW_BLOCK_UNIT
    if <uint64_t>block * SW_BLOCK_UNIT + sizeof(chunk) + len(body) > <uint64_t>arena.size:
        raise ValueError("past the end of the arena")
    memset(&chunk, 0, sizeof(chunk))
    chunk.length = len(body)
    memcpy(at, &chunk, sizeof(chunk))
    memcpy(at + sizeof(chunk), <const char *>body, len(body))


def records(messages):
    """Messages of a WebSocket as a block has them: of (opcode, data, flags, close code)."""
    cdef sw_ws_record record
    packed = b""
    for opcode, data, flags, code in messages:
        record.length, record.opcode, record.flags, record.code = len(data), opcode, flags, code
        packed += (<char *>&record)[:sizeof(record)] + data + bytes(sw_ws_record_bytes(len(data)) - 8 - len(data))
    return packed


cdef bytes _part(const char *arena, uint64_t room, uint64_t offset, uint64_t length):
    if offset > room or length > room - offset:
        raise ValueError("a part of the block lies outside the arena")
    return arena[offset:offset + length]


def read_block(SharedMemory memory, int reactor, uint32_t block):
    """A request block as a dict: method, target, path, query, headers (a list of pairs), origin (as `write_block`
    takes it), body and the numbers.

    `block`: offset in the arena, in units of 64 bytes. Its head is copied and every part checked against the arena, but
    nobody holds the block for us: it may be half another request's by now. Raises ValueError for what is no block.
    """
    cdef sw_block b
    cdef sw_header h
    cdef sw_origin o
    cdef uint64_t origin_at
    cdef Segment arena = memory.blocks[reactor]
    cdef const char *at = <const char *>arena.address + <uint64_t>block * SW_BLOCK_UNIT
    cdef uint64_t room
    if <uint64_t>block * SW_BLOCK_UNIT + sizeof(b) > <uint64_t>arena.size:
        raise ValueError("no block there")
    room = arena.size - <uint64_t>block * SW_BLOCK_UNIT
    memcpy(&b, at, sizeof(b))
    packed = _part(at, room, b.headers_off, b.headers_len)
    headers, place = [], 0
    for _ in range(b.headers_count):
        if place + sizeof(h) > len(packed):
            raise ValueError("fewer headers than the block counts")
        memcpy(&h, <const char *>packed + <size_t>place, sizeof(h))
        place += sizeof(h)
        if place + h.name_len + h.value_len > len(packed):
            raise ValueError("a header lies outside the others")
        headers.append((packed[place:place + h.name_len],
                        packed[place + h.name_len:place + h.name_len + h.value_len]))
        place += h.name_len + h.value_len
    if place != len(packed):
        raise ValueError("more headers than the block counts")
    origin = None
    if b.flags & SW_BLOCK_ORIGIN:
        origin_at = <uint64_t>b.headers_off + b.headers_len
        packed = _part(at, room, origin_at, sizeof(o))
        memcpy(&o, <const char *>packed, sizeof(o))
        origin_at += sizeof(o)
        origin = (_part(at, room, origin_at, o.client_len), o.client_port,
                  _part(at, room, origin_at + o.client_len, o.server_len), o.server_port)
    return {
        "method": _part(at, room, sizeof(b), b.method_len),
        "target": _part(at, room, sizeof(b) + <uint64_t>b.method_len, b.target_len),
        "path": _part(at, room, b.path_off, b.path_len),
        "query": _part(at, room, b.query_off, b.query_len),
        "headers": headers,
        "origin": origin,
        "body": _part(at, room, b.body_off, b.body_len),
        "http_minor": b.http_minor, "flags": b.flags, "session": b.session,
        "session_generation": b.session_generation, "ready_ns": b.ready_ns,
    }


def block_client(SharedMemory memory, int reactor, uint32_t block):
    """The client that the origin of a block names, as a reactor reads it: (address, port), or None. The block is right
    and nobody's."""
    cdef Segment arena = memory.blocks[reactor]
    cdef const char *text = NULL
    cdef uint16_t port = 0
    cdef uint32_t length = sw_block_client(
        <const sw_block *>(<const char *>arena.address + <uint64_t>block * SW_BLOCK_UNIT), &text, &port)
    return (text[:length], port) if length else None
