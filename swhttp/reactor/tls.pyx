"""TLS at the socket's edge: everything else of the reactor sees plaintext, and plain connections never come here.

It owns a connection's session (an ssl.SSLObject between two ssl.MemoryBIO) and the ciphertext that the socket has not
taken. It never parses HTTP, sets no deadlines but those of the handshake and the first head, and closes no connection.

    in   tls_recv has the contract of recv, with codes of its own. It also drives the handshake, and sends what that
         has to say. A short read says nothing here: `tls_more` knows whether there may be more.
    out  tls_send and tls_send_file have the contract of send and sendfile: how much plaintext the socket has taken. A
         record counts when the last byte of its ciphertext has left. Until then its plaintext stays in the outbox,
         which offers the same bytes first the next time, and nothing more is encrypted. So what the outbox knows of a
         slow client is true of a TLS client too, to a record.

What has no plaintext (handshake, tickets, alerts) goes out on the way, and on EPOLLOUT.

A client that has sent nothing yet costs a small struct. OpenSSL's memory BIOs never shrink, so they never get more
than about a record at a time. The system calls are made without the GIL; OpenSSL gives it away while it
computes.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.buffer cimport PyBUF_READ, PyBUF_WRITE
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.ref cimport Py_INCREF, Py_XDECREF

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, strncpy

from swhttp.ipc.scoreboard cimport REACTOR_TLS_FAILED, REACTOR_TLS_HANDSHAKES
from swhttp.reactor.connection cimport conn_log
from swhttp.reactor.state cimport CONN_EOF, CONN_PROXY_DUE, CONN_SLOW, CONN_TLS
from swhttp.reactor.system cimport SHUT_WR, shutdown, sw_recv, sw_send
from swhttp.reactor.timers cimport timer_set

import logging

from swhttp import limits

cdef extern from "<unistd.h>" nogil:
    ssize_t pread(int fd, void *buffer, size_t count, long offset)

cdef enum:
    RECORD_BYTES = 16384      # plaintext of one, at most (RFC 8446 §5.1)
    IN_BYTES = 17408          # a record of ciphertext, and a little
    PLAIN_BYTES = TLS_BATCH * RECORD_BYTES
    OUT_BYTES = 262144        # TLS_BATCH records, behind all that may have been left unsent
    HEADER_BYTES = 5          # before a record's ciphertext
    MOST_SLUG_BYTES = 120     # of an exception's text in the log

cdef int ERROR = logging.ERROR
cdef uint32_t MAX_UNSENT_BYTES = limits.MAX_TLS_UNSENT_BYTES
assert PLAIN_BYTES + TLS_BATCH * 1024 < MAX_UNSENT_BYTES < OUT_BYTES

# Of the module ssl, which is loaded only where it is needed.
cdef object MemoryBIO, SSLError, WantRead, ZeroReturn


cdef struct Batch:            # ciphertext in `tls_out`, and the records of plaintext in it
    uint32_t length
    uint8_t records
    uint32_t ends[TLS_BATCH]
    uint32_t plain[TLS_BATCH]


cdef void tls_setup(State *s) except *:
    """Memory for a reactor with listeners that speak TLS."""
    s.tls_in = <unsigned char *>PyMem_RawMalloc(IN_BYTES)
    s.tls_out = <unsigned char *>PyMem_RawMalloc(OUT_BYTES)
    s.tls_plain = <unsigned char *>PyMem_RawMalloc(PLAIN_BYTES)
    if s.tls_in == NULL or s.tls_out == NULL or s.tls_plain == NULL:
        raise MemoryError("tls")
    global MemoryBIO, SSLError, WantRead, ZeroReturn
    import ssl
    MemoryBIO, SSLError = ssl.MemoryBIO, ssl.SSLError
    WantRead, ZeroReturn = ssl.SSLWantReadError, ssl.SSLZeroReturnError


cdef void tls_free(State *s) noexcept:
    PyMem_RawFree(s.tls_in)
    PyMem_RawFree(s.tls_out)
    PyMem_RawFree(s.tls_plain)


# ---- the life of a session ----

cdef bint tls_open(State *s, Conn *c) noexcept nogil:
    """From now on `c` speaks TLS. False: no memory."""
    cdef Tls *t = <Tls *>calloc(1, sizeof(Tls))
    if t == NULL:
        return False
    t.hungry = True
    c.tls = t
    c.flags |= CONN_TLS
    timer_set(s, c, s.now_ns + s.handshake_timeout_ns)
    return True


cdef void tls_close(Conn *c) noexcept nogil:
    """Forget it, and what has not been sent."""
    cdef Tls *t = <Tls *>c.tls
    if t.session != NULL:
        _let_go(t)
    free(t.kept)
    free(t)
    c.tls = NULL


cdef void _let_go(Tls *t) noexcept with gil:
    Py_XDECREF(t.session)
    Py_XDECREF(t.incoming)
    Py_XDECREF(t.outgoing)
    Py_XDECREF(t.certificates)
    Py_XDECREF(t.facts)


cdef bint tls_shaking(Conn *c) noexcept nogil:
    """Has the handshake not come to its end?"""
    return not (<Tls *>c.tls).done


cdef bint tls_more(Conn *c) noexcept nogil:
    """May there be more to receive, of which epoll will not tell?"""
    cdef Tls *t = <Tls *>c.tls
    return t.ended or not (t.hungry and t.drained)


cdef PyObject *_own(object thing) noexcept:
    Py_INCREF(thing)
    return <PyObject *>thing


cdef int _begin(State *s, Tls *t) except -1:
    """The client has sent something: make its session, with the certificates of today."""
    certificates = <object>s.certificates
    incoming, outgoing = MemoryBIO(), MemoryBIO()
    session = certificates.context.wrap_bio(incoming, outgoing, server_side=True)
    t.session, t.incoming, t.outgoing = _own(session), _own(incoming), _own(outgoing)
    t.certificates = _own(certificates)
    return 0


# ---- in ----

cdef ssize_t tls_recv(State *s, Conn *c, unsigned char *to, size_t room) noexcept nogil:
    """Plaintext: how many bytes, 0 at its end, or a TLS_ code.

    A PROXY header comes in the clear, before everything: until it has been read the bytes are what they are, and
    whoever reads it gives those behind it to `tls_feed`.
    """
    cdef Tls *t = <Tls *>c.tls
    cdef ssize_t got, ahead = 0
    cdef Batch batch
    if t.kept != NULL and not _send_kept(c, t):
        return TLS_LOST
    if c.flags & CONN_PROXY_DUE:
        got = _recv(c, to, room)
        t.drained = got < <ssize_t>room and not c.flags & CONN_EOF
        return got
    if t.has_ahead:
        t.has_ahead = False
        to[0] = t.ahead
        ahead = 1
        if room == 1:
            return 1
    while True:
        got = 0
        if not t.ended and t.hungry:
            if t.drained and not c.flags & CONN_EOF and ahead:
                return ahead
            got = _recv(c, s.tls_in, IN_BYTES)
            if got <= 0:
                t.drained = got == TLS_AGAIN
                return ahead if ahead else got
            _follow(s, t, s.tls_in, <size_t>got)
            t.drained = got < IN_BYTES and not c.flags & CONN_EOF
        elif t.ended:
            return ahead
        else:
            t.drained = False  # that was so when the socket was read; an edge may have come since, and none comes twice
        if t.session == NULL:  # a connection that said nothing may have been about to lose its place
            timer_set(s, c, c.since_ns + s.handshake_timeout_ns)
        batch.length = batch.records = 0
        got = _decrypt(s, t, <size_t>got, to + ahead, room - ahead, &batch)
        if batch.length > 0 and not _send_batch(s, c, t, &batch):
            return TLS_LOST
        if t.done and t.facts == NULL and got != TLS_LOST:
            if not _agreed(s, c, t):
                return TLS_LOST
            c.since_ns = s.now_ns  # from here on it may say nothing for as long as if it had just connected
            timer_set(s, c, s.now_ns + s.head_timeout_ns)
        if got < 0:
            return got
        got += ahead
        if got > 0 or t.ended:
            return got
        if t.drained:
            return TLS_AGAIN


cdef void _follow(State *s, Tls *t, const unsigned char *data, size_t length) noexcept nogil:
    """Note where the record ends that these bytes of ciphertext leave begun, and since when it is. OpenSSL does not
    say whether it holds a part of one."""
    cdef size_t part
    cdef bint begins = t.header_bytes == 0 and t.record_left == 0
    while length > 0:
        if t.record_left == 0:
            if t.header_bytes == HEADER_BYTES - 2:
                t.length_high = data[0]
            t.header_bytes += 1
            if t.header_bytes == HEADER_BYTES:  # type, version, length (RFC 8446 §5.1)
                t.header_bytes = 0
                t.record_left = <uint32_t>t.length_high << 8 | data[0]
                begins = True
            data += 1
            length -= 1
        else:
            part = length if length < t.record_left else t.record_left
            t.record_left -= <uint32_t>part
            data += part
            length -= part
            begins = begins or t.record_left == 0
    if begins:
        t.begun_ns = s.now_ns


cdef uint64_t tls_busy_until_ns(State *s, Conn *c) noexcept nogil:
    """Of a connection on which no plaintext waits: until when it is not idle all the same, for its client is in the
    middle of the handshake or of a record, where nobody can know what the record says; 0: it is idle."""
    cdef Tls *t = <Tls *>c.tls
    if t.session == NULL:
        return 0
    if not t.done:
        return c.since_ns + s.handshake_timeout_ns
    return t.begun_ns + s.head_timeout_ns if t.header_bytes != 0 or t.record_left != 0 else 0


cdef ssize_t _recv(Conn *c, unsigned char *to, size_t room) noexcept nogil:
    cdef ssize_t got
    while True:
        got = sw_recv(c.fd, to, room)
        if got >= 0:
            return got
        if errno != EINTR:
            return TLS_AGAIN if errno == EAGAIN else TLS_LOST


cdef ssize_t _decrypt(State *s, Tls *t, size_t fed, unsigned char *to, size_t room, Batch *batch) noexcept with gil:
    """Give `fed` bytes of `tls_in` to the session: plaintext bytes that came of it, TLS_LOST or why there is no TLS.
    What it has to say is in `batch`."""
    cdef ssize_t got
    try:
        if t.session == NULL:
            _begin(s, t)
        if fed:
            (<object>t.incoming).write(PyMemoryView_FromMemory(<char *>s.tls_in, <ssize_t>fed, PyBUF_READ))
        if t.done or _shake(s, t):
            got = _read(t, to, room)
        else:
            got = 0
    except SSLError as error:
        got = TLS_LOST if t.done else _refused(s, t, error)
    except Exception:  # no memory
        return TLS_LOST
    try:
        _collect(s, t, batch)
    except Exception:
        return TLS_LOST
    return got


cdef bint _shake(State *s, Tls *t) except -1:
    """Go on with the handshake. True: it is complete."""
    try:
        (<object>t.session).do_handshake()
    except WantRead:
        t.hungry = True
        return False
    t.done = True
    s.line[REACTOR_TLS_HANDSHAKES] += 1
    return True


cdef ssize_t _read(Tls *t, unsigned char *to, size_t room) except -1:
    cdef ssize_t got = 0, n
    cdef object session = <object>t.session
    t.hungry = False
    while got < <ssize_t>room:
        if (<object>t.incoming).pending == 0 and session.pending() == 0:  # an exception would cost more
            t.hungry = True
            break
        try:
            n = session.read(<ssize_t>room - got,
                             PyMemoryView_FromMemory(<char *>to + got, <ssize_t>room - got, PyBUF_WRITE))
        except WantRead:
            t.hungry = True
            break
        except ZeroReturn:
            n = 0
        if n == 0:
            t.ended = True
            break
        got += n
    return got


cdef ssize_t _refused(State *s, Tls *t, object error) noexcept:
    """The handshake has failed."""
    cdef bytes why = b"UNKNOWN"
    t.failed = True
    s.line[REACTOR_TLS_FAILED] += 1
    try:
        why = (error.reason or "UNKNOWN").encode("ascii", "replace")
    except Exception:
        pass
    strncpy(s.tls_why, why, sizeof(s.tls_why) - 1)
    return TLS_HTTP if why == b"HTTP_REQUEST" else TLS_REFUSED


cdef bint _agreed(State *s, Conn *c, Tls *t) noexcept with gil:
    """Note what the request blocks of this connection say of it. False: that is impossible."""
    cdef bytes slug
    try:
        t.facts = _own((<object>t.certificates).facts(<object>t.session))
    except MemoryError:
        return False
    except Exception as error:  # ours to mend
        slug = f"tls-facts-failed {type(error).__name__}: {error}".encode("ascii", "replace")[:MOST_SLUG_BYTES]
        conn_log(s, c, ERROR, 0, slug)
        return False
    return True


cdef bint tls_feed(State *s, Conn *c, const unsigned char *data, size_t length):
    """Bytes that came with what was in the clear: they are the session's. False: no memory."""
    cdef Tls *t = <Tls *>c.tls
    try:
        if t.session == NULL:
            _begin(s, t)
        (<object>t.incoming).write(PyMemoryView_FromMemory(<char *>data, <ssize_t>length, PyBUF_READ))
    except Exception:
        return False
    _follow(s, t, data, length)
    t.hungry = False
    return True


