"""Drivers of the STRESS TESTS of the shared memory: the two ends of the protocols as fast as they go, without the GIL.

Nothing of the server uses them. They exist because a lost wake-up is a matter of nanoseconds: a driver in Python
would never meet one. `run_reactor` and `run_worker` are called in different processes on the same `SharedMemory` and
stop after a number of requests. They do everything by the handshakes of ring.h and request_table.h, over real
eventfds, and block *for ever*: there are no ticks and no timeouts here, so a wake-up that is lost stops both, and
the caller's watchdog sees counters (the scoreboard's) that do not move any more.

Everything that can be checked is: each frame belongs to a request that its worker owns and carries its bytes.

It is long because each race is its two sides and its verdict, which are read together.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from swhttp.ipc.arena cimport (SW_NO_ARENA_BLOCK, sw_arena, sw_arena_at, sw_arena_give, sw_arena_own, sw_arena_take,
                               sw_arena_take_back)
from swhttp.ipc.frame cimport (EVENT_BUFFER_EMPTY, EVENT_PACKAGE, EVENT_STOP, RESPONSE_SMALL, SW_FRAME_LAST,
                               SW_NO_LENGTH, sw_descriptor, sw_frame, sw_frame_bytes, sw_frame_read)
from swhttp.ipc.memory cimport SharedMemory
from swhttp.ipc.request_table cimport (sw_request_ack, sw_request_acked, sw_request_entry, sw_request_free,
                                       sw_request_id, sw_request_index, sw_request_queue, sw_request_revoke,
                                       sw_request_take, sw_request_want_ack)
from swhttp.ipc.ring cimport (SW_ASLEEP, sw_eventfd_drain, sw_eventfd_write, sw_ring_advance, sw_ring_attach,
                              sw_ring_end, sw_ring_has_more, sw_ring_has_room, sw_ring_max_frame, sw_ring_peek,
                              sw_ring_publish, sw_ring_release, sw_ring_reserve, sw_ring_unread, sw_ring_want_space,
                              sw_sleep_end, sw_sleep_fence, sw_sleep_say, sw_sleeping, sw_wake_claim)
from swhttp.ipc.scoreboard cimport (REACTOR_DISPATCHED, REACTOR_RESPONSES, REACTOR_REVOKED, REACTOR_TURNS,
                                    REACTOR_WAKES, SLOT_DONE, SLOT_FRAMES, SLOT_LOST, SLOT_QUIET, SLOT_SLEEPS,
                                    SLOT_TAKEN, SLOT_WAKES, Scoreboard)
from swhttp.ipc.spin cimport sw_spin_yield

cdef extern from "<poll.h>" nogil:
    enum:
        POLLIN
    struct pollfd:
        int fd
        short events
        short revents
    int poll(pollfd *fds, unsigned long count, int timeout_ms)

cdef extern from *:
    """
    static inline void stress_pause(uint32_t turns) { while (turns--) __asm__ __volatile__("" ::: "memory"); }
    """
    void stress_pause(uint32_t turns) noexcept nogil

cdef enum:
    MAX_LINKS = 4
    MAX_OUTSTANDING = 256

cdef enum Fault:
    FINE = 0
    BAD_RING = -1
    BAD_FRAME = -2
    NOT_OWNED = -3
    BAD_BODY = -4
    BAD_DESCRIPTOR = -5
    NO_ROOM = -6
    BLOCK_HELD = -7
    BLOCK_LOST = -8

FAULTS = {
    BAD_RING: "the other side's index or wrap marker cannot be right",
    BAD_FRAME: "not a response frame",
    NOT_OWNED: "a frame for a request that its worker does not own",
    BAD_BODY: "a body that is not the one sent",
    BAD_DESCRIPTOR: "an unknown descriptor",
    NO_ROOM: "no room for a descriptor that always has some",
    BLOCK_HELD: "a block of the arena that somebody else has",
    BLOCK_LOST: "blocks of the arena were given back and cannot be taken",
}

cdef struct Link:  # to one peer
    sw_ring_end requests
    sw_ring_end responses
    sw_sleeping *word
    int fd
    sw_request_entry *table
    bint held          # a wake-up is owed

cdef struct Flight:    # reactor: a request in flight
    uint64_t request_id
    uint64_t received
    uint64_t serial
    int slot
    int frames
    bint live

cdef struct Side:
    Link links[MAX_LINKS]
    int count
    sw_sleeping *words[MAX_LINKS]
    pollfd ends[MAX_LINKS]
    int sleepers       # how many of both: a worker has one, a reactor one for each worker
    int64_t *line
    uint64_t random
    int jitter         # delays are below 2 ** (0 to jitter) empty turns
    int frames         # of a response
    uint64_t high      # body bytes a response may be ahead of its client
    uint64_t max_body
    # worker
    int hold           # publishes between two wake-ups of a drain; 0: each is told at once
    bint quiet         # ask for moderation: the reactor has no tick, so nothing may come of it
    uint8_t *owned     # [serial] counts takes (worker) or revocations (reactor)
    # reactor
    Flight flights[MAX_OUTSTANDING]
    int free[MAX_OUTSTANDING]
    int free_count


cdef uint64_t _mix(uint64_t x) noexcept nogil:
    x ^= x >> 31
    x *= <uint64_t>0x9E3779B97F4A7C15
    return x ^ x >> 29


cdef uint32_t _random(Side *s, uint32_t below) noexcept nogil:
    s.random += 1
    return <uint32_t>((_mix(s.random) >> 16) % below) if below else 0


cdef uint32_t _turns(Side *s) noexcept nogil:
    """A delay that is as likely to be of tens of nanoseconds as of tens of microseconds: a race is met only when
    both sides come to the same place within the time that a store takes to reach memory."""
    return _random(s, <uint32_t>1 << _random(s, s.jitter + 1)) if s.jitter else 0


cdef bint _linger(Side *s, bint responses) noexcept nogil:
    """Before sleep: look for work for a while; True when there is some. Without this, whoever publishes finds the
    other asleep each time, and nobody ever publishes just when somebody falls asleep. The sleeping word is left
    alone meanwhile: only a producer that has it in its cache reads it before its own store has reached memory."""
    cdef uint32_t turns = _turns(s)
    cdef int i
    while turns:
        for i in range(s.count):
            if sw_ring_has_more(&s.links[i].responses if responses else &s.links[i].requests):
                return True
        turns -= 1
    return False


cdef uint64_t _body_bytes(Side *s, uint64_t request_id, int frame) noexcept nogil:
    """What both sides know about a body."""
    return _mix(request_id * 31 + frame) % (s.max_body + 1)


cdef void _block(Side *s) noexcept nogil:
    """Sleep was announced and everything looked at: now until somebody writes the eventfd, however long."""
    cdef int i
    while poll(s.ends, s.sleepers, -1) < 1:
        pass
    for i in range(s.sleepers):
        if s.ends[i].revents & POLLIN:
            sw_eventfd_drain(s.ends[i].fd)


cdef void _announce(Side *s) noexcept nogil:
    cdef int i
    for i in range(s.sleepers):
        sw_sleep_say(s.words[i], SW_ASLEEP)
    sw_sleep_fence()


cdef void _awake(Side *s) noexcept nogil:
    cdef int i
    for i in range(s.sleepers):
        sw_sleep_end(s.words[i])


cdef bint _wake(Link *link, bint quiet) noexcept nogil:
    if not sw_wake_claim(link.word, quiet):
        return False
    sw_eventfd_write(link.fd)
    return True


# ---- worker

cdef void _flush(Side *s) noexcept nogil:
    cdef int i
    for i in range(s.count):
        if s.links[i].held:
            s.links[i].held = False
            s.line[SLOT_WAKES] += _wake(&s.links[i], False)


cdef int _pop(Side *s, sw_descriptor *d, int *link) noexcept nogil:
    """1: a descriptor; 0: none; or a Fault."""
    cdef unsigned char *at
    cdef int64_t ready
    cdef int i
    for i in range(s.count):
        ready = sw_ring_peek(&s.links[i].requests, &at)
        if ready >= <int64_t>sizeof(sw_descriptor):
            memcpy(d, at, sizeof(sw_descriptor))
            sw_ring_advance(&s.links[i].requests, sizeof(sw_descriptor))
            if sw_ring_release(&s.links[i].requests):
                s.line[SLOT_WAKES] += _wake(&s.links[i], False)
            link[0] = i
            return 1
        if ready != 0:
            return BAD_RING
    return 0


cdef bint _has_more(Side *s) noexcept nogil:
    cdef int i
    for i in range(s.count):
        if sw_ring_has_more(&s.links[i].requests):
            return True
    return False


cdef unsigned char *_room(Side *s, Link *link, uint64_t size) noexcept nogil:
    """Room in the response ring, waited for in the order that ring.h demands."""
    cdef unsigned char *at = sw_ring_reserve(&link.responses, size)
    while at == NULL:
        _flush(s)
        stress_pause(_turns(s))
        _announce(s)
        sw_ring_want_space(&link.responses)
        at = sw_ring_reserve(&link.responses, size)
        if at == NULL:
            s.line[SLOT_SLEEPS] += 1
            _block(s)
            at = sw_ring_reserve(&link.responses, size)
        _awake(s)
    return at


cdef int _wait_for_ack(Side *s, sw_request_entry *entry, uint64_t sent) noexcept nogil:
    """Until the client has taken enough. Only descriptors that wake can come meanwhile."""
    cdef sw_descriptor d
    cdef int link, popped
    while sent - sw_request_acked(entry) > s.high:
        stress_pause(_random(s, 256))
        sw_request_want_ack(entry)
        if sent - sw_request_acked(entry) <= s.high:
            break
        _flush(s)
        while True:
            popped = _pop(s, &d, &link)
            if popped < 0:
                return popped
            if popped:
                if d.type != EVENT_BUFFER_EMPTY:
                    return BAD_DESCRIPTOR
                break
            if _linger(s, False):
                continue
            _announce(s)
            if not _has_more(s):
                s.line[SLOT_SLEEPS] += 1
                _block(s)
            _awake(s)
    return FINE


cdef int _respond(Side *s, Link *link, uint64_t request_id) noexcept nogil:
    cdef sw_frame f
    cdef unsigned char *at
    cdef uint64_t size, body, sent = 0
    cdef int i, fault
    memset(&f, 0, sizeof(f))
    f.type, f.request_id, f.content_length = RESPONSE_SMALL, request_id, SW_NO_LENGTH
    for i in range(s.frames):
        body = _body_bytes(s, request_id, i)
        size = sw_frame_bytes(0, body)
        at = _room(s, link, size)
        f.size, f.body_len = <uint32_t>size, <uint32_t>body
        f.flags = SW_FRAME_LAST if i == s.frames - 1 else 0
        memcpy(at, &f, sizeof(f))
        memset(at + sizeof(f), <int>(request_id & 0xFF), body)
        stress_pause(_turns(s))
        sw_ring_publish(&link.responses, size)
        s.line[SLOT_FRAMES] += 1
        sent += body
        if s.hold and _random(s, s.hold):
            link.held = True
            s.line[SLOT_QUIET] += 1
        else:
            s.line[SLOT_WAKES] += _wake(link, s.quiet)
        if s.high and i < s.frames - 1:
            fault = _wait_for_ack(s, &link.table[sw_request_index(request_id)], sent)
            if fault:
                return fault
    s.line[SLOT_DONE] += 1
    return FINE


cdef int _worker(Side *s) noexcept nogil:
    cdef sw_descriptor d
    cdef int link = 0, popped, fault, stops = 0
    while stops < s.count:
        popped = _pop(s, &d, &link)
        if popped < 0:
            return popped
        if popped == 0:
            _flush(s)
            if _linger(s, False):
                continue
            _announce(s)
            if not _has_more(s):
                s.line[SLOT_SLEEPS] += 1
                _block(s)
            _awake(s)
        elif d.type == EVENT_PACKAGE:
            stress_pause(_turns(s) & 0x3FF)
            if sw_request_take(&s.links[link].table[sw_request_index(d.request_id)], d.request_id):
                s.line[SLOT_TAKEN] += 1
                s.owned[d.request_id >> 16] += 1
                fault = _respond(s, &s.links[link], d.request_id)
                if fault:
                    return fault
            else:
                s.line[SLOT_LOST] += 1
        elif d.type == EVENT_STOP:
            stops += 1
        elif d.type != EVENT_BUFFER_EMPTY:
            return BAD_DESCRIPTOR
    _flush(s)
    return FINE


# ---- reactor

cdef bint _post(Link *link, uint64_t request_id, int type) noexcept nogil:
    cdef sw_descriptor *d = <sw_descriptor *>sw_ring_reserve(&link.requests, sizeof(sw_descriptor))
    if d == NULL:
        return False
    d.request_id, d.block, d.type, d.flags = request_id, 0, type, 0
    sw_ring_publish(&link.requests, sizeof(sw_descriptor))
    return True


cdef void _end(Side *s, int index) noexcept nogil:
    s.flights[index].live = False
    sw_request_free(&s.links[0].table[index])
    s.free[s.free_count] = index
    s.free_count += 1


cdef int _settle(Side *s, int slot) noexcept nogil:
    """All frames that `slot` has published: how many responses ended, or a Fault."""
    cdef Link *link = &s.links[slot]
    cdef sw_frame f
    cdef unsigned char *at
    cdef int64_t ready
    cdef uint32_t index
    cdef Flight *flight
    cdef int ended = 0
    cdef bint owed = False
    while True:
        ready = sw_ring_peek(&link.responses, &at)
        if ready == 0:
            break
        if ready < 0:
            return BAD_RING
        if not sw_frame_read(&f, at, <uint64_t>ready):
            return BAD_FRAME
        index = sw_request_index(f.request_id)
        if index >= MAX_OUTSTANDING:
            return NOT_OWNED
        flight = &s.flights[index]
        if not flight.live or flight.request_id != f.request_id or flight.slot != slot:
            return NOT_OWNED
        if f.body_len != _body_bytes(s, f.request_id, flight.frames):
            return BAD_BODY
        if f.body_len and (at[sizeof(f)] != (f.request_id & 0xFF)
                           or at[sizeof(f) + f.body_len - 1] != (f.request_id & 0xFF)):
            return BAD_BODY
        sw_ring_advance(&link.responses, f.size)
        owed = True
        flight.frames += 1
        if _random(s, 2):  # sometimes each frame by itself, which may be too little room for the next
            owed = False
            if sw_ring_release(&link.responses):
                s.line[REACTOR_WAKES] += _wake(link, False)
        if s.high:  # the client takes it at once, or in two bites
            stress_pause(_random(s, 256))
            if (_random(s, 4) == 0 and sw_request_ack(&link.table[index], flight.received + f.body_len // 2, False)
                    and not _say_empty(s, link, f.request_id)):
                return NO_ROOM
            stress_pause(_random(s, 256))
            if (sw_request_ack(&link.table[index], flight.received + f.body_len, False)
                    and not _say_empty(s, link, f.request_id)):
                return NO_ROOM
        flight.received += f.body_len
        if f.flags & SW_FRAME_LAST:
            _end(s, index)
            s.line[REACTOR_RESPONSES] += 1
            ended += 1
    if owed and sw_ring_release(&link.responses):
        s.line[REACTOR_WAKES] += _wake(link, False)
    return ended


cdef bint _say_empty(Side *s, Link *link, uint64_t request_id) noexcept nogil:
    if not _post(link, request_id, EVENT_BUFFER_EMPTY):
        return False
    s.line[REACTOR_WAKES] += _wake(link, False)
    return True


cdef int _pick(Side *s, int outstanding) noexcept nogil:
    """Which request to take back: any one, or the oldest, which its worker is just about to take."""
    cdef int index = _random(s, outstanding), i
    if _random(s, 2):
        for i in range(outstanding):
            if s.flights[i].live and (not s.flights[index].live or s.flights[i].serial < s.flights[index].serial):
                index = i
    return index


cdef int _reactor(Side *s, uint64_t total, int outstanding, int revoke_of_16) noexcept nogil:
    cdef uint64_t serial = 0, ended = 0
    cdef int i, index, done, blocked, stopped = 0
    cdef Link *link
    cdef Flight *flight
    cdef bint progress, ready
    for i in range(outstanding):
        s.free[i] = i
    s.free_count = outstanding
    while stopped < s.count:
        progress, blocked = False, -1
        while s.free_count and serial < total:
            link = &s.links[serial % s.count]
            index = s.free[s.free_count - 1]
            flight = &s.flights[index]
            flight.request_id = sw_request_id(serial, index)
            sw_request_queue(&link.table[index], flight.request_id)
            stress_pause(_turns(s))
            if not _post(link, flight.request_id, EVENT_PACKAGE):
                blocked = serial % s.count
                break
            s.free_count -= 1
            flight.slot, flight.serial, flight.live = serial % s.count, serial, True
            flight.received, flight.frames = 0, 0
            serial += 1
            s.line[REACTOR_DISPATCHED] += 1
            s.line[REACTOR_WAKES] += _wake(link, False)
            progress = True
            if <int>_random(s, 16) < revoke_of_16:
                stress_pause(_turns(s) & 0x3FF)
                index = _pick(s, outstanding)
                flight = &s.flights[index]
                if flight.live and sw_request_revoke(&link.table[index], flight.request_id):
                    s.owned[flight.serial] += 1
                    s.line[REACTOR_REVOKED] += 1
                    _end(s, index)
                    ended += 1
        for i in range(s.count):
            done = _settle(s, i)
            if done < 0:
                return done
            ended += done
            progress |= done > 0
        if ended == total:
            if _post(&s.links[stopped], 0, EVENT_STOP):
                s.line[REACTOR_WAKES] += _wake(&s.links[stopped], False)
                stopped += 1
                continue
            blocked = stopped
        if progress:
            continue
        if _linger(s, True):
            continue
        _announce(s)
        ready = False
        for i in range(s.count):
            ready |= sw_ring_has_more(&s.links[i].responses)
        if blocked >= 0 and not ready:
            sw_ring_want_space(&s.links[blocked].requests)
            ready = sw_ring_has_room(&s.links[blocked].requests, sizeof(sw_descriptor))
        if not ready:
            s.line[REACTOR_TURNS] += 1
            _block(s)
        _awake(s)
    return FINE


# ---- from Python

cdef class _Run:
    """A side's memory, kept while it runs."""

    cdef Side side

    cdef int prepare(self, SharedMemory memory, int jitter, int frames, uint64_t high, uint8_t[::1] owned,
                     uint64_t seed) except -1:
        memset(&self.side, 0, sizeof(self.side))
        self.side.jitter, self.side.frames, self.side.high = jitter, frames, high
        self.side.owned, self.side.random = &owned[0], seed << 32
        self.side.max_body = sw_ring_max_frame(min(memory.geometry.response_ring_bytes, 8192)) - sizeof(sw_frame)
        return 0

    cdef int link(self, SharedMemory memory, int slot, int reactor) except -1:
        cdef Link *link = &self.side.links[self.side.count]
        if self.side.count == MAX_LINKS:
            raise ValueError("too many peers")
        sw_ring_attach(&link.requests, memory.request_ring(slot, reactor), memory.request_ring_data(slot, reactor),
                       memory.geometry.request_ring_bytes)
        sw_ring_attach(&link.responses, memory.response_ring(slot, reactor),
                       memory.response_ring_data(slot, reactor), memory.geometry.response_ring_bytes)
        link.table = <sw_request_entry *>memory.request_table(slot, reactor)
        self.side.count += 1
        return 0

    cdef void sleeper(self, void *word, int fd) noexcept:
        self.side.words[self.side.sleepers] = <sw_sleeping *>word
        self.side.ends[self.side.sleepers].fd = fd
        self.side.ends[self.side.sleepers].events = POLLIN
        self.side.sleepers += 1


