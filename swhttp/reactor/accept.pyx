"""New connections: when to take them, and which reactor each is handed to.

It owns the listeners' places in the epoll set, the count of connections against --max-connections, and what is done
when there is no place, fd or memory for another one. It never reads from what it accepts. Runs without the GIL: in
phase 1, and at a stop (`accept_rest`) in phase 3.

Holding: a reactor that finds no place leaves new connections in the kernel's backlog, where they lose nothing but time,
and takes no notice of the listeners until a place is free; so there is nothing to spin on. Who waits there must have
its turn although those who are in have keep-alive, so as long as any reactor holds, all are `crowded`: answers say
`connection: close`, and connections that have been idle for FRESH_S are closed. Who gives a place back wakes those that
hold: it counts down, fences and looks whether any does; they say that they hold, fence, and look for a place once more.
When it is fds or memory that the system does not give, nobody tells when it does: then it is tried again after a pause.
"""

from libc.errno cimport ECONNABORTED, EINTR, EMFILE, ENFILE, ENOBUFS, ENOMEM, errno
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.string cimport memcpy, memset
from posix.unistd cimport close

from swhttp.ipc.scoreboard cimport REACTOR_ACCEPT_HELD, REACTOR_ACCEPTED
from swhttp.ipc.sessions cimport SW_ADDRESS_TEXT
from swhttp.reactor.connection cimport (conn_close, conn_idle_until_ns, conn_leave, conn_open, conn_todo,
                                        conn_wake_others, conn_watch)
from swhttp.reactor.state cimport (CONN_READABLE, MAIL_CONNECTION, MAIL_LOG, STAGE_IDLE, Conn, sw_gauge_add,
                                   sw_gauge_get, sw_gauge_get_fenced, sw_gauge_take, sw_mail, sw_mailbox_send)
from swhttp.reactor.system cimport (EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLLEXCLUSIVE, EPOLLIN, epoll_ctl, epoll_event,
                                    getsockname, sockaddr, sockaddr_storage, socklen_t, sw_accept, sw_address_text)
from swhttp.reactor.tls cimport tls_open

import logging

from swhttp import limits

cdef extern from "<poll.h>" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    enum:
        POLLIN
    int poll(pollfd *fds, unsigned long count, int timeout_ms)

cdef int ACCEPTS_PER_TURN = limits.ACCEPTS_PER_TURN
cdef int MAX_REST = limits.BACKLOG
cdef int WARNING = logging.WARNING
cdef const char *ROWS = b"the most that the server has"
cdef const char *MEMORY = b"memory"
cdef const char *FDS = b"ulimit -n"
cdef const char *SYSTEM_FDS = b"fs.file-max"
cdef uint64_t PAUSE_NS = <uint64_t>(limits.ACCEPT_PAUSE_S * 1e9)
cdef uint64_t LOOK_EVERY_NS = <uint64_t>(limits.ROOM_LOOK_S * 1e9)
cdef uint64_t LOG_EVERY_NS = <uint64_t>(limits.REACTOR_LOG_EVERY_S * 1e9)


cdef void accept_listen(State *s, bint on) noexcept nogil:
    """Have epoll tell of new connections, or not."""
    cdef epoll_event event
    cdef int i
    for i in range(s.listener_count):
        event.events = EPOLLIN | EPOLLEXCLUSIVE
        event.data.ptr = <void *><size_t>(SW_DATA_LISTENERS + i)
        epoll_ctl(s.epoll, EPOLL_CTL_ADD if on else EPOLL_CTL_DEL, s.listener_fds[i], &event)
    s.listening = on


