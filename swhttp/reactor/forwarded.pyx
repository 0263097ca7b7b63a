"""What a trusted proxy says of the request that it passes on: X-Forwarded-* and Forwarded (RFC 7239).

It owns the grammar of these fields and the one decision in them: which entry is the client. It never asks whether the
peer is trusted (who calls has done that), never touches a connection, and changes nothing: `origin` does. Pure, without
the GIL; `read` is the door for tests.

Each proxy adds an entry at the right. So entries are believed from the right, as long as the node that the entry names
is trusted, too; the first that is not is the client, and whatever stands left of it was written by the client itself.
An entry that is no address ends the walk: the client is the last good one right of it, or the peer.

The same holds for scheme, host and port. X-Forwarded-Proto, -Host and -Port are lists without a tie to
X-Forwarded-For: a single value is of the proxy next to the client, or of the only one; a list as long as that of
X-Forwarded-For has its value where the client stands; otherwise the last one counts, which is of our peer. In Forwarded
they stand in the client's element, or else in the next one to the right that has them.

`auto` reads X-Forwarded-* when any of them is there, and Forwarded otherwise. Never both: a proxy that sets one of the
two passes the other on as the client wrote it, and the client would speak through it.
"""

from libc.stdint cimport int64_t
from libc.string cimport memcmp, memcpy, memset

from swhttp.ipc.frame cimport sw_header
from swhttp.reactor.grammar cimport sw_is_host, sw_is_tchar, sw_is_word, sw_list_next, sw_port
from swhttp.reactor.networks cimport SW_IP_TEXT, sw_ip_read, sw_ip_read_any, sw_ip_text, sw_networks_hold
from swhttp.reactor.system cimport AF_INET, AF_INET6
from swhttp.reactor.trusted cimport Trusted

from swhttp import limits
from swhttp.reactor.settings import FORWARDED_HEADERS

cdef enum:
    HOPS = 64
    NODE_BYTES = 128  # of a node of Forwarded, unquoted; an address and a port have at most 54
    PROTO_BYTES = 8

assert HOPS == limits.MAX_FORWARDED_HOPS and FORWARDED_HOST_BYTES == limits.MAX_FORWARDED_HOST_BYTES


cdef struct Span:
    const unsigned char *text   # NULL: not there
    uint32_t length

cdef struct Entries:            # of a list, the last HOPS; entry n stands at n % HOPS
    Span spans[HOPS]
    int64_t count               # all of them

cdef struct Element:            # of Forwarded; values as they stand, quoted or not
    Span node
    Span proto
    Span host

cdef struct Elements:
    Element elements[HOPS]
    int64_t count


cdef bint forwarded_is_name(const unsigned char *name, uint32_t length) noexcept nogil:
    """Is this field, its name in lower case, one of those that `forwarded_read` reads?"""
    if length == 9:
        return memcmp(name, b"forwarded", 9) == 0
    if length < 15 or memcmp(name, b"x-forwarded-", 12) != 0:
        return False
    return (length == 15 and memcmp(name + 12, b"for", 3) == 0
            or length == 17 and memcmp(name + 12, b"proto", 5) == 0
            or length == 16 and (memcmp(name + 12, b"host", 4) == 0 or memcmp(name + 12, b"port", 4) == 0))


# ---- values

cdef uint8_t _scheme(const unsigned char *text, uint32_t length) noexcept nogil:
    if sw_is_word(text, length, b"https") or sw_is_word(text, length, b"wss"):
        return SCHEME_HTTPS
    if sw_is_word(text, length, b"http") or sw_is_word(text, length, b"ws"):
        return SCHEME_HTTP
    return SCHEME_KEPT


cdef bint _is_hidden_port(const unsigned char *text, uint32_t length) noexcept nogil:
    """obfport = "_" 1*( ALPHA / DIGIT / "." / "_" / "-" )   (RFC 7239 §6.2)"""
    cdef uint32_t i
    if length < 2 or text[0] != 95:
        return False
    for i in range(1, length):
        if not (48 <= text[i] <= 57 or 65 <= text[i] <= 90 or 97 <= text[i] <= 122 or text[i] == 46 or text[i] == 95
                or text[i] == 45):
            return False
    return True


