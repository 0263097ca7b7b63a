from libc.stdint cimport uint32_t

from swhttp.reactor.networks cimport sw_network


cdef class Trusted:
    cdef sw_network *networks
    cdef readonly uint32_t count
