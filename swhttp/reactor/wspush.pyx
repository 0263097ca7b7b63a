"""What anybody of ours says to sessions: push, broadcast, join, leave, end.

It owns the groups, and what becomes of a push for a client that is slow (`Ws.overflow`):

    drop     it is not sent
    close    the session ends, 1013
    block    it is sent; whoever pushes next sees in the session table that its client is slow, and waits. What others
             have under way by then is sent as well: no more than WS_PUSHER_BYTES each (swhttp.adapters.pusher). Who
             waits keeps to that, so past what all processes together may have the connection is cut: each slot's, and
             MAX_USER_PROCESSES of the user's. (Those that a user process forks push as well, and may be more.)

The word in the table is written before the room of what was pushed is given back in a worker's ring, and before the end
of a user process's packet shows there: who sees that it was read sees the word, too.

A broadcast is framed once, and compressed once for each set of parameters that its receivers have agreed upon: as a
message that refers to none before it, after which each receiver's own compression begins anew. It never trusts what it
reads: a session that is gone is no error (it may just have left), a verb that cannot be is one. Runs without the GIL,
but to compress and to broadcast.
"""

from libc.errno cimport ENOMEM, errno
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t, uint8_t
from libc.stdlib cimport realloc
from libc.string cimport memcpy, strlen

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

from swhttp.ipc.arena cimport sw_arena_at, sw_arena_give
from swhttp.ipc.frame cimport (EVENT_BUFFER_EMPTY, EVENT_WS_SESSION_SHM, SW_NO_LENGTH, SW_WS_BLOCK, SW_WS_BROADCAST,
                               SW_WS_CUT, SW_WS_DROP, SW_WS_END, SW_WS_JOIN, SW_WS_LEAVE, SW_WS_OVERFLOW,
                               SW_WS_POLICY_SHIFT, SW_WS_PUSH, SW_WS_SESSION_NEWS, SW_WS_VERB, sw_descriptor,
                               sw_shm_ref, sw_ws_session_generation, sw_ws_session_id, sw_ws_session_reactor,
                               sw_ws_session_row)
from swhttp.ipc.rfc6455 cimport (SW_CLOSE_TRY_AGAIN_LATER, SW_WS_BINARY, SW_WS_HEADER_BYTES, SW_WS_REASON_BYTES,
                                 SW_WS_TEXT, sw_close_code_is_sendable)
from swhttp.ipc.ring cimport sw_ring_publish, sw_ring_reserve
from swhttp.ipc.scoreboard cimport REACTOR_WS_DROPPED
from swhttp.ipc.sessions cimport SW_SESSION_BLOCKS, SW_SESSION_SLOW, sw_session_set_slow
from swhttp.reactor.connection cimport conn_close
from swhttp.reactor.state cimport SLOT_STAGED, SLOT_STOPPING, SLOT_UP, WS_OPEN, Ws
from swhttp.reactor.websocket cimport ws_after, ws_close, ws_no_memory, ws_warn
from swhttp.reactor.wsbytes cimport SW_UTF8_WHOLE, sw_utf8
from swhttp.reactor.wscodec cimport ws_header
from swhttp.reactor.wsdeflate cimport Deflation, ws_deflate_shared
from swhttp.reactor.wsgroups cimport (sw_ws_group, sw_ws_group_add, sw_ws_group_drop, sw_ws_group_find,
                                      sw_ws_group_get, sw_ws_membership)
from swhttp.reactor.wsoutput cimport wsout_close_later, wsout_push, wsout_shared

from swhttp import limits

cdef const char *TOO_SLOW = b"too slow"  # the reason of a Close
cdef uint64_t HIGH_WATER_BYTES = limits.HIGH_WATER_BYTES
cdef uint64_t PUSHER_BYTES = limits.WS_PUSHER_BYTES
cdef size_t COMPRESS_LEAST_BYTES = limits.WS_COMPRESS_LEAST_BYTES
cdef uint16_t MOST_GROUPS = limits.WS_GROUPS
cdef uint32_t MOST_NAME_BYTES = limits.WS_GROUP_NAME_BYTES
cdef uint32_t MOST_PUSH_BYTES = limits.WS_PUSH_BYTES

cdef enum:
    WINDOWS = 16             # sets of parameters: the window's bits


