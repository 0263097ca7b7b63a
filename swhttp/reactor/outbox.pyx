"""Bytes on their way to a client: offered to the socket at once, kept when it takes less.

It owns the outbox of each connection. It knows nothing of HTTP. Its callers keep it short: a worker is at most
HIGH_WATER_BYTES ahead of its client (swhttp.reactor.response). Runs without the GIL.
"""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint32_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memmove, memset

from swhttp.ipc.scoreboard cimport REACTOR_SENT_BYTES
from swhttp.reactor.state cimport CONN_WRITABLE_WAIT
from swhttp.reactor.system cimport MSG_NOSIGNAL, msghdr, sendmsg, ssize_t, sw_send
from swhttp.reactor.timers cimport timer_set

from swhttp import limits

cdef uint64_t WRITE_TIMEOUT_NS = <uint64_t>(limits.WRITE_TIMEOUT_S * 1e9)
cdef uint64_t MAX_OUTBOX_BYTES = 16 * limits.HIGH_WATER_BYTES  # no honest worker gets near it


cdef bint _keep(State *s, Conn *c, const unsigned char *data, size_t length) noexcept nogil:
    cdef size_t room, need
    cdef unsigned char *grown
    if c.out_from > 0 and c.out_to + length > c.out_room:
        memmove(c.out, c.out + c.out_from, c.out_to - c.out_from)
        c.out_to -= c.out_from
        c.out_from = 0
    need = c.out_to + length
    if need > MAX_OUTBOX_BYTES:
        return False
    if need > c.out_room:
        room = c.out_room * 2 if c.out_room else 4096
        while room < need:
            room *= 2
        grown = <unsigned char *>realloc(c.out, room)
        if grown == NULL:
            return False
        c.out = grown
        c.out_room = <uint32_t>room
    memcpy(c.out + c.out_to, data, length)
    c.out_to += <uint32_t>length
    return True


cdef bint out_put(State *s, Conn *c, iovec *pieces, int count) noexcept nogil:
    """Send what the socket takes of `pieces` and keep the rest. False: the connection is lost."""
    cdef ssize_t sent = 0
    cdef msghdr message
    cdef int i
    cdef size_t skip
    if c.out_from == c.out_to:
        while True:
            if count == 1:
                sent = sw_send(c.fd, pieces[0].iov_base, pieces[0].iov_len)
            else:
                memset(&message, 0, sizeof(message))
                message.msg_iov = pieces
                message.msg_iovlen = count
                sent = sendmsg(c.fd, &message, MSG_NOSIGNAL)
            if sent >= 0:
                break
            if errno == EINTR:
                continue
            if errno != EAGAIN:
                return False
            sent = 0
            break
        s.line[REACTOR_SENT_BYTES] += sent
    skip = <size_t>sent
    for i in range(count):
        if skip >= pieces[i].iov_len:
            skip -= pieces[i].iov_len
            continue
        if not _keep(s, c, <unsigned char *>pieces[i].iov_base + skip, pieces[i].iov_len - skip):
            return False
        skip = 0
    if c.out_from != c.out_to and not c.flags & CONN_WRITABLE_WAIT:
        c.flags |= CONN_WRITABLE_WAIT
        timer_set(s, c, s.now_ns + WRITE_TIMEOUT_NS)
    return True


cdef bint out_flush(State *s, Conn *c) noexcept nogil:
    """The socket takes bytes again. False: the connection is lost."""
    cdef ssize_t sent
    while c.out_from < c.out_to:
        sent = sw_send(c.fd, c.out + c.out_from, c.out_to - c.out_from)
        if sent < 0:
            if errno == EINTR:
                continue
            return errno == EAGAIN
        s.line[REACTOR_SENT_BYTES] += sent
        c.out_from += <uint32_t>sent
        timer_set(s, c, s.now_ns + WRITE_TIMEOUT_NS)
    free(c.out)
    c.out = NULL
    c.out_from = c.out_to = c.out_room = 0
    c.flags &= ~CONN_WRITABLE_WAIT
    c.deadline_ns = 0
    return True


cdef uint64_t out_pending(Conn *c) noexcept nogil:
    """Bytes that wait for the socket."""
    return c.out_to - c.out_from
