"""The life of a client connection: opened, between requests, closed, and what it holds given back.

It owns the rows (a connection is a row of the session table and a `Conn`), the input that is not consumed yet, and
the lists of connections with work left for the next turn, or when there is a block or room in a ring again. It never
parses and never frames. Runs without the GIL.

A row is given out again only when nothing refers to it: no parser to give back, no place on a list of work, and
no worker that still owes a final frame (STAGE_GONE; or CONN_REFUSED, when it was answered by us meanwhile). Answers
that the access log has noted refer to it too: `conn_close` has their lines made first.
"""

from libc.stdint cimport uint16_t
from libc.stdio cimport snprintf
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memmove, strlen
from posix.unistd cimport close

from swhttp.ipc.blocks cimport SW_NO_BLOCK, sw_blocks_at, sw_blocks_give
from swhttp.ipc.frame cimport EVENT_CLOSE, sw_block, sw_block_client
from swhttp.ipc.request_table cimport sw_request_ack, sw_request_index
from swhttp.ipc.ring cimport sw_eventfd_write
from swhttp.ipc.scoreboard cimport REACTOR_BLOCKS, REACTOR_FILES, REACTOR_OPEN
from swhttp.ipc.sessions cimport sw_session_close, sw_session_open
from swhttp.reactor.accesslog cimport access_lost
from swhttp.reactor.dispatch cimport dispatch_leave_queue, dispatch_revoke, dispatch_tell
from swhttp.reactor.logline cimport sw_log_escape
from swhttp.reactor.networks cimport sw_ip, sw_ip_read_any, sw_networks_hold
from swhttp.reactor.outbox cimport out_drop, out_file_drop
from swhttp.reactor.proxyprotocol cimport PROXY_OFF
from swhttp.reactor.state cimport (CONN_BODY_OPEN, CONN_CHUNK_OUT, CONN_CUT, CONN_EOF, CONN_HEAD_SENT, CONN_HUNG_UP,
                                   CONN_KEEP_ALIVE, CONN_LEFTOVER, CONN_NO_BODY, CONN_PROXY_DUE, CONN_READABLE,
                                   CONN_READY, CONN_REFUSED, CONN_STARVED, CONN_TLS, CONN_TRUSTED, CONN_UNREAD,
                                   MAIL_LOG, STAGE_BODY, STAGE_CHUNKED, STAGE_DISCARD, STAGE_FREE, STAGE_GONE,
                                   STAGE_HEAD, STAGE_IDLE, STAGE_IN_FLIGHT, STAGE_LINGER, STAGE_WAITING, SW_MAIL_TEXT,
                                   Chunk, Upload, sw_gauge_add, sw_gauge_get_fenced, sw_mail, sw_mailbox_send)
from swhttp.reactor.system cimport (EPOLL_CTL_ADD, EPOLLET, EPOLLIN, EPOLLOUT, EPOLLRDHUP, SHUT_WR, epoll_ctl,
                                    epoll_event, shutdown)
from swhttp.reactor.timers cimport timer_remove, timer_set
from swhttp.reactor.tls cimport tls_busy_until_ns, tls_close, tls_end, tls_shut
from swhttp.reactor.websocket cimport ws_free, ws_go_on, ws_head, ws_is_open, ws_lost

from swhttp import limits

cdef uint64_t LINGER_TIMEOUT_NS = <uint64_t>(limits.LINGER_TIMEOUT_S * 1e9)
cdef uint64_t DISCARD_TIMEOUT_NS = <uint64_t>(limits.DISCARD_TIMEOUT_S * 1e9)
cdef uint64_t FRESH_NS = <uint64_t>(limits.FRESH_S * 1e9)
cdef uint64_t STARVED_LOOK_NS = <uint64_t>(limits.STARVED_LOOK_S * 1e9)
cdef enum:
    METHOD_BYTES = 32        # of a request line in the log; the rest is the target's
    MOST_CLIENT_BYTES = 64
    CLIENT_BYTES = MOST_CLIENT_BYTES + 16
    LEAST_LINE_BYTES = 64