cdef int tls_waiting_bytes(Conn *c) noexcept nogil:
    """How much has been taken from the socket and not given on, at most: plaintext, and what has come of a record."""
    cdef Tls *t = <Tls *>c.tls
    return 0 if t.hungry and not t.has_ahead and t.header_bytes == 0 and t.record_left == 0 else 2 * IN_BYTES


cdef int tls_unread(State *s, Conn *c) noexcept nogil:
    """The socket's input has ended: is there plaintext that has not been received (1), or none (0)? At an end in order
    there is ciphertext in any case, for the client says so."""
    cdef Tls *t = <Tls *>c.tls
    cdef unsigned char byte = 0
    cdef ssize_t got
    if t.has_ahead:
        return 1
    got = tls_recv(s, c, &byte, 1)
    if got != 1:
        return 0 if got != TLS_AGAIN else 1
    t.ahead = byte
    t.has_ahead = True
    return 1


# ---- out ----

cdef int _collect(State *s, Tls *t, Batch *batch) except -1:
    """Take what the session has to say into `tls_out`."""
    cdef bytes said
    cdef Py_ssize_t length
    cdef object outgoing = <object>t.outgoing
    if outgoing.pending == 0:
        return 0
    said = outgoing.read()
    length = PyBytes_GET_SIZE(said)
    if batch.length + length > OUT_BYTES:
        raise MemoryError
    memcpy(s.tls_out + batch.length, PyBytes_AS_STRING(said), length)
    batch.length += <uint32_t>length
    return 0


