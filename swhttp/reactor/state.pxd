# What a reactor holds, as plain C: phases 1 and 3 run without the GIL and touch nothing else. One thread owns all of
# a State; what threads share is behind `loads`, `open`, `waiting` (atomic) and the mailboxes (locked).

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from swhttp.ipc.arena cimport sw_arena
from swhttp.ipc.blocks cimport sw_blocks
from swhttp.ipc.request_table cimport sw_request_entry
from swhttp.ipc.ring cimport sw_ring_end, sw_sleeping
from swhttp.ipc.sessions cimport sw_address, sw_session
from swhttp.reactor.iojobs cimport sw_io_inbox, sw_io_job, sw_io_pool
from swhttp.reactor.logline cimport sw_access_log
from swhttp.reactor.networks cimport sw_network
from swhttp.reactor.staticsite cimport StaticSite
from swhttp.reactor.system cimport epoll_event
from swhttp.reactor.wscodec cimport WsDecoder, WsLimits
from swhttp.reactor.wsgroups cimport sw_ws_groups, sw_ws_membership


cdef extern from "swhttp/reactor/load.h" nogil:
    ctypedef struct sw_load:
        pass
    ctypedef struct sw_gauge:
        pass
    void sw_load_reset(sw_load *load, uint32_t generation)
    uint32_t sw_load_in_flight(sw_load *load)
    bint sw_load_reserve(sw_load *load, uint32_t generation, uint32_t capacity)
    void sw_load_release(sw_load *load, uint32_t generation)
    void sw_gauge_add(sw_gauge *gauge, int64_t by)
    int64_t sw_gauge_get(sw_gauge *gauge)
    bint sw_gauge_take(sw_gauge *gauge, int64_t most)
    int64_t sw_gauge_get_fenced(sw_gauge *gauge)
    void sw_gauge_set_fenced(sw_gauge *gauge, int64_t value)

cdef extern from "swhttp/reactor/mailbox.h" nogil:
    enum:
        SW_MAIL_TEXT
        SW_MAILBOX_SIZE
        MAIL_SLOT_UP
        MAIL_SLOT_STAGE
        MAIL_SLOT_STOP
        MAIL_SWITCH
        MAIL_SLOT_DEAD
        MAIL_DRAIN
        MAIL_STOP
        MAIL_CONNECTION
        MAIL_SNAPSHOT
        MAIL_LISTEN
        MAIL_SETTLED
        MAIL_DRAINED
        MAIL_LOG
        MAIL_CORRUPT
        MAIL_DEAF
        MAIL_LOST
        MAIL_SNAPSHOT_TAKEN
        MAIL_SLOW
        MAIL_STUCK
    ctypedef struct sw_mail:
        int kind
        int a
        int b
        int c
        char text[232]
    ctypedef struct sw_overdue:
        uint64_t request_id
        uint32_t reactor
        uint32_t others
        char line[216]
    ctypedef struct sw_mailbox:
        pass
    void sw_mailbox_init(sw_mailbox *box, int eventfd)
    bint sw_mailbox_send(sw_mailbox *box, const sw_mail *mail, bint droppable)
    bint sw_mailbox_pending(sw_mailbox *box)
    bint sw_mailbox_take(sw_mailbox *box, sw_mail *mail)
    uint32_t sw_mailbox_take_dropped(sw_mailbox *box)


# Where a connection stands with its one message.
cdef enum:
    STAGE_FREE        # no connection
    STAGE_IDLE        # nothing of a request yet
    STAGE_HEAD        # part of a head
    STAGE_BODY        # a body of known length, received straight into the block, or for a file
    STAGE_CHUNKED     # a chunked body; the connection keeps its parser
    STAGE_READY       # whole, and submitted in the next phase 3
    STAGE_WAITING     # whole, no worker had room
    STAGE_IN_FLIGHT   # with a worker
    STAGE_FINISHING   # all of the response is in the outbox
    STAGE_DISCARD     # the response is out; reading on to the end of a body that nobody wanted
    STAGE_LINGER      # our side is shut down; reading on so that the answer is not reset away
    STAGE_GONE        # closed, but a worker still owes the final frame
    STAGE_FILE        # whole, and a file for it is being opened
    STAGE_SOCKET      # a WebSocket that is with no worker at the moment