cdef bint _node(const unsigned char *text, uint32_t length, bint strict, Forwarded *found) noexcept nogil:
    """An address, with or without a port, to `found`. False: it is none, and `found` may hold half of it.

    `strict`: node of RFC 7239 §6, where an IPv6 address has brackets and a port may be hidden. Otherwise an entry of
    X-Forwarded-For, which has no grammar: an IPv6 address may stand bare.
    """
    cdef uint32_t i = 0, colons = 0, end
    cdef bint right
    found.client_port = 0
    if length > NODE_BYTES:
        return False
    for i in range(length):
        colons += text[i] == 58
    if length > 0 and text[0] == 91:  # [
        end = 1
        while end < length and text[end] != 93:
            end += 1
        if end == length or not sw_ip_read(&found.client, AF_INET6, text + 1, end - 1):
            return False
        end += 1
    elif colons > 1:
        return not strict and sw_ip_read_any(&found.client, text, length)
    else:
        end = 0
        while end < length and text[end] != 58:
            end += 1
        if not sw_ip_read(&found.client, AF_INET, text, end):
            return False
    if end == length:
        return True
    if text[end] != 58:
        return False
    end += 1
    right = sw_port(text + end, length - end, &found.client_port)
    if not right:
        found.client_port = 0
    return right or (strict and _is_hidden_port(text + end, length - end))


cdef void _set_host(const unsigned char *text, uint32_t length, Forwarded *found) noexcept nogil:
    if length <= FORWARDED_HOST_BYTES and sw_is_host(text, length):
        memcpy(found.host, text, length)
        found.host_len = length


# ---- X-Forwarded-*

cdef void _split(Entries *entries, const unsigned char *text, uint32_t length) noexcept nogil:
    """Add what stands between the commas of one field's value, an empty entry too."""
    cdef uint32_t at = 0, start = 0, end = 0
    cdef Span *span
    while sw_list_next(text, length, &at, &start, &end):
        span = &entries.spans[entries.count % HOPS]
        span.text = text + start
        span.length = end - start
        entries.count += 1


cdef Span *_beside(Entries *entries, int64_t hops, int64_t chosen) noexcept nogil:
    """Of a list that goes with a list of `hops`, the value for its entry `chosen` (-1: none). NULL: it is empty."""
    cdef int64_t nth = entries.count - 1
    if nth < 0:
        return NULL
    if chosen >= 0 and entries.count == hops:
        nth = chosen
    return &entries.spans[nth % HOPS]


cdef int64_t _walk(Entries *entries, const sw_network *trusted, uint32_t trusted_count,
                   Forwarded *found) noexcept nogil:
    """The number of the entry that is the client, or -1."""
    cdef int64_t nth = entries.count - 1, chosen = -1
    cdef Forwarded node
    cdef Span *span
    while nth >= 0 and nth >= entries.count - HOPS:
        span = &entries.spans[nth % HOPS]
        if not _node(span.text, span.length, False, &node):
            break
        _take_node(&node, found)
        chosen = nth
        if not sw_networks_hold(trusted, trusted_count, &node.client):
            break
        nth -= 1
    return chosen


cdef void _take_node(const Forwarded *node, Forwarded *found) noexcept nogil:
    found.has_client = True
    found.client = node.client
    found.client_port = node.client_port