cdef int MAX_CHUNKS_AHEAD = limits.MAX_CHUNKS_AHEAD
assert MAX_CHUNKS_AHEAD == sizeof((<Upload *>NULL).chunks) // sizeof(Chunk)

# What of the flags outlives a request.
cdef uint32_t LASTING_FLAGS = (CONN_READABLE | CONN_LEFTOVER | CONN_EOF | CONN_HUNG_UP | CONN_READY | CONN_STARVED
                               | CONN_TRUSTED | CONN_TLS)


cdef extern from * nogil:
    """
    #include <sys/socket.h>
    /* A plain close would look like a complete response to a client that reads up to the end. */
    static void sw_reset_on_close(int fd)
    {
        struct linger hard = {1, 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    }
    """
    void sw_reset_on_close(int fd)


cdef Conn *conn_open(State *s, int fd, const sw_address *address) noexcept nogil:
    """Give `fd` a row. NULL: none is free, and the fd stays the caller's."""
    cdef uint32_t row
    cdef Conn *c
    if s.free_row_count > 0:
        s.free_row_count -= 1
        row = s.free_rows[s.free_row_count]
    elif s.conns_used < s.max_conns:
        row = s.conns_used
        s.conns_used += 1
    else:
        return NULL
    c = &s.conns[row]
    if c.generation < s.last_generation:
        c.generation = s.last_generation
    c.generation += 1
    c.row = row
    c.fd = fd
    c.flags = 0
    c.stage = STAGE_IDLE
    c.slot = -1
    c.block = SW_NO_BLOCK
    c.wheel_tick = -1
    c.listener = address.listener
    c.empty_lines = 0
    c.response_bytes = c.body_bytes = c.sent_bytes = 0
    c.status = c.pid = 0
    c.served = 0
    c.head_at = 0
    c.since_ns = s.now_ns
    c.gone_by_ns = 0
    c.deaths = 0
    conn_set_address(s, c, address)
    if s.proxy_protocol != PROXY_OFF and c.flags & CONN_TRUSTED:
        c.flags |= CONN_PROXY_DUE
    s.open += 1
    if s.open > s.most_open:
        s.most_open = s.open
    s.line[REACTOR_OPEN] = s.open
    timer_set(s, c, s.now_ns + s.head_timeout_ns)
    return c


cdef void conn_set_address(State *s, Conn *c, const sw_address *address) noexcept nogil:
    """Who is at its ends: publish them, and find out whether the peer is believed. May be called again before a worker
    has heard of the session: until then nobody reads its row."""
    cdef uint32_t hashed = 2166136261
    cdef sw_ip peer
    cdef int i
    for i in range(address.peer_len):  # FNV-1a, for --dispatch ip
        hashed = (hashed ^ <unsigned char>address.peer[i]) * 16777619
    c.ip_hash = hashed
    c.flags &= ~CONN_TRUSTED
    if address.peer_len == 0:  # a unix socket: who may connect to it is the file system's business
        c.flags |= CONN_TRUSTED
    elif (s.trusted_count > 0 and sw_ip_read_any(&peer, <const unsigned char *>address.peer, address.peer_len)
            and sw_networks_hold(s.trusted, s.trusted_count, &peer)):
        c.flags |= CONN_TRUSTED
    sw_session_open(&s.sessions[c.row], c.generation, address)


cdef void conn_watch(State *s, Conn *c) noexcept nogil:
    """Edge-triggered and once for all: a connection is never re-armed, so a request costs no epoll_ctl."""
    cdef epoll_event event
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET
    event.data.ptr = c
    if epoll_ctl(s.epoll, EPOLL_CTL_ADD, c.fd, &event) != 0:
        conn_close(s, c)


