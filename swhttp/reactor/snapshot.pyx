"""What is in flight, for `swhttp requests`: a copy of the oldest requests that workers have or that wait for one.

The main thread owns the memory (swhttp.reactor.reactors), hands it over by mail, and gets it back by mail: in between
only the reactor touches it. So there is no lock, and a request pays nothing for being listed one day. It is bounded in
rows and in the bytes of each. It never changes what it looks at. Runs without the GIL (phase 3).

The lists of a reactor (one a worker, and those that wait) are oldest first but for requests that were posted again, so
they are merged by their heads.
"""

from libc.string cimport memcpy

from swhttp.ipc.frame cimport sw_block, sw_block_client
from swhttp.ipc.request_table cimport SW_REQUEST_QUEUED, sw_request_index, sw_request_state
from swhttp.ipc.scoreboard cimport REACTOR_IN_FLIGHT
from swhttp.reactor.connection cimport conn_request
from swhttp.reactor.state cimport CONN_HEAD_SENT, CONN_REFUSED, STAGE_GONE, STAGE_WAITING, Conn

from swhttp import limits

cdef enum:
    MOST_LISTS = 1025        # two a slot, and one

assert MOST_LISTS == 2 * limits.MAX_SLOTS + 1
assert (SNAPSHOT_METHOD_BYTES, SNAPSHOT_TARGET_BYTES) == (limits.SNAPSHOT_METHOD_BYTES, limits.SNAPSHOT_TARGET_BYTES)


cdef uint32_t _copy(char *to, const char *what, uint32_t length, uint32_t most) noexcept nogil:
    if length > most:
        length = most
    memcpy(to, what, length)
    return length


cdef int _state(State *s, Conn *c) noexcept nogil:
    if c.stage == STAGE_WAITING:
        return SNAPSHOT_WAITING
    if c.stage == STAGE_GONE or c.flags & CONN_REFUSED:
        return SNAPSHOT_ABANDONED
    if sw_request_state(&s.links[c.slot].table[sw_request_index(c.request_id)], c.request_id) == SW_REQUEST_QUEUED:
        return SNAPSHOT_QUEUED
    return SNAPSHOT_ANSWERING if c.flags & CONN_HEAD_SENT else SNAPSHOT_TAKEN


cdef void _fill(State *s, Conn *c, SnapshotRow *row) noexcept nogil:
    cdef const sw_block *block = conn_request(s, c)
    cdef const char *text = <const char *>block + sizeof(sw_block)
    cdef const char *client = NULL
    cdef uint32_t length
    row.ready_ns = block.ready_ns
    row.state = <uint8_t>_state(s, c)
    row.slot = -1 if row.state == SNAPSHOT_WAITING else c.slot
    row.pid = c.pid
    row.method_bytes = <uint8_t>_copy(row.method, text, block.method_len, SNAPSHOT_METHOD_BYTES)
    row.target_whole = block.target_len
    row.target_bytes = <uint16_t>_copy(row.target, text + block.method_len, block.target_len, SNAPSHOT_TARGET_BYTES)
    length = sw_block_client(block, &client, &row.client_port)
    if length == 0:
        client = &s.sessions[c.row].address.peer[0]
        length = s.sessions[c.row].address.peer_len
        row.client_port = s.sessions[c.row].address.peer_port
    row.client_bytes = <uint16_t>_copy(row.client, client, length, SNAPSHOT_CLIENT_BYTES)


cdef void snapshot_take(State *s, Snapshot *snapshot) noexcept nogil:
    """Fill in as many rows as there is room for, oldest first."""
    cdef Conn *heads[MOST_LISTS]
    cdef int count = 0, i, oldest
    for i in range(s.slots):
        if s.links[i].first != NULL:
            heads[count] = s.links[i].first
            count += 1
        if s.links[i].waiting_first != NULL:
            heads[count] = s.links[i].waiting_first
            count += 1
    if s.waiting_first != NULL:
        heads[count] = s.waiting_first
        count += 1
    snapshot.there_were = <uint32_t>s.line[REACTOR_IN_FLIGHT] + s.waiting_count
    snapshot.count = 0
    while count > 0 and snapshot.count < snapshot.room:
        oldest = 0
        for i in range(1, count):
            if conn_request(s, heads[i]).ready_ns < conn_request(s, heads[oldest]).ready_ns:
                oldest = i
        _fill(s, heads[oldest], &snapshot.rows[snapshot.count])
        snapshot.count += 1
        heads[oldest] = heads[oldest].next
        if heads[oldest] == NULL:
            count -= 1
            heads[oldest] = heads[count]
