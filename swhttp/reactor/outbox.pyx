"""Bytes on their way to a client: offered to the socket at once; what it does not take waits here, in order.

It owns the outbox of each connection, a list of pieces: in memory of their own, in a block of a slot's arena (given
back when it is sent), or in a file (sent by sendfile). It owns the lists of clients for which something waits; what
follows from being on them is `slow`'s. It knows nothing of HTTP. Its callers keep it short: a worker is at most
HIGH_WATER_BYTES and a frame ahead of its client, but for what is in files. What of a file that may be `on_disk` has to
come from there first is read by an I/O thread. Runs without the GIL.

Deadline: a client has `write_timeout_ns` for what waits, and every byte that it takes gives it the time of that byte at
MIN_RATE_BYTES_S more, never past `write_timeout_ns` from now. So one that takes a byte now and then is cut as if it
took none.
"""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t
from libc.stdio cimport snprintf
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset
from posix.unistd cimport close

from swhttp.ipc.arena cimport sw_arena_drop, sw_arena_give
from swhttp.ipc.scoreboard cimport (REACTOR_ARENA_HELD, REACTOR_FILES, REACTOR_IO_READS, REACTOR_MOVED_BYTES,
                                    REACTOR_SENDFILE_BYTES, REACTOR_SENT_BYTES)
from swhttp.ipc.tempfile cimport sw_is_shorter, sw_path_of, sw_write_all
from swhttp.reactor.connection cimport MOST_WHY_BYTES, conn_log_why, conn_todo
from swhttp.reactor.iojobs cimport SW_IO_READ, sw_io_job, sw_io_submit
from swhttp.reactor.logline cimport sw_log_escape
from swhttp.reactor.openat2 cimport SW_STEP_BYTES, sw_in_memory
from swhttp.reactor.spares cimport spare_give, spare_take
from swhttp.reactor.state cimport CONN_WRITABLE_WAIT, OUT_ARENA, OUT_FILE, OUT_HEAP, PACE_FRESH, PACE_NONE, OutPiece
from swhttp.reactor.system cimport MSG_MORE, MSG_NOSIGNAL, msghdr, sendmsg, ssize_t, sw_send, sw_sendfile
from swhttp.reactor.timers cimport timer_arm, timer_earned
from swhttp.reactor.tls cimport tls_send, tls_send_file

import logging

from swhttp import limits

cdef uint64_t MAX_OUTBOX_BYTES = limits.OUTBOX_BYTES
cdef uint32_t MAX_OUTBOX_PIECES = limits.OUTBOX_PIECES
cdef uint64_t PUSHER_BYTES = limits.WS_PUSHER_BYTES
cdef uint64_t HIGH_WATER_BYTES = limits.HIGH_WATER_BYTES
cdef uint64_t SEND_PER_TURN_BYTES = limits.SEND_PER_TURN_BYTES
cdef uint64_t WARM_ARENA_BYTES = limits.WARM_ARENA_BYTES
cdef uint64_t SPOOL_RENEW_BYTES = 4 * limits.HIGH_WATER_BYTES

cdef uint64_t LOG_EVERY_NS = <uint64_t>(limits.REACTOR_LOG_EVERY_S * 1e9)
cdef int WARNING = logging.WARNING

cdef enum:
    MOST_PATH_BYTES = 96  # that are looked at
    USUAL_ROOM = 4096   # of a piece in memory
    MAX_VECTOR = 8


# ---- who waits for how long ----

cdef void pace_set(State *s, Conn *c, int pace) noexcept nogil:
    """Put `c` at the end of a list, from now on, or on none."""
    cdef Conn **first = &s.fresh_first if c.pace == PACE_FRESH else &s.slow_first
    cdef Conn **last = &s.fresh_last if c.pace == PACE_FRESH else &s.slow_last
    if c.pace != PACE_NONE:
        if c.pace_previous != NULL:
            c.pace_previous.pace_next = c.pace_next
        else:
            first[0] = c.pace_next
        if c.pace_next != NULL:
            c.pace_next.pace_previous = c.pace_previous
        else:
            last[0] = c.pace_previous
    c.pace = <uint8_t>pace
    c.pace_next = c.pace_previous = NULL
    if pace != PACE_NONE:
        first = &s.fresh_first if pace == PACE_FRESH else &s.slow_first
        last = &s.fresh_last if pace == PACE_FRESH else &s.slow_last
        c.pace_since_ns = s.now_ns
        c.pace_previous = last[0]
        if last[0] != NULL:
            last[0].pace_next = c
        else:
            first[0] = c
        last[0] = c