# Where a WebSocket stands.
cdef enum:
    WS_OFFERED        # its handshake waits for a worker's word, or for a worker
    WS_OPEN
    WS_CLOSING        # our Close is out, the client's is awaited
    WS_OVER           # nothing more is read of it; what is out leaves, then the connection ends

cdef enum:
    CONN_READABLE = 1        # epoll said so and nobody has received yet
    CONN_WRITABLE_WAIT = 2   # the socket took less than was offered
    CONN_KEEP_ALIVE = 4      # after this response the connection goes on
    CONN_HTTP10 = 8
    CONN_HEAD_METHOD = 16    # the response has no body
    CONN_HEAD_SENT = 32      # the response head has been put out
    CONN_CHUNK_OUT = 64      # the response body is framed in chunks
    CONN_NO_BODY = 128       # the response's status or method forbids a body
    CONN_LEFTOVER = 256      # on the list of connections with input to parse
    CONN_EOF = 512           # the client has shut down its sending side
    CONN_EXPECT = 1024       # waits for 100 Continue
    CONN_CUT = 2048          # close as soon as the outbox is empty, whatever the message says
    CONN_UNREAD = 4096       # bytes of this connection may lie unread: linger before closing
    CONN_PIECE = 8192        # bytes of this turn wait for phase 2
    CONN_HUNG_UP = 16384     # reset or closed both ways, seen while it could not be closed
    CONN_BODY_OPEN = 32768   # the request is with a worker, or was, and its body has not been received to the end
    CONN_REFUSED = 65536     # answered by us while a worker has the request: its frames are dropped
    CONN_READY = 131072      # on the list of connections for phase 3
    CONN_STARVED = 262144    # on the list of connections that wait for a block or for room in a request ring
    CONN_TRUSTED = 524288    # its peer is believed, in what it says of those behind it
    CONN_TLS = 1048576       # its client came by TLS, to a proxy or to us
    CONN_PROXY_DUE = 2097152  # it has yet to begin with a PROXY header
    CONN_TIMED = 4194304     # the deadline of its first head has begun with the PROXY header
    CONN_LOGGED = 8388608    # the access log has its line, or gets it with those of this turn
    CONN_SLOW = 16777216     # it has been found slow in this response, and has not caught up since

cdef enum:
    CHUNK_SIZE
    CHUNK_EXTENSION
    CHUNK_SIZE_LF
    CHUNK_DATA
    CHUNK_DATA_CR
    CHUNK_DATA_LF
    CHUNK_TRAILER
    CHUNK_DONE

cdef enum:
    SLOT_DOWN
    SLOT_UP
    SLOT_STAGED              # ready, and given nothing until the switch
    SLOT_STOPPING
    SLOT_CORRUPT             # published something impossible; waits to be replaced

cdef enum:
    DISPATCH_LEAST
    DISPATCH_ROUND_ROBIN
    DISPATCH_FIXED
    DISPATCH_IP
    DISPATCH_IDLE

cdef enum:
    WHEEL_SLOTS = 1024       # of WHEEL_TICK_NS each: 65 s a turn; longer deadlines go round again
    SLAB_BYTES = 524288
    MAX_RECV_BYTES = 16384   # one recv; a pipelining client gets no more ahead than this
    CHUNK_BYTES = 65536      # one recv of a body, where it does not go straight into its block
    MAX_EVENTS = 256
    MAX_PIECES = 511         # in one turn
    SCRATCH_BYTES = 24576

cdef enum:
    WHEEL_TICK_NS = 64000000


# Where a piece of output lies.
cdef enum:
    OUT_HEAP                 # in memory of its own
    OUT_ARENA                # in a block of a slot's arena, given back when it is sent
    OUT_FILE

# What is known of a client's speed: the list it is on.
cdef enum:
    PACE_NONE                # nothing waits for it, or nothing that anybody could do
    PACE_FRESH               # something has begun to wait
    PACE_SLOW                # nothing of it was taken whole for SLOW_AFTER_S


cdef struct OutFile:
    int fd
    uint32_t references
    bint ours                # no worker has had it: it may be kept for another client
    bint counted             # in static_files
    bint on_disk             # it may have to be read first, by a thread that may wait
    uint64_t read_from       # on_disk: from here on ...
    uint64_t read_to         # ... up to here it has been found in memory


