from libc.stdint cimport int64_t, uint16_t, uint32_t


cdef extern from "swhttp/reactor/grammar.h" nogil:
    bint sw_is_tchar(unsigned char c)
    bint sw_is_hex(unsigned char c)
    int sw_hex_value(unsigned char c)
    void sw_copy_lower(unsigned char *to, const unsigned char *source, uint32_t length)
    bint sw_copy_value(unsigned char *to, const unsigned char *source, uint32_t length)
    bint sw_is_word(const unsigned char *text, uint32_t length, const char *word)
    int64_t sw_content_length(const unsigned char *text, uint32_t length)
    bint sw_port(const unsigned char *text, uint32_t length, uint16_t *port)
    bint sw_list_next(const unsigned char *text, uint32_t length, uint32_t *at, uint32_t *start, uint32_t *end)
    bint sw_is_host(const unsigned char *text, uint32_t length)
    bint sw_is_target(const unsigned char *text, uint32_t length)
