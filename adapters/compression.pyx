"""Which responses are compressed, what that does to their heads, and a body on its way through a coder.

It owns the decision, made once, when the first body bytes are there and the head is not yet published, and the edit of
that head. It never publishes anything (the exchange does), and never sees a response that is not the app's.

A response is compressed when all of this is so (RFC 9110 §8.4, §12.5.3; RFC 9111 §5.2.2.6):

 * its Content-Type is one of --compress-types, and its body, if its length is known, no shorter than
   --compress-min-bytes;
 * its head has no Content-Encoding, no Content-Range, no digest of its bytes nor the promise of one in the trailers
   (Trailer), no `Cache-Control: no-transform`;
 * its client accepts one of the codings, and no more than `most` bodies are being compressed in this worker, nor more
   memory taken for it than `most_bytes`.

What then changes in the head: Content-Encoding comes; Content-Length and Accept-Ranges go; a strong ETag becomes weak,
because the octets are not those that it names. If all is so but the last point, only Vary changes: it has
Accept-Encoding in each response that another client might get in another form, a 304 and a part (206) of one included.
"""

from libc.stdint cimport int64_t, uint16_t, uint64_t
from libc.string cimport memchr, memmove

from cpython.bytearray cimport PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

from swhttp.adapters.cache cimport CacheRow
from swhttp.adapters.octets cimport sw_equals_lower
from swhttp.ipc.frame cimport SW_NO_LENGTH, sw_header

from swhttp import compressing, limits
from swhttp.adapters import accepting, coders, mediatypes

cdef enum:
    ROOM = 160  # what the edit may add to a head, a new Content-Length included

cdef enum Kind:
    OTHER
    CONTENT_TYPE
    CONTENT_LENGTH
    ACCEPT_RANGES
    CACHE_CONTROL
    ETAG
    VARY
    CONTENT_RANGE
    TRAILER
    FORBIDS       # its mere presence


cdef struct Line:
    size_t at         # of its name
    size_t name_len
    size_t value_at
    size_t value_len
    size_t end        # of the next line


cdef bint _next_line(Head head, Line *line) noexcept:
    """Go on to the next field line, from `line.end` on. Lines are as Head writes them: `name: value` CRLF."""
    cdef const unsigned char *at = head.data + line.end
    cdef const unsigned char *colon
    cdef const unsigned char *newline
    if line.end >= head.length:
        return False
    newline = <const unsigned char *>memchr(at, 10, head.length - line.end)
    colon = <const unsigned char *>memchr(at, 58, newline - at)
    line.at = line.end
    line.name_len = colon - at
    line.value_at = line.at + line.name_len + 2
    line.end = line.at + (newline - at) + 1
    line.value_len = line.end - 2 - line.value_at
    return True


cdef size_t _first_line(Head head) noexcept:
    """Where the field lines begin, behind the status line."""
    return <const unsigned char *>memchr(head.data, 10, head.length) - head.data + 1


cdef Kind _kind(const unsigned char *name, size_t length) noexcept:
    if length == 4:
        if sw_equals_lower(name, b"etag", 4):
            return ETAG
        if sw_equals_lower(name, b"vary", 4):
            return VARY
    elif length == 6:
        if sw_equals_lower(name, b"digest", 6):
            return FORBIDS
    elif length == 7:
        if sw_equals_lower(name, b"trailer", 7):
            return TRAILER
    elif length == 11:
        if sw_equals_lower(name, b"repr-digest", 11) or sw_equals_lower(name, b"content-md5", 11):
            return FORBIDS
    elif length == 12:
        if sw_equals_lower(name, b"content-type", 12):
            return CONTENT_TYPE
    elif length == 13:
        if sw_equals_lower(name, b"cache-control", 13):
            return CACHE_CONTROL
        if sw_equals_lower(name, b"accept-ranges", 13):
            return ACCEPT_RANGES
        if sw_equals_lower(name, b"content-range", 13):
            return CONTENT_RANGE
    elif length == 14:
        if sw_equals_lower(name, b"content-length", 14):
            return CONTENT_LENGTH
        if sw_equals_lower(name, b"content-digest", 14):
            return FORBIDS
    elif length == 16:
        if sw_equals_lower(name, b"content-encoding", 16):
            return FORBIDS
    return OTHER


cdef bytes _value(Head head, const Line *line):
    return PyBytes_FromStringAndSize(<const char *>head.data + line.value_at, line.value_len)