cdef struct OutPiece:
    OutPiece *next
    uint8_t kind
    int slot                 # OUT_ARENA
    uint32_t block           # OUT_ARENA
    uint32_t room            # OUT_HEAP: bytes from `memory` on
    unsigned char *memory    # OUT_HEAP: our own; OUT_ARENA: the block
    OutFile *file            # OUT_FILE
    bint unframed            # OUT_FILE: to be made a chunk when its turn comes
    uint64_t at              # from the start of memory or file
    uint64_t left


cdef struct Chunk:           # of a streamed body: a block that the worker may still read
    uint32_t block
    uint8_t block_class
    uint64_t end             # body bytes up to its end


cdef struct Upload:          # a body that does not fit in the request block
    uint64_t received        # body bytes so far, in the block, in chunks, or in the file
    uint64_t credit          # streamed: up to here the worker takes it
    uint64_t deadline_ns     # streamed: 0 while we wait for the worker
    uint64_t rest_ns         # streamed: what was left of it when we began to wait; 0: nothing has run yet
    uint64_t moved_ns        # streamed: when the latest of it came
    int first                # the oldest chunk that the worker has not read
    int count
    int posted               # of those, how many it has been told of
    bint whole               # the end has been received
    uint32_t filling         # a block that is being received into
    uint8_t filling_class
    Chunk chunks[8]
    int fd                   # collected: the file, else -1


cdef packed struct WsBlock:  # of messages, that their worker may still read
    uint32_t block
    uint32_t messages        # that end in it
    uint8_t block_class


cdef struct WsEvent:         # of a session of the callback API: the one that is out
    uint64_t last            # sequence of the last message that is in an event, or has been
    uint64_t first           # of the first one in this event
    uint32_t messages        # in it
    uint32_t done            # of these
    uint32_t memory_len
    uint8_t kind             # EVENT_WS_OPEN ..., 0: none is out
    unsigned char *memory    # the session's state


cdef union WsTaken:          # what workers have of it
    WsBlock blocks[4]        # of an ASGI app's: posted, oldest first
    WsEvent event            # where it `calls`


cdef struct WsHeld:          # a message that waits for the end of another one
    WsHeld *next
    size_t length
    uint16_t code            # of a Close
    uint8_t opcode


# A WebSocket (swhttp.reactor.websocket). Each idle one has this, in an order that leaves no holes. Behind it lies what
# is kept of its handshake's request, a sw_block with method, target, and who asked (ws_head).
cdef struct Ws:
    WsDecoder decoder
    uint8_t state
    uint8_t calls            # its events go to the handler of the callback API, one by one
    uint8_t ended            # for the app it is over: nothing follows but the end itself
    uint8_t end_told         # the app has heard of the end, or hears of it now
    uint8_t parted           # our side of the connection is shut down
    uint8_t pinged           # since the client was heard last
    uint8_t deaf             # its handler has closed it, or failed: nothing of what has come is delivered any more
    uint8_t overflow         # SW_WS_DROP ...: what becomes of pushes while the client is slow
    uint8_t full             # the session table says that its client is slow
    uint8_t counted          # among the open ones
    uint8_t gone             # counted in ws_rows
    uint8_t corked           # on the list of those whose output leaves at the end of the turn
    # In: the message under way, and those that its worker has not read.
    uint8_t opcode
    uint8_t compressed
    uint8_t inflating        # more of what has come is to be inflated when there is room
    uint8_t last_piece       # ... and then the message is whole
    uint32_t utf8
    uint8_t filling_class
    uint8_t end_class
    uint8_t posted_first     # of taken.blocks: the oldest
    uint8_t posted_count
    WsTaken taken
    uint64_t message_bytes
    uint32_t queued          # messages here that its worker has not read
    uint32_t freed           # blocks that have been given back
    uint32_t filling         # the block that is filled
    uint32_t fill_at
    uint32_t fill_messages   # that end in it
    uint32_t record_at       # of the record that is filled, 0: none
    uint32_t end_block       # holds the client's reason
    uint16_t end_code
    # Out.
    uint8_t mid_message      # its worker has begun a message, and not ended it
    uint8_t mid_compressed
    uint8_t mid_opcode       # that message's
    uint16_t membership_count
    uint16_t membership_room
    sw_ws_membership *memberships
    WsHeld *held_first       # pushes that wait for the end of the message
    WsHeld *held_last
    uint32_t held_bytes
    uint32_t message_by      # WS_OPEN: when the message under way is to be whole (wsinput)
    unsigned char *answer    # WS_OFFERED: the lines of our 101, and a NUL
    unsigned char *pong      # that is owed: length, bytes
    Conn *cork_next
    void *deflation          # a Deflation, referenced; NULL: none was agreed upon
    # Time.
    uint64_t due_ns          # the next thing to do, 0: nothing
    uint64_t heard_ns
    uint64_t pinged_ns


