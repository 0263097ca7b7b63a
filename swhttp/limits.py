"""Every bound of the server: name, value, unit. Nothing is unbounded; what is not here has no limit by mistake."""

from __future__ import annotations

from typing import Final

# Shared memory. It is touched lazily: an idle server pays for what it has used, not for these figures.
MAX_REACTORS: Final = 64  # threads of the master that own connections
MAX_SLOTS: Final = 512  # places for worker processes, two for each worker
MAX_WORKERS: Final = MAX_SLOTS // 2  # of --workers and --max-workers
REQUEST_RING_BYTES: Final = 32 * 1024  # 2,048 descriptors a reactor and slot
RESPONSE_RING_BYTES: Final = 256 * 1024  # a reactor and slot; stays within a core's L2 cache
REQUEST_TABLE_ENTRIES: Final = 16384  # requests with workers at once, a reactor
MAX_SESSIONS: Final = 65536  # client connections at once, a reactor
MOST_CONNECTIONS: Final = MAX_SESSIONS * MAX_REACTORS  # of --max-connections
MOST_FDS: Final = 1 << 30  # where there is no limit of open files
KEPT_FDS: Final = 32  # of the master's: no connection gets these: for files of bodies and responses, logs, verbs
KEPT_FDS_SHARE: Final = 4  # and of those that are left, one of so many
# 65 KiB: a chunk of a streamed body; 1,088 KiB: a body for WSGI in memory, and its head.
BLOCK_CLASSES: Final = (  # (bytes, count) of request blocks, a reactor
    # Of 8 KiB there is one for every connection: however many slow bodies are under way, another head has room.
    (1024, 65536), (8192, 65536), (32768, 4096), (66560, 1024), (163840, 256), (1114112, 64))
# 10 MiB in blocks of 512 KiB cost a quarter less CPU than in 1 MiB.
ARENA_CLASSES: Final = ((65536, 128), (262144, 32), (524288, 32))  # (bytes, count) of blocks of response bodies, a slot
MAX_SMALL_FRAME_BYTES: Final = 16 * 1024  # payload of one RESPONSE_SMALL frame

# Requests (RFC 9112 leaves these to us; defaults of nginx and gunicorn where they agree).
MAX_REQUEST_LINE_BYTES: Final = 8 * 1024  # past it 414
MAX_FIELD_BYTES: Final = 16 * 1024  # one field line, past it 431
MAX_HEAD_BYTES: Final = 64 * 1024  # past it 431
MAX_FIELDS: Final = 100  # past it 431
MOST_FIELDS: Final = 10_000  # of --limit-request-fields
MOST_BODY_BYTES: Final = 1 << 50  # of --limit-request-body and --response-spool-max
MAX_DEFAULT_FIELDS_BYTES: Final = 4096  # Date, Server and the lines of --header, in all
MAX_WS_LIST_BYTES: Final = 4096  # of a WebSocket client's subprotocols, and of its extensions, in all; past it 400
MAX_EMPTY_LINES: Final = 4  # CRLFs before a request line (RFC 9112 §2.2), past it 400
MAX_BODY_BYTES: Final = 100 * 1024 * 1024  # past it 413
INLINE_BODY_BYTES: Final = 64 * 1024  # a body up to this reaches an app whole
MAX_INLINE_BODY_BYTES: Final = 64 * 1024  # of --inline-body
MEMORY_BODY_BYTES: Final = 1024 * 1024  # WSGI: a larger body is in a file
CREDIT_WINDOW_BYTES: Final = 256 * 1024  # of a streamed body, between reactor and app
MAX_CHUNKS_AHEAD: Final = 8  # blocks of a streamed body that the app has not read
DISCARD_BYTES: Final = 64 * 1024  # of a body that the app did not want, to keep the connection
MAX_CHUNK_LINE_BYTES: Final = 4 * 1024  # size and extensions of one chunk, past it 400
MAX_CHUNK_EXCESS_BYTES: Final = 16 * 1024  # chunk lines beyond 16 bytes and their content's length, past it 400
MAX_TRAILER_BYTES: Final = 16 * 1024  # past it 431

