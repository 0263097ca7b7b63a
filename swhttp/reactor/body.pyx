"""Request bodies that do not fit in a request block: streamed to ASGI under credit, collected in a file for WSGI, or
read and thrown away once nobody wants them.

It owns `Upload`: the chunks that a worker may still read, the credit that it gave, the file; and the deadline of a body
that is streamed. It never reads from a socket (loop does, into what `body_target` says), never parses (http1 does), and
never answers: it returns a reason. Runs without the GIL.

    streamed    START was posted with what was there. The worker's first credit lets chunks follow, each in a block of
                its own; a credit says, too, how much has been read, and so which blocks are free again. Without credit,
                or with MAX_CHUNKS_AHEAD chunks unread, the socket is not read, and no deadline runs: we wait for it.
    collected   in the file from its first byte on; the worker gets the file with the request.
    discarded   after the response: at most DISCARD_BYTES, so that the connection can go on.
"""

from libc.errno cimport errno
from libc.stdint cimport uint8_t
from libc.string cimport memcpy
from libc.stdlib cimport calloc

from swhttp.ipc.blocks cimport SW_NO_BLOCK, sw_blocks_at, sw_blocks_bytes, sw_blocks_give, sw_blocks_take
from swhttp.ipc.frame cimport (EVENT_PACKAGE_CHUNK, EVENT_PACKAGE_END, SW_BLOCK_BODY_FILE, SW_BLOCK_MORE_BODY,
                               sw_block, sw_chunk)
from swhttp.ipc.scoreboard cimport REACTOR_BLOCKS, REACTOR_BODY_FILES, REACTOR_CHUNKS, REACTOR_FILES, REACTOR_REQUESTS
from swhttp.ipc.tempfile cimport sw_temp_file, sw_write_all
from swhttp.reactor.connection cimport conn_drop_chunks, conn_starve, conn_todo
from swhttp.reactor.dispatch cimport dispatch_chunk
from swhttp.reactor.reasons cimport REASON_INTERNAL, REASON_NONE, REASON_SPOOL_FAILED
from swhttp.reactor.state cimport (CHUNK_BYTES, CONN_BODY_OPEN, CONN_EOF, CONN_EXPECT, CONN_KEEP_ALIVE, CONN_READABLE,
                                   CONN_UNREAD, STAGE_BODY, STAGE_DISCARD, STAGE_FINISHING, STAGE_IN_FLIGHT,
                                   STAGE_READY, Chunk, Upload)
from swhttp.reactor.timers cimport timer_arm, timer_earned, timer_set

from swhttp import limits

cdef int MAX_CHUNKS_AHEAD = limits.MAX_CHUNKS_AHEAD
cdef uint64_t CREDIT_WINDOW_BYTES = limits.CREDIT_WINDOW_BYTES
cdef uint64_t SMALL_ROOM_BYTES = limits.BODY_ROOM_BYTES
cdef uint32_t MANY_BLOCKS = limits.CROWD_BLOCKS
cdef uint64_t LEAST_CHUNK_BYTES = limits.BODY_ROOM_BYTES
cdef uint64_t DISCARD_BYTES = limits.DISCARD_BYTES
cdef uint64_t GONE_AFTER_NS = <uint64_t>(limits.GONE_AFTER_S * 1e9)


cdef Upload *_upload(Conn *c) noexcept nogil:
    cdef Upload *u = <Upload *>calloc(1, sizeof(Upload))
    if u != NULL:
        u.fd = -1
        u.filling = SW_NO_BLOCK
        c.upload = u
    return u


# ---- in the request block ----

cdef uint32_t body_room(State *s, uint32_t here, uint32_t whole) noexcept nogil:
    """For how much of a body of `whole` bytes there is to be room when `here` have come: a client that promises much
    and sends little shall not hold what others need. Each time it is too little it grows by this factor, a smaller one
    when thousands of requests are under way: then most of them are slow."""
    cdef uint64_t room = <uint64_t>here * (8 if s.blocks.in_use < MANY_BLOCKS else 2) + SMALL_ROOM_BYTES
    return <uint32_t>room if room < whole else whole


cdef void body_move_block(State *s, Conn *c, uint32_t block, uint8_t block_class) noexcept nogil:
    """Go on in another request block, with all that has come."""
    memcpy(sw_blocks_at(&s.blocks, block), sw_blocks_at(&s.blocks, c.block), c.body_at)
    sw_blocks_give(&s.blocks, c.block, c.block_class)
    c.block = block
    c.block_class = block_class
    s.line[REACTOR_BLOCKS] = s.blocks.in_use