def run_worker(SharedMemory memory, int slot, int reactors, uint8_t[::1] owned, *, int jitter=0, int frames=1,
               uint64_t high=0, int hold=0, bint quiet=False, uint64_t seed=1):
    """The worker in `slot`: answer what `reactors` reactors post until each has said EVENT_STOP.

    `owned`: a byte per request, raised when it is taken; `jitter`: delays are of up to 2 ** jitter empty turns, small
    ones as often as large ones; `frames`: of a
    response; `high`: body bytes to be ahead of the client, 0 for no limit (else with one request at a time only);
    `hold`: on average, one wake-up for so many frames; `quiet`: leave wake-ups to a tick wherever the reactor has
    one. Returns "" or the fault.
    """
    cdef _Run run = _Run()
    cdef int r, fault
    run.prepare(memory, jitter, frames, high, owned, seed)
    for r in range(reactors):
        run.link(memory, slot, r)
        run.side.links[r].word = <sw_sleeping *>memory.reactor_sleeping(slot, r)
        run.side.links[r].fd = memory.wake_eventfds[slot][r]
    run.sleeper(memory.slot_sleeping(slot), memory.slot_eventfds[slot])
    run.side.line = (<Scoreboard>memory.scoreboard).slot(slot)
    run.side.hold, run.side.quiet = hold, quiet
    with nogil:
        fault = _worker(&run.side)
    return FAULTS.get(fault, "")