# WebSockets.
MAX_WS_FRAGMENTS: Final = 128 * 1024  # frames of a message, past it 1009. Autobahn's 9.3.1 and 9.4.1 have 65,536
MAX_WS_EMPTY_FRAGMENTS: Final = 128  # frames without a byte, one after another in a message, past it 1009
MAX_WS_STREAM_ENDS: Final = 16  # deflate streams that a message may end, past it 1007: the next one costs a new context

# Proxies.
MAX_TRUSTED_NETWORKS: Final = 1024  # of --forwarded-allow-ips
MAX_FORWARDED_HOPS: Final = 64  # entries of a forwarding header, from the right, in which the client is looked for
MAX_FORWARDED_HOST_BYTES: Final = 261  # a name of 255 bytes, a colon and a port; a longer one is no host
MAX_PROXY_HEADER_BYTES: Final = 8 * 1024  # of the PROXY protocol, version 2 with all its TLVs; past it 400

# TLS.
MAX_TLS_UNSENT_BYTES: Final = 192 * 1024  # ciphertext that a client does not take; past it: cut
MAX_CLIENT_CHAIN_BYTES: Final = 16 * 1024  # of a client's certificates, what the app sees; its own comes first
MAX_TLS_NAMES: Final = 1000  # of --ssl-sni

# Deadlines, in seconds, each for the whole of what it names.
HANDSHAKE_TIMEOUT_S: Final = 10.0  # of TLS, from the connection on
HEAD_TIMEOUT_S: Final = 10.0  # past it 408
BODY_TIMEOUT_S: Final = 30.0  # past it 408
WRITE_TIMEOUT_S: Final = 60.0  # of what waits for a client; past it the connection is cut
MIN_RATE_BYTES_S: Final = 500  # body and response: each byte adds its time at this rate to what is left of the deadline
FRESH_S: Final = 1.0  # when the server ends: how long after a connection or an answer the next request is waited for
GONE_AFTER_S: Final = 1.0  # a client whose end of input came with its request, and that has no answer yet
DISCARD_TIMEOUT_S: Final = 1.0  # reading on after an early answer, to keep the connection
LINGER_TIMEOUT_S: Final = 2.0  # reading on after an early answer, so that it is not reset away

# Dispatch.
WORKER_CONCURRENCY: Final = 1000  # requests at once in an ASGI worker
MAX_PREFETCH: Final = 16  # requests queued behind the threads of a WSGI worker
PREFETCH_WINDOW_S: Final = 0.001  # as many as fit in this much service time
REVOKE_AFTER_S: Final = 0.002  # a prefetched request older than this goes to an idle worker
REVOKE_LONE_AFTER_S: Final = 0.1  # the same for one that its worker has nothing before, so should have begun
AUDIT_S: Final = 1.0  # between two looks at words that a worker may have spoilt without anybody's noticing
QUEUE_SIZE: Final = 16384  # requests without a worker, a reactor; past it 503
QUEUE_TIMEOUT_S: Final = 30.0  # past it 503
MOST_WORKER_CONCURRENCY: Final = REQUEST_TABLE_ENTRIES  # of --worker-concurrency
MOST_QUEUE_SIZE: Final = MAX_SESSIONS  # of --queue-size: a connection has one request at a time
SPIN_S: Final = 0.00006  # how long a reactor looks for a response, a worker for a request, before it sleeps
SPIN_IN_FLIGHT: Final = 2  # with more than this at once neither looks: there is better to do
TICK_S: Final = 0.0005  # how long a reactor sleeps at most while a worker holds untaken requests

