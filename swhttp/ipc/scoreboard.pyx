"""The scoreboard: one page per worker slot and one per reactor, each an array of 64-bit words.

It owns the layout and the field names. It never sums, rates or formats: readers do. The memfd is called
`swhttp-scoreboard`; `attach` finds it through /proc, so a reader needs nothing from the server but its pid.

    page 0   | magic | reactors | slots |
    page 1.. | one page per slot: SLOT_ words |
    then     | one page per reactor: REACTOR_ words |
"""

import os

from swhttp.ipc.memory cimport Segment

SLOT_FIELD_NAMES = (
    "pid", "generation", "state", "taken", "done", "lost", "frames", "frame_bytes", "wakes", "quiet", "sleeps",
    "service_ns", "current_request", "current_since_ns", "dropped", "app_errors",
    "shm_frames", "file_frames", "arena_full", "spilled_bytes", "credits",
    "websockets",
)
REACTOR_FIELD_NAMES = (
    "turns", "gil_turns", "gil_ns", "gil_wait_ns", "ticks", "accepted", "open", "received_bytes", "sent_bytes",
    "requests", "responses", "dispatched", "revoked", "waiting", "queue_full", "queue_timeout", "bad_requests",
    "timeouts", "worker_lost", "cut", "small_frames", "wakes", "in_flight", "blocks", "blocks_full", "bad_frames",
    "shm_frames", "file_frames", "sendfile_bytes", "arena_held", "moved_bytes", "files", "chunks", "body_files",
    "clients_slow", "log_dropped", "log_lost", "replayed", "quarantined", "slow_requests", "request_timeout",
    "accept_held",
    "static", "io_opens", "io_reads",
    "tls_handshakes", "tls_failed", "tls_timeout",
    "files_lost", "io_queue_full",
    "websockets", "ws_received", "ws_sent", "ws_events", "ws_dropped", "ws_ping_timeout",
)
assert len(SLOT_FIELD_NAMES) == SLOT_FIELDS
assert len(REACTOR_FIELD_NAMES) == REACTOR_FIELDS


def size_bytes(int reactors, int slots):
    """Bytes of a scoreboard for this many reactors and slots."""
    return SCOREBOARD_PAGE * (1 + slots + reactors)


cdef class Scoreboard:
    """A view of a mapped scoreboard.

    `segment`: the mapping (`swhttp.ipc.memory.Segment`); `reactors`, `slots`: its counts, or None to read them
    from the first page. Raises ValueError when the mapping holds no scoreboard.
    """

    def __init__(self, Segment segment, reactors=None, slots=None):
        cdef int64_t *head = <int64_t *>segment.address
        self.segment = segment
        self.base = <char *>segment.address
        if reactors is not None:
            head[0], head[1], head[2] = SCOREBOARD_MAGIC, reactors, slots
        elif head[0] != SCOREBOARD_MAGIC or segment.size != size_bytes(head[1], head[2]):
            raise ValueError("not a scoreboard")
        self.reactor_count = head[1]
        self.slot_count = head[2]

    cdef int64_t *slot(self, int index) noexcept nogil:
        return <int64_t *>(self.base + SCOREBOARD_PAGE * (1 + index))

    cdef int64_t *reactor(self, int index) noexcept nogil:
        return <int64_t *>(self.base + SCOREBOARD_PAGE * (1 + self.slot_count + index))

    @property
    def slots(self):
        """A dict of field name to value for each slot."""
        return [{name: self.slot(i)[k] for k, name in enumerate(SLOT_FIELD_NAMES)}
                for i in range(self.slot_count)]

    @property
    def reactors(self):
        """A dict of field name to value for each reactor."""
        return [{name: self.reactor(i)[k] for k, name in enumerate(REACTOR_FIELD_NAMES)}
                for i in range(self.reactor_count)]

    def set_slot(self, int index, *, pid=None, generation=None, state=None, bint clear=False):
        """What the manager says of a slot. `clear` sets all of the worker's own fields to 0."""
        cdef int64_t *line
        cdef int field
        if not 0 <= index < self.slot_count:
            raise IndexError(index)
        line = self.slot(index)
        if clear:
            for field in range(SLOT_TAKEN, SLOT_FIELDS):
                line[field] = 0
        if pid is not None:
            line[SLOT_PID] = pid
        if generation is not None:
            line[SLOT_GENERATION] = generation
        if state is not None:
            line[SLOT_STATE] = state

    def keep_slot(self, int index):
        """In a worker: every page but its own becomes read-only. -1 keeps none."""
        (<Segment>self.segment).protect()
        if index >= 0:
            (<Segment>self.segment).protect(SCOREBOARD_PAGE * (1 + index), SCOREBOARD_PAGE, writable=True)


def attach(int pid):
    """The scoreboard of the running server whose master is `pid`, read-only.

    Raises FileNotFoundError when that process has no scoreboard or may not be looked into.
    """
    folder = f"/proc/{pid}/fd"
    for name in os.listdir(folder):
        try:
            if os.readlink(f"{folder}/{name}").startswith("/memfd:swhttp-scoreboard"):
                fd = os.open(f"{folder}/{name}", os.O_RDONLY | os.O_CLOEXEC)
                break
        except OSError:
            continue
    else:
        raise FileNotFoundError(f"process {pid} has no swhttp scoreboard")
    return Scoreboard(Segment.from_fd(fd))
