from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from swhttp.reactor.state cimport State

# Where a request stands.
cdef enum:
    SNAPSHOT_WAITING         # no worker has had room for it
    SNAPSHOT_QUEUED          # posted to a worker that has not begun it
    SNAPSHOT_TAKEN           # the app runs, and nothing of its response has come
    SNAPSHOT_ANSWERING       # some of its response is out
    SNAPSHOT_ABANDONED       # its client is gone or answered, and the worker has not ended it

cdef enum:
    SNAPSHOT_METHOD_BYTES = 32
    SNAPSHOT_TARGET_BYTES = 256
    SNAPSHOT_CLIENT_BYTES = 46


cdef struct SnapshotRow:
    uint64_t ready_ns        # when it was whole, or its head was: CLOCK_MONOTONIC, which all reactors share
    int slot                 # -1: none
    int pid                  # 0: none
    uint8_t state
    uint8_t method_bytes
    uint16_t target_bytes
    uint32_t target_whole    # bytes that the target has
    uint16_t client_bytes    # 0: by a unix socket
    uint16_t client_port
    char method[32]
    char target[256]
    char client[46]


cdef struct Snapshot:
    uint32_t room            # rows there is memory for
    uint32_t count           # rows that are filled in, oldest first
    uint32_t there_were      # requests
    SnapshotRow *rows


cdef void snapshot_take(State *s, Snapshot *snapshot) noexcept nogil