def run_reactor(SharedMemory memory, int reactor, int slots, uint64_t total, int outstanding, uint8_t[::1] owned, *,
                int jitter=0, int frames=1, uint64_t high=0, int revoke_of_16=0, uint64_t seed=2):
    """The reactor: `total` requests to `slots` workers in turn, at most `outstanding` at once, then EVENT_STOP.

    `owned`: a byte per request, raised when it is revoked; `revoke_of_16`: after how many of 16 posts a request is
    picked to be taken back. The others as for `run_worker`. Returns "" or the fault.
    """
    cdef _Run run = _Run()
    cdef int slot, fault
    if not 1 <= outstanding <= min(MAX_OUTSTANDING, memory.geometry.table_entries):
        raise ValueError(f"{outstanding} requests at once")
    if owned.shape[0] < <Py_ssize_t>total:
        raise ValueError("`owned` is too short")
    run.prepare(memory, jitter, frames, high, owned, seed)
    for slot in range(slots):
        run.link(memory, slot, reactor)
        run.side.links[slot].word = <sw_sleeping *>memory.slot_sleeping(slot)
        run.side.links[slot].fd = memory.slot_eventfds[slot]
        run.sleeper(memory.reactor_sleeping(slot, reactor), memory.wake_eventfds[slot][reactor])
    run.side.line = (<Scoreboard>memory.scoreboard).reactor(reactor)
    with nogil:
        fault = _reactor(&run.side, total, outstanding, revoke_of_16)
    return FAULTS.get(fault, "")