# ---- pieces ----

cdef OutFile *out_file_new(State *s, int fd) noexcept nogil:
    """Own `fd`, with one reference. NULL: no memory, and the fd is closed."""
    cdef OutFile *file = <OutFile *>malloc(sizeof(OutFile))
    if file == NULL:
        close(fd)
        return NULL
    file.fd = fd
    file.references = 1
    file.ours = file.counted = file.on_disk = False
    s.line[REACTOR_FILES] += 1
    return file


cdef void out_file_drop(State *s, OutFile *file) noexcept nogil:
    """One reference less; NULL will do."""
    if file == NULL:
        return
    file.references -= 1
    if file.references == 0:
        if file.ours:
            spare_give(s, file.fd)
        else:
            close(file.fd)
        s.static_files -= file.counted
        free(file)
        s.line[REACTOR_FILES] -= 1


cdef void _piece_free(State *s, Conn *c, OutPiece *piece) noexcept nogil:
    if piece.kind == OUT_HEAP:
        free(piece.memory)
    elif piece.kind == OUT_ARENA:
        sw_arena_give(&s.links[piece.slot].arena, piece.block)
        s.line[REACTOR_ARENA_HELD] -= 1
    else:
        out_file_drop(s, piece.file)
    c.out_pieces -= piece.kind != OUT_HEAP
    free(piece)


cdef uint64_t out_most_bytes(State *s, Conn *c) noexcept nogil:
    """That may wait in memory. To a WebSocket all processes may be pushing: as much as they may have under way when it
    turns out that its client is slow, and who is to wait for it does."""
    return MAX_OUTBOX_BYTES if c.ws == NULL else MAX_OUTBOX_BYTES + s.pushers * PUSHER_BYTES


cdef OutPiece *_piece_add(State *s, Conn *c, uint8_t kind, uint64_t left) noexcept nogil:
    cdef OutPiece *piece
    if c.out_pieces >= MAX_OUTBOX_PIECES and kind != OUT_HEAP:
        return NULL
    piece = <OutPiece *>malloc(sizeof(OutPiece))
    if piece == NULL:
        return NULL
    c.out_pieces += kind != OUT_HEAP
    memset(piece, 0, sizeof(OutPiece))
    piece.kind = kind
    piece.left = left
    if c.out_last != NULL:
        c.out_last.next = piece
    else:
        c.out_first = piece
    c.out_last = piece
    c.out_bytes += left
    if kind != OUT_FILE:
        c.out_held += left
    return piece


cdef bint _keep(State *s, Conn *c, const unsigned char *data, size_t length) noexcept nogil:
    """Copy bytes that wait: behind those of the last piece, as far as it has room."""
    cdef OutPiece *last = c.out_last
    cdef size_t part
    cdef uint32_t room
    if c.out_held + length > out_most_bytes(s, c):
        return False
    if last != NULL and last.kind == OUT_HEAP:
        part = last.room - <size_t>(last.at + last.left)
        if part > length:
            part = length
        memcpy(last.memory + last.at + last.left, data, part)
        last.left += part
        c.out_bytes += part
        c.out_held += part
        data += part
        length -= part
    if length == 0:
        return True
    room = USUAL_ROOM if length < USUAL_ROOM else <uint32_t>length
    last = _piece_add(s, c, OUT_HEAP, 0)
    if last == NULL:
        return False
    last.memory = <unsigned char *>malloc(room)
    if last.memory == NULL:
        return False
    last.room = room
    memcpy(last.memory, data, length)
    last.left = length
    c.out_bytes += length
    c.out_held += length
    return True


