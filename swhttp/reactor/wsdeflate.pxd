cdef class Deflation:
    cdef readonly int server_bits, client_bits
    cdef readonly bint server_fresh, client_fresh  # no_context_takeover: each message begins with an empty context
    cdef object packer  # of zlib; None: the next message begins anew
    cdef object unpacker
    cdef bytes kept  # input that has not been inflated
    cdef bint packing  # a message that is not empty is under way
    cdef int stage  # of the message that is being inflated: see wsdeflate.pyx
    cdef int ends  # streams that it has ended

    cdef bytes deflate(self, const unsigned char *data, size_t n, bint last)
    cdef bytes inflate(self, const unsigned char *data, size_t n, bint last, size_t most, bint *more)
    cdef void rest(self) noexcept
    cdef void forget_deflate(self) noexcept


cdef bytes ws_deflate_shared(const unsigned char *data, size_t n, int bits)