cdef void _read_x(const unsigned char *records, int count, const sw_network *trusted, uint32_t trusted_count,
                  Forwarded *found) noexcept nogil:
    cdef Entries hops, protos, hosts, ports
    cdef Entries *entries
    cdef const sw_header *record
    cdef const unsigned char *name
    cdef int64_t chosen
    cdef Span *span
    cdef int _nth
    hops.count = protos.count = hosts.count = ports.count = 0
    for _nth in range(count):
        record = <const sw_header *>records
        name = records + sizeof(sw_header)
        records = name + record.name_len + record.value_len
        if record.name_len < 15 or record.name_len > 17 or not forwarded_is_name(name, record.name_len):
            continue
        if record.name_len == 15:
            entries = &hops
        elif record.name_len == 17:
            entries = &protos
        else:
            entries = &hosts if name[12] == 104 else &ports  # h
        _split(entries, name + record.name_len, record.value_len)
    chosen = _walk(&hops, trusted, trusted_count, found)
    span = _beside(&protos, hops.count, chosen)
    if span != NULL:
        found.scheme = _scheme(span.text, span.length)
    span = _beside(&hosts, hops.count, chosen)
    if span != NULL:
        _set_host(span.text, span.length, found)
    span = _beside(&ports, hops.count, chosen)
    if span != NULL and not sw_port(span.text, span.length, &found.port):
        found.port = 0


# ---- Forwarded

cdef bint _is_quotable(unsigned char c) noexcept nogil:
    """HTAB / SP / VCHAR / obs-text"""
    return c == 9 or (c >= 32 and c != 127)


cdef uint32_t _value(const unsigned char *text, uint32_t length) noexcept nogil:
    """Length of the value that `text` begins with: token / quoted-string (RFC 9110 §5.6). 0: there is none."""
    cdef uint32_t i = 0
    if length == 0 or text[0] != 34:
        while i < length and sw_is_tchar(text[i]):
            i += 1
        return i
    i = 1
    while i < length and text[i] != 34:
        if text[i] == 92:  # quoted-pair
            i += 1
            if i == length:
                return 0
        if not _is_quotable(text[i]):
            return 0
        i += 1
    return i + 1 if i < length else 0


cdef bint _plain(const Span *span, unsigned char *to, uint32_t room, uint32_t *length) noexcept nogil:
    """Copy a value without its quotes. False: it is not there, or has no room."""
    cdef uint32_t i, end = span.length
    length[0] = 0
    if span.text == NULL:
        return False
    i = span.text[0] == 34
    end -= i
    while i < end:
        if span.text[0] == 34 and span.text[i] == 92:
            i += 1
        if length[0] == room:
            return False
        to[length[0]] = span.text[i]
        length[0] += 1
        i += 1
    return True


cdef bint _elements(Elements *all, const unsigned char *text, uint32_t length) noexcept nogil:
    """Add the elements of one field's value; of a list's empty elements there are none. False: it is malformed.

        Forwarded         = 1#forwarded-element
        forwarded-element = [ forwarded-pair ] *( ";" [ forwarded-pair ] )
        forwarded-pair    = token "=" value

    Blanks around ";" are taken, too: they are often written.
    """
    cdef uint32_t i = 0, start, size
    cdef bint begun = False, after_pair = False
    cdef Element element
    cdef Span *span
    cdef Span unknown
    memset(&element, 0, sizeof(element))
    while True:
        while i < length and (text[i] == 32 or text[i] == 9):
            i += 1
        if i == length or text[i] == 44:
            if begun:
                all.elements[all.count % HOPS] = element
                all.count += 1
                memset(&element, 0, sizeof(element))
            if i == length:
                return True
            begun = after_pair = False
            i += 1
            continue
        begun = True
        if text[i] == 59:
            after_pair = False
            i += 1
            continue
        if after_pair:
            return False
        start = i
        while i < length and sw_is_tchar(text[i]):
            i += 1
        if i == start or i == length or text[i] != 61:
            return False
        unknown.text = NULL
        span = &unknown
        if sw_is_word(text + start, i - start, b"for"):
            span = &element.node
        elif sw_is_word(text + start, i - start, b"proto"):
            span = &element.proto
        elif sw_is_word(text + start, i - start, b"host"):
            span = &element.host
        i += 1
        size = _value(text + i, length - i)
        if size == 0 or span.text != NULL:  # RFC 7239 §4: each parameter at most once
            return False
        span.text = text + i
        span.length = size
        i += size
        after_pair = True