# Flow.
HIGH_WATER_BYTES: Final = 256 * 1024  # response bytes a worker may be ahead of its client, and one frame
MAX_PACKERS: Final = 128  # responses that a worker compresses at once; more go as they are
MAX_PACKERS_BYTES: Final = 192 * 1024 * 1024  # that these take: 0.3 to 34 MiB each, by coding and level
MAX_ACCEPT_ENCODING_BYTES: Final = 1024  # a longer field accepts no coding of --compress: 64 KiB take 23 ms to read
COMPRESS_MIN_BYTES: Final = 1024  # a smaller body is not compressed: it fits one packet anyway
MOST_COMPRESS_MIN_BYTES: Final = 1 << 30  # of --compress-min-bytes
SLOW_AFTER_S: Final = 0.025  # a client that takes nothing whole of what it is sent for this long is slow
MOVE_AFTER_S: Final = 0.2  # what a client has kept in the arena for this long goes to a file
ASIDE_AFTER_S: Final = 0.1  # a streamed body of which nothing came for this long: its request need not count as load
ASIDE_RATE_BYTES_S: Final = 256 * 1024  # the same of one that comes slower than this, all in all
ASIDE_LOOK_S: Final = 0.02  # while requests wait for a worker: how often it is looked whether one can be put aside
ASIDE_TIMES: Final = 8  # times --worker-concurrency: requests that wait for their clients, beside those that count
MOVES_PER_TURN: Final = 4  # clients whose bytes are moved to a file, before the others get their turn
SPARE_FILES: Final = 32  # empty temporary files that a reactor keeps, where there are fds enough
CROWD_BLOCKS: Final = 1024  # request blocks in use, past which a slow body is given but little more than it has sent
BODY_ROOM_BYTES: Final = 512  # room that a body has at least for what it has not sent yet
CROWD_CONNECTIONS: Final = 256  # a reactor that has had more than this at once gives their memory back
TRIM_EVERY_S: Final = 0.5  # when a crowd has left: how often some of its memory goes back to the kernel
TRIM_BYTES: Final = 4 * 1024 * 1024  # so much at a time, of each size of block
TRIM_AGAIN_S: Final = 5.0  # how often, while what is in use lies too high
KEEP_BLOCK_BYTES: Final = 64 * 1024  # of each size of block, kept however idle the server is
KEEP_ARENA_BYTES: Final = 256 * 1024  # the same of response blocks, a worker
WARM_ARENA_BYTES: Final = 4 * 1024 * 1024  # of each size of block, kept while the worker is busy with slow clients
RESPONSE_SPOOL_MAX_BYTES: Final = 1024 * 1024 * 1024  # of a WSGI response, in a file, ahead of its client
SEND_PER_TURN_BYTES: Final = 512 * 1024  # to one client, before the others get their turn
ACCEPTS_PER_TURN: Final = 16  # new connections, before the others get their turn
ACCEPT_PAUSE_S: Final = 0.1  # when the system has no fd or memory for a new connection
REACTOR_LOG_EVERY_S: Final = 1.0  # what goes on and on (connections wait, the disk is full) is logged so often at most
ROOM_LOOK_S: Final = 0.25  # while some wait, how often connections are looked for that can be closed for them
QUIET_RESPONSES: Final = 8  # a busy worker wakes the reactor for every Nth response

# Pushes.
PUSH_BACKLOG_BYTES: Final = 4 * 1024 * 1024  # that wait in an ASGI worker for room; past it BufferError
PUSH_COST_BYTES: Final = 256  # that each of them counts for besides
PUSH_AHEAD_BYTES: Final = 256 * 1024  # of one worker, with "block", that a reactor has not read; past it, it waits
PUSH_AGAIN_S: Final = 0.01  # a large one that finds all of the worker's blocks in use is tried again after it
PUSH_LOOK_S: Final = 0.01  # how often a user process looks whether a slow client has caught up
PUSH_PACKET_BYTES: Final = 32 * 1024  # of one from a user process; a larger one is in a file of its own
PUSHES_PER_TURN: Final = 64  # packets of user processes, before the others get their turn
WS_STATE_BYTES: Final = 64 * 1024  # of a session's state
WS_PUSH_BYTES: Final = 512 * 1024  # of a message that is pushed, and of one to a handler of the callback API
WS_GROUP_NAME_BYTES: Final = 255  # of UTF-8