# ---- the arena
#
# Whoever has a block of the arena says so in its first word: 0 nobody, 1 the worker, 2 a reactor. Nobody sleeps here:
# a side that can do nothing yields the CPU. A frame is a block's number + 1; 0: no more follow.

cdef void _name(Side *s, int reactor, uint64_t number) noexcept nogil:
    cdef uint64_t *at
    while True:
        at = <uint64_t *>sw_ring_reserve(&s.links[reactor].responses, 8)
        if at != NULL:
            break
        sw_spin_yield()
    at[0] = number
    sw_ring_publish(&s.links[reactor].responses, 8)


cdef int _take_and_name(sw_arena *arena, Side *s, uint64_t total) noexcept nogil:
    cdef uint32_t block, room
    cdef uint32_t *words
    cdef uint64_t taken = 0
    cdef int i
    while taken < total:
        block = sw_arena_take(arena, _random(s, 3) * 4096, &room)
        if block == SW_NO_ARENA_BLOCK:
            s.line[SLOT_LOST] += 1
            sw_spin_yield()
            continue
        words = <uint32_t *>sw_arena_at(arena, block, 0)
        if words[0] != 0:
            return BLOCK_HELD
        if _random(s, 16) == 0:
            sw_arena_take_back(arena, block)
            continue
        words[0] = 1
        _name(s, <int>_random(s, <uint32_t>s.count), <uint64_t>block + 1)
        taken += 1
        s.line[SLOT_TAKEN] += 1
        stress_pause(_turns(s))
    for i in range(s.count):
        _name(s, i, 0)
    for i in range(s.count):
        while sw_ring_unread(&s.links[i].responses) > 0:
            sw_spin_yield()
    for _taken in range(arena.blocks):
        block = sw_arena_take(arena, 0, &room)
        if block == SW_NO_ARENA_BLOCK:
            return BLOCK_LOST
        words = <uint32_t *>sw_arena_at(arena, block, 0)
        if words[0] != 0:
            return BLOCK_HELD
        words[0] = 1
    return FINE if sw_arena_take(arena, 0, &room) == SW_NO_ARENA_BLOCK else BLOCK_HELD