cdef struct Conn:
    int fd
    uint32_t row
    uint64_t generation
    uint32_t flags
    uint8_t stage
    uint8_t block_class
    uint8_t chunk_state
    uint8_t empty_lines
    int slot                 # while IN_FLIGHT or GONE
    uint16_t status          # of the response that was begun; 0: none
    uint8_t reason           # for which we answer it ourselves in the next phase 3, or REASON_NONE
    uint8_t overdue          # what has been said of the request `clock_id`: OVERDUE_
    # The queue of waiting requests, or the requests of one slot: a connection is on one of them at most.
    Conn *next
    Conn *previous
    # The timer wheel.
    Conn *wheel_next
    Conn *wheel_previous
    int64_t wheel_tick       # where it hangs, -1: nowhere
    uint64_t deadline_ns     # the truth; 0: none
    # Input not consumed yet: part of a head, or what a pipelining client sent ahead.
    unsigned char *input
    uint32_t input_from
    uint32_t input_to
    uint32_t input_room
    uint32_t scan_at         # how far the head has been looked at, from input_from
    uint32_t line_at         # start of the line being looked at
    uint32_t head_at         # start of the request line
    uint16_t fields          # lines of the head so far, the request line included
    uint16_t listener
    uint32_t discarded       # of a body that nobody wanted
    void *parser             # a borrowed Http1Parser, referenced
    Conn *grave_next
    Conn *todo_next
    Conn *ready_next
    # The request.
    uint32_t block
    uint32_t body_at         # next body byte, from the start of the block
    uint64_t body_left
    uint32_t line_bytes      # of the chunk line or the trailers
    uint32_t ip_hash
    uint64_t request_id
    uint64_t since_ns        # when it was opened or became idle, its head began to come, it was posted, began to wait
    uint32_t served          # requests of this connection before this one
    int pid                  # of the worker that has it, or had; 0: none
    # The response.
    int64_t response_left    # body bytes its Content-Length still promises; -1 unknown
    uint64_t response_bytes  # body bytes taken from the ring
    uint64_t body_bytes      # of these, put out
    uint64_t sent_bytes      # of the response, head and framing too, that the socket has taken
    unsigned char *log_fields  # what the access log wants of the response head
    OutPiece *out_first
    OutPiece *out_last
    uint64_t out_bytes       # that wait for the socket
    uint64_t out_held        # of these, bytes that are not in files
    uint32_t out_pieces      # that are in arenas or files
    uint8_t pace
    uint8_t deaths           # workers that died after they had begun this request
    uint8_t aside            # it is not counted as its worker's load any more
    uint8_t slow_told        # its worker has been told that it is slow
    uint64_t write_by_ns     # while some wait: the deadline for them
    uint64_t gone_by_ns      # the end of its input came with the request: when it is taken for gone
    OutFile *file            # that the worker has passed last
    OutFile *spool           # where pieces of the arena were moved to
    uint64_t spool_at
    Conn *pace_next
    Conn *pace_previous
    uint64_t pace_since_ns
    Upload *upload
    Conn *starved_next
    # What `overdue` knows of the request `clock_id`; of another one it knows nothing.
    uint64_t clock_id
    uint64_t clock_ns        # its time counts from here
    sw_io_job *job           # what an I/O thread does for it at the moment; NULL: nothing
    void *tls                # a Tls, NULL: the bytes are what they are
    Ws *ws                   # it asks to be a WebSocket, or is one; NULL: it speaks HTTP


cdef struct Piece:           # bytes for phase 2
    Conn *c
    unsigned char *data      # NULL: what is kept with the connection
    uint32_t length