# The turns of a reactor. Those that are constants of the compiled core, too, are compared there.
RECV_BYTES: Final = 16 * 1024  # of one client's requests, in a turn: none is further ahead of its answers
CHUNK_BYTES: Final = 64 * 1024  # of one client's body, in a turn
EVENTS_PER_TURN: Final = 256  # of the kernel's
PIECES_PER_TURN: Final = 511  # of requests to be parsed
OUTBOX_BYTES: Final = 16 * HIGH_WATER_BYTES  # in memory, that wait for a client; past it, it is cut
OUTBOX_PIECES: Final = 1024  # of arenas and files, that wait for a client; past it, it is cut. No sane worker gets near
POOLED_PARSERS: Final = 8  # that wait for the next request; more are made and dropped as they come
STARVED_LOOK_S: Final = 0.002  # how often it is looked whether there is a block, or room in a ring, for a body
FILES_HELD_S: Final = 0.05  # when the kernel passes no file: how long requests with one wait, and let others pass
QUEUE_LOOK_S: Final = 0.1  # how often it is looked whether a request has waited too long for a worker
MAILBOX_MESSAGES: Final = 1024  # between two threads of the master; log lines past three quarters of it are dropped

# Stacks of workers, for requests that take too long.
STACKS_EVERY_S: Final = 1.0  # of one worker: who asks sooner is only counted
STACKS_WAIT_S: Final = 1.0  # how long a worker may take to write them
STACKS_POLL_S: Final = 0.02  # how often it is looked whether it has
STACKS_QUIET_S: Final = 0.05  # they are whole when nothing has been added for so long
MAX_STACKS_BYTES: Final = 256 * 1024  # that are read of what a worker has written
MAX_TASKS_SHOWN: Final = 25  # of an event loop
MAX_TASK_FRAMES: Final = 50  # of one task
STACKS_FD: Final = 1000  # their file has a number of this or above, which an application does not close and use anew
ENTRY_PIECE_CHARS: Final = 1800  # of ASCII, in one message: as JSON, up to 2 bytes each

# The access log.
ACCESS_RING_BYTES: Final = 1024 * 1024  # lines that wait for the writer, a reactor; past it they are dropped
ACCESS_LINE_BYTES: Final = 32 * 1024  # longest line, its newline included
ACCESS_FIELD_BYTES: Final = 8 * 1024  # of a line that one value may take, escaped; what is longer ends in "..."
ACCESS_FIELD_LEAST_BYTES: Final = 64  # a format that leaves its values less than this is refused
ACCESS_FORMAT_BYTES: Final = 4096  # of --access-log-format
ACCESS_FORMAT_PARTS: Final = 64  # atoms and texts between them
ACCESS_FORMAT_NAMES: Final = 16  # different request fields, the same of response fields, the same of times
ACCESS_TIME_BYTES: Final = 128  # what a time format may come to
ACCESS_LINGER_S: Final = 0.02  # after a line is written those that follow wait so long for others, and go together
ACCESS_END_S: Final = 2.0  # how long the end waits for a reader of the log that does not read