cdef int _encrypt(State *s, Tls *t, const unsigned char *plain, size_t length, Batch *batch) noexcept with gil:
    """Make records of `plain`, at most PLAIN_BYTES. 0, or TLS_LOST."""
    cdef size_t part
    cdef object session = <object>t.session
    try:
        while length > 0:
            part = length if length < RECORD_BYTES else RECORD_BYTES
            session.write(PyMemoryView_FromMemory(<char *>plain, <ssize_t>part, PyBUF_READ))
            _collect(s, t, batch)
            batch.plain[batch.records] = <uint32_t>part
            batch.ends[batch.records] = batch.length
            batch.records += 1
            plain += part
            length -= part
    except Exception:  # it has failed before, or there is no memory
        return TLS_LOST
    return 0


cdef bint _send_batch(State *s, Conn *c, Tls *t, Batch *batch) noexcept nogil:
    """Send what is in `tls_out`, and keep what the socket does not take. Records only when nothing is kept. False: the
    connection is lost."""
    cdef ssize_t sent = 0
    cdef uint32_t left
    cdef unsigned char *grown
    cdef int i
    if t.kept == NULL:
        sent = _send(c, s.tls_out, batch.length)
        if sent < 0:
            return False
        if sent == batch.length:
            for i in range(batch.records):
                t.left += batch.plain[i]
            return True
        t.kept_at = t.kept_to = 0
        t.record = 0
        t.records = batch.records
        for i in range(batch.records):
            t.plain[i] = batch.plain[i]
            t.ends[i] = batch.ends[i] - <uint32_t>sent if batch.ends[i] > <uint32_t>sent else 0
    left = batch.length - <uint32_t>sent
    if t.kept_to + left > MAX_UNSENT_BYTES:
        return False  # it asks on and on, and takes no answer
    grown = <unsigned char *>realloc(t.kept, t.kept_to + left)
    if grown == NULL:
        return False
    t.kept = grown
    memcpy(t.kept + t.kept_to, s.tls_out + sent, left)
    t.kept_to += left
    _count_records(t)
    return True