cdef unsigned char *_in_block(State *s, Conn *c, size_t *room) noexcept nogil:
    cdef uint64_t left = sw_blocks_bytes(&s.blocks, c.block_class) - c.body_at
    cdef uint32_t larger, here
    cdef uint8_t larger_class = 0
    if left == 0:
        here = <uint32_t>body_so_far(s, c)
        larger = sw_blocks_take(&s.blocks, c.body_at + <uint64_t>(
            body_room(s, here, here + <uint32_t>c.body_left) - here), &larger_class)
        if larger == SW_NO_BLOCK:
            return NULL
        body_move_block(s, c, larger, larger_class)
        left = sw_blocks_bytes(&s.blocks, c.block_class) - c.body_at
    room[0] = <size_t>(left if left < c.body_left else c.body_left)
    return <unsigned char *>sw_blocks_at(&s.blocks, c.block) + c.body_at


cdef int body_leave_block(State *s, Conn *c) noexcept nogil:
    """There is no larger request block: go on in a file, or send the request on its way with what is here (then its
    stage is STAGE_READY). A slow body must not fail because others are slow. Returns a reason or REASON_NONE."""
    cdef sw_block *block = sw_blocks_at(&s.blocks, c.block)
    cdef uint32_t here = <uint32_t>body_so_far(s, c), smaller
    cdef uint8_t smaller_class = 0
    cdef int reason
    if s.asgi:
        block.flags |= SW_BLOCK_MORE_BODY
        block.body_len = here
        c.stage = STAGE_READY
        return REASON_NONE if body_open(s, c, here) else REASON_INTERNAL
    block.flags |= SW_BLOCK_BODY_FILE
    block.body_len = 0
    reason = body_to_file(s, c, <unsigned char *>block + block.body_off, here)
    c.body_at = block.body_off
    smaller = sw_blocks_take(&s.blocks, c.body_at, &smaller_class)
    if smaller != SW_NO_BLOCK and smaller_class < c.block_class:
        body_move_block(s, c, smaller, smaller_class)
    elif smaller != SW_NO_BLOCK:
        sw_blocks_give(&s.blocks, smaller, smaller_class)
    return reason


# ---- streamed ----

cdef bint body_open(State *s, Conn *c, uint64_t received) noexcept nogil:
    """The body of `c` goes on when a worker has its request; `received` bytes are in the block. False: no memory."""
    cdef Upload *u = _upload(c)
    if u == NULL:
        return False
    u.received = received
    c.flags |= CONN_BODY_OPEN
    timer_arm(s, c)
    return True


cdef bint body_discards(Conn *c) noexcept nogil:
    """Is the rest of the body of no use to anybody, because the response is out?"""
    return c.stage == STAGE_FINISHING or c.stage == STAGE_DISCARD


cdef bint _take_block(State *s, Conn *c) noexcept nogil:
    """Have a block to receive into."""
    cdef Upload *u = c.upload
    cdef uint64_t size = sizeof(sw_chunk) + CHUNK_BYTES
    if u.filling == SW_NO_BLOCK:
        while True:
            u.filling = sw_blocks_take(&s.blocks, size, &u.filling_class)
            if u.filling != SW_NO_BLOCK:
                break
            size >>= 2  # slowly is better than not at all
            if size < LEAST_CHUNK_BYTES:
                return False
        (<sw_chunk *>sw_blocks_at(&s.blocks, u.filling)).length = 0
        s.line[REACTOR_BLOCKS] = s.blocks.in_use
    return True


cdef bint body_waits(State *s, Conn *c) noexcept nogil:
    """Must a streamed body wait for its worker, so that its socket is not read?"""
    cdef Upload *u = c.upload
    if body_discards(c):
        return False
    return (not c.flags & CONN_BODY_OPEN or c.stage != STAGE_IN_FLIGHT or u == NULL or u.received >= u.credit
            or (u.count >= MAX_CHUNKS_AHEAD and u.filling == SW_NO_BLOCK) or u.posted < u.count)


cdef void _pause(State *s, Conn *c) noexcept nogil:
    """No deadline for the body while it waits for the worker, or when it is whole. What is left of it is kept: or a
    client would get all of it anew whenever its bytes fill the MAX_CHUNKS_AHEAD places, eight bytes at a time."""
    cdef Upload *u = c.upload
    if u == NULL:
        return
    if u.deadline_ns != 0:
        u.rest_ns = u.deadline_ns - s.now_ns if u.deadline_ns > s.now_ns else 1
    u.deadline_ns = 0
    timer_arm(s, c)