# WebSockets.
WS_MAX_BYTES: Final = 16 * 1024 * 1024  # of a message, inflated; past it 1009
MOST_WS_BYTES: Final = 1 << 32  # of --ws-max-size
WS_MAX_QUEUE: Final = 1024  # messages of one client that its app has not read; past it the socket is not read
MOST_WS_QUEUE: Final = 1 << 20  # of --ws-max-queue
WS_PING_INTERVAL_S: Final = 20.0  # of silence, until a client is pinged
WS_PING_TIMEOUT_S: Final = 20.0  # from a ping to a sign of life; past it the connection is closed
WEBSOCKET_DRAIN_S: Final = 30.0  # how long a worker that is replaced keeps its sockets; then 1012
WS_SPARED_SHARE: Final = 8  # one in so many entries of the request table is for others than WebSockets; past it 503
WS_BLOCKS_AHEAD: Final = 4  # blocks of messages that the app has not read
WS_BLOCK_BYTES: Final = 66560  # of one block of messages
WS_CALLS_BLOCK_BYTES: Final = 720 * 1024  # of messages that wait for a handler of the callback API
WS_GROUPS: Final = 64  # of one session; past it a join is only logged
WS_PUSHER_BYTES: Final = PUSH_AHEAD_BYTES + WS_PUSH_BYTES  # for a slow client, times processes; past it, it is cut
WS_PONG_BACKLOG_BYTES: Final = 64 * 1024  # that wait for a client; past it only its last ping is answered, later
WS_COMPRESS_LEAST_BYTES: Final = 64  # shorter messages go as they are
WS_CLOSE_TIMEOUT_S: Final = 10.0  # from our Close to the client's

# Static files.
MAX_STATIC_MOUNTS: Final = 64  # of --static
MAX_STATIC_PATH_BYTES: Final = 4000  # of a file's path below its directory, decoded; past it 404
MAX_LOCATION_BYTES: Final = 8 * 1024  # of a redirect to a directory, query included; past it 404
STATIC_SPARED_FDS: Final = 16  # of those that connections leave: no static file gets these either; past it 503
MAX_RANGES: Final = 16  # of a Range field; past it the whole file
MAX_CACHE_CONTROL_BYTES: Final = 1024  # of --static-cache-control
STATIC_SETTLED_S: Final = 2.0  # a file that was changed less than this ago may change again under the same time stamp
IO_THREADS: Final = 4  # that wait for disks
IO_QUEUE: Final = 1024  # files that wait to be opened by an I/O thread; past it 503
IO_END_S: Final = 2.0  # how long the end waits for a disk