def run_arena_worker(SharedMemory memory, int slot, int reactors, uint64_t total, *, int jitter=0, uint64_t seed=1):
    """Take blocks of the slot's arena at random, some of them back at once, and name `total` of them to the reactors.
    At the end each block must be free, once. Returns a fault in words, or ''."""
    cdef Side s
    cdef sw_arena arena
    cdef int r, fault
    memset(&s, 0, sizeof(s))
    s.count, s.jitter, s.random = reactors, jitter, seed << 32
    s.line = (<Scoreboard>memory.scoreboard).slot(slot)
    memory.describe_arena(slot, &arena)
    if not sw_arena_own(&arena):
        raise MemoryError
    for r in range(reactors):
        sw_ring_attach(&s.links[r].responses, memory.response_ring(slot, r), memory.response_ring_data(slot, r),
                       memory.geometry.response_ring_bytes)
    with nogil:
        fault = _take_and_name(&arena, &s, total)
    free(arena.own)
    return FAULTS[fault] if fault != FINE else ""


cdef int _give_back(sw_arena *arena, Side *s) noexcept nogil:
    cdef sw_ring_end *ring = &s.links[0].responses
    cdef unsigned char *at
    cdef uint32_t *words
    cdef uint32_t block
    cdef uint64_t number
    cdef int64_t ready
    while True:
        ready = sw_ring_peek(ring, &at)
        if ready == 0:
            sw_spin_yield()
            continue
        if ready < 8:
            return BAD_RING
        number = (<uint64_t *>at)[0]
        if number != 0:
            block = <uint32_t>(number - 1)
            words = <uint32_t *>sw_arena_at(arena, block, 0)
            if words == NULL:
                return BAD_FRAME
            if words[0] != 1:
                return BLOCK_HELD
            words[0] = 2
            stress_pause(_turns(s))
            if words[0] != 2:
                return BLOCK_HELD
            words[0] = 0
            sw_arena_give(arena, block)
            s.line[REACTOR_RESPONSES] += 1
        sw_ring_advance(ring, 8)
        sw_ring_release(ring)
        if number == 0:
            return FINE


def run_arena_reactor(SharedMemory memory, int slot, int reactor, *, int jitter=0, uint64_t seed=2):
    """Give back each block that the worker in `slot` names to `reactor`. Returns a fault in words, or ''."""
    cdef Side s
    cdef sw_arena arena
    cdef int fault
    memset(&s, 0, sizeof(s))
    s.jitter, s.random = jitter, seed << 32
    s.line = (<Scoreboard>memory.scoreboard).reactor(reactor)
    sw_ring_attach(&s.links[0].responses, memory.response_ring(slot, reactor),
                   memory.response_ring_data(slot, reactor), memory.geometry.response_ring_bytes)
    memory.describe_arena(slot, &arena)
    with nogil:
        fault = _give_back(&arena, &s)
    return FAULTS[fault] if fault != FINE else ""
