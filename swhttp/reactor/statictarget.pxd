from libc.stdint cimport uint32_t

from swhttp.reactor.staticsite cimport StaticSite


cdef enum:
    TARGET_OTHER      # the app's
    TARGET_FILE       # `path` is to be looked up in the directory of `mount`
    TARGET_DIRECTORY  # a directory's own path, without a slash at its end
    TARGET_NOTHING    # below a prefix, and no file can be called that

cdef enum:
    TARGET_BYTES = 4096


cdef struct Target:
    int mount
    uint32_t path_len
    bint index                   # the path is a directory's, and its index stands behind it
    unsigned char path[4096]     # below the directory, with a NUL and room for a suffix behind it


cdef int static_target(const StaticSite *site, const unsigned char *path, uint32_t length,
                       Target *target) noexcept nogil
