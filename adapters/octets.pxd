from libc.stdint cimport int64_t, uint64_t


cdef extern from "adapters/octets.h" nogil:
    bint sw_is_token(const unsigned char *text, size_t length)
    bint sw_equals_lower(const unsigned char *text, const char *lower, size_t length)
    bint sw_is_field_value(const unsigned char *text, size_t length)
    int64_t sw_parse_length(const unsigned char *text, size_t length)
    uint64_t sw_hash(const unsigned char *text, size_t length, uint64_t seed)
    size_t sw_percent_decode(unsigned char *target, const unsigned char *source, size_t length)
    void sw_environ_key(unsigned char *target, const unsigned char *name, size_t length)
