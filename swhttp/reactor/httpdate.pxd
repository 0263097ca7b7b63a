from libc.stdint cimport int64_t, uint32_t


cdef extern from "swhttp/reactor/httpdate.h" nogil:
    enum:
        SW_DATE_BYTES
    const int64_t SW_NO_DATE
    void sw_date_write(int64_t at_s, char *text)
    int64_t sw_date_read(const char *text, uint32_t length, int64_t now_s)