# Life.
BOOT_BACKOFF_MIN_S: Final = 0.1  # from a boot that failed to the next, doubled each time
BOOT_BACKOFF_MAX_S: Final = 5.0  # ... up to this
BOOT_TIMEOUT_S: Final = 60.0  # from fork to READY
BOOT_RETRIES: Final = 10  # with the delays between them that is half a minute, and as many boots
MOST_BOOT_RETRIES: Final = 1_000_000  # of --boot-retries
MOST_REQUESTS: Final = 1 << 53  # of --max-requests
MOST_WORKER_MEMORY_MIB: Final = 1 << 24  # of --max-worker-memory
MOST_LIFETIME_S: Final = 10 * 365 * 86400.0  # of --max-worker-lifetime
WEAR_LOOK_S: Final = 0.5  # how often workers are looked at that may be worn
STEADY_S: Final = 10.0  # a user process that ran so long is started anew as if for the first time
MAX_USER_PROCESSES: Final = 64  # of --process
HOOK_TIMEOUT_S: Final = 10.0  # how long the server waits for a hook
HOOK_EVENTS: Final = 100  # for hooks of --hooks, that wait for one that runs; what comes then is not called
HOOK_LINES: Final = 64  # requests, or pieces of a text, that one hook is told
YOUNG_S: Final = 0.1  # no worker is replaced sooner than this after it was forked
BOOT_SHARE: Final = 10.0  # a worn worker is replaced no sooner than after so many times as long as the last boot took
MOST_DEATHS: Final = 2  # a request on which so many workers have died is not tried again
LOST_NAMED: Final = 8  # requests that a dead worker had begun: so many are named, a reactor
KILL_GRACE_S: Final = 1.0  # from SIGTERM to SIGKILL
OVERDUE_LOOK_S: Final = 0.1  # between two looks for requests that take too long; more often for a limit below 0.8 s
SETTLE_TIMEOUT_S: Final = 1.0  # how long a master that has lost its workers waits for the last answers to go out
LIFESPAN_END_S: Final = 1.0  # how long an app's lifespan may go on after its last message
TASKS_END_S: Final = 5.0  # how long an app's tasks may take to clean up, once they are cancelled
JOIN_TIMEOUT_S: Final = 5.0  # how long the end waits for the reactor threads
MAX_THREADS: Final = 256  # WSGI threads a worker
SOCKET_LOCK_S: Final = 1.0  # how long a start waits for another one that makes a socket in the same directory
SOCKET_LOCK_TRY_S: Final = 0.005  # between two tries
MAX_WAIT_S: Final = 86400.0  # of every option in seconds
SIGNAL_REPEAT_S: Final = 0.5  # a second TERM or INT sooner than this is the first one's echo
MAX_MESSAGE_BYTES: Final = 64 * 1024  # between master, manager and workers
MAX_REASON_CHARS: Final = 600  # of UTF-16, of why a worker cannot boot: at six bytes each in JSON it is one message
MAX_TRACEBACK_CHARS: Final = 8000  # of UTF-16, of why new code does not boot, at length: its end
MESSAGES_A_TURN: Final = 64  # of one channel, before the others get their turn
STALL_S: Final = 0.05  # a message that the kernel does not take, and will not say when it does, is tried again after it
LOG_BACKLOG: Final = 1000  # messages from the manager that the master has not taken; past it lines of the log are lost
MAX_LOG_TEXT_CHARS: Final = 500  # of the manager's, in such a message: as JSON, up to 6 bytes each
CONTROL_CONNECTIONS: Final = 16  # to the control socket at once; more wait
CONTROL_BACKLOG: Final = 64  # that wait
CONTROL_WAITING: Final = 12  # of CONTROL_CONNECTIONS: that may wait for an answer, so that `stop` gets through
CONTROL_REQUEST_BYTES: Final = 64 * 1024  # of one request
CONTROL_ANSWER_BYTES: Final = 1024 * 1024  # of one answer
CONTROL_TIMEOUT_S: Final = 5.0  # how long a request may take to arrive, and an answer to be taken
CONTROL_CONNECT_S: Final = 5.0  # how long a verb of the command line waits for its turn
CONTROL_ANSWER_S: Final = 15.0  # ... and for an answer that needs nothing to end
NOTIFY_RETRY_S: Final = 0.1  # when the service manager's queue is full
TAKEOVER_ANSWER_S: Final = 5.0  # how long a server that has booted waits for the old one's answer
TAKEOVER_SILENCE_S: Final = 300.0  # one that boots longer than this may be replaced by another one
TAKEOVER_BOOTS: Final = 2  # it gives up when after so many --boot-timeout not one worker more is READY
CLAIM_AGAIN_S: Final = 0.5  # the old server's pid file and control socket, where they are not free yet
CLAIM_TRIES: Final = 20  # then it goes on without them
CONTROL_ACCEPT_PAUSE_S: Final = 1.0  # when there is no fd for a connection
CONTROL_LOG_EVERY_S: Final = 1.0  # who may not use it is logged no more often than this
SNAPSHOT_REQUESTS: Final = 1000  # that `swhttp requests` lists, the oldest
SNAPSHOT_TARGET_BYTES: Final = 256  # of each one's target
SNAPSHOT_METHOD_BYTES: Final = 32  # of each one's method
BACKLOG: Final = 2048  # connections that the kernel holds for us (it caps this at net.core.somaxconn)
MOST_BACKLOG: Final = 65535  # of --backlog
MOST_PASSED_SOCKETS: Final = 64  # of LISTEN_FDS
MOST_CPUS: Final = 8192  # of Linux
