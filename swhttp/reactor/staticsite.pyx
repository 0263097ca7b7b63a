"""What is served of files, as all reactors see it: prefixes and their directories, types, what every answer says.

It owns the memory of a StaticSite, which nobody changes once it is made, and how a suffix becomes a type. What is in it
was decided by swhttp.statics. The directories' fds are lent by whoever opened them, and may come to stand for other
directories at any time (dup3): a lookup begins in the one or in the other.
"""

from libc.stdlib cimport calloc
from libc.string cimport memcmp

from swhttp import limits

cdef int MAX_MOUNTS = limits.MAX_STATIC_MOUNTS


cdef class Site:
    """`mounts`: (prefix without its last slash, fd, whether what the kernel knows is opened at once) each; `types`:
    (suffix, media type, whether siblings with a coding are looked for) each; `other`: the same for all other suffixes;
    `index`: the name of a directory's file, or empty; `fields`: field lines for every file.

    `address` is that of the StaticSite, which is there for the life of the process."""

    cdef StaticSite *site
    cdef list kept
    cdef readonly size_t address

    def __init__(self, list mounts, list types, tuple other, bytes index, bytes fields):
        cdef int i
        if len(mounts) > MAX_MOUNTS or len(types) > STATIC_TYPES // 2:
            raise ValueError("too many mounts or types")
        self.kept = []
        self.site = <StaticSite *>calloc(1, sizeof(StaticSite))
        if self.site == NULL:
            raise MemoryError("static files")
        self.address = <size_t>self.site
        self.site.mounts = <StaticMount *>calloc(len(mounts) + 1, sizeof(StaticMount))
        self.site.types = <StaticType *>calloc(STATIC_TYPES + 1, sizeof(StaticType))
        if self.site.mounts == NULL or self.site.types == NULL:
            raise MemoryError("static files")
        for prefix, directory, cached in sorted(mounts, key=lambda mount: -len(mount[0])):
            i = self.site.mount_count
            self.site.mounts[i].prefix = self._keep(prefix)
            self.site.mounts[i].prefix_len = <uint32_t>len(prefix)
            self.site.mounts[i].directory = directory
            self.site.mounts[i].cached = cached
            self.site.mount_count += 1
        for suffix, media, coded in types:
            self._set(_place(self.site, self._keep(suffix), <uint32_t>len(suffix)), suffix, media, coded)
        self.site.other = &self.site.types[STATIC_TYPES]
        self._set(self.site.other, b"", other[0], other[1])
        self.site.index = self._keep(index)
        self.site.index_len = <uint32_t>len(index)
        self.site.fields = self._keep(fields)
        self.site.fields_len = <uint32_t>len(fields)

    cdef const unsigned char *_keep(self, bytes text):
        self.kept.append(text)
        return <const unsigned char *>text

    cdef _set(self, StaticType *place, bytes suffix, bytes media, bint coded):
        if len(suffix) > MOST_SUFFIX_BYTES or len(media) > MOST_MEDIA_BYTES:
            raise ValueError(f"{suffix!r} or {media!r} is too long")
        place.suffix = self._keep(suffix)
        place.suffix_len = <uint8_t>len(suffix)
        place.media = <const char *>self._keep(media)
        place.media_len = <uint8_t>len(media)
        place.coded = coded


cdef StaticType *_place(const StaticSite *site, const unsigned char *suffix, uint32_t length) noexcept nogil:
    """Where `suffix` is in the table, or would be."""
    cdef uint32_t hashed = 2166136261
    cdef uint32_t i
    for i in range(length):
        hashed = (hashed ^ suffix[i]) * 16777619
    hashed ^= hashed >> 15
    while True:
        hashed &= STATIC_TYPES - 1
        if site.types[hashed].suffix == NULL or (
                site.types[hashed].suffix_len == length and memcmp(site.types[hashed].suffix, suffix, length) == 0):
            return &site.types[hashed]
        hashed += 1


cdef const StaticType *static_type(const StaticSite *site, const unsigned char *path, uint32_t length) noexcept nogil:
    """What a file of this name is: by what follows its last dot, in whatever case."""
    cdef unsigned char suffix[MOST_SUFFIX_BYTES]
    cdef uint32_t at = length, i
    cdef const StaticType *found
    while at > 0 and path[at - 1] != 46 and path[at - 1] != 47 and length - at < MOST_SUFFIX_BYTES:
        at -= 1
    if at < 2 or path[at - 1] != 46 or path[at - 2] == 47:  # a name that begins with its only dot has no suffix
        return site.other
    for i in range(length - at):
        suffix[i] = path[at + i] | 32 if 65 <= path[at + i] <= 90 else path[at + i]
    found = _place(site, suffix, length - at)
    return found if found.suffix != NULL else site.other