cdef Conn *_find(State *s, int64_t session) noexcept nogil:
    """The open session of this id, or NULL."""
    cdef uint64_t id = <uint64_t>session
    cdef uint32_t row = sw_ws_session_row(id)
    cdef Conn *c
    if session < 0 or sw_ws_session_reactor(id) != <uint32_t>s.index or row >= s.conns_used:
        return NULL
    c = &s.conns[row]
    if c.generation != sw_ws_session_generation(id) or c.fd < 0 or c.ws == NULL or c.ws.state != WS_OPEN:
        return NULL
    return c


# ---- groups ----

cdef bint _join(State *s, Conn *c, const unsigned char *name, uint32_t length) noexcept nogil:
    """Put it into a group, if it is not in too many. False: no memory."""
    cdef Ws *w = c.ws
    cdef sw_ws_group *group = sw_ws_group_get(&s.groups, name, length)
    cdef sw_ws_membership *memberships
    cdef uint16_t i, room
    if group == NULL:
        return False
    for i in range(w.membership_count):
        if w.memberships[i].group == group:
            return True
    if w.membership_count >= MOST_GROUPS:
        ws_warn(s, c, b"ws-too-many-groups")
        sw_ws_group_drop(&s.groups, group)
        return True
    if w.membership_count == w.membership_room:
        room = w.membership_room * 2 if w.membership_room else 2
        memberships = <sw_ws_membership *>realloc(w.memberships, room * sizeof(sw_ws_membership))
        if memberships == NULL:
            sw_ws_group_drop(&s.groups, group)
            return False
        w.memberships = memberships
        w.membership_room = room
    if not sw_ws_group_add(group, c, w.membership_count, &w.memberships[w.membership_count]):
        sw_ws_group_drop(&s.groups, group)
        return False
    w.membership_count += 1
    return True


cdef void _leave(State *s, Conn *c, uint16_t nth) noexcept nogil:
    """Out of its `nth` group: the last member takes its place there, its last membership that one's."""
    cdef Ws *w = c.ws
    cdef sw_ws_membership *left = &w.memberships[nth]
    cdef sw_ws_group *group = left.group
    cdef Conn *mover
    group.count -= 1
    if left.at != group.count:
        group.places[left.at] = group.places[group.count]
        mover = <Conn *>group.places[left.at].member
        mover.ws.memberships[group.places[left.at].nth].at = left.at
    sw_ws_group_drop(&s.groups, group)
    w.membership_count -= 1
    if nth != w.membership_count:
        left[0] = w.memberships[w.membership_count]
        left.group.places[left.at].nth = nth


cdef void wspush_leave_all(State *s, Conn *c) noexcept nogil:
    """It is in no group any more, and nobody waits for it."""
    while c.ws.membership_count > 0:
        _leave(s, c, c.ws.membership_count - 1)
    if c.ws.full:
        wspush_drained(s, c)


# ---- slow clients ----

cdef void wspush_tell(State *s, int slot, uint64_t session) noexcept nogil:
    """Wake those in a worker who wait for this session, or for any. In a full ring that is lost: who waits looks again
    then."""
    cdef SlotLink *link = &s.links[slot]
    cdef sw_descriptor *d
    if link.state != SLOT_UP and link.state != SLOT_STAGED and link.state != SLOT_STOPPING:
        return
    d = <sw_descriptor *>sw_ring_reserve(&link.requests, sizeof(sw_descriptor))
    if d != NULL:
        d.request_id = SW_WS_SESSION_NEWS | session
        d.block = 0
        d.type = EVENT_BUFFER_EMPTY
        d.flags = 0
        sw_ring_publish(&link.requests, sizeof(sw_descriptor))
    link.posted = 1


cdef void _show(State *s, Conn *c) noexcept nogil:
    """Let those who push see how it is with its client."""
    cdef uint32_t slow = SW_SESSION_BLOCKS if c.ws.overflow == SW_WS_BLOCK else 0
    if c.ws.full:
        slow |= SW_SESSION_SLOW
    sw_session_set_slow(&s.sessions[c.row], slow)


