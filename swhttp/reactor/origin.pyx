"""What a proxy has said of a request, written into its block: the Host field that the app sees, the scheme, and who is
at both ends.

It owns how these three are made of what `forwarded` has read and of the connection's own addresses. It never reads a
field's value, and never takes a block: who calls has made room behind the headers. Runs without the GIL.

The server's port is the forwarded one; else that of the forwarded host; else, for a host without one, that of the
scheme. A port alone goes with the connection's own address, and says nothing on a unix socket, which has none.
"""

from libc.stdint cimport uint16_t
from libc.string cimport memchr, memcmp, memcpy, memmove

from swhttp.ipc.frame cimport SW_BLOCK_ORIGIN, SW_BLOCK_TLS, sw_header, sw_origin
from swhttp.reactor.forwarded cimport SCHEME_HTTP, SCHEME_HTTPS
from swhttp.reactor.networks cimport SW_IP_TEXT, sw_ip_text


cdef uint32_t origin_room(const Forwarded *said) noexcept nogil:
    """How many bytes `origin_write` may need behind the headers: the host may stand there twice, once in its field."""
    return <uint32_t>(sizeof(sw_origin) + 2 * SW_IP_TEXT + sizeof(sw_header) + 4 + 2 * said.host_len)


cdef uint32_t origin_write(sw_block *block, const sw_address *address, const Forwarded *said) noexcept nogil:
    """Write what `said` holds into a block whose headers are whole; where they and the origin end."""
    cdef unsigned char *base = <unsigned char *>block
    cdef unsigned char *at
    cdef const unsigned char *server = base
    cdef sw_origin origin
    cdef uint32_t client_len = 0, server_len = 0
    cdef uint16_t port = said.port
    cdef char client[SW_IP_TEXT]
    if said.scheme == SCHEME_HTTPS:
        block.flags |= SW_BLOCK_TLS
    elif said.scheme == SCHEME_HTTP:
        block.flags &= ~SW_BLOCK_TLS
    if said.host_len > 0:
        _replace_host(block, said)
        server = _host_name(said, &server_len, &port)
        if port == 0:
            port = 443 if block.flags & SW_BLOCK_TLS else 80
    elif port > 0 and address.local_len > 0:
        server = <const unsigned char *>address.local
        server_len = address.local_len
    if said.has_client:
        client_len = sw_ip_text(&said.client, client)
    at = base + block.headers_off + block.headers_len
    if client_len > 0 or server_len > 0:
        origin.client_port = said.client_port
        origin.server_port = port
        origin.client_len = <uint16_t>client_len
        origin.server_len = <uint16_t>server_len
        memcpy(at, &origin, sizeof(origin))
        at += sizeof(origin)
        memcpy(at, client, client_len)
        at += client_len
        memcpy(at, server, server_len)
        at += server_len
        block.flags |= SW_BLOCK_ORIGIN
    return <uint32_t>(at - base)


cdef const unsigned char *_host_name(const Forwarded *said, uint32_t *length, uint16_t *port) noexcept nogil:
    """The host without brackets and port; `port`, when it is 0, is set to the host's, if that has one."""
    cdef const unsigned char *host = <const unsigned char *>said.host
    cdef const unsigned char *end = host + said.host_len
    cdef const unsigned char *colon
    cdef uint32_t value = 0
    if host[0] == 91:  # [
        colon = <const unsigned char *>memchr(host, 93, said.host_len)
        host += 1
        length[0] = <uint32_t>(colon - host)
        colon += 1
    else:
        colon = <const unsigned char *>memchr(host, 58, said.host_len)
        if colon == NULL:
            colon = end
        length[0] = <uint32_t>(colon - host)
    if port[0] == 0:
        colon += 1
        while colon < end:  # sw_is_host has seen to the digits
            value = value * 10 + (colon[0] - 48)
            colon += 1
        port[0] = <uint16_t>value
    return host


cdef void _replace_host(sw_block *block, const Forwarded *said) noexcept nogil:
    """Give the Host field the forwarded value; add it to a head of HTTP/1.0 that has none."""
    cdef unsigned char *record = <unsigned char *>block + block.headers_off
    cdef unsigned char *end = record + block.headers_len
    cdef unsigned char *value = record
    cdef sw_header head
    while record < end:
        memcpy(&head, record, sizeof(head))
        value = record + sizeof(head) + head.name_len
        if head.name_len == 4 and memcmp(record + sizeof(head), b"host", 4) == 0:
            break
        record = value + head.value_len
    if record == end:
        head.name_len = 4
        head.value_len = 0
        value = record + sizeof(head) + 4
        memcpy(record + sizeof(head), b"host", 4)
        block.headers_count += 1
        block.headers_len += <uint32_t>sizeof(head) + 4
        end = value
    memmove(value + said.host_len, value + head.value_len, end - value - head.value_len)
    memcpy(value, said.host, said.host_len)
    block.headers_len += said.host_len - head.value_len
    head.value_len = <uint16_t>said.host_len
    memcpy(record, &head, sizeof(head))