cdef unsigned char *body_target(State *s, Conn *c, size_t *room) noexcept nogil:
    """Where the next bytes of a body go, and how many at most. NULL: nowhere at the moment; `c` is looked at again
    when its worker gives credit, or when there is a block."""
    cdef Upload *u = c.upload
    cdef sw_chunk *chunk
    cdef uint64_t most, capacity
    if c.stage == STAGE_BODY and u == NULL:
        return _in_block(s, c, room)
    room[0] = CHUNK_BYTES
    if c.stage == STAGE_BODY or body_discards(c):
        if c.parser == NULL and c.body_left < CHUNK_BYTES:
            room[0] = <size_t>c.body_left
        return s.through
    if body_waits(s, c):
        _pause(s, c)
        return NULL
    if not _take_block(s, c):
        conn_starve(s, c)
        return NULL
    chunk = <sw_chunk *>sw_blocks_at(&s.blocks, u.filling)
    most = u.credit - u.received
    if c.parser == NULL and c.body_left < most:
        most = c.body_left
    capacity = sw_blocks_bytes(&s.blocks, u.filling_class) - sizeof(sw_chunk)
    if capacity > CHUNK_BYTES:
        capacity = CHUNK_BYTES
    if most > capacity - chunk.length:
        most = capacity - chunk.length
    room[0] = <size_t>most
    return <unsigned char *>chunk + sizeof(sw_chunk) + chunk.length


cdef void body_untouched(State *s, Conn *c) noexcept nogil:
    """Nothing came: a block is not held by a connection that is silent."""
    cdef Upload *u = c.upload
    if u != NULL and u.filling != SW_NO_BLOCK and (<sw_chunk *>sw_blocks_at(&s.blocks, u.filling)).length == 0:
        sw_blocks_give(&s.blocks, u.filling, u.filling_class)
        s.line[REACTOR_BLOCKS] = s.blocks.in_use
        u.filling = SW_NO_BLOCK


cdef void body_progress(State *s, Conn *c, size_t length) noexcept nogil:
    """So many bytes have come."""
    cdef Upload *u = c.upload
    cdef uint64_t from_ns
    if not c.flags & CONN_BODY_OPEN:
        if c.deadline_ns != 0:
            timer_set(s, c, timer_earned(s, c.deadline_ns, length, s.body_timeout_ns))
        return
    if u == NULL or body_discards(c):
        return
    from_ns = u.deadline_ns
    if from_ns == 0:
        from_ns = s.now_ns + (u.rest_ns if u.rest_ns != 0 else s.body_timeout_ns)
    u.deadline_ns = timer_earned(s, from_ns, length, s.body_timeout_ns)
    timer_arm(s, c)


cdef int body_received(State *s, Conn *c, size_t length) noexcept nogil:
    """`length` body bytes are where `body_target` said. Returns REASON_NONE or a reason to refuse the request. Of a
    body of known length `body_left` is counted here; whoever follows a chunked one knows its end (`body_whole`)."""
    cdef Upload *u = c.upload
    if c.parser == NULL:
        c.body_left -= length
    if body_discards(c):
        c.discarded += <uint32_t>length
        return REASON_NONE
    if c.stage == STAGE_BODY and u == NULL:
        c.body_at += <uint32_t>length
    elif c.stage == STAGE_BODY:
        if not sw_write_all(u.fd, s.through, length, u.received):
            return _spool_failed(s)
        u.received += length
    else:
        (<sw_chunk *>sw_blocks_at(&s.blocks, u.filling)).length += <uint32_t>length
        u.received += length
        u.moved_ns = s.now_ns
    return REASON_NONE


cdef void _seal(State *s, Conn *c) noexcept nogil:
    """The block being filled becomes a chunk: a small one in a small block, for credit counts bytes and not blocks."""
    cdef Upload *u = c.upload
    cdef sw_chunk *chunk = <sw_chunk *>sw_blocks_at(&s.blocks, u.filling)
    cdef uint32_t size = <uint32_t>sizeof(sw_chunk) + chunk.length
    cdef bint empty = chunk.length == 0
    cdef uint32_t smaller
    cdef uint8_t smaller_class = 0
    cdef Chunk *place = &u.chunks[(u.first + u.count) % MAX_CHUNKS_AHEAD]
    smaller = sw_blocks_take(&s.blocks, size, &smaller_class)
    if smaller != SW_NO_BLOCK:
        if smaller_class < u.filling_class:
            memcpy(sw_blocks_at(&s.blocks, smaller), chunk, size)
            sw_blocks_give(&s.blocks, u.filling, u.filling_class)
            u.filling, u.filling_class = smaller, smaller_class
        else:
            sw_blocks_give(&s.blocks, smaller, smaller_class)
    place.block, place.block_class = u.filling, u.filling_class
    place.end = u.received
    if empty:  # an end by itself: that all bytes before it were read does not say that it was
        place.end += 1
    u.filling = SW_NO_BLOCK
    u.count += 1
    s.line[REACTOR_BLOCKS] = s.blocks.in_use


