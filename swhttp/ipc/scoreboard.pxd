from libc.stdint cimport int64_t

# Lines are pages, so that a worker can be left write access to its own alone. Every field is one aligned 64-bit
# word with one writer; readers see each field whole, and no two fields together.

cdef enum:
    SCOREBOARD_PAGE = 4096
    SCOREBOARD_MAGIC = 0x73776874

cdef enum:  # words of a slot
    SLOT_PID               # manager
    SLOT_GENERATION        # manager
    SLOT_STATE             # manager: a WorkerState
    SLOT_TAKEN             # from here on the worker: requests taken
    SLOT_DONE              # requests whose final frame is published
    SLOT_LOST              # descriptors whose request the reactor had taken back
    SLOT_FRAMES            # response frames published
    SLOT_FRAME_BYTES
    SLOT_WAKES             # eventfd writes to reactors
    SLOT_QUIET             # wake-ups left to the reactor's tick
    SLOT_SLEEPS            # times it went to sleep
    SLOT_SERVICE_NS        # moving average of a request's service time, 0 while unknown
    SLOT_CURRENT_REQUEST   # WSGI: request_id that the first thread runs, 0 when idle
    SLOT_CURRENT_SINCE_NS  # CLOCK_MONOTONIC
    SLOT_DROPPED           # responses whose client was gone
    SLOT_APP_ERRORS        # exceptions that an app let out
    SLOT_SHM_FRAMES        # RESPONSE_SHM frames published
    SLOT_FILE_FRAMES       # RESPONSE_TMPFILE frames published
    SLOT_ARENA_FULL        # bodies, or parts of one, that found no room in the arena
    SLOT_SPILLED_BYTES     # response bytes that a WSGI thread wrote to a temp file
    SLOT_CREDITS           # EVENT_CREDIT frames published
    SLOT_WEBSOCKETS        # WebSockets of an ASGI app that it has now
    SLOT_FIELDS

cdef enum:  # words of a reactor
    REACTOR_TURNS          # rounds of the loop
    REACTOR_GIL_TURNS      # rounds that took the GIL
    REACTOR_GIL_NS         # time it held the GIL
    REACTOR_GIL_WAIT_NS    # time it waited for the GIL
    REACTOR_TICKS          # sleeps that ended by the tick
    REACTOR_ACCEPTED
    REACTOR_OPEN           # client connections now
    REACTOR_RECEIVED_BYTES
    REACTOR_SENT_BYTES
    REACTOR_REQUESTS       # whole requests parsed
    REACTOR_RESPONSES      # final responses handed to the socket, the master's own included
    REACTOR_DISPATCHED     # descriptors posted
    REACTOR_REVOKED        # requests taken back before a worker took them
    REACTOR_WAITING        # requests without a worker now
    REACTOR_QUEUE_FULL     # 503: the queue was full
    REACTOR_QUEUE_TIMEOUT  # 503: waited too long
    REACTOR_BAD_REQUESTS   # 4xx and 5xx that the parser or its checks gave
    REACTOR_TIMEOUTS       # connections ended by a deadline
    REACTOR_WORKER_LOST    # 502: the worker died on it
    REACTOR_CUT            # connections cut because a response could not be finished
    REACTOR_SMALL_FRAMES   # RESPONSE_SMALL frames received
    REACTOR_WAKES          # eventfd writes to workers
    REACTOR_IN_FLIGHT      # requests with workers now
    REACTOR_BLOCKS         # request blocks in use
    REACTOR_BLOCKS_FULL    # 503: no request block, or no file for a body
    REACTOR_BAD_FRAMES     # response frames that could not be right
    REACTOR_SHM_FRAMES     # RESPONSE_SHM frames received
    REACTOR_FILE_FRAMES    # RESPONSE_TMPFILE frames received
    REACTOR_SENDFILE_BYTES  # response bytes sent from files
    REACTOR_ARENA_HELD     # arena blocks that wait for a socket now
    REACTOR_MOVED_BYTES    # response bytes moved from the arena to a temp file, for a slow client
    REACTOR_FILES          # files held for responses and request bodies now
    REACTOR_CHUNKS         # chunks of request bodies posted
    REACTOR_BODY_FILES     # request bodies that went to a temp file
    REACTOR_CLIENTS_SLOW   # times that a client was found slow
    REACTOR_LOG_DROPPED    # lines of the access log for which its ring had no room
    REACTOR_LOG_LOST       # lines that could not be written; the writer's thread counts them
    REACTOR_REPLAYED       # requests tried once more, because the worker that had begun them died
    REACTOR_QUARANTINED    # 502: a second worker died on it
    REACTOR_SLOW_REQUESTS  # requests that took longer than --slow-log
    REACTOR_REQUEST_TIMEOUT  # 504: the worker had not begun to answer by --request-timeout
    REACTOR_ACCEPT_HELD    # times that a new connection was left in the backlog: no place, fd or memory
    REACTOR_STATIC         # requests below a --static prefix
    REACTOR_IO_OPENS       # files that an I/O thread opened, or found missing
    REACTOR_IO_READS       # parts of files that an I/O thread read before they were sent
    REACTOR_TLS_HANDSHAKES  # TLS connections that came about
    REACTOR_TLS_FAILED     # that did not, because the two sides do not agree, or it is no TLS
    REACTOR_TLS_TIMEOUT    # that did not by --ssl-handshake-timeout
    REACTOR_FILES_LOST     # 503: a file below a --static prefix for which there was no fd or memory, or a bad disk
    REACTOR_IO_QUEUE_FULL  # 503: too many files waited to be opened
    REACTOR_WEBSOCKETS     # open WebSockets now
    REACTOR_WS_RECEIVED    # messages that have come in
    REACTOR_WS_SENT        # messages that have gone out, a broadcast once for each receiver
    REACTOR_WS_EVENTS      # events of sessions that went to a handler
    REACTOR_WS_DROPPED     # pushes for sessions whose clients were too slow
    REACTOR_WS_PING_TIMEOUT  # WebSockets ended because their clients did not answer a ping
    REACTOR_FIELDS


cdef class Scoreboard:
    cdef char *base
    cdef readonly object segment
    cdef readonly int reactor_count
    cdef readonly int slot_count
    cdef int64_t *slot(self, int index) noexcept nogil
    cdef int64_t *reactor(self, int index) noexcept nogil