cdef void wspush_drained(State *s, Conn *c) noexcept nogil:
    """Its client has caught up, or is gone: those who wait for it go on."""
    cdef uint64_t session = sw_ws_session_id(<uint32_t>s.index, c.row, c.generation)
    cdef int slot
    if c.out_bytes + c.ws.held_bytes > HIGH_WATER_BYTES // 2 and c.fd >= 0 and c.ws.state == WS_OPEN:
        return
    c.ws.full = False
    _show(s, c)
    for slot in range(s.slots_used):
        wspush_tell(s, slot, session)


cdef bint _takes(State *s, Conn *c, int policy) noexcept nogil:
    """May another message be pushed to it? If not, `policy` has been followed."""
    if c.out_bytes + c.ws.held_bytes <= HIGH_WATER_BYTES:
        return True
    if policy == SW_WS_BLOCK:
        if c.out_held + c.ws.held_bytes <= HIGH_WATER_BYTES + s.pushers * PUSHER_BYTES:
            return True
        ws_warn(s, c, b"ws-push-overflow")
        conn_close(s, c)
        return False
    s.line[REACTOR_WS_DROPPED] += 1
    if policy == SW_WS_CUT:
        ws_close(s, c, SW_CLOSE_TRY_AGAIN_LATER, <const unsigned char *>TOO_SLOW, <uint32_t>strlen(TOO_SLOW))
        ws_after(s, c)
    return False


cdef void _pushed(State *s, Conn *c, bint sent) noexcept nogil:
    """It is on its way, if it could be sent at all; who pushes next may have to wait."""
    if not sent:
        if errno == ENOMEM:
            ws_warn(s, c, b"ws-no-memory")
        conn_close(s, c)
    elif not c.ws.full and c.out_bytes + c.ws.held_bytes > HIGH_WATER_BYTES:
        c.ws.full = True
        _show(s, c)


cdef void _push(State *s, Conn *c, int policy, uint8_t opcode, const unsigned char *data,
                size_t length) noexcept nogil:
    if _takes(s, c, policy):
        _pushed(s, c, wsout_push(s, c, opcode, data, length))


# ---- broadcast ----

cdef bytes _framed(uint8_t opcode, bint compressed, const unsigned char *data, size_t length):
    cdef unsigned char header[SW_WS_HEADER_BYTES]
    cdef int size = ws_header(header, opcode, True, compressed, length)
    return PyBytes_FromStringAndSize(<const char *>header, size) + PyBytes_FromStringAndSize(<const char *>data, length)


cdef void _broadcast(State *s, const unsigned char *name, uint32_t name_len, int64_t but, uint8_t opcode,
                     const unsigned char *data, size_t length) noexcept nogil:
    """Send it to every member here but one."""
    cdef sw_ws_group *group = sw_ws_group_find(&s.groups, name, name_len)
    cdef Conn *left_out = _find(s, but) if but != SW_NO_LENGTH else NULL
    if group == NULL:
        return
    with gil:
        try:
            _broadcast_framed(s, group, left_out, opcode, data, length)
        except MemoryError:
            s.line[REACTOR_WS_DROPPED] += group.count


cdef int _broadcast_framed(State *s, sw_ws_group *group, Conn *left_out, uint8_t opcode,
                           const unsigned char *data, size_t length) except -1:
    cdef list frames = [None] * WINDOWS  # compressed, by the window's bits
    cdef bytes plain = _framed(opcode, False, data, length)
    cdef bytes frame, packed
    cdef Deflation deflation
    cdef uint32_t i = group.count
    cdef int bits
    cdef Conn *c
    cdef bint sent
    while i > 0:  # those before `i` keep their places, whoever else is closed meanwhile
        i -= 1
        c = <Conn *>group.places[i].member
        if c == left_out or c.ws.state != WS_OPEN:
            continue
        # Nobody waits in a broadcast, or one slow client would hold up all: what it would wait for is dropped.
        if not _takes(s, c, SW_WS_CUT if c.ws.overflow == SW_WS_CUT else SW_WS_DROP):
            continue
        if c.ws.mid_message:
            sent = wsout_push(s, c, opcode, data, length)
        elif c.ws.deflation == NULL or length < COMPRESS_LEAST_BYTES:
            sent = wsout_shared(s, c, <const unsigned char *>PyBytes_AS_STRING(plain), PyBytes_GET_SIZE(plain))
        else:
            deflation = <Deflation>c.ws.deflation
            bits = deflation.server_bits
            if frames[bits] is None:
                packed = ws_deflate_shared(data, length, bits)
                frames[bits] = _framed(opcode, True, <const unsigned char *>PyBytes_AS_STRING(packed),
                                       PyBytes_GET_SIZE(packed))
            frame = <bytes>frames[bits]
            deflation.forget_deflate()
            sent = wsout_shared(s, c, <const unsigned char *>PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame))
        _pushed(s, c, sent)
    return 0