cdef bint body_post(State *s, Conn *c) noexcept nogil:
    """Tell the worker of what has come. False: its ring is full, or there is no block; `c` is looked at again soon."""
    cdef Upload *u = c.upload
    cdef bint last
    if c.stage != STAGE_IN_FLIGHT or u == NULL:
        return True
    if not c.flags & CONN_BODY_OPEN:
        return True
    if u.filling != SW_NO_BLOCK and (<sw_chunk *>sw_blocks_at(&s.blocks, u.filling)).length > 0:
        _seal(s, c)
    elif u.whole and u.count == u.posted:  # an end behind what is posted already
        if u.count >= MAX_CHUNKS_AHEAD:
            return True  # the worker's next credit comes back here
        if not _take_block(s, c):
            conn_starve(s, c)
            return False
        _seal(s, c)
    while u.posted < u.count:
        last = u.whole and u.posted + 1 == u.count
        if not dispatch_chunk(s, c, u.chunks[(u.first + u.posted) % MAX_CHUNKS_AHEAD].block,
                              EVENT_PACKAGE_END if last else EVENT_PACKAGE_CHUNK):
            conn_starve(s, c)
            return False
        u.posted += 1
        s.line[REACTOR_CHUNKS] += 1
        if last:
            c.flags &= ~CONN_BODY_OPEN
            if c.flags & CONN_EOF:
                c.gone_by_ns = s.now_ns + GONE_AFTER_NS
    if body_waits(s, c):
        _pause(s, c)
    return True


cdef void body_whole(State *s, Conn *c) noexcept nogil:
    """The last byte of a streamed or discarded body has been received."""
    s.line[REACTOR_REQUESTS] += 1
    if c.upload != NULL and not body_discards(c):
        c.upload.whole = True
    else:
        c.flags &= ~CONN_BODY_OPEN


cdef bint body_credit(State *s, Conn *c, uint64_t credit) noexcept nogil:
    """The worker takes the body up to `credit`, and has read all but the last CREDIT_WINDOW_BYTES of that. False: it
    takes back what it gave."""
    cdef Upload *u = c.upload
    if u == NULL:
        return True
    if credit < u.credit:
        return False
    u.credit = credit
    if credit > CREDIT_WINDOW_BYTES:
        conn_drop_chunks(s, u, credit - CREDIT_WINDOW_BYTES)
    if c.flags & CONN_BODY_OPEN:
        if not u.whole:
            body_progress(s, c, 0)
        c.flags |= CONN_READABLE
        conn_todo(s, c)
    return True


cdef void body_answered(State *s, Conn *c) noexcept nogil:
    """The response is complete and the body is not. If what is left is little, or may be, the connection goes on."""
    if c.upload != NULL:
        c.upload.deadline_ns = 0
        timer_arm(s, c)
        if c.upload.whole:  # only the worker has not heard of the end
            c.flags &= ~CONN_BODY_OPEN
            return
    if c.flags & CONN_EXPECT or (c.parser == NULL and c.body_left > DISCARD_BYTES):
        # Without its 100 Continue the client may send the body or not: nobody knows where the next request begins.
        c.flags = (c.flags | CONN_UNREAD) & ~CONN_KEEP_ALIVE
        return
    c.discarded = 0
    c.flags |= CONN_READABLE
    conn_todo(s, c)


# ---- collected ----

cdef int _spool_failed(State *s) noexcept nogil:
    """A file could not be made or written just now: keep why."""
    s.spool_error = errno
    return REASON_SPOOL_FAILED


cdef int body_to_file(State *s, Conn *c, const unsigned char *data, size_t length) noexcept nogil:
    """From now on the body of `c` is collected in a file, which begins with `data`. Returns a reason or REASON_NONE."""
    cdef Upload *u = _upload(c)
    if u == NULL:
        return REASON_INTERNAL
    u.fd = sw_temp_file(s.tmp_dir)
    if u.fd < 0:
        return _spool_failed(s)
    s.line[REACTOR_FILES] += 1
    s.line[REACTOR_BODY_FILES] += 1
    u.received = length
    return REASON_NONE if sw_write_all(u.fd, data, length, 0) else _spool_failed(s)


cdef uint64_t body_so_far(State *s, Conn *c) noexcept nogil:
    """Body bytes received."""
    if c.upload != NULL:
        return c.upload.received
    return c.body_at - (<sw_block *>sw_blocks_at(&s.blocks, c.block)).body_off
