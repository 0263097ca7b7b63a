from libc.stdint cimport uint8_t, uint16_t, uint32_t

from swhttp.reactor.networks cimport sw_ip, sw_network


# The values of --forwarded-headers, in the order of settings.FORWARDED_HEADERS.
cdef enum:
    FORWARDED_AUTO
    FORWARDED_X
    FORWARDED_RFC

cdef enum:
    SCHEME_KEPT
    SCHEME_HTTP
    SCHEME_HTTPS

cdef enum:
    FORWARDED_HOST_BYTES = 261  # limits.MAX_FORWARDED_HOST_BYTES


cdef struct Forwarded:
    bint has_client
    sw_ip client
    uint16_t client_port        # 0: not told
    uint8_t scheme
    uint16_t port               # of the server, by itself; 0: not told
    uint32_t host_len           # 0: not told
    unsigned char host[261]     # with its port, if it has one


cdef bint forwarded_is_name(const unsigned char *name, uint32_t length) noexcept nogil
cdef bint forwarded_read(const unsigned char *records, int count, int mode, const sw_network *trusted,
                         uint32_t trusted_count, Forwarded *found) noexcept nogil
