from libc.stdint cimport uint32_t


cdef extern from "swhttp/reactor/wsbytes.h" nogil:
    const uint32_t SW_UTF8_WHOLE
    const uint32_t SW_UTF8_BAD
    void sw_ws_unmask(unsigned char *to, const unsigned char *source, size_t n, uint32_t key, unsigned phase)
    uint32_t sw_utf8(uint32_t state, const unsigned char *at, size_t n)
