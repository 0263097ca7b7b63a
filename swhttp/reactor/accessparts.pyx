"""The format of the access log, made ready for the reactor: the parts of a line, and the names to look for.

It takes over what swhttp.accessformat has parsed, once, when the log is set up, with the GIL. `accesslog.pyx` makes the
lines from it, without.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from swhttp.reactor.logline cimport (LOG_HOST, LOG_REMOTE_PORT, LOG_REQUEST_FIELD, LOG_RESPONSE_FIELD, LOG_TEXT,
                                     LOG_TIME, LOG_TIME_UTC, SW_LOG_LONGEST_NAME, SW_LOG_NAMES, SW_LOG_PARTS,
                                     SW_LOG_TIME_BYTES, sw_log_keep, sw_log_name, sw_log_part, sw_log_time)

from swhttp import accessformat, limits

assert SW_LOG_PARTS > limits.ACCESS_FORMAT_PARTS and SW_LOG_NAMES == limits.ACCESS_FORMAT_NAMES
assert SW_LOG_TIME_BYTES == limits.ACCESS_TIME_BYTES
assert (LOG_HOST, LOG_REMOTE_PORT) == (accessformat.Kind.HOST, accessformat.Kind.REMOTE_PORT)


cdef int _name(sw_access_log *log, sw_log_name *names, int *count, bytes text) except -1:
    """The place of a field's name among those that are looked for."""
    cdef int i
    for i in range(count[0]):
        if names[i].length == <uint32_t>len(text) and memcmp(names[i].text, <const char *>text, len(text)) == 0:
            return i
    i = count[0]
    assert i < SW_LOG_NAMES, "accessformat has let too many fields pass"
    names[i].text = sw_log_keep(log, text, len(text))
    names[i].length = <uint32_t>len(text)
    if names[i].text == NULL:
        raise MemoryError("access log format")
    count[0] = i + 1
    return i


cdef int access_setup(sw_access_log *log, format) except -1:
    """Take over a format (accessformat.Format) into zeroed memory."""
    cdef sw_log_part *part
    cdef sw_log_time *time
    cdef bytes text
    cdef uint32_t length
    log.line_bytes = limits.ACCESS_LINE_BYTES
    log.field_bytes = format.field_bytes
    log.json = format.json
    log.clock_s = -1
    for given in format.parts:
        assert log.part_count < SW_LOG_PARTS, "accessformat has let too many parts pass"
        part = &log.parts[log.part_count]
        log.part_count += 1
        part.kind = given.kind
        part.ends = given.ends
        text = given.text
        if part.kind == LOG_TEXT:
            part.text = sw_log_keep(log, text, len(text))
            part.length = <uint32_t>len(text)
            if part.text == NULL:
                raise MemoryError("access log format")
        elif part.kind == LOG_REQUEST_FIELD or part.kind == LOG_HOST:
            part.index = <uint8_t>_name(log, log.names, &log.name_count, text or b"host")
            length = log.names[part.index].length
            log.name_lengths |= <uint64_t>1 << (length if length < SW_LOG_LONGEST_NAME else SW_LOG_LONGEST_NAME)
        elif part.kind == LOG_RESPONSE_FIELD:
            part.index = <uint8_t>_name(log, log.outs, &log.out_count, text)
        elif part.kind == LOG_TIME or part.kind == LOG_TIME_UTC:
            assert log.time_count < SW_LOG_NAMES, "accessformat has let too many times pass"
            part.index = <uint8_t>log.time_count
            time = &log.times[log.time_count]
            log.time_count += 1
            time.second = -1
            time.utc = part.kind == LOG_TIME_UTC
            time.format = <const char *>sw_log_keep(log, text, len(text))
            if time.format == NULL:
                raise MemoryError("access log format")
    return 0
