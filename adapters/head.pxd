from libc.stdint cimport int64_t, uint8_t


cdef class Head:
    cdef unsigned char *data
    cdef size_t length
    cdef size_t capacity
    cdef size_t limit
    cdef int status
    cdef uint8_t flags
    cdef int64_t content_length
    cdef int begin(self, int status) except -1
    cdef int begin_text(self, const unsigned char *text, size_t length) except -1
    cdef int add(self, const unsigned char *name, size_t name_len,
                 const unsigned char *value, size_t value_len) except -1
    cdef int announce(self, int64_t content_length) except -1
    cdef int _room(self, size_t more) except -1
    cdef int _clear(self, int status) except -1
    cdef bint _is_ours(self, const unsigned char *name, size_t name_len,
                       const unsigned char *value, size_t value_len) noexcept