cdef struct SlotLink:
    sw_ring_end requests
    sw_ring_end responses
    sw_request_entry *table  # who owns a request that is here
    sw_sleeping *sleeping    # the worker's
    int eventfd              # the worker's
    sw_sleeping *wakes_us    # by which the worker knows that we sleep
    bint told                # it does, at the moment
    uint32_t generation
    uint8_t state
    uint8_t asgi
    uint8_t posted           # descriptors since the last wake-up
    uint8_t stop_owed        # EVENT_STOP found no room yet
    int switch_nth           # SLOT_STAGED: the switch that it waits for
    uint8_t channel_full     # a file for it found none; until it is through with a request
    int pid
    int channel              # files come and go here
    sw_arena arena
    int64_t *line            # its page of the scoreboard
    Conn *first              # in flight here, oldest first
    Conn *last
    uint32_t in_flight
    uint32_t aside           # of these, requests that wait for their clients and are no load
    uint32_t sockets         # of these, WebSockets
    Conn *waiting_first      # requests that must go here (fixed, ip)
    Conn *waiting_last
    bint stuck               # this generation has been reported as that
    uint64_t sockets_until_ns  # SLOT_STOPPING: when its WebSockets are closed, 0: they have been, or not stopping
    uint64_t slow_told_ns    # when a slow request here was told of last
    uint32_t slow_untold     # those since that nobody has spoken for