cdef ssize_t _send(Conn *c, const unsigned char *data, size_t length) noexcept nogil:
    """How much the socket has taken, or TLS_LOST."""
    cdef size_t at = 0
    cdef ssize_t sent
    while at < length:
        sent = sw_send(c.fd, data + at, length - at)
        if sent >= 0:
            at += <size_t>sent
        elif errno != EINTR:
            return <ssize_t>at if errno == EAGAIN else TLS_LOST
    return <ssize_t>at


cdef bint _send_kept(Conn *c, Tls *t) noexcept nogil:
    """Send what is kept, as far as the socket takes it. False: the connection is lost."""
    cdef ssize_t sent = _send(c, t.kept + t.kept_at, t.kept_to - t.kept_at)
    if sent < 0:
        return False
    t.kept_at += <uint32_t>sent
    _count_records(t)
    if t.kept_at == t.kept_to:
        free(t.kept)
        t.kept = NULL
        if t.shut_due:
            t.shut_due = False
            shutdown(c.fd, SHUT_WR)
    return True


cdef void _count_records(Tls *t) noexcept nogil:
    """Of what is kept, those that have left."""
    while t.record < t.records and t.ends[t.record] <= t.kept_at:
        t.left += t.plain[t.record]
        t.record += 1


cdef ssize_t tls_send(State *s, Conn *c, iovec *pieces, int count) noexcept nogil:
    """How much of `pieces` the socket has taken, also of what it was offered before: the same bytes, which come first
    every time. 0: nothing now, epoll will tell; TLS_LOST."""
    cdef Tls *t = <Tls *>c.tls
    cdef const unsigned char *plain = NULL
    cdef size_t length
    cdef uint64_t done = 0
    while True:
        if not _ready_for_more(c, t):
            return TLS_LOST
        done += t.left
        t.left = 0
        if t.kept != NULL:
            break
        length = _gather(s, pieces, count, done, _most(c), &plain)
        if length == 0:
            break
        if not _put(s, c, t, plain, length):
            return TLS_LOST
    return <ssize_t>done


