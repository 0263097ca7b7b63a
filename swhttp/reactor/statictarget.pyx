"""Which file a request's path names, if it names one at all.

It owns the way from the path on the wire to a path below a directory, as bytes: no character set, no normal form, no
correction. Each segment is decoded once (RFC 3986 §2.1) and then stands for itself, so a path leads to one place or to
none:

    "", ".", "..", a slash or NUL that was encoded, a bad escape   no file is called that
    begins with a dot, but is not ".well-known"                    not shown: .git, .env, .htpasswd
    everything else, backslashes and overlong UTF-8 too            a name, which the file system knows or not

A prefix holds from segment to segment: /static is not the beginning of /statics. It never looks at files. No GIL.
"""

from libc.stdint cimport uint32_t
from libc.string cimport memcmp, memcpy

from swhttp.reactor.grammar cimport sw_hex_value, sw_is_hex
from swhttp.reactor.openat2 cimport SW_SUFFIX_BYTES

from swhttp import limits

cdef uint32_t MAX_PATH_BYTES = limits.MAX_STATIC_PATH_BYTES
assert limits.MAX_STATIC_PATH_BYTES + SW_SUFFIX_BYTES < TARGET_BYTES


cdef bint _is_shown(const unsigned char *path, uint32_t length) noexcept nogil:
    """Is no segment of this a hidden one?"""
    cdef uint32_t i
    for i in range(length):
        if path[i] == 46 and (i == 0 or path[i - 1] == 47):
            if length - i < 11 or memcmp(path + i, b".well-known", 11) != 0:
                return False
            if length - i > 11 and path[i + 11] != 47:
                return False
    return True


cdef bint _decode(const unsigned char *path, uint32_t length, unsigned char *to, uint32_t *decoded) noexcept nogil:
    """Decode segment by segment, up to the first that cannot be a name. False: there is one."""
    cdef uint32_t at = 0, n = 0, start
    cdef unsigned char byte
    while at < length:
        start = n  # path[at] is a slash
        at += 1
        if n >= MAX_PATH_BYTES:
            decoded[0] = n
            return False
        to[n] = 47
        n += 1
        while at < length and path[at] != 47 and n < MAX_PATH_BYTES:
            byte = path[at]
            at += 1
            if byte == 37:
                if length - at < 2 or not sw_is_hex(path[at]) or not sw_is_hex(path[at + 1]):
                    break
                byte = <unsigned char>(sw_hex_value(path[at]) << 4 | sw_hex_value(path[at + 1]))
                if byte == 0 or byte == 47:
                    break
                at += 2
            to[n] = byte
            n += 1
        else:
            if (at < length and path[at] != 47  # too long
                    or n - start == 1 and at < length  # nothing between two slashes
                    or n - start == 2 and to[n - 1] == 46 or n - start == 3 and to[n - 1] == 46 and to[n - 2] == 46):
                decoded[0] = start
                return False
            continue
        decoded[0] = start
        return False
    decoded[0] = n
    return True


cdef int static_target(const StaticSite *site, const unsigned char *path, uint32_t length,
                       Target *target) noexcept nogil:
    """Find out what `path` means; returns a TARGET_. `target` is filled in but for TARGET_OTHER and TARGET_NOTHING."""
    cdef unsigned char decoded[TARGET_BYTES]
    cdef uint32_t n = 0, prefix, left
    cdef bint whole
    cdef int i
    if length == 0 or path[0] != 47:
        return TARGET_OTHER
    whole = _decode(path, length, decoded, &n)
    for i in range(site.mount_count):
        prefix = site.mounts[i].prefix_len
        if n < prefix or memcmp(decoded, site.mounts[i].prefix, prefix) != 0 or n > prefix and decoded[prefix] != 47:
            continue
        if not whole:
            return TARGET_NOTHING
        target.mount = i
        target.index = n > prefix and decoded[n - 1] == 47
        left = n - prefix - 1 if n > prefix else 0
        if not _is_shown(decoded + prefix + 1, left) or left + site.index_len > MAX_PATH_BYTES:
            return TARGET_NOTHING
        memcpy(target.path, decoded + prefix + 1, left)
        if n == prefix or target.index:
            if site.index_len == 0:
                return TARGET_NOTHING
            memcpy(target.path + left, site.index, site.index_len)
            left += site.index_len
        target.path[left] = 0
        target.path_len = left
        return TARGET_FILE if n > prefix else TARGET_DIRECTORY
    return TARGET_OTHER


# ---- for tests ----

def target_of(size_t site, bytes path):
    """What `path` means to the site at this address: "other", "nothing", ("directory", fd) or ("file", fd, path
    below it)."""
    cdef Target target
    cdef int found = static_target(<const StaticSite *>site, path, <uint32_t>len(path), &target)
    if found == TARGET_OTHER:
        return "other"
    if found == TARGET_NOTHING:
        return "nothing"
    directory = (<const StaticSite *>site).mounts[target.mount].directory
    if found == TARGET_DIRECTORY:
        return "directory", directory
    return "file", directory, target.path[:target.path_len]