cdef struct State:
    int index
    int reactors
    int slots
    int slots_used           # those from here on have never had a worker
    int epoll
    int eventfd
    uint64_t now_ns
    int64_t *line            # its page of the scoreboard
    # Settings.
    int dispatch
    uint32_t threads
    uint32_t concurrency
    uint32_t queue_size
    uint64_t queue_timeout_ns
    bint replay              # what a dead worker had begun is tried once more, where that does no harm
    uint64_t keep_alive_ns
    uint64_t head_timeout_ns
    uint64_t body_timeout_ns
    uint64_t write_timeout_ns
    uint32_t max_line_bytes
    uint32_t max_field_bytes
    uint32_t max_fields
    uint64_t max_body_bytes
    uint32_t inline_body_bytes
    const char *tmp_dir
    bint asgi                # what the workers serve
    sw_access_log *access    # NULL: nothing is logged
    int access_answers       # of this turn, whose lines are to be made: here, where a request finds it in the cache
    # Shared memory.
    sw_blocks blocks
    uint32_t table_entries   # of each slot; an index is given out once in all of them
    sw_session *sessions
    # Connections.
    Conn *conns
    uint32_t max_conns
    uint32_t conns_used      # rows ever used
    uint32_t *free_rows
    uint32_t free_row_count
    uint32_t open
    uint32_t most_open       # at once, since memory was last given back
    uint64_t last_generation  # of the rows whose memory was given back: others begin behind it
    uint64_t trim_at_ns      # when it is looked again whether memory can be given back
    uint64_t aside_at_ns     # no look before this for requests that wait for their clients
    uint64_t files_held_until_ns  # no request with a file is posted before this: the kernel passes none at the moment
    # Requests with workers: entry index -> connection.
    Conn **in_flight
    uint32_t *free_entries
    uint32_t free_entry_count
    uint32_t entries_used
    uint64_t serial
    # Workers.
    SlotLink *links
    uint32_t turn            # where round-robin goes on
    int up
    # Requests without a worker, oldest first.
    Conn *waiting_first
    Conn *waiting_last
    uint32_t waiting_count
    # Work for this turn.
    Conn *todo_first         # receive, or parse what is left over
    Conn *todo_last
    Conn *ready_first        # parsed in phase 2: submit, answer, or say 100 Continue
    Conn *ready_last
    Conn *graves             # closed with a parser: given back when the GIL is held
    Conn *starved            # streamed bodies that can go on when there is a block or room in a ring
    uint64_t starved_until_ns
    # Clients for which something waits, by how long nothing whole of it has left.
    Conn *fresh_first
    Conn *fresh_last
    Conn *slow_first
    Conn *slow_last
    bint tight               # among the fresh there may be sockets that took little before they were full
    uint64_t spool_logged_ns
    int spool_error          # errno of the last file that could not be made or written in tmp_dir
    int *spares              # empty files in tmp_dir
    uint32_t spare_count
    uint32_t most_spares
    # Timers.
    Conn *wheel[1024]
    int64_t wheel_done       # every tick up to here has been looked at
    int64_t wheel_next       # no connection hangs before this tick
    # Output.
    char *fields_tail        # Date and Server lines, then those of --header
    int date_len             # 0: no Date line
    int extra_at             # where those of --header begin
    int fields_tail_len
    int64_t date_s
    unsigned char *scratch
    unsigned char *slab
    uint32_t slab_at
    Piece *pieces
    int piece_count
    unsigned char *through   # body bytes on their way to a file or to nowhere
    epoll_event *events
    # Listeners.
    int *listener_fds
    int listener_count
    bint listening
    bint holds_back          # another server accepts there: not before MAIL_LISTEN
    bint holding             # new connections stay in the backlog, for there is no place for them
    bint crowded             # that is so in some reactor: connections are given up sooner, to make room
    uint64_t accept_paused_until_ns  # holding: not to be tried before
    uint64_t look_for_room_ns  # crowded: when idle connections are looked for next
    uint32_t look_for_room_at  # from this row on
    uint64_t accept_logged_ns
    bint accept_told         # the log has that new connections wait, and not yet that they go on
    uint64_t round_trip_ns   # moving average from posting a request to its final frame
    uint64_t spin_ns         # how long to look for a lone response before sleeping, 0: never
    bint more_published      # a ring was left with frames in it
    bint switching           # the old generation is stopped here, and not yet everywhere
    int switch_nth           # how many switches this reactor has heard of
    bint draining
    bint orphaned            # no worker will ever come again
    bint drained
    bint stopping
    # Proxies: seldom looked at, so behind what every request needs.
    const sw_network *trusted
    uint32_t trusted_count
    int forwarded_headers    # FORWARDED_
    int proxy_protocol       # PROXY_
    # Requests that take too long.
    uint64_t slow_after_ns   # 0: nobody wants to know
    uint64_t request_timeout_ns  # 0: none
    uint64_t overdue_every_ns  # between two looks, 0: there are none
    uint64_t overdue_at_ns   # the next one
    uint64_t audit_at_ns     # the next look at what workers may have spoilt
    # WebSockets.
    bint websockets          # there may be some
    bint ws_deflate          # messages may be compressed
    bint ws_calls            # they are the callback API's
    WsLimits ws_limits
    uint32_t ws_max_queue
    uint64_t ws_ping_interval_ns  # 0: none is sent
    uint64_t ws_ping_timeout_ns   # 0: none is waited for
    uint64_t ws_drain_ns
    uint32_t ws_rows         # rows whose client is gone while its session still has events
    Conn *corked             # WebSockets whose output leaves at the end of this turn
    sw_ws_groups groups
    uint64_t pushers         # processes that may push to one WebSocket at a time
    int push_fd              # what user processes push comes here, -1: nothing does
    uint64_t ws_logged_ns    # when it was last logged that a client broke the protocol
    uint64_t ws_warned_ns    # the same of what is no client's fault
    # Static files.
    const StaticSite *site   # NULL: there are none
    uint64_t file_logged_ns
    uint64_t shortened_logged_ns
    sw_io_pool *io
    sw_io_inbox io_inbox     # what the I/O threads have done
    # TLS: NULL, all of it, where no listener speaks it.
    unsigned char *secure    # one a listener: does it
    void *certificates       # those for new connections; a reference of Reactor's
    unsigned char *tls_in    # ciphertext that has just come
    unsigned char *tls_out   # ciphertext that is about to go
    unsigned char *tls_plain  # what is to be encrypted, gathered
    uint64_t handshake_timeout_ns
    uint64_t tls_logged_ns
    uint32_t tls_unlogged    # connections since on which no TLS came about, and nothing was said
    char tls_why[64]         # why the last one did not: a word of OpenSSL
    # Shared with the other reactors and the main thread.
    sw_load *loads           # one a slot
    sw_gauge *open_gauges    # one a reactor
    sw_gauge *places         # how many connections there are, in all reactors
    int64_t most_places      # how many there may be
    const char *places_by    # what says so; of Reactors
    uint32_t static_files    # that are open
    uint32_t most_static_files
    sw_gauge *holding_gauge  # how many reactors are holding
    sw_gauge *waiting_gauges
    sw_gauge *switch_gauges  # one a reactor: the last switch for which it has stopped the old generation
    sw_mailbox *inboxes      # one a reactor
    int *peer_eventfds       # one a reactor
    sw_mailbox *reports
