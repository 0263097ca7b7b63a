"""Lines of an app that are not those of its response head: of 103 Early Hints (RFC 8297), of 101, and trailers.

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
# The reactor's business in a 101, left out as in every head; a body it has not.
# The reactor writes Date and Server itself, and what makes a WebSocket of the connection.
NOT_IN_ACCEPT = frozenset((
    b"connection", b"content-length", b"date", b"keep-alive", b"server", b"transfer-encoding", b"upgrade"))


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


cdef bytes accept_lines(object subprotocol, object fields):
    """The lines of (name, value) pairs, for the head that accepts a WebSocket; before them the subprotocol, or None."""
    lines = []
    if subprotocol is not None:
        chosen = subprotocol.encode("latin-1", "replace") if isinstance(subprotocol, str) else octets(subprotocol)
        if not sw_is_token(<const unsigned char *>PyBytes_AS_STRING(chosen), PyBytes_GET_SIZE(chosen)):
            raise InvalidResponse(f"bad subprotocol {subprotocol!r}")
        lines.append(b"sec-websocket-protocol: " + chosen + b"\r\n")
    for raw_name, raw_value in fields:
        name = octets(raw_name)
        lower = name.lower()
        if lower == b"sec-websocket-protocol":
            raise InvalidResponse("a subprotocol is not accepted by a header, but by `subprotocol`")
        if lower.startswith(b"sec-websocket-"):
            raise InvalidResponse(f"header {name!r} is not the app's")
        if lower not in NOT_IN_ACCEPT and not lower.startswith(b"proxy-"):
            lines.append(_line(name, octets(raw_value)))
    return b"".join(lines)


cdef bytes trailer_lines(object fields):
    """The lines of (name, value) pairs."""
    lines = []
    for raw_name, raw_value in fields:
        name = octets(raw_name)
        if name.lower() in NOT_IN_TRAILERS or name.lower().startswith(b"proxy-"):
            raise InvalidResponse(f"header {name!r} cannot be in trailers")
        lines.append(_line(name, octets(raw_value)))
    return b"".join(lines)