cdef bint out_keep(State *s, Conn *c, const unsigned char *data, size_t length) noexcept nogil:
    """Add a copy of these bytes, for `out_begin` to send. False: there is no memory, or too much waits."""
    return _keep(s, c, data, length)


cdef void out_drop(State *s, Conn *c) noexcept nogil:
    """Everything that waits, and every file, of a connection that is closed: what of it went into TLS cannot be taken
    back."""
    cdef OutPiece *piece
    while c.out_first != NULL:
        piece = c.out_first
        c.out_first = piece.next
        _piece_free(s, c, piece)
    c.out_last = NULL
    c.out_bytes = c.out_held = 0
    c.write_by_ns = 0
    pace_set(s, c, PACE_NONE)
    out_file_drop(s, c.file)
    out_file_drop(s, c.spool)
    c.file = c.spool = NULL


# ---- sending ----

cdef void _wait(State *s, Conn *c) noexcept nogil:
    """Something waits from now on."""
    if not c.flags & CONN_WRITABLE_WAIT:
        c.flags |= CONN_WRITABLE_WAIT
        c.write_by_ns = s.now_ns + s.write_timeout_ns
        timer_arm(s, c)
    if c.pace == PACE_NONE:
        pace_set(s, c, PACE_FRESH)
        if c.sent_bytes < HIGH_WATER_BYTES:
            s.tight = True


cdef ssize_t _offer(State *s, Conn *c, iovec *pieces, int count, int flags) noexcept nogil:
    """What the socket takes; -1: the connection is lost."""
    cdef msghdr message
    cdef ssize_t sent
    while True:
        if c.tls != NULL:
            sent = tls_send(s, c, pieces, count)
            if sent < 0:
                return -1
        elif count == 1 and flags == MSG_NOSIGNAL:
            sent = sw_send(c.fd, pieces[0].iov_base, pieces[0].iov_len)
        else:
            memset(&message, 0, sizeof(message))
            message.msg_iov = pieces
            message.msg_iovlen = count
            sent = sendmsg(c.fd, &message, flags)
        if sent >= 0:
            s.line[REACTOR_SENT_BYTES] += sent
            c.sent_bytes += sent
            return sent
        if errno == EINTR:
            continue
        return 0 if errno == EAGAIN else -1


cdef bint out_put(State *s, Conn *c, iovec *pieces, int count, bint more) noexcept nogil:
    """Send what the socket takes of `pieces` and keep a copy of the rest. `more`: a file follows at once. False: the
    connection is lost."""
    cdef ssize_t sent = 0
    cdef size_t skip
    cdef int i
    if c.out_first == NULL:
        sent = _offer(s, c, pieces, count, MSG_NOSIGNAL | MSG_MORE if more else MSG_NOSIGNAL)
        if sent < 0:
            return False
    skip = <size_t>sent
    for i in range(count):
        if skip >= pieces[i].iov_len:
            skip -= pieces[i].iov_len
            continue
        if not _keep(s, c, <unsigned char *>pieces[i].iov_base + skip, pieces[i].iov_len - skip):
            return False
        skip = 0
    if c.out_first != NULL:
        _wait(s, c)
    return True


cdef bint out_put_block(State *s, Conn *c, iovec *pieces, int count, int which, int slot,
                        uint32_t block) noexcept nogil:
    """The same, where pieces[which] lies in a block of an arena: what the socket does not take of it stays there. The
    block is given back in any case. False: the connection is lost."""
    cdef ssize_t sent = 0
    cdef size_t skip
    cdef OutPiece *piece
    cdef bint held = False, kept = True
    cdef int i
    if c.out_first == NULL:
        sent = _offer(s, c, pieces, count, MSG_NOSIGNAL)
    if sent >= 0:
        skip = <size_t>sent
        for i in range(count):
            if skip >= pieces[i].iov_len:
                skip -= pieces[i].iov_len
                continue
            if i == which:
                piece = NULL
                if c.out_held + pieces[i].iov_len <= out_most_bytes(s, c):
                    piece = _piece_add(s, c, OUT_ARENA, pieces[i].iov_len - skip)
                kept = held = piece != NULL
                if held:
                    piece.slot = slot
                    piece.block = block
                    piece.memory = <unsigned char *>pieces[i].iov_base
                    piece.at = skip
                    s.line[REACTOR_ARENA_HELD] += 1
            else:
                kept = _keep(s, c, <unsigned char *>pieces[i].iov_base + skip, pieces[i].iov_len - skip)
            if not kept:
                break
            skip = 0
    if not held:
        sw_arena_give(&s.links[slot].arena, block)
    if sent < 0 or not kept:
        return False
    if c.out_first != NULL:
        _wait(s, c)
    return True


