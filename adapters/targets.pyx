"""The request target as the objects that apps see: what comes again and again is remembered."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeLatin1, PyUnicode_DecodeUTF8

from libc.stdint cimport uint64_t

from urllib.parse import quote

from swhttp.adapters.octets cimport sw_percent_decode


cdef class Targets:
    """Request blocks to rows of three objects.

    root_path: below which the app lives, as in "/shop": with a slash in front and none at its end, or empty. It may be
    in the target or not, as the proxy before us does it: an app sees the same in both cases.
    """

    def __cinit__(self, str root_path=""):
        self.cache = Cache()
        self.root = root_path.encode()
        self.raw_root = quote(root_path, safe="/!$&'()*+,;=:@").encode()  # pchar, RFC 3986 §3.3

    cdef CacheRow *read(self, const sw_block *block) except? NULL:
        """The row of this request's target, as a Cache's; NULL for the target "/"."""
        cdef const unsigned char *base = <const unsigned char *>block
        cdef const unsigned char *target = base + sizeof(sw_block) + block.method_len
        cdef uint64_t hash
        cdef CacheRow *row
        cdef bytes raw, decoded
        cdef size_t length
        if block.target_len == 1 and target[0] == 47:  # "/"
            return NULL
        row = self.cache.find(target, block.target_len, &hash)
        if row == NULL:
            raw = base[block.path_off:block.path_off + block.path_len] or b"/"
            decoded = PyBytes_FromStringAndSize(NULL, len(raw))
            length = sw_percent_decode(<unsigned char *>PyBytes_AS_STRING(decoded), raw, len(raw))
            first, second, third = self.see(block, raw, decoded[:length])
            row = self.cache.keep(hash, target[:block.target_len], first, second, third)
        return row

    cdef int below_root(self, bytes decoded_path) except -1:
        """Does the path begin with the root path, and with whole segments of it?"""
        return decoded_path.startswith(self.root) and decoded_path[len(self.root):len(self.root) + 1] in (b"", b"/")

    cdef tuple see(self, const sw_block *block, bytes raw_path, bytes decoded_path):
        """The three objects: each interface has its own. raw_path: with its escapes; decoded_path: without."""
        raise NotImplementedError


cdef class AsgiTargets(Targets):
    """path (percent-decoded, UTF-8), raw_path and query_string. Both paths begin with the root path (ASGI HTTP
    specification, "HTTP connection scope")."""

    cdef tuple see(self, const sw_block *block, bytes raw_path, bytes decoded_path):
        cdef const unsigned char *base = <const unsigned char *>block
        if self.root and decoded_path.startswith(b"/") and not self.below_root(decoded_path):
            decoded_path = self.root + decoded_path
            raw_path = self.raw_root + raw_path
        path = PyUnicode_DecodeUTF8(PyBytes_AS_STRING(decoded_path), len(decoded_path), "replace")
        return path, raw_path, base[block.query_off:block.query_off + block.query_len]


cdef class WsgiTargets(Targets):
    """PATH_INFO (percent-decoded, Latin-1, without the root path, which is SCRIPT_NAME), QUERY_STRING and the target
    as it came."""

    cdef tuple see(self, const sw_block *block, bytes raw_path, bytes decoded_path):
        cdef const char *base = <const char *>block
        if self.root and self.below_root(decoded_path):
            decoded_path = decoded_path[len(self.root):]
        return (PyUnicode_DecodeLatin1(PyBytes_AS_STRING(decoded_path), len(decoded_path), NULL),
                PyUnicode_DecodeLatin1(base + block.query_off, block.query_len, NULL),
                PyUnicode_DecodeLatin1(base + sizeof(sw_block) + block.method_len, block.target_len, NULL))
