"""The PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt): what a proxy says of a connection, before its
first byte.

It owns the grammar of that header. It never reads from a socket and keeps nothing: it is given all bytes of the
connection so far, and says how many of them are the header, that more are needed, or that they cannot become one. So
the verdict is the same however the bytes come. Pure, without the GIL; `decode` is the door for tests.

    v1 = "PROXY" SP ( "TCP4" / "TCP6" ) SP source SP target SP source-port SP target-port CRLF     at most 107 bytes
       / "PROXY" SP "UNKNOWN" [ SP anything ] CRLF
    v2 = signature(12) version-and-command(1) family-and-protocol(1) length(2) [ addresses ] *TLV

Taken from a version 2 header: the addresses of TCP over IPv4 and IPv6, whether the client used TLS (PP2_TYPE_SSL), and
its checksum, if it has one. LOCAL, UNKNOWN, unix sockets and datagrams leave the connection's own addresses; of LOCAL,
AF_UNSPEC and datagrams nothing is looked at but the length.
"""

from libc.string cimport memchr, memcmp, memset

from swhttp.reactor.grammar cimport sw_port
from swhttp.reactor.networks cimport SW_IP_TEXT, sw_ip_read, sw_ip_set_v4, sw_ip_set_v6, sw_ip_text
from swhttp.reactor.system cimport AF_INET, AF_INET6

from swhttp import limits
from swhttp.reactor.settings import PROXY_PROTOCOLS

cdef uint32_t MAX_BYTES = limits.MAX_PROXY_HEADER_BYTES
cdef uint32_t POLYNOMIAL = 0x82F63B78  # Castagnoli's, reflected

cdef enum:
    V1_BYTES = 107
    V2_FIXED_BYTES = 16
    SIGNATURE_BYTES = 12
    PP2_TYPE_CRC32C = 0x03
    PP2_TYPE_SSL = 0x20
    PP2_CLIENT_SSL = 0x01
    SSL_FIXED_BYTES = 5

cdef const unsigned char *SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


cdef bint _begins(const unsigned char *data, uint32_t length, const unsigned char *text,
                  uint32_t text_len) noexcept nogil:
    """Do the bytes so far begin with `text`, or may they still?"""
    return memcmp(data, text, length if length < text_len else text_len) == 0


cdef int64_t proxy_read(const unsigned char *data, uint32_t length, int mode, ProxyHeader *header) noexcept nogil:
    """The header's length, PROXY_MORE or PROXY_BAD. `mode`: PROXY_V1, PROXY_V2, or PROXY_AUTO for either."""
    memset(header, 0, sizeof(ProxyHeader))
    if length == 0:
        return PROXY_MORE
    if mode != PROXY_V2 and _begins(data, length, b"PROXY ", 6):
        return _version_1(data, length, header)
    if mode != PROXY_V1 and _begins(data, length, SIGNATURE, SIGNATURE_BYTES):
        return _version_2(data, length, header)
    return PROXY_BAD


# ---- version 1

cdef bint _word(const unsigned char **at, const unsigned char *end, const unsigned char **word,
                uint32_t *length) noexcept nogil:
    """The next word, up to a single blank or the end of the line; `at` moves past it."""
    word[0] = at[0]
    while at[0] < end and at[0][0] != 32:
        at[0] += 1
    length[0] = <uint32_t>(at[0] - word[0])
    if at[0] < end:
        at[0] += 1
        if at[0] == end:
            return False  # the line ends with a blank
    return length[0] > 0


cdef bint _port(const unsigned char *text, uint32_t length, uint16_t *port) noexcept nogil:
    """0 to 65535, without zeros in front"""
    return (length == 1 or text[0] != 48) and sw_port(text, length, port)


cdef int64_t _version_1(const unsigned char *data, uint32_t length, ProxyHeader *header) noexcept nogil:
    cdef uint32_t most = length if length < V1_BYTES else V1_BYTES
    cdef const unsigned char *feed = <const unsigned char *>memchr(data, 10, most)
    cdef const unsigned char *at = data + 6
    cdef const unsigned char *end
    cdef const unsigned char *word = NULL
    cdef uint32_t size = 0
    cdef int family
    if feed == NULL:
        if length < V1_BYTES:
            return PROXY_MORE
        return PROXY_BAD
    end = feed - 1
    if end < at or end[0] != 13:
        return PROXY_BAD
    if end - at >= 7 and memcmp(at, b"UNKNOWN", 7) == 0 and (end - at == 7 or at[7] == 32):
        return feed + 1 - data
    if not _word(&at, end, &word, &size) or size != 4 or memcmp(word, b"TCP", 3) != 0:
        return PROXY_BAD
    if word[3] == 52:
        family = AF_INET
    elif word[3] == 54:
        family = AF_INET6
    else:
        return PROXY_BAD
    if not _word(&at, end, &word, &size) or not sw_ip_read(&header.source, family, word, size):
        return PROXY_BAD
    if not _word(&at, end, &word, &size) or not sw_ip_read(&header.target, family, word, size):
        return PROXY_BAD
    if not _word(&at, end, &word, &size) or not _port(word, size, &header.source_port):
        return PROXY_BAD
    if not _word(&at, end, &word, &size) or not _port(word, size, &header.target_port) or at != end:
        return PROXY_BAD
    header.has_addresses = True
    return feed + 1 - data


