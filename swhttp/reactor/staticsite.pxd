from libc.stdint cimport uint8_t, uint32_t


cdef struct StaticMount:
    const unsigned char *prefix  # without its last slash; empty for /
    uint32_t prefix_len
    int directory                # an fd, behind which another directory may come to stand
    bint cached                  # the kernel can look up what it knows by heart, and no more


cdef struct StaticType:
    const unsigned char *suffix  # lower case; NULL: an empty place of the table
    uint8_t suffix_len
    const char *media
    uint8_t media_len
    bint coded                   # whether there may be siblings with a coding


cdef enum:
    STATIC_TYPES = 1024          # places of the table, a power of two and several times what it holds
    MOST_SUFFIX_BYTES = 16
    MOST_MEDIA_BYTES = 120


cdef struct StaticSite:          # the same for all reactors, and never changed
    StaticMount *mounts          # the longest prefix first
    int mount_count
    StaticType *types
    StaticType *other            # of a file with another suffix, or none
    const unsigned char *index   # empty: none
    uint32_t index_len
    const unsigned char *fields  # whole lines, for every answer that is a file's
    uint32_t fields_len


cdef const StaticType *static_type(const StaticSite *site, const unsigned char *path, uint32_t length) noexcept nogil