cdef void conn_drop_block(State *s, Conn *c) noexcept nogil:
    """Give back what holds the request: not while a worker may be reading it."""
    if c.request_id != 0:
        return
    if c.ws != NULL:
        ws_free(s, c)
    if c.upload != NULL:
        _drop_upload(s, c)
    if c.block != SW_NO_BLOCK:
        sw_blocks_give(&s.blocks, c.block, c.block_class)
        s.line[REACTOR_BLOCKS] = s.blocks.in_use
        c.block = SW_NO_BLOCK


cdef void conn_drop_chunks(State *s, Upload *u, uint64_t read) noexcept nogil:
    """Give back the chunks of a body that the worker has read: it is through with so many bytes of it."""
    while u.count > 0 and u.posted > 0 and u.chunks[u.first].end <= read:
        sw_blocks_give(&s.blocks, u.chunks[u.first].block, u.chunks[u.first].block_class)
        u.first = (u.first + 1) % MAX_CHUNKS_AHEAD
        u.count -= 1
        u.posted -= 1
    s.line[REACTOR_BLOCKS] = s.blocks.in_use


cdef void _drop_upload(State *s, Conn *c) noexcept nogil:
    cdef Upload *u = c.upload
    u.posted = u.count
    conn_drop_chunks(s, u, ~<uint64_t>0)
    if u.filling != SW_NO_BLOCK:
        sw_blocks_give(&s.blocks, u.filling, u.filling_class)
    if u.fd >= 0:
        close(u.fd)
        s.line[REACTOR_FILES] -= 1
    free(u)
    c.upload = NULL


cdef void conn_show_cut(Conn *c) noexcept nogil:
    """The response will not be whole. Chunks and lengths show that by themselves; a body that ends with the connection
    does not, so it ends by a reset."""
    if c.flags & CONN_HEAD_SENT and not c.flags & (CONN_CHUNK_OUT | CONN_NO_BODY) and c.response_left < 0:
        sw_reset_on_close(c.fd)


cdef void conn_give_up(Conn *c) noexcept nogil:
    """Its client does not take what it is sent: end by a reset. After a plain close the kernel would hold what is in
    the socket, and go on offering it, for minutes."""
    sw_reset_on_close(c.fd)


cdef void conn_close(State *s, Conn *c) noexcept nogil:
    """Close the socket at once, and take the request back, or tell the worker that has it."""
    if c.fd < 0:
        return
    cdef bint kept = False
    if s.access != NULL:
        access_lost(s, c)
    if c.stage == STAGE_IN_FLIGHT or c.out_first != NULL:
        conn_show_cut(c)
    if ws_is_open(c):
        kept = ws_lost(s, c)
    elif c.stage == STAGE_WAITING:
        dispatch_leave_queue(s, c)
    elif c.stage == STAGE_IN_FLIGHT and not dispatch_revoke(s, c):
        if c.ws != NULL and c.ws.calls:
            kept = ws_lost(s, c)  # its handler may be opening a session, and hears of the end then
        else:
            conn_tell_gone(s, c)
            c.stage = STAGE_GONE
    elif c.request_id != 0:  # refused, and still with a worker
        c.stage = STAGE_GONE
    if c.tls != NULL:
        if c.stage == STAGE_IDLE or c.stage == STAGE_HEAD or c.stage == STAGE_BODY or c.stage == STAGE_CHUNKED:
            tls_end(s, c)  # no response is under way
        tls_close(c)
    close(c.fd)  # leaves the epoll set by itself
    c.fd = -1
    c.job = NULL  # who does it, and what it has got, is found to be of no use when it is done
    sw_session_close(&s.sessions[c.row], c.generation)
    timer_remove(s, c)
    free(c.input)
    c.input = NULL
    c.input_from = c.input_to = c.input_room = 0
    out_drop(s, c)
    s.open -= 1
    s.line[REACTOR_OPEN] = s.open
    sw_gauge_add(&s.open_gauges[s.index], -1)
    conn_leave(s)
    if c.stage != STAGE_GONE and not kept:
        c.stage = STAGE_FREE
        conn_drop_block(s, c)
    if c.parser != NULL:
        c.grave_next = s.graves
        s.graves = c
    conn_release(s, c)