cdef bint out_put_file(State *s, Conn *c, OutFile *file, uint64_t at, uint64_t length, bint chunk) noexcept nogil:
    """Add a part of a file, for `out_flush` to send. False: no memory.

    `chunk`: it is to be framed as a chunk. That is done when its turn comes: until then parts that follow each other in
    the file are one, so what an app has written in small pieces far ahead of a slow client takes no memory here.
    """
    cdef OutPiece *piece = c.out_last
    if (piece != NULL and piece.kind == OUT_FILE and piece.file == file and piece.unframed == chunk
            and piece.at + piece.left == at):
        piece.left += length
        c.out_bytes += length
        return True
    piece = _piece_add(s, c, OUT_FILE, length)
    if piece == NULL:
        return False
    piece.file = file
    file.references += 1
    piece.at = at
    piece.unframed = chunk
    return True


cdef bint _frame_chunk(State *s, Conn *c) noexcept nogil:
    """Put the first piece between the lines that make a chunk of it (RFC 9112 §7.1). False: no memory."""
    cdef OutPiece *content = c.out_first
    cdef OutPiece *last = c.out_last
    cdef OutPiece *lines[2]
    cdef char text[2][24]
    cdef int lengths[2]
    cdef int i
    lengths[0] = snprintf(text[0], 24, "%llx\r\n", <unsigned long long>content.left)
    lengths[1] = snprintf(text[1], 24, "\r\n")
    for i in range(2):
        lines[i] = _piece_add(s, c, OUT_HEAP, <uint64_t>lengths[i])
        if lines[i] == NULL:
            return False
        lines[i].memory = <unsigned char *>malloc(24)
        if lines[i].memory == NULL:
            return False
        memcpy(lines[i].memory, text[i], 24)
        lines[i].room = <uint32_t>lengths[i]
    content.unframed = False
    last.next = NULL
    c.out_last = last
    lines[1].next = content.next
    content.next = lines[1]
    if last == content:
        c.out_last = lines[1]
    lines[0].next = content
    c.out_first = lines[0]
    return True


cdef ssize_t _send_first(State *s, Conn *c, uint64_t most) noexcept nogil:
    """Send of the first piece, and of those behind it that are in memory too. 0: nothing now, -1: lost."""
    cdef iovec pieces[MAX_VECTOR]
    cdef OutPiece *piece = c.out_first
    cdef int count = 0
    cdef ssize_t sent
    if piece.kind == OUT_FILE:
        if piece.file.on_disk and most > piece.file.read_to - piece.at:
            most = piece.file.read_to - piece.at
        while True:
            if c.tls != NULL:
                sent = tls_send_file(s, c, piece.file.fd, piece.at, piece.left if piece.left < most else most)
                if sent >= 0:
                    s.line[REACTOR_SENT_BYTES] += sent
                    c.sent_bytes += sent
                return sent
            sent = sw_sendfile(c.fd, piece.file.fd, piece.at, piece.left if piece.left < most else most)
            if sent > 0:
                s.line[REACTOR_SENT_BYTES] += sent
                s.line[REACTOR_SENDFILE_BYTES] += sent
                c.sent_bytes += sent
                return sent
            if sent == 0:  # the file has been cut short under our hands
                return -1
            if errno == EINTR:
                continue
            return 0 if errno == EAGAIN else -1
    while piece != NULL and piece.kind != OUT_FILE and count < MAX_VECTOR:
        pieces[count].iov_base = piece.memory + piece.at
        pieces[count].iov_len = <size_t>piece.left
        count += 1
        piece = piece.next
    return _offer(s, c, pieces, count, MSG_NOSIGNAL | MSG_MORE if piece != NULL else MSG_NOSIGNAL)


