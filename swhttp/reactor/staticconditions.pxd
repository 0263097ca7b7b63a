from libc.stdint cimport int64_t, uint32_t

from swhttp.ipc.frame cimport sw_block

cdef enum:
    VERDICT_GO           # answer, with a range if one is asked for
    VERDICT_WHOLE        # answer, and look at no range
    VERDICT_UNCHANGED    # 304
    VERDICT_FAILED       # 412

cdef enum:
    TAG_BYTES = 64


cdef struct Field:       # of a request, the only one of its name
    const char *text     # NULL: there is none
    uint32_t length
    uint32_t count


cdef struct Wishes:      # what a request says that decides how a file is answered
    const sw_block *block
    Field match
    Field none_match
    Field modified_since
    Field unmodified_since
    Field range
    Field if_range
    Field codings


cdef void wishes_read(const sw_block *block, Wishes *wishes) noexcept nogil
cdef int conditions_verdict(const Wishes *wishes, const char *tag, uint32_t tag_len, int64_t modified_s,
                            bint coded, int64_t now_s) noexcept nogil