cdef void conn_leave(State *s) noexcept nogil:
    """Give a connection's place back, and wake those that have none for others."""
    sw_gauge_add(s.places, -1)
    if sw_gauge_get_fenced(s.holding_gauge) > 0:
        conn_wake_others(s)  # we look for ourselves, once a turn


cdef void conn_wake_others(State *s) noexcept nogil:
    """Have all other reactors go round once."""
    cdef int other
    for other in range(s.reactors):
        if other != s.index:
            sw_eventfd_write(s.peer_eventfds[other])


cdef uint64_t conn_idle_until_ns(State *s, Conn *c) noexcept nogil:
    """How long an idle connection is kept at least, also when it is to go: who has just connected, or just had an
    answer, may have a request on its way, and would lose it."""
    cdef uint64_t busy_until_ns = tls_busy_until_ns(s, c) if c.tls != NULL else 0
    return busy_until_ns if busy_until_ns != 0 else c.since_ns + FRESH_NS


cdef void conn_tell_gone(State *s, Conn *c) noexcept nogil:
    """Nothing more will come from the client of a request that a worker has, and nothing more can be delivered."""
    sw_request_ack(&s.links[c.slot].table[sw_request_index(c.request_id)], c.response_bytes, True)
    dispatch_tell(s, c, EVENT_CLOSE)


cdef void conn_release(State *s, Conn *c) noexcept nogil:
    """Give the row back if nothing refers to it any more."""
    if (c.fd < 0 and c.stage == STAGE_FREE and c.parser == NULL
            and not c.flags & (CONN_LEFTOVER | CONN_READY | CONN_STARVED)):
        s.free_rows[s.free_row_count] = c.row
        s.free_row_count += 1


cdef void conn_end(State *s, Conn *c) noexcept nogil:
    """Close after an answer, in stages (RFC 9112 §9.6). What the client still sends is read until its end, for a while:
    bytes that are unread at the close, or come after it, make the kernel send a reset, which would take our answer
    away from the client. An answer that was cut is not worth that, and a tidy end would make it look whole."""
    conn_drop_block(s, c)
    if c.tls != NULL and not c.flags & CONN_CUT:
        tls_end(s, c)
    if c.flags & CONN_CUT or (c.flags & (CONN_EOF | CONN_UNREAD | CONN_READABLE) == CONN_EOF
                              and c.input_to == c.input_from):
        conn_close(s, c)
        return
    free(c.input)
    c.input = NULL
    c.input_from = c.input_to = c.input_room = 0
    c.stage = STAGE_LINGER
    c.flags &= ~CONN_BODY_OPEN
    if c.tls != NULL:
        tls_shut(c)
    else:
        shutdown(c.fd, SHUT_WR)
    timer_set(s, c, s.now_ns + LINGER_TIMEOUT_NS)
    c.flags |= CONN_READABLE
    conn_todo(s, c)


cdef void conn_next(State *s, Conn *c) noexcept nogil:
    """The response has left. On to the next request of this connection, or to its end."""
    c.gone_by_ns = 0
    conn_drop_block(s, c)
    if not c.flags & CONN_KEEP_ALIVE or c.flags & CONN_CUT:
        conn_end(s, c)
        return
    if c.flags & CONN_BODY_OPEN:  # a little of the request's body is still to come
        c.stage = STAGE_DISCARD
        timer_set(s, c, s.now_ns + DISCARD_TIMEOUT_NS)
        c.flags |= CONN_READABLE
        conn_todo(s, c)
        return
    if c.file != NULL or c.spool != NULL:
        out_file_drop(s, c.file)
        out_file_drop(s, c.spool)
        c.file = c.spool = NULL
    c.flags &= LASTING_FLAGS
    c.stage = STAGE_IDLE
    c.empty_lines = 0
    c.response_bytes = c.body_bytes = c.sent_bytes = 0
    c.status = c.pid = 0
    c.deaths = 0
    c.served += 1
    c.since_ns = s.now_ns
    timer_set(s, c, s.now_ns + s.keep_alive_ns)
    if c.input_to > c.input_from or c.flags & (CONN_READABLE | CONN_EOF) or s.draining:
        c.flags |= CONN_READABLE
        conn_todo(s, c)