cdef bint _waits_for_disk(State *s, Conn *c, OutPiece *piece) noexcept nogil:
    """Must the next bytes of a file be read from a disk first? Then an I/O thread does it, and out_flush is called
    again when they are there; the client has no deadline meanwhile."""
    cdef OutFile *file = piece.file
    cdef uint64_t length = piece.left if piece.left < SEND_PER_TURN_BYTES else SEND_PER_TURN_BYTES
    cdef sw_io_job *job
    if c.job != NULL:
        return True
    if file.read_from <= piece.at < file.read_to:
        return False
    file.read_from = piece.at
    file.read_to = piece.at + length
    if sw_in_memory(file.fd, piece.at, length):
        return False
    job = <sw_io_job *>malloc(sizeof(sw_io_job))
    if job == NULL:
        return False  # then we wait for the disk ourselves
    memset(job, 0, sizeof(sw_io_job))
    job.kind = SW_IO_READ
    job.inbox = &s.io_inbox
    job.connection = c
    job.file = file
    file.references += 1
    job.fd = file.fd
    job.at = piece.at - piece.at % SW_STEP_BYTES  # whole steps: see sw_in_steps
    job.length = (piece.at + length + SW_STEP_BYTES - 1) // SW_STEP_BYTES * SW_STEP_BYTES - job.at
    c.job = job
    c.flags |= CONN_WRITABLE_WAIT
    c.write_by_ns = 0
    timer_arm(s, c)
    s.line[REACTOR_IO_READS] += 1
    sw_io_submit(s.io, job)
    return True


cdef void _sent(State *s, Conn *c, uint64_t sent) noexcept nogil:
    cdef OutPiece *piece
    cdef uint64_t part
    cdef bint whole = False
    c.out_bytes -= sent
    while sent > 0:
        piece = c.out_first
        part = sent if sent < piece.left else piece.left
        piece.left -= part
        piece.at += part
        if piece.kind != OUT_FILE:
            c.out_held -= part
        sent -= part
        if piece.left == 0:
            c.out_first = piece.next
            if c.out_first == NULL:
                c.out_last = NULL
            _piece_free(s, c, piece)
            whole = True
    if whole:
        pace_set(s, c, PACE_FRESH if c.out_first != NULL else PACE_NONE)


cdef void _tell_shortened(State *s, Conn *c, OutPiece *piece) noexcept nogil:
    """The connection is lost: if its file has been cut short under our hands, that is in the log, once a second. The
    request may be forgotten by now, so the file is named by its path, or the end of that."""
    cdef char path[4096]
    cdef char why[MOST_WHY_BYTES]
    cdef const unsigned char *at = <const unsigned char *>path
    cdef unsigned char *end
    cdef size_t length
    cdef bint full = False
    if piece.kind != OUT_FILE or s.now_ns - s.shortened_logged_ns < LOG_EVERY_NS:
        return
    if not sw_is_shorter(piece.file.fd, piece.at + piece.left):
        return
    s.shortened_logged_ns = s.now_ns
    length = sw_path_of(piece.file.fd, path, sizeof(path))
    if length > MOST_PATH_BYTES:
        at += length - MOST_PATH_BYTES
        length = MOST_PATH_BYTES
    memcpy(why, b"file=\"", 6)
    end = sw_log_escape(<unsigned char *>why + 6, <unsigned char *>why + MOST_WHY_BYTES - 2, at, length, False, &full)
    end[0] = b'"'
    end[1] = 0
    conn_log_why(s, c, WARNING, 0, b"file-shortened", why)