cdef int _edit(Head head, str coding, bint weakens, bint varies) except -1:
    """Make the head that of a body in `coding` (None: as it is). `weakens`: its ETag becomes weak; `varies`: its Vary
    gets Accept-Encoding."""
    cdef Line line
    cdef size_t kept, length
    cdef Kind kind
    cdef bint stays
    cdef bytes tag = None
    cdef list vary = []
    line.end = kept = _first_line(head)
    while _next_line(head, &line):
        kind = _kind(head.data + line.at, line.name_len)
        stays = True
        if kind == VARY and varies:
            vary.append(_value(head, &line))
            stays = False
        elif coding is not None and (kind == CONTENT_LENGTH or kind == ACCEPT_RANGES):
            stays = False
        elif weakens and kind == ETAG and line.value_len > 0 and head.data[line.value_at] == 34:  # weak ones have W
            tag = _value(head, &line)
            stays = False
        if stays:
            length = line.end - line.at
            memmove(head.data + kept, head.data + line.at, length)
            kept += length
    head.length = kept
    if varies:
        vary.append(b"Accept-Encoding")
        _add(head, b"vary", b", ".join(vary))
    if tag is not None:
        _add(head, b"etag", b"W/" + tag)
    if coding is not None:
        head.content_length = SW_NO_LENGTH
        _add(head, b"content-encoding", coding.encode())
    return 0


cdef bint _covers(bytes vary) except -1:
    """Does the value of a Vary say already that Accept-Encoding matters?"""
    cdef bytes lower = vary.lower()
    return b"accept-encoding" in lower or b"*" in lower


cdef bint _keeps(Kind kind, bytes value) except -1:
    """Does this value of Cache-Control or Trailer say that the bytes must stay those of the app?"""
    cdef bytes lower = value.lower()
    if kind == CACHE_CONTROL:
        return b"no-transform" in lower
    return b"digest" in lower or b"content-md5" in lower


cdef int _add(Head head, bytes name, bytes value) except -1:
    head.add(<const unsigned char *>PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name),
             <const unsigned char *>PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
    return 0


cdef bytes _request_field(const sw_block *block, const char *name, uint16_t name_len):
    """The value of a field of the request, of several joined by commas; None without one."""
    cdef const unsigned char *record = <const unsigned char *>block + block.headers_off
    cdef const sw_header *header
    cdef bytes found = None, value
    cdef int _nth
    for _nth in range(block.headers_count):
        header = <const sw_header *>record
        record += sizeof(sw_header)
        if header.name_len == name_len and sw_equals_lower(record, name, name_len):
            value = PyBytes_FromStringAndSize(<const char *>record + name_len, header.value_len)
            found = value if found is None else found + b"," + value
        record += header.name_len + header.value_len
    return found