cdef void conn_todo(State *s, Conn *c) noexcept nogil:
    """Look at `c` in the next turn, without waiting for epoll."""
    if c.flags & CONN_LEFTOVER:
        return
    c.flags |= CONN_LEFTOVER
    c.todo_next = NULL
    if s.todo_last != NULL:
        s.todo_last.todo_next = c
    else:
        s.todo_first = c
    s.todo_last = c


cdef void conn_starve(State *s, Conn *c) noexcept nogil:
    """Look at `c` again soon: there was no block for its body, or no room in its worker's ring. Who gives back the
    one or makes the other does not know of it, so this is by time; it is rare."""
    if c.flags & CONN_STARVED:
        return
    c.flags |= CONN_STARVED
    c.starved_next = s.starved
    s.starved = c
    if s.starved_until_ns == 0:
        s.starved_until_ns = s.now_ns + STARVED_LOOK_NS


cdef void conn_feed_starved(State *s) noexcept nogil:
    """Let those go on that starved."""
    cdef Conn *c = s.starved
    cdef Conn *following
    if s.starved_until_ns == 0 or s.now_ns < s.starved_until_ns:
        return
    s.starved_until_ns = 0
    s.starved = NULL  # who starves on is on a new list, for the next look
    while c != NULL:
        following = c.starved_next
        c.flags &= ~CONN_STARVED
        if c.ws != NULL and (c.fd < 0 or c.flags & CONN_REFUSED):  # its worker is to be told, at least
            ws_go_on(s, c)
        elif c.fd < 0:
            conn_release(s, c)
        if c.fd >= 0:
            conn_todo(s, c)
        c = following


cdef bint conn_keep_input(Conn *c, const unsigned char *data, uint32_t length) noexcept nogil:
    """Append to the input that waits. False: no memory."""
    cdef uint32_t room
    cdef unsigned char *grown
    if c.input_from > 0:
        memmove(c.input, c.input + c.input_from, c.input_to - c.input_from)
        c.input_to -= c.input_from
        c.input_from = 0
    if c.input_to + length > c.input_room:
        room = c.input_room * 2 if c.input_room else 512
        while room < c.input_to + length:
            room *= 2
        grown = <unsigned char *>realloc(c.input, room)
        if grown == NULL:
            return False
        c.input = grown
        c.input_room = room
    memcpy(c.input + c.input_to, data, length)
    c.input_to += length
    return True


cdef void conn_consume_input(Conn *c, uint32_t length) noexcept nogil:
    """Drop the first bytes of the input that waits, and its memory with the last of them."""
    c.input_from += length
    if c.input_from == c.input_to:
        free(c.input)
        c.input = NULL
        c.input_from = c.input_to = c.input_room = 0


cdef const sw_block *conn_request(State *s, Conn *c) noexcept nogil:
    """What `c` has asked for: its request block, or what an open WebSocket keeps of it."""
    return ws_head(c) if c.block == SW_NO_BLOCK else sw_blocks_at(&s.blocks, c.block)


cdef int _client(State *s, Conn *c, const char **client, uint16_t *port) noexcept nogil:
    """Who asks, which a proxy that is believed may have said: the length of an address, 0 on a unix socket."""
    cdef sw_address *address = &s.sessions[c.row].address
    cdef int length = 0
    port[0] = address.peer_port
    if c.block != SW_NO_BLOCK or ws_is_open(c):
        length = <int>sw_block_client(conn_request(s, c), client, port)
    if length == 0:
        length = address.peer_len
        client[0] = &address.peer[0]
    return length