cdef ssize_t tls_send_file(State *s, Conn *c, int fd, uint64_t at, uint64_t most) noexcept nogil:
    """The same for `most` bytes of a file from `at` on; TLS_LOST too when it has an end before that."""
    cdef Tls *t = <Tls *>c.tls
    cdef ssize_t length
    cdef uint64_t done = 0
    while True:
        if not _ready_for_more(c, t):
            return TLS_LOST
        done += t.left
        t.left = 0
        if t.kept != NULL or done >= most:
            break
        length = pread(fd, s.tls_plain, _most(c) if most - done > _most(c) else most - done, <long>(at + done))
        if length < 0 and errno == EINTR:
            continue
        if length <= 0 or not _put(s, c, t, s.tls_plain, <size_t>length):
            return TLS_LOST
    return <ssize_t>done


cdef bint _ready_for_more(Conn *c, Tls *t) noexcept nogil:
    """Offer what is kept once more. False: the connection is lost, or nothing can be said on it yet."""
    return t.done and not t.failed and (t.kept == NULL or _send_kept(c, t))


cdef bint _put(State *s, Conn *c, Tls *t, const unsigned char *plain, size_t length) noexcept nogil:
    cdef Batch batch
    batch.length = batch.records = 0
    return _encrypt(s, t, plain, length, &batch) == 0 and _send_batch(s, c, t, &batch)


cdef size_t _most(Conn *c) noexcept nogil:
    """How much is encrypted before the socket is asked. What it does not take is kept twice, as ciphertext too, so for
    a slow client that is little."""
    return RECORD_BYTES if c.flags & CONN_SLOW else PLAIN_BYTES


cdef size_t _gather(State *s, iovec *pieces, int count, uint64_t at, size_t most,
                    const unsigned char **plain) noexcept nogil:
    """The next `most` bytes of `pieces`, from `at` on, or what is left of them: in one place, so that a head and a
    short body become one record."""
    cdef size_t length = 0, part
    cdef int i
    for i in range(count):
        if at >= pieces[i].iov_len:
            at -= pieces[i].iov_len
            continue
        part = pieces[i].iov_len - <size_t>at
        if length == 0 and (part >= most or i == count - 1):
            plain[0] = <unsigned char *>pieces[i].iov_base + at
            return part if part < most else most
        if part > most - length:
            part = most - length
        memcpy(s.tls_plain + length, <unsigned char *>pieces[i].iov_base + at, part)
        length += part
        at = 0
        if length == most:
            break
    plain[0] = s.tls_plain
    return length


cdef bint tls_flush(State *s, Conn *c) noexcept nogil:
    """The socket takes bytes again. False: the connection is lost."""
    cdef Tls *t = <Tls *>c.tls
    return t.kept == NULL or _send_kept(c, t)


# ---- the end ----

cdef void tls_end(State *s, Conn *c) noexcept nogil:
    """Say that nothing more comes, after all that was to come: a response that was cut does not end so."""
    cdef Tls *t = <Tls *>c.tls
    cdef Batch batch
    if not t.done or t.failed or t.end_said or t.record < t.records:
        return
    t.end_said = True
    batch.length = batch.records = 0
    _say_end(s, t, &batch)
    if batch.length > 0 and not _send_batch(s, c, t, &batch):
        t.failed = True


cdef void _say_end(State *s, Tls *t, Batch *batch) noexcept with gil:
    try:
        try:
            (<object>t.session).unwrap()
        except SSLError:  # the client has not said so yet: nobody waits for that
            pass
        _collect(s, t, batch)
    except Exception:  # no memory
        pass


cdef void tls_shut(Conn *c) noexcept nogil:
    """Shut down our side of the socket, once what is kept has left."""
    cdef Tls *t = <Tls *>c.tls
    if t.kept != NULL:
        t.shut_due = True
    else:
        shutdown(c.fd, SHUT_WR)