cdef int out_flush(State *s, Conn *c) noexcept nogil:
    """Send what waits, as far as the socket takes it.

    Returns OUT_LOST when the connection is, OUT_AGAIN when the others must have their turn first and epoll will not
    tell of this one, else OUT_DONE.
    """
    cdef uint64_t budget = SEND_PER_TURN_BYTES
    cdef ssize_t sent
    while c.out_first != NULL:
        if c.out_first.unframed and not _frame_chunk(s, c):
            return OUT_LOST
        if c.out_first.kind == OUT_FILE and c.out_first.file.on_disk and _waits_for_disk(s, c, c.out_first):
            return OUT_DONE
        sent = _send_first(s, c, budget)
        if sent < 0:
            _tell_shortened(s, c, c.out_first)
            return OUT_LOST
        if sent == 0:
            _wait(s, c)
            return OUT_DONE
        _sent(s, c, <uint64_t>sent)
        if c.write_by_ns != 0:
            c.write_by_ns = timer_earned(s, c.write_by_ns, <uint64_t>sent, s.write_timeout_ns)
            timer_arm(s, c)
        if <uint64_t>sent >= budget and c.out_first != NULL:
            _wait(s, c)
            return OUT_AGAIN
        budget -= <uint64_t>sent if <uint64_t>sent < budget else budget
    c.flags &= ~CONN_WRITABLE_WAIT
    c.write_by_ns = 0
    timer_arm(s, c)
    return OUT_DONE


cdef bint out_begin(State *s, Conn *c) noexcept nogil:
    """Something was put there of which epoll will not tell: send what can be sent. False: the connection is lost."""
    cdef int flushed = out_flush(s, c)
    if flushed == OUT_AGAIN:
        conn_todo(s, c)
    return flushed != OUT_LOST


# ---- out of the arena ----

cdef bint _to_file(State *s, Conn *c, OutPiece *piece) noexcept nogil:
    cdef int fd
    if c.spool != NULL and c.spool.references == 1 and c.spool_at >= SPOOL_RENEW_BYTES:
        # All of it has been sent, yet it must not be written over: the socket may still refer to its pages.
        out_file_drop(s, c.spool)
        c.spool = NULL
    if c.spool == NULL:
        fd = spare_take(s)
        if fd < 0:
            return False
        c.spool = out_file_new(s, fd)
        if c.spool == NULL:
            return False
        c.spool.ours = True
        c.spool_at = 0
    if not sw_write_all(c.spool.fd, piece.memory + piece.at, <size_t>piece.left, c.spool_at):
        return False
    sw_arena_drop(&s.links[piece.slot].arena, piece.block, WARM_ARENA_BYTES)
    s.line[REACTOR_ARENA_HELD] -= 1
    piece.kind = OUT_FILE
    c.out_held -= piece.left
    piece.memory = NULL
    piece.file = c.spool
    c.spool.references += 1
    piece.at = c.spool_at
    c.spool_at += piece.left
    s.line[REACTOR_MOVED_BYTES] += <int64_t>piece.left
    return True


cdef bint _to_heap(State *s, Conn *c, OutPiece *piece) noexcept nogil:
    cdef unsigned char *memory = <unsigned char *>malloc(<size_t>piece.left)
    if memory == NULL:
        return False
    memcpy(memory, piece.memory + piece.at, <size_t>piece.left)
    sw_arena_drop(&s.links[piece.slot].arena, piece.block, WARM_ARENA_BYTES)
    s.line[REACTOR_ARENA_HELD] -= 1
    piece.kind = OUT_HEAP
    c.out_pieces -= 1
    piece.memory = memory
    piece.at = 0
    piece.room = <uint32_t>piece.left
    return True


cdef int out_leave_arena(State *s, Conn *c, int slot) noexcept nogil:
    """Move what waits in the arena of `slot` (-1: of any) to a file; where that is impossible, to memory.

    Returns OUT_FILE, OUT_HEAP when some had to go to memory, or -1 when there was none: then it must be closed.
    """
    cdef OutPiece *piece = c.out_first
    cdef int where = OUT_FILE
    while piece != NULL:
        if piece.kind == OUT_ARENA and (slot < 0 or piece.slot == slot):
            if not _to_file(s, c, piece):
                s.spool_error = errno
                where = OUT_HEAP
                if not _to_heap(s, c, piece):
                    return -1
        piece = piece.next
    return where