cdef void _hold(State *s, const char *why, const char *bound, uint64_t pause_ns) noexcept nogil:
    """Leave new connections in the backlog, rather than spin; one log line a second. `bound`: what to raise."""
    cdef sw_mail mail
    if s.draining:
        return
    if s.listening:
        accept_listen(s, False)
    if not s.holding:
        s.holding = True
        sw_gauge_add(s.holding_gauge, 1)
        sw_gauge_get_fenced(s.places)  # a place that is given back from now on is told of; `accept_again` looks
        conn_wake_others(s)  # they may have idle connections
    s.accept_paused_until_ns = s.now_ns + pause_ns
    s.line[REACTOR_ACCEPT_HELD] += 1
    if s.now_ns - s.accept_logged_ns >= LOG_EVERY_NS:
        s.accept_logged_ns = s.now_ns
        s.accept_told = True
        mail.kind = MAIL_LOG
        mail.a = WARNING
        snprintf(mail.text, sizeof(mail.text), "reason=accept-paused %s (%s), with %lld connections", why, bound,
                 <long long>sw_gauge_get(s.places))
        sw_mailbox_send(s.reports, &mail, True)


cdef void _tell_of_the_end(State *s) noexcept nogil:
    """New connections are taken again: that is in the log too, if it has been so for the time between two lines. Where
    they wait on and off that is seldom, and there is no line for each."""
    cdef sw_mail mail
    if s.holding or s.draining or s.now_ns - s.accept_logged_ns < LOG_EVERY_NS:
        return
    s.accept_told = False
    mail.kind = MAIL_LOG
    mail.a = WARNING
    snprintf(mail.text, sizeof(mail.text), "reason=accept-resumed with %lld connections",
             <long long>sw_gauge_get(s.places))
    sw_mailbox_send(s.reports, &mail, True)


cdef bint _has_row(State *s) noexcept nogil:
    return s.free_row_count > 0 or s.conns_used < s.max_conns


cdef bint _take_place(State *s, int which) noexcept nogil:
    """Count one connection more, if there may be one. If not, and there is one in that backlog, it waits."""
    cdef pollfd listener
    if _has_row(s) and sw_gauge_take(s.places, s.most_places):
        return True
    listener.fd = s.listener_fds[which]
    listener.events = POLLIN
    if poll(&listener, 1, 0) > 0:
        if _has_row(s):
            _hold(s, b"there is no place for another one", s.places_by, 0)
        else:
            _hold(s, b"all session rows are taken", ROWS, 0)
    return False


cdef Conn *accept_adopt(State *s, int fd, const sw_address *address) noexcept nogil:
    """Own an accepted connection, counted among ours already. NULL: no row or no memory for it, and it is closed."""
    cdef Conn *c = conn_open(s, fd, address)
    if c == NULL:
        close(fd)
        sw_gauge_add(&s.open_gauges[s.index], -1)
        conn_leave(s)
        _hold(s, b"all session rows are taken", ROWS, 0)
        return NULL
    if s.secure != NULL and s.secure[address.listener] and not tls_open(s, c):
        conn_close(s, c)
        _hold(s, b"out of memory", MEMORY, PAUSE_NS)
        return NULL
    conn_watch(s, c)
    if c.fd < 0:
        _hold(s, b"epoll takes no more", b"fs.epoll.max_user_watches", PAUSE_NS)
        return NULL
    return c


