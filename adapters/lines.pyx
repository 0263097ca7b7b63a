"""Lines of an app that are not those of its response head: of 103 Early Hints (RFC 8297), and trailers.

Checked as the head is (head.pyx): what is here goes on the wire as it stands. Errors are InvalidResponse.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE

from swhttp.adapters.octets cimport sw_is_field_value, sw_is_token

from swhttp.adapters.errors import InvalidResponse

# RFC 9110 §6.5.1: no fields for framing, routing, authentication, request modifiers, response control or content
# format; nor those of the connection (§7.6.1).
NOT_IN_TRAILERS = frozenset((
    b"age", b"authorization", b"cache-control", b"connection", b"content-encoding", b"content-length",
    b"content-location", b"content-range", b"content-type", b"cookie", b"date", b"expect", b"expires", b"host",
    b"keep-alive", b"location", b"max-forwards", b"pragma", b"range", b"retry-after", b"set-cookie", b"te", b"trailer",
    b"transfer-encoding", b"upgrade", b"vary", b"www-authenticate"))


cdef bytes octets(object value):
    """Names, values and bodies are byte strings; bytearray and memoryview will do, str will not."""
    if PyBytes_CheckExact(value):
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise InvalidResponse(f"expected a byte string, not {value!r:.100}")


cdef bytes _line(bytes name, bytes value):
    if not sw_is_token(<const unsigned char *>PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name)):
        raise InvalidResponse(f"bad header name {name!r}")
    if not sw_is_field_value(<const unsigned char *>PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value)):
        raise InvalidResponse(f"bad value of header {name!r}: {value!r}")
    return name + b": " + value + b"\r\n"


cdef bytes hint_lines(object links):
    """Status line and Link fields of an interim response; nothing without links."""
    lines = [_line(b"link", octets(link)) for link in links]
    return b"HTTP/1.1 103 Early Hints\r\n" + b"".join(lines) if lines else b""


cdef bytes trailer_lines(object fields):
    """The lines of (name, value) pairs."""
    lines = []
    for raw_name, raw_value in fields:
        name = octets(raw_name)
        if name.lower() in NOT_IN_TRAILERS or name.lower().startswith(b"proxy-"):
            raise InvalidResponse(f"header {name!r} cannot be in trailers")
        lines.append(_line(name, octets(raw_value)))
    return b"".join(lines)