# ---- verbs ----

cdef bint _can_be(const sw_frame *frame, const unsigned char *body) noexcept nogil:
    """Would a process of ours say this?"""
    cdef int verb = frame.flags & SW_WS_VERB
    if verb == SW_WS_BROADCAST or verb == SW_WS_JOIN or verb == SW_WS_LEAVE:
        if frame.head_len == 0 or frame.head_len > MOST_NAME_BYTES:
            return False
    if verb == SW_WS_PUSH or verb == SW_WS_BROADCAST:
        if frame.status != SW_WS_TEXT and frame.status != SW_WS_BINARY or frame.body_len > MOST_PUSH_BYTES:
            return False
        return frame.status == SW_WS_BINARY or sw_utf8(SW_UTF8_WHOLE, body, frame.body_len) == SW_UTF8_WHOLE
    if verb == SW_WS_END:
        return (frame.body_len <= SW_WS_REASON_BYTES and sw_close_code_is_sendable(frame.status)
                and sw_utf8(SW_UTF8_WHOLE, body, frame.body_len) == SW_UTF8_WHOLE)
    return verb != SW_WS_OVERFLOW or frame.status <= SW_WS_BLOCK


cdef bint wspush_verb(State *s, int slot, const sw_frame *frame, const unsigned char *head,
                      const unsigned char *body) noexcept nogil:
    """Do what a frame says. `slot`: whose it is, -1: a user process's. False: no process of ours says such a thing."""
    cdef int verb = frame.flags & SW_WS_VERB
    cdef int64_t session = frame.content_length
    cdef uint8_t opcode = <uint8_t>frame.status
    cdef int policy = frame.flags >> SW_WS_POLICY_SHIFT
    cdef uint16_t i
    cdef sw_ws_group *group
    cdef Conn *c
    if not _can_be(frame, body):
        return False
    if verb == SW_WS_BROADCAST:
        _broadcast(s, head, frame.head_len, session, opcode, body, frame.body_len)
        return True
    c = _find(s, session)
    if c == NULL:
        return True
    if verb == SW_WS_PUSH:
        _push(s, c, policy - 1 if policy else c.ws.overflow, opcode, body, frame.body_len)
    elif verb == SW_WS_JOIN:
        if not _join(s, c, head, frame.head_len):
            ws_no_memory(s, c)
            ws_after(s, c)
    elif verb == SW_WS_LEAVE:
        group = sw_ws_group_find(&s.groups, head, frame.head_len)
        for i in range(c.ws.membership_count):
            if c.ws.memberships[i].group == group:
                _leave(s, c, i)
                break
    elif verb == SW_WS_END:
        c.ws.deaf = c.ws.calls  # a handler that closes does not want what has come since
        if c.ws.held_first != NULL:  # it comes after what was pushed before
            if not wsout_close_later(c, frame.status, body, frame.body_len):
                ws_no_memory(s, c)
                ws_after(s, c)
            return True
        ws_close(s, c, frame.status, body, frame.body_len)
        ws_after(s, c)
    else:  # SW_WS_OVERFLOW
        c.ws.overflow = <uint8_t>frame.status
        _show(s, c)
    return True


cdef bint wspush_frame(State *s, int slot, const sw_frame *frame, unsigned char *payload) noexcept nogil:
    """The same, of a frame in a worker's ring. False: it breaks the protocol."""
    cdef SlotLink *link = &s.links[slot]
    cdef sw_shm_ref block
    cdef unsigned char *body = payload + frame.head_len
    cdef bint good
    if frame.type != EVENT_WS_SESSION_SHM:
        return wspush_verb(s, slot, frame, payload, body)
    memcpy(&block, body, sizeof(block))
    body = sw_arena_at(&link.arena, block.block, frame.body_len)
    if body == NULL:
        return False
    good = wspush_verb(s, slot, frame, payload, body)
    sw_arena_give(&link.arena, block.block)
    return good