cdef class Compression:
    """What one worker compresses. `settings`: a swhttp.compressing.Compressing; `most`: bodies at once. Raises
    ImportError."""

    def __init__(self, settings, int most=limits.MAX_PACKERS, uint64_t most_bytes=limits.MAX_PACKERS_BYTES):
        self.codings = settings.codings
        self.makers = {coding: coders.maker(coding, settings.level or compressing.USUAL[coding])
                       for coding in settings.codings}
        self.costs = {coding: coders.cost_bytes(coding, settings.level or compressing.USUAL[coding])
                      for coding in settings.codings}
        self.min_bytes = max(1, settings.min_bytes)
        self.types = mediatypes.MediaTypes(settings.types)
        self.known_types = Cache()
        self.known_clients = Cache()
        self.most = most
        self.most_bytes = most_bytes

    cdef str weigh(self, Head head, const sw_block *block, int64_t length, bint partial):
        """The coding in which a response goes: its head says so from here on. None: its body stays as it is.

        `length`: of the body, or SW_NO_LENGTH; `partial`: it is a part of one that may have been compressed as a whole.
        """
        cdef bint is_type = False, is_covered = False
        cdef str coding = None
        cdef Line line
        cdef Kind kind
        if (length != SW_NO_LENGTH and length < self.min_bytes and not partial) or head.length + ROOM > head.limit:
            return None
        line.end = _first_line(head)
        while _next_line(head, &line):
            kind = _kind(head.data + line.at, line.name_len)
            if kind == FORBIDS:
                return None
            if kind == CONTENT_TYPE:
                is_type = self._is_type(head.data + line.value_at, line.value_len)
                if not is_type:
                    return None
            elif kind == CACHE_CONTROL or kind == TRAILER:
                if _keeps(kind, _value(head, &line)):
                    return None
            elif kind == CONTENT_RANGE:
                partial = True
            elif kind == VARY:
                is_covered = is_covered or _covers(_value(head, &line))
        if not is_type:
            return None
        if not partial and self.active < self.most:
            coding = self._coding_for(block)
            if coding is not None and self.held_bytes + <uint64_t>self.costs[coding] > self.most_bytes:
                coding = None
        if coding is not None or not is_covered:
            _edit(head, coding, coding is not None, not is_covered)
        return coding

    cdef int weigh_revalidation(self, Head head, const sw_block *block) except -1:
        """A 304. It has the Vary that the 200 would have (RFC 9110 §15.4.5), as far as it shows what that is: most say
        no type. To a client that holds the compressed form, which has the weak ETag, it tells that one again."""
        cdef bytes held, tag = None
        cdef bint is_covered = False, weakens = False
        cdef Line line
        cdef Kind kind
        if head.length + ROOM > head.limit:
            return 0
        line.end = _first_line(head)
        while _next_line(head, &line):
            kind = _kind(head.data + line.at, line.name_len)
            if kind == FORBIDS:
                return 0
            if kind == CONTENT_TYPE:
                if not self._is_type(head.data + line.value_at, line.value_len):
                    return 0
            elif kind == CACHE_CONTROL:
                if _keeps(kind, _value(head, &line)):
                    return 0
            elif kind == ETAG:
                tag = _value(head, &line)
            elif kind == VARY:
                is_covered = is_covered or _covers(_value(head, &line))
        if tag is not None and tag.startswith(b'"'):
            held = _request_field(block, b"if-none-match", 13)
            weakens = held is not None and b"W/" + tag in held
        if weakens or not is_covered:
            _edit(head, None, weakens, not is_covered)
        return 0

    cdef Packer pack(self, str coding, int64_t length):
        """For a body in `coding`, of `length` bytes or SW_NO_LENGTH. It must be released."""
        cdef Packer packer = Packer.__new__(Packer)
        packer.coder = self.makers[coding](length)
        packer.out = bytearray()
        packer.compression = self
        packer.cost = self.costs[coding]
        self.active += 1
        self.held_bytes += packer.cost
        return packer

    cdef bint _is_type(self, const unsigned char *value, size_t length) except -1:
        cdef uint64_t hash
        cdef CacheRow *row = self.known_types.find(value, length, &hash)
        cdef bytes text
        if row != NULL:
            return <object>row.first is True
        text = PyBytes_FromStringAndSize(<const char *>value, length)
        answer = self.types.holds(text)
        self.known_types.keep(hash, text, answer, None, None)
        return answer

    cdef str _coding_for(self, const sw_block *block):
        cdef bytes field = _request_field(block, b"accept-encoding", 15)
        cdef uint64_t hash
        cdef CacheRow *row
        if field is None:
            return None
        row = self.known_clients.find(<const unsigned char *>PyBytes_AS_STRING(field), PyBytes_GET_SIZE(field), &hash)
        if row != NULL:
            return <object>row.first
        coding = accepting.choose(field, self.codings)
        self.known_clients.keep(hash, field, coding, None, None)
        return coding


cdef class Packer:
    """One body on its way through a coder."""

    cdef int feed(self, const unsigned char *data, Py_ssize_t length, int how) except -1:
        """Take body bytes. `how`: FEED_MORE, FEED_FLUSH or FEED_END."""
        cdef bytes piece = PyBytes_FromStringAndSize(<const char *>data, length)
        self.out += self.coder.feed(piece, how)
        self.ended = how == FEED_END
        return 0

    cdef Py_ssize_t waiting(self) noexcept:
        """Bytes that have come out and are not published."""
        return PyByteArray_GET_SIZE(self.out) - self.out_at

    cdef int taken(self, Py_ssize_t length) except -1:
        """So many of them are published now."""
        self.out_at += length
        if self.out_at == PyByteArray_GET_SIZE(self.out):
            PyByteArray_Resize(self.out, 0)
            self.out_at = 0
        return 0

    cdef int release(self) except -1:
        """It is needed no more, whether it has ended or not."""
        self.coder = None
        self.compression.active -= 1
        self.compression.held_bytes -= self.cost
        return 0
