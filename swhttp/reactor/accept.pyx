"""New connections: when to take them, and which reactor each is handed to.

It owns the listeners' places in the epoll set, and the pause when there is no fd, memory or row for another connection.
It never reads from what it accepts. Runs without the GIL: in phase 1, and at a stop (`accept_rest`) in phase 3.
"""

from libc.errno cimport ECONNABORTED, EINTR, EMFILE, ENFILE, ENOBUFS, ENOMEM, errno
from libc.stdint cimport uint64_t
from libc.stdio cimport snprintf
from libc.string cimport memcpy, memset
from posix.unistd cimport close

from swhttp.ipc.scoreboard cimport REACTOR_ACCEPTED
from swhttp.ipc.sessions cimport SW_ADDRESS_TEXT
from swhttp.reactor.connection cimport conn_close, conn_open, conn_watch
from swhttp.reactor.state cimport (MAIL_CONNECTION, MAIL_LOG, Conn, sw_gauge_add, sw_gauge_get, sw_mail,
                                   sw_mailbox_send)
from swhttp.reactor.system cimport (EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLLEXCLUSIVE, EPOLLIN, epoll_ctl, epoll_event,
                                    getsockname, sockaddr, sockaddr_storage, socklen_t, sw_accept, sw_address_text)
from swhttp.reactor.tls cimport tls_open

import logging

from swhttp import limits

cdef int ACCEPTS_PER_TURN = limits.ACCEPTS_PER_TURN
cdef int MAX_REST = limits.BACKLOG
cdef int WARNING = logging.WARNING
cdef uint64_t LOG_EVERY_NS = 1000000000


cdef void accept_listen(State *s, bint on) noexcept nogil:
    """Have epoll tell of new connections, or not."""
    cdef epoll_event event
    cdef int i
    for i in range(s.listener_count):
        event.events = EPOLLIN | EPOLLEXCLUSIVE
        event.data.ptr = <void *><size_t>(SW_DATA_LISTENERS + i)
        epoll_ctl(s.epoll, EPOLL_CTL_ADD if on else EPOLL_CTL_DEL, s.listener_fds[i], &event)
    s.listening = on


cdef void _pause(State *s, const char *why) noexcept nogil:
    """Leave new connections in the backlog for a moment, rather than spin; one log line a second."""
    cdef sw_mail mail
    if s.listening:
        accept_listen(s, False)
    s.accept_paused_until_ns = s.now_ns + ACCEPT_PAUSE_NS
    if s.now_ns - s.accept_logged_ns >= LOG_EVERY_NS:
        s.accept_logged_ns = s.now_ns
        mail.kind = MAIL_LOG
        mail.a = WARNING
        snprintf(mail.text, sizeof(mail.text), "reason=accept-paused %s", why)
        sw_mailbox_send(s.reports, &mail, True)


cdef Conn *accept_adopt(State *s, int fd, const sw_address *address) noexcept nogil:
    """Own an accepted connection, counted among ours already. NULL: no row or no memory for it, and it is closed."""
    cdef Conn *c = conn_open(s, fd, address)
    if c == NULL:
        close(fd)
        sw_gauge_add(&s.open_gauges[s.index], -1)
        _pause(s, b"all session rows are taken")
        return NULL
    if s.secure != NULL and s.secure[address.listener] and not tls_open(s, c):
        conn_close(s, c)
        _pause(s, b"out of file descriptors or memory")
        return NULL
    conn_watch(s, c)
    return c if c.fd >= 0 else NULL


cdef int accept_new(State *s, int which) noexcept nogil:
    """At most 16 a turn, each handed to the reactor with fewest connections; how many."""
    cdef sockaddr_storage peer
    cdef socklen_t length
    cdef sw_address address
    cdef int fd, other, best, nth
    cdef sw_mail mail
    for nth in range(ACCEPTS_PER_TURN):
        length = sizeof(peer)
        fd = sw_accept(s.listener_fds[which], <sockaddr *>&peer, &length)
        if fd < 0:
            if errno == EINTR or errno == ECONNABORTED:
                continue
            if errno in (EMFILE, ENFILE, ENOBUFS, ENOMEM):
                _pause(s, b"out of file descriptors or memory")
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


cdef void accept_again(State *s) noexcept nogil:
    """Go on after a pause, when its time has come."""
    if s.accept_paused_until_ns and s.now_ns >= s.accept_paused_until_ns:
        s.accept_paused_until_ns = 0
        if not s.draining and not s.listening:
            accept_listen(s, True)


cdef void accept_rest(State *s) noexcept nogil:
    """Take what the kernel has accepted for us, once and for all: who is in the backlog when the listener is shut gets
    a reset, although a request may have come with the connection."""
    cdef int i, _turn
    for i in range(s.listener_count):
        for _turn in range(MAX_REST // ACCEPTS_PER_TURN):
            if accept_new(s, i) < ACCEPTS_PER_TURN:
                break