cdef void conn_log(State *s, Conn *c, int level, int status, const char *slug) noexcept nogil:
    """One line for the main thread to log: the status we answered (0: none), the reason, and who asked."""
    cdef sw_mail mail
    _log_text(s, c, &mail, level, status, slug)
    sw_mailbox_send(s.reports, &mail, True)


cdef int _log_text(State *s, Conn *c, sw_mail *mail, int level, int status, const char *slug) noexcept nogil:
    cdef const char *client = NULL
    cdef uint16_t port = 0
    cdef int length = _client(s, c, &client, &port)
    cdef char number[16]
    number[0] = 0
    mail.kind = MAIL_LOG
    mail.a = level
    if status != 0:
        snprintf(number, sizeof(number), "%d ", status)
    if length > 0:
        length = snprintf(mail.text, SW_MAIL_TEXT, "%sreason=%s client=%.*s:%d", number, slug, length, client,
                          <int>port)
    else:
        length = snprintf(mail.text, SW_MAIL_TEXT, "%sreason=%s client=unix", number, slug)
    return length if length < SW_MAIL_TEXT else SW_MAIL_TEXT - 1


cdef void conn_log_request(State *s, Conn *c, int level, int status, const char *slug) noexcept nogil:
    """The same, and what was asked."""
    conn_log_why(s, c, level, status, slug, NULL)


cdef void conn_log_why(State *s, Conn *c, int level, int status, const char *slug, const char *why) noexcept nogil:
    """The same, what was asked, if its block is still there, and behind it `why`, if that is not NULL: at most
    MOST_WHY_BYTES, which have their room before the request has."""
    cdef sw_mail mail
    cdef int length = _log_text(s, c, &mail, level, status, slug)
    cdef unsigned char *p = <unsigned char *>&mail.text[length]
    cdef unsigned char *end = <unsigned char *>&mail.text[SW_MAIL_TEXT]
    cdef size_t kept = strlen(why) + 1 if why != NULL else 0
    if (c.block != SW_NO_BLOCK or ws_is_open(c)) and end - p > <ssize_t>kept + LEAST_LINE_BYTES:
        p += snprintf(<char *>p, end - p, " request=\"")
        p = _request_line(s, c, p, end - kept - 2)
        p[0] = b'"'
        p[1] = 0
        p += 1
    if why != NULL:
        snprintf(<char *>p, end - p, " %s", why)
    sw_mailbox_send(s.reports, &mail, True)


cdef unsigned char *_request_line(State *s, Conn *c, unsigned char *p, unsigned char *limit) noexcept nogil:
    """Method and target, escaped, as far as they fit; returns the end. There is room for LEAST_LINE_BYTES."""
    cdef const sw_block *block = conn_request(s, c)
    cdef const unsigned char *method = <const unsigned char *>block + sizeof(sw_block)
    cdef bint full = False
    p = sw_log_escape(p, p + METHOD_BYTES, method, block.method_len, False, &full)
    p[0] = b' '
    p = sw_log_escape(p + 1, limit - 3, method + block.method_len, block.target_len, False, &full)
    if full:
        memcpy(p, b"...", 3)
        p += 3
    return p


cdef void conn_request_text(State *s, Conn *c, char *text, size_t room) noexcept nogil:
    """What is asked, and by whom: `GET /x (192.0.2.1:5000)`, escaped, at most `room` bytes with the 0 behind them."""
    cdef char who[CLIENT_BYTES]
    cdef const char *client = NULL
    cdef uint16_t port = 0
    cdef int length = _client(s, c, &client, &port)
    if length > 0:
        length = length if length < MOST_CLIENT_BYTES else MOST_CLIENT_BYTES
        length = snprintf(who, sizeof(who), " (%.*s:%d)", length, client, <int>port)
    else:
        length = snprintf(who, sizeof(who), " (unix)")
    memcpy(_request_line(s, c, <unsigned char *>text, <unsigned char *>text + room - length - 1), who, length + 1)
