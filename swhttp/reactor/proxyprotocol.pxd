from libc.stdint cimport int64_t, uint16_t, uint32_t

from swhttp.reactor.networks cimport sw_ip


# The values of --proxy-protocol, in the order of settings.PROXY_PROTOCOLS.
cdef enum:
    PROXY_OFF
    PROXY_V1
    PROXY_V2
    PROXY_AUTO

cdef enum:
    PROXY_MORE = 0
    PROXY_BAD = -1


cdef struct ProxyHeader:
    bint has_addresses       # otherwise those of the connection itself hold
    bint local               # the proxy speaks for itself, not for a client
    bint tls                 # the client came to the proxy by TLS
    sw_ip source
    sw_ip target
    uint16_t source_port
    uint16_t target_port


cdef int64_t proxy_read(const unsigned char *data, uint32_t length, int mode, ProxyHeader *header) noexcept nogil