cdef bint _read_rfc(const unsigned char *records, int count, const sw_network *trusted, uint32_t trusted_count,
                    Forwarded *found) noexcept nogil:
    """False: a line is malformed, so none of them is believed."""
    cdef Elements all
    cdef const sw_header *record
    cdef const unsigned char *name
    cdef Element *element
    cdef int64_t nth
    cdef int64_t chosen = -1
    cdef Forwarded node
    cdef unsigned char plain[NODE_BYTES]
    cdef unsigned char host[FORWARDED_HOST_BYTES]
    cdef uint32_t length = 0
    cdef bint has_proto = False, has_host = False
    cdef int _nth
    all.count = 0
    for _nth in range(count):
        record = <const sw_header *>records
        name = records + sizeof(sw_header)
        records = name + record.name_len + record.value_len
        if (record.name_len == 9 and forwarded_is_name(name, 9)
                and not _elements(&all, name + record.name_len, record.value_len)):
            return False
    nth = all.count - 1
    while nth >= 0 and nth >= all.count - HOPS:
        element = &all.elements[nth % HOPS]
        if not _plain(&element.node, plain, sizeof(plain), &length) or not _node(plain, length, True, &node):
            break
        _take_node(&node, found)
        chosen = nth
        if not sw_networks_hold(trusted, trusted_count, &node.client):
            break
        nth -= 1
    nth = chosen if chosen >= 0 else all.count - 1
    while 0 <= nth < all.count and not (has_proto and has_host):
        element = &all.elements[nth % HOPS]
        if not has_proto and element.proto.text != NULL:
            has_proto = True
            if _plain(&element.proto, plain, PROTO_BYTES, &length):
                found.scheme = _scheme(plain, length)
        if not has_host and element.host.text != NULL:
            has_host = True
            if _plain(&element.host, host, sizeof(host), &length):
                _set_host(host, length, found)
        nth += 1
    return True


# ---- both

cdef bint forwarded_read(const unsigned char *records, int count, int mode, const sw_network *trusted,
                         uint32_t trusted_count, Forwarded *found) noexcept nogil:
    """Read the forwarding fields among `count` header records of a request block. False: they change nothing."""
    cdef const unsigned char *at = records
    cdef const sw_header *record
    cdef int _nth
    memset(found, 0, sizeof(Forwarded))
    if mode == FORWARDED_AUTO:
        mode = FORWARDED_RFC
        for _nth in range(count):
            record = <const sw_header *>at
            at += sizeof(sw_header)
            if 15 <= record.name_len <= 17 and forwarded_is_name(at, record.name_len):
                mode = FORWARDED_X
                break
            at += record.name_len + record.value_len
    if mode == FORWARDED_X:
        _read_x(records, count, trusted, trusted_count, found)
    elif not _read_rfc(records, count, trusted, trusted_count, found):
        return False
    return found.has_client or found.scheme != SCHEME_KEPT or found.host_len > 0 or found.port > 0


def read(fields, Trusted trusted not None, str mode not None="auto"):
    """What `fields` say: a dict of client (address, port; 0: not told), scheme, host and port, each None when not told.

    `fields`: (name, value) pairs of bytes, names in lower case; `mode`: a value of --forwarded-headers.
    """
    cdef sw_header record
    cdef Forwarded found
    cdef char text[SW_IP_TEXT]
    cdef bytes packed = b""
    for name, value in fields:
        record.name_len, record.value_len = len(name), len(value)
        packed += (<char *>&record)[:sizeof(record)] + name + value
    forwarded_read(packed, len(fields), FORWARDED_HEADERS.index(mode), trusted.networks, trusted.count, &found)
    client = None
    if found.has_client:
        client = (text[:sw_ip_text(&found.client, text)].decode("ascii"), found.client_port)
    return {"client": client, "scheme": (None, "http", "https")[found.scheme],
            "host": found.host[:found.host_len] if found.host_len else None, "port": found.port or None}
