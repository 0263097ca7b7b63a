"""The networks of the peers that are believed, as the plain array that reactors look into without the GIL.

It owns that array, which never changes. What the option says is `swhttp.networks`' business.
"""

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree

from libc.string cimport memcpy

from swhttp.reactor.networks cimport sw_ip, sw_ip_read_any, sw_networks_hold

from swhttp import networks as grammar


cdef class Trusted:
    """`networks`: as `swhttp.networks.parse` gives them."""

    def __cinit__(self, tuple networks not None):
        cdef bytes prefix
        cdef int i
        pairs = grammar.packed(networks)
        self.networks = <sw_network *>PyMem_RawCalloc(len(pairs) + 1, sizeof(sw_network))
        if self.networks == NULL:
            raise MemoryError("trusted networks")
        for i, (prefix, bits) in enumerate(pairs):
            memcpy(&self.networks[i].prefix, <const char *>prefix, 16)
            self.networks[i].bits = bits
        self.count = <uint32_t>len(pairs)

    def __dealloc__(self):
        PyMem_RawFree(self.networks)

    def __contains__(self, str address not None):
        """Is this the text of an address in one of them?"""
        cdef sw_ip ip
        cdef bytes text = address.encode("utf-8", "surrogatepass")
        return bool(sw_ip_read_any(&ip, text, <uint32_t>len(text))
                    and sw_networks_hold(self.networks, self.count, &ip))