# ---- version 2

cdef inline uint32_t _two(const unsigned char *at) noexcept nogil:
    return <uint32_t>at[0] << 8 | at[1]


cdef uint32_t _crc32c(const unsigned char *data, uint32_t length, uint32_t hole) noexcept nogil:
    """CRC32C (RFC 4960, appendix B), with the four bytes from `hole` on taken for zeros. Bit by bit: it is for one
    short header of a connection, and only for those proxies that send it."""
    cdef uint32_t crc = ~<uint32_t>0, i
    cdef int _bit
    for i in range(length):
        if not hole <= i < hole + 4:
            crc ^= data[i]
        for _bit in range(8):
            crc = crc >> 1 ^ (POLYNOMIAL & (0 - (crc & 1)))
    return ~crc


cdef int64_t _version_2(const unsigned char *data, uint32_t length, ProxyHeader *header) noexcept nogil:
    cdef uint32_t whole, at = V2_FIXED_BYTES
    cdef int command, family, protocol
    if length <= SIGNATURE_BYTES:
        return PROXY_MORE
    command = data[12] & 15
    if data[12] >> 4 != 2 or command > 1:
        return PROXY_BAD
    if length < V2_FIXED_BYTES:
        return PROXY_MORE
    family = data[13] >> 4
    protocol = data[13] & 15
    whole = V2_FIXED_BYTES + _two(data + 14)
    if whole > MAX_BYTES or (command == 1 and (family > 3 or protocol > 2)):
        return PROXY_BAD
    if length < whole:
        return PROXY_MORE
    header.local = command == 0
    if command == 0 or family == 0 or protocol != 1:
        return whole
    at += 12 if family == 1 else 36 if family == 2 else 216
    if at > whole:
        return PROXY_BAD
    if family == 1:
        sw_ip_set_v4(&header.source, data + 16)
        sw_ip_set_v4(&header.target, data + 20)
    elif family == 2:
        sw_ip_set_v6(&header.source, data + 16)
        sw_ip_set_v6(&header.target, data + 32)
    if family != 3:
        header.has_addresses = True
        header.source_port = <uint16_t>_two(data + at - 4)
        header.target_port = <uint16_t>_two(data + at - 2)
    if not _tlvs(data, at, whole, header):
        return PROXY_BAD
    return whole


cdef bint _tlvs(const unsigned char *data, uint32_t at, uint32_t whole, ProxyHeader *header) noexcept nogil:
    """TLV = type(1) length(2) value. False: one does not fit, or the checksum is wrong, or there are two."""
    cdef uint32_t size, sum
    cdef bint summed = False
    while at < whole:
        if whole - at < 3:
            return False
        size = _two(data + at + 1)
        if size > whole - at - 3:
            return False
        if data[at] == PP2_TYPE_SSL:
            if size < SSL_FIXED_BYTES:
                return False
            header.tls = data[at + 3] & PP2_CLIENT_SSL != 0
        elif data[at] == PP2_TYPE_CRC32C:
            if size != 4 or summed:  # one is enough: each looks at every byte
                return False
            summed = True
            sum = _two(data + at + 3) << 16 | _two(data + at + 5)
            if sum != _crc32c(data, whole, at + 3):
                return False
        at += 3 + size
    return True


def decode(bytes data not None, str mode not None="auto"):
    """What the bytes of a connection begin with: "more", "bad", or a dict of length, source and target ((address, port)
    or None), local and tls. `mode`: a value of --proxy-protocol."""
    cdef ProxyHeader header
    cdef char text[SW_IP_TEXT]
    cdef int64_t found = proxy_read(data, <uint32_t>len(data), PROXY_PROTOCOLS.index(mode), &header)
    if found <= 0:
        return "more" if found == PROXY_MORE else "bad"
    source = target = None
    if header.has_addresses:
        source = (text[:sw_ip_text(&header.source, text)].decode("ascii"), header.source_port)
        target = (text[:sw_ip_text(&header.target, text)].decode("ascii"), header.target_port)
    return {"length": found, "source": source, "target": target, "local": bool(header.local),
            "tls": bool(header.tls)}