cdef int accept_new(State *s, int which) noexcept nogil:
    """At most 16 a turn, each handed to the reactor with fewest connections; how many."""
    cdef sockaddr_storage peer
    cdef socklen_t length
    cdef sw_address address
    cdef int fd, other, best, nth, why
    cdef sw_mail mail
    for nth in range(ACCEPTS_PER_TURN):
        if not _take_place(s, which):
            return nth
        length = sizeof(peer)
        fd = sw_accept(s.listener_fds[which], <sockaddr *>&peer, &length)
        if fd < 0:
            why = errno
            conn_leave(s)
            if why == EINTR or why == ECONNABORTED:
                continue
            if why in (EMFILE, ENFILE, ENOBUFS, ENOMEM):
                _hold(s, b"out of file descriptors or memory",
                      FDS if why == EMFILE else SYSTEM_FDS if why == ENFILE else MEMORY, PAUSE_NS)
            return nth
        memset(&address, 0, sizeof(address))
        address.listener = <unsigned short>which
        address.peer_len = <unsigned char>sw_address_text(&peer, address.peer, SW_ADDRESS_TEXT,
                                                          &address.peer_port)
        if address.peer_len > 0:
            length = sizeof(peer)
            if getsockname(fd, <sockaddr *>&peer, &length) == 0:
                address.local_len = <unsigned char>sw_address_text(&peer, address.local, SW_ADDRESS_TEXT,
                                                                   &address.local_port)
        s.line[REACTOR_ACCEPTED] += 1
        best = s.index
        for other in range(0 if s.draining else s.reactors):  # at the end, nothing is left on its way to another
            if sw_gauge_get(&s.open_gauges[other]) < sw_gauge_get(&s.open_gauges[best]):
                best = other
        if best != s.index:
            mail.kind = MAIL_CONNECTION
            mail.a = fd
            memcpy(mail.text, &address, sizeof(address))
            sw_gauge_add(&s.open_gauges[best], 1)
            if sw_mailbox_send(&s.inboxes[best], &mail, True):
                continue
            sw_gauge_add(&s.open_gauges[best], -1)
        sw_gauge_add(&s.open_gauges[s.index], 1)
        accept_adopt(s, fd, &address)
    return ACCEPTS_PER_TURN


cdef void accept_hold_no_more(State *s) noexcept nogil:
    """Take notice of the listeners again, or leave that to others for good."""
    if s.holding:
        s.holding = False
        sw_gauge_add(s.holding_gauge, -1)
    if not s.draining and not s.listening:
        accept_listen(s, True)


cdef bint _make_room(State *s) noexcept nogil:
    """Have some idle connections closed, round and round. False: there are no more."""
    cdef int found = 0
    cdef uint32_t _nth
    cdef Conn *c
    for _nth in range(s.conns_used):
        if s.look_for_room_at >= s.conns_used:
            s.look_for_room_at = 0
        c = &s.conns[s.look_for_room_at]
        s.look_for_room_at += 1
        if c.fd >= 0 and c.stage == STAGE_IDLE and s.now_ns >= conn_idle_until_ns(s, c):
            c.flags |= CONN_READABLE  # a request may just have come in: `receive` looks, then closes
            conn_todo(s, c)
            found += 1
            if found == ACCEPTS_PER_TURN:
                return True
    return False


cdef void accept_again(State *s) noexcept nogil:
    """Once a turn: go on when there is a place again, else make one."""
    s.crowded = sw_gauge_get(s.holding_gauge) > 0
    if s.accept_told:
        _tell_of_the_end(s)
    if not s.crowded:
        return
    if s.holding and s.now_ns >= s.accept_paused_until_ns and _has_row(s) and (
            sw_gauge_get(s.places) < s.most_places):
        accept_hold_no_more(s)
    elif s.now_ns >= s.look_for_room_ns:
        if not _make_room(s):
            s.look_for_room_ns = s.now_ns + LOOK_EVERY_NS


cdef int64_t accept_wait_ns(State *s) noexcept nogil:
    """How long `accept_again` can wait, if nothing happens; -1: for ever."""
    cdef uint64_t next_ns
    if not s.crowded:
        if not s.accept_told or s.draining:
            return -1
        next_ns = s.accept_logged_ns + LOG_EVERY_NS
        return <int64_t>(next_ns - s.now_ns) if next_ns > s.now_ns else 0
    next_ns = s.look_for_room_ns
    if s.now_ns < s.accept_paused_until_ns < next_ns:
        next_ns = s.accept_paused_until_ns
    return <int64_t>(next_ns - s.now_ns) if next_ns > s.now_ns else 0


cdef void accept_rest(State *s) noexcept nogil:
    """Take what the kernel has accepted for us, once and for all: who is in the backlog when the listener is shut gets
    a reset, although a request may have come with the connection."""
    cdef int i, _turn
    for i in range(s.listener_count):
        for _turn in range(MAX_REST // ACCEPTS_PER_TURN):
            if accept_new(s, i) < ACCEPTS_PER_TURN:
                break
