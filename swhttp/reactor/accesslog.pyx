"""The access log's lines: one for each request that was answered, or that lost its client.

It owns what a line says and how (accessparts.pyx holds the format ready), and the reactor's end of the ring that the
writer empties (logring.h). CONN_LOGGED says that a request has its line, or will have it with those of this turn: what
the workers have answered is noted, its request block kept, and the lines are made one after the other when all answers
are out, or SW_LOG_ANSWERS of them. So the code and the tables for lines push those for sockets out of the caches once a
turn, and not for each request, which costs more than the lines themselves. All other lines are made where the request
ends, after those that are noted; and a connection that ends has these made first, as the next one may take over its
row.

It never waits: when the ring is full a line is dropped and counted. It never looks at a socket. Runs without the GIL,
and costs nothing but a look at a pointer when there is no log.

What the client or the app has a say in is escaped, and has its share of the line (`field_bytes`): so one request is
one line, whatever is in it.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memchr, memcmp, memcpy, memset

from swhttp.ipc.blocks cimport SW_NO_BLOCK, sw_blocks_at, sw_blocks_give
from swhttp.ipc.frame cimport sw_block, sw_block_client, sw_header
from swhttp.ipc.scoreboard cimport REACTOR_BLOCKS, REACTOR_LOG_DROPPED
from swhttp.ipc.sessions cimport sw_address
from swhttp.reactor.logline cimport (LOG_BARE_QUERY, LOG_BYTES, LOG_BYTES_OR_DASH, LOG_CLIENT, LOG_CONNECTION,
                                     LOG_DURATION_DECIMAL, LOG_DURATION_MS, LOG_DURATION_S, LOG_DURATION_US, LOG_HOST,
                                     LOG_KEPT_ALIVE, LOG_LOCAL, LOG_LOCAL_PORT, LOG_METHOD, LOG_MICROSECONDS,
                                     LOG_MILLISECONDS, LOG_MILLI_PART, LOG_PATH, LOG_PID, LOG_PROTOCOL, LOG_QUERY,
                                     LOG_REMOTE_PORT, LOG_REQUEST, LOG_REQUEST_FIELD, LOG_RESPONSE_FIELD, LOG_SECONDS,
                                     LOG_STATUS, LOG_TEXT, LOG_TIME, LOG_TIME_UTC, LOG_WIRE_BYTES, SW_LOG_LONGEST_NAME,
                                     SW_LOG_SLACK, sw_access_log, sw_log_answer, sw_log_digits, sw_log_escape,
                                     sw_log_found, sw_log_is_name, sw_log_name, sw_log_number, sw_log_offset_ns,
                                     sw_log_part, sw_log_prefetch, sw_log_publish, sw_log_rewind, sw_log_tail,
                                     sw_log_text, sw_log_time_text)
from swhttp.reactor.state cimport (CONN_BODY_OPEN, CONN_CUT, CONN_HTTP10, CONN_KEEP_ALIVE, CONN_LOGGED, STAGE_FREE,
                                   STAGE_GONE, STAGE_HEAD, STAGE_IDLE, STAGE_LINGER)

from swhttp import limits

cdef uint32_t FIELD_BYTES = limits.ACCESS_FIELD_BYTES
# Padded, as sw_log_text has it.
cdef const unsigned char *HTTP10 = <const unsigned char *><const char *>b" HTTP/1.0\0\0\0\0\0\0\0"
cdef const unsigned char *HTTP11 = <const unsigned char *><const char *>b" HTTP/1.1\0\0\0\0\0\0\0"
cdef const unsigned char *COMMA = <const unsigned char *><const char *>b", "

cdef enum:
    SECOND_NS = 1000000000


cdef struct Line:            # what a line is made from
    State *s
    sw_access_log *log
    const sw_log_answer *answer
    sw_block *block          # NULL: the head was refused before it had a target, or was never whole
    const unsigned char *head  # then: as much of the request line as has come
    uint32_t head_bytes
    uint64_t took_ns
    uint64_t began_ns        # since the epoch
    uint64_t ends_ns
    sw_log_found found[16]


# ---- what is known of a request ----

cdef const char *_client(Line *line, uint32_t *length, uint16_t *port) noexcept nogil:
    """Who asked, as text: whom a proxy that is believed has named, else who connected. A client of a unix socket has no
    address: then NULL."""
    cdef sw_address *address = &line.s.sessions[line.answer.row].address
    cdef const char *named = NULL
    if line.block != NULL:
        length[0] = sw_block_client(line.block, &named, port)
        if length[0] > 0:
            return named
    length[0] = address.peer_len
    port[0] = address.peer_port
    return &address.peer[0] if address.peer_len > 0 else NULL


cdef void _find(Line *line) noexcept nogil:
    """Look for the wanted fields of the request, all in one pass. Names are lower case already."""
    cdef sw_access_log *log = line.log
    cdef const unsigned char *at = <const unsigned char *>line.block + line.block.headers_off
    cdef const unsigned char *end = at + line.block.headers_len
    cdef const sw_header *record
    cdef uint32_t length
    cdef int i
    while at < end:
        record = <const sw_header *>at
        length = record.name_len
        if log.name_lengths >> (length if length < SW_LOG_LONGEST_NAME else SW_LOG_LONGEST_NAME) & 1:
            for i in range(log.name_count):
                if log.names[i].length == length and memcmp(log.names[i].text, at + sizeof(sw_header), length) == 0:
                    if line.found[i].found:
                        line.found[i].again = 1
                        continue
                    line.found[i].found = 1
                    line.found[i].value = at + sizeof(sw_header) + length
                    line.found[i].length = record.value_len
        at += sizeof(sw_header) + length + record.value_len


cdef void _raw_head(Line *line, Conn *c) noexcept nogil:
    """As much of a request line as there is of one that we could not read."""
    cdef const unsigned char *end
    cdef uint32_t length = c.input_to - c.input_from
    if c.input == NULL or length <= c.head_at:
        return
    line.head = c.input + c.input_from + c.head_at
    length -= c.head_at
    end = <const unsigned char *>memchr(line.head, 10, length)
    if end != NULL:
        length = <uint32_t>(end - line.head)
    if length > 0 and line.head[length - 1] == 13:
        length -= 1
    line.head_bytes = length


cdef uint32_t access_head_bytes(Conn *c, uint32_t length) noexcept nogil:
    """How much of a refused head, of which `length` bytes are there, must be kept for its line."""
    return c.head_at + FIELD_BYTES if length > c.head_at + FIELD_BYTES else length


cdef bint access_wants_head(State *s, Conn *c) noexcept nogil:
    """Are the raw bytes of a refused head all there is to tell what was asked? They are those of a body when the
    request is with a worker, or has its line."""
    return not c.flags & (CONN_BODY_OPEN | CONN_LOGGED) and (
        c.block == SW_NO_BLOCK or sw_blocks_at(&s.blocks, c.block).target_len == 0)


# ---- fields of the response ----

cdef void access_head(State *s, Conn *c, const unsigned char *head, const unsigned char *end) noexcept nogil:
    """Keep what the format wants of a response head, as it goes out. Without memory for that it is not there."""
    cdef sw_access_log *log = s.access
    cdef const unsigned char *lines[16]
    cdef uint16_t lengths[16]
    cdef const unsigned char *at = head
    cdef const unsigned char *stop
    cdef size_t room = 0, length
    cdef int i
    if log.out_count == 0:
        return
    memset(lines, 0, sizeof(lines))
    while at < end:
        stop = <const unsigned char *>memchr(at, 10, end - at)
        if stop == NULL:
            break
        for i in range(log.out_count):
            length = log.outs[i].length
            if lines[i] == NULL and <size_t>(stop - at) > length and at[length] == 58 \
                    and sw_log_is_name(at, &log.outs[i]):
                lines[i] = at + length + 1
                while lines[i] < stop and (lines[i][0] == 32 or lines[i][0] == 9):
                    lines[i] += 1
                length = stop - lines[i]
                while length > 0 and (lines[i][length - 1] == 13 or lines[i][length - 1] == 32
                                      or lines[i][length - 1] == 9):
                    length -= 1
                # One byte more than can be written, so that it shows.
                lengths[i] = <uint16_t>(length if length <= log.field_bytes else log.field_bytes + 1)
                room += sizeof(uint16_t) + lengths[i]
        at = stop + 1
    # One record for each name: | length + 1 u16, 0: there is none | value |
    free(c.log_fields)
    c.log_fields = <unsigned char *>malloc(room + <size_t>log.out_count * sizeof(uint16_t))
    if c.log_fields == NULL:
        return
    room = 0
    for i in range(log.out_count):
        length = lengths[i] + 1 if lines[i] != NULL else 0
        (<uint16_t *>(c.log_fields + room))[0] = <uint16_t>length
        room += sizeof(uint16_t)
        if length > 1:
            memcpy(c.log_fields + room, lines[i], length - 1)
            room += (length - 1 + 1) & ~<size_t>1


# ---- lines ----

cdef inline unsigned char *_constant(unsigned char *p, const unsigned char *limit, const unsigned char *text,
                                     uint32_t length, bint *full) noexcept nogil:
    """Append a text that needs no escape, as far as it fits: all of it, mostly."""
    if limit - p >= length:
        return sw_log_text(p, text, length)
    return sw_log_escape(p, limit, text, length, False, full)


cdef unsigned char *_value(Line *line, unsigned char *p, const sw_log_part *part) noexcept nogil:
    """Write one value: `-`, or null, when there is none."""
    cdef sw_access_log *log = line.log
    cdef sw_block *block = line.block
    cdef const unsigned char *base = <const unsigned char *>block
    cdef const unsigned char *text = NULL
    cdef const unsigned char *limit = p + log.field_bytes - 4  # three dots and a quote
    cdef unsigned char *start = p
    cdef uint32_t length = 0, i
    cdef uint16_t port = 0
    cdef uint8_t kind = part.kind
    cdef bint json = log.json
    cdef bint full = False
    if kind == LOG_CLIENT:
        text = <const unsigned char *>_client(line, &length, &port)
    elif kind == LOG_REQUEST:
        if block != NULL:
            if json:
                p[0] = 34
                p += 1
            p = sw_log_escape(p, limit, base + sizeof(sw_block), block.method_len, json, &full)
            if not full:
                p = _constant(p, limit, HTTP11, 1, &full)
            if not full:
                p = sw_log_escape(p, limit, base + sizeof(sw_block) + block.method_len, block.target_len, json, &full)
            if not full:
                p = _constant(p, limit, HTTP10 if line.answer.flags & CONN_HTTP10 else HTTP11, 9, &full)
            return _value_end(p, json, full)
        text = line.head
        length = line.head_bytes
        if length == 0:
            text = NULL
    elif kind == LOG_REQUEST_FIELD or kind == LOG_HOST:
        text = line.found[part.index].value
        length = line.found[part.index].length
        if kind == LOG_HOST and text != NULL:
            for i in range(length):  # up to the port; a colon in brackets is the address's
                if text[i] == 58 and text[0] != 91 or i > 0 and text[i - 1] == 93:
                    length = i
                    break
        elif line.found[part.index].again:
            return _joined(line, p, limit, part)
        if length == 0:
            text = NULL
    elif kind == LOG_RESPONSE_FIELD:
        text = _kept(line.answer.fields, part.index, &length)
    elif kind == LOG_LOCAL:
        if line.s.sessions[line.answer.row].address.local_len > 0:
            length = line.s.sessions[line.answer.row].address.local_len
            text = <const unsigned char *>&line.s.sessions[line.answer.row].address.local[0]
    elif block != NULL:
        if kind == LOG_METHOD:
            text, length = base + sizeof(sw_block), block.method_len
        elif kind == LOG_PATH:
            if block.path_len > 0:
                text, length = base + block.path_off, block.path_len
        elif kind == LOG_PROTOCOL:
            text = (HTTP10 if line.answer.flags & CONN_HTTP10 else HTTP11) + 1
            length = 8
        elif kind == LOG_QUERY:  # nothing, rather than a dash: it stands behind the path
            if block.query_off > 0:
                text, length = base + block.query_off - 1, block.query_len + 1
            elif not json:
                return start
        elif kind == LOG_BARE_QUERY:
            if block.query_off > 0:
                text, length = base + block.query_off, block.query_len
            if length == 0 and not json:
                return start
    if text == NULL:
        if json:
            memcpy(p, b"null", 4)
            return p + 4
        if kind == LOG_CLIENT or kind == LOG_LOCAL:
            memcpy(p, b"::", 2)  # RFC 4291 §2.5.2: there is no address. Readers of logs want one here.
            return p + 2
        p[0] = 45
        return p + 1
    if json:
        p[0] = 34
        p += 1
    p = sw_log_escape(p, limit, text, length, json, &full)
    return _value_end(p, json, full)


cdef unsigned char *_value_end(unsigned char *p, bint json, bint full) noexcept nogil:
    if full:
        memcpy(p, b"...", 3)
        p += 3
    if json:
        p[0] = 34
        p += 1
    return p


cdef unsigned char *_joined(Line *line, unsigned char *p, const unsigned char *limit,
                            const sw_log_part *part) noexcept nogil:
    """A field that stands in several lines is one list (RFC 9110 §5.2)."""
    cdef const sw_log_name *name = &line.log.names[part.index]
    cdef const unsigned char *at = <const unsigned char *>line.block + line.block.headers_off
    cdef const unsigned char *end = at + line.block.headers_len
    cdef const sw_header *record
    cdef bint json = line.log.json
    cdef bint full = False, first = True
    if json:
        p[0] = 34
        p += 1
    while at < end and not full:
        record = <const sw_header *>at
        if record.name_len == name.length and memcmp(name.text, at + sizeof(sw_header), name.length) == 0:
            if not first:
                p = sw_log_escape(p, limit, COMMA, 2, json, &full)
            first = False
            if not full:
                p = sw_log_escape(p, limit, at + sizeof(sw_header) + name.length, record.value_len, json, &full)
        at += sizeof(sw_header) + record.name_len + record.value_len
    return _value_end(p, json, full)


cdef const unsigned char *_kept(const unsigned char *at, int index, uint32_t *length) noexcept nogil:
    """A field of the response head, of those that were kept. NULL: it has none."""
    cdef uint32_t here
    if at == NULL:
        return NULL
    while True:
        here = (<const uint16_t *>at)[0]
        at += sizeof(uint16_t)
        if index == 0:
            length[0] = here - 1
            return at if here > 1 else NULL
        index -= 1
        if here > 1:
            at += here & ~<uint32_t>1


cdef unsigned char *_number(Line *line, unsigned char *p, uint8_t kind) noexcept nogil:
    cdef sw_address *address = &line.s.sessions[line.answer.row].address
    cdef uint64_t number = 0
    cdef uint32_t length
    cdef uint16_t port = 0
    if kind == LOG_STATUS:
        number = <uint64_t>line.answer.status
    elif kind == LOG_BYTES or kind == LOG_BYTES_OR_DASH:
        number = line.answer.body_bytes
    elif kind == LOG_WIRE_BYTES:
        number = line.answer.wire_bytes
    elif kind == LOG_DURATION_US:
        number = line.took_ns // 1000
    elif kind == LOG_DURATION_MS:
        number = line.took_ns // 1000000
    elif kind == LOG_DURATION_S:
        number = line.took_ns // SECOND_NS
    elif kind == LOG_DURATION_DECIMAL:
        p = sw_log_number(p, line.took_ns // SECOND_NS)
        p[0] = 46
        return sw_log_digits(p + 1, <uint32_t>(line.took_ns % SECOND_NS // 1000), 6)
    elif kind == LOG_PID:
        number = <uint64_t>line.answer.pid
    elif kind == LOG_KEPT_ALIVE:
        number = line.answer.served
    elif kind == LOG_CONNECTION:
        p[0] = 88 if line.answer.flags & CONN_CUT else 43 if line.answer.flags & CONN_KEEP_ALIVE else 45
        return p + 1
    elif kind == LOG_LOCAL_PORT:
        number = address.local_port
    elif kind == LOG_REMOTE_PORT:
        _client(line, &length, &port)
        number = port
    if number == 0 and (kind == LOG_BYTES_OR_DASH or kind == LOG_PID or kind == LOG_LOCAL_PORT
                        or kind == LOG_REMOTE_PORT):
        if line.log.json:
            memcpy(p, b"null", 4)
            return p + 4
        p[0] = 45
        return p + 1
    return sw_log_number(p, number)


cdef unsigned char *_time(Line *line, unsigned char *p, const sw_log_part *part) noexcept nogil:
    cdef uint64_t at_ns = line.ends_ns if part.ends else line.began_ns
    if part.kind == LOG_TIME or part.kind == LOG_TIME_UTC:
        return sw_log_time_text(p, &line.log.times[part.index], <int64_t>(at_ns // SECOND_NS))
    if part.kind == LOG_SECONDS:
        return sw_log_number(p, at_ns // SECOND_NS)
    if part.kind == LOG_MILLISECONDS:
        return sw_log_number(p, at_ns // 1000000)
    if part.kind == LOG_MICROSECONDS:
        return sw_log_number(p, at_ns // 1000)
    if part.kind == LOG_MILLI_PART:
        return sw_log_digits(p, <uint32_t>(at_ns % SECOND_NS // 1000000), 3)
    return sw_log_digits(p, <uint32_t>(at_ns % SECOND_NS // 1000), 6)


cdef bint _room(State *s, sw_access_log *log) noexcept nogil:
    """Is there room for the longest line? What the writer has read is looked up only when it matters."""
    if log.own - log.peer + log.line_bytes + SW_LOG_SLACK <= log.ring.size:
        return True
    log.peer = sw_log_tail(log.ring)
    return log.own - log.peer + log.line_bytes + SW_LOG_SLACK <= log.ring.size


cdef void _line(Line *line, const sw_log_answer *answer) noexcept nogil:
    """Make a line, and give back what was kept for it, all but its block."""
    cdef State *s = line.s
    cdef sw_access_log *log = line.log
    cdef unsigned char *start
    cdef unsigned char *p
    cdef const sw_log_part *part
    cdef const sw_log_part *end = &log.parts[log.part_count]
    cdef uint64_t since_ns = answer.since_ns
    cdef int i
    if not _room(s, log):
        s.line[REACTOR_LOG_DROPPED] += 1
        free(answer.fields)
        return
    line.answer = answer
    for i in range(log.name_count):
        line.found[i].value = NULL
        line.found[i].length = 0
        line.found[i].found = line.found[i].again = 0
    if line.block != NULL:
        if line.block.ready_ns != 0:
            since_ns = line.block.ready_ns
        if log.name_count > 0:
            _find(line)
    line.took_ns = s.now_ns - since_ns if s.now_ns > since_ns else 0
    line.ends_ns = s.now_ns + <uint64_t>log.offset_ns
    line.began_ns = line.ends_ns - line.took_ns
    if log.own == log.published:
        log.at = sw_log_rewind(log.ring, log.own)
    start = p = log.ring.data + log.at
    part = &log.parts[0]
    while part < end:
        if part.kind == LOG_TEXT:
            p = sw_log_text(p, part.text, part.length)
        elif part.kind < LOG_TIME:
            p = _value(line, p, part)
        elif part.kind < LOG_STATUS:
            p = _time(line, p, part)
        else:
            p = _number(line, p, part.kind)
        part += 1
    log.own += p - start
    log.at += p - start
    if log.at >= log.ring.size:
        log.at -= log.ring.size
        memcpy(log.ring.data, log.ring.data + log.ring.size, log.at)
    free(answer.fields)


cdef void _begin(State *s, Line *line) noexcept nogil:
    """Before one or more lines."""
    cdef sw_access_log *log = s.access
    line.s = s
    line.log = log
    line.block = NULL
    line.head = NULL
    line.head_bytes = 0
    if log.clock_s != s.date_s:
        log.clock_s = s.date_s
        log.offset_ns = sw_log_offset_ns()


cdef void _alone(State *s, Conn *c, const sw_log_answer *answer) noexcept nogil:
    """Make the line of `c` at once."""
    cdef Line line
    access_lines(s)
    _begin(s, &line)
    if c.block != SW_NO_BLOCK:
        line.block = sw_blocks_at(&s.blocks, c.block)
        if line.block.target_len == 0:
            line.block = NULL
    if line.block == NULL:
        _raw_head(&line, c)
    _line(&line, answer)


cdef void access_refused(State *s, Conn *c) noexcept nogil:
    """An answer of our own has been put out."""
    cdef sw_log_answer answer
    access_note(c, &answer)
    _alone(s, c, &answer)


cdef void access_accepted(State *s, Conn *c) noexcept nogil:
    """A WebSocket is open: it has its line now, while its request is still there."""
    access_refused(s, c)


cdef void access_lost(State *s, Conn *c) noexcept nogil:
    """The connection ends. If its response is not whole, or there is none, it has its line now: what has left
    counts."""
    cdef sw_log_answer answer
    access_lines(s)
    if c.flags & CONN_LOGGED or c.stage == STAGE_IDLE or c.stage == STAGE_FREE or c.stage == STAGE_GONE:
        return
    if c.stage == STAGE_LINGER:
        return  # no TLS came about, so nothing was asked; whoever else lingers has its line
    if c.stage == STAGE_HEAD and c.input_to - c.input_from <= c.head_at:
        return  # nothing but empty lines
    access_note(c, &answer)
    answer.wire_bytes = c.sent_bytes
    answer.body_bytes = 0
    if c.status == 0 or c.sent_bytes == 0:
        answer.status = CLIENT_GONE
    elif c.body_bytes > c.out_bytes:
        answer.body_bytes = c.body_bytes - c.out_bytes
    answer.flags |= CONN_CUT
    _alone(s, c, &answer)


cdef void access_lines(State *s) noexcept nogil:
    """Make the lines of the answers that are noted, and give their blocks back."""
    cdef sw_access_log *log = s.access
    cdef sw_log_answer *answer
    cdef Line line
    cdef int i
    if s.access_answers == 0:
        return
    _begin(s, &line)
    for i in range(s.access_answers):
        if i + 2 < s.access_answers:
            answer = &log.answers[i + 2]
            sw_log_prefetch(sw_blocks_at(&s.blocks, answer.block), &s.sessions[answer.row])
        answer = &log.answers[i]
        line.block = sw_blocks_at(&s.blocks, answer.block)
        _line(&line, answer)
        sw_blocks_give(&s.blocks, answer.block, answer.block_class)
    s.access_answers = 0
    s.line[REACTOR_BLOCKS] = s.blocks.in_use


cdef void access_publish(State *s) noexcept nogil:
    """Let the writer have the lines of this turn."""
    cdef sw_access_log *log = s.access
    access_lines(s)
    if log.own != log.published:
        log.published = log.own
        sw_log_publish(log.ring, log.bell, log.own)


# ---- for tests ----

def escaped(bytes value, bint json, int most):
    """`value` as a line has it, with at most `most` bytes. Returns it, and whether all of it is there."""
    cdef bytearray room = bytearray(most + SW_LOG_SLACK)
    cdef unsigned char *start = room
    cdef bint full = False
    cdef unsigned char *end = sw_log_escape(start, start + most, value, len(value), json, &full)
    return bytes(room[:end - start]), not full
