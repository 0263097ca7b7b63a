"""One httptools parser, and what its callbacks make of a head: a request block.

It owns what the fields of a head mean to us, and the checks that httptools leaves to us (RFC 9112 §3.2, §6.1; RFC 9110
§10.1.1). It never looks for the end of a message and never touches a connection: `http1` does.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from libc.string cimport memchr, memcmp, memcpy, memset

from swhttp.ipc.frame cimport sw_header
from swhttp.reactor.forwarded cimport forwarded_is_name
from swhttp.reactor.grammar cimport (sw_content_length, sw_copy_lower, sw_copy_value, sw_is_host, sw_is_target,
                                     sw_is_word, sw_list_next)
from swhttp.reactor.reasons cimport (REASON_BAD_CONTENT_LENGTH, REASON_BAD_FIELD_VALUE, REASON_BAD_HOST,
                                     REASON_BAD_TARGET, REASON_BAD_TRANSFER_ENCODING, REASON_ENCODING_IN_HTTP10,
                                     REASON_LENGTH_AND_ENCODING, REASON_MANY_HOSTS, REASON_MISSING_HOST, REASON_NONE,
                                     REASON_UNKNOWN_ENCODING, REASON_UNKNOWN_EXPECTATION)

import httptools


cdef bint _has(const unsigned char *text, uint32_t length, const char *word) noexcept nogil:
    """Is `word` an element of this comma-separated list?"""
    cdef uint32_t at = 0, start = 0, end = 0
    while sw_list_next(text, length, &at, &start, &end):
        if sw_is_word(text + start, end - start, word):
            return True
    return False


cdef class Http1Parser:
    """One httptools parser with its callbacks, which write straight into a request block.

    The block is known to have room: it was chosen for the length of the raw head.
    """

    def __init__(self):
        parser = httptools.HttpRequestParser(self)
        self.feed = parser.feed_data
        self.should_keep_alive = parser.should_keep_alive

    cdef void begin(self, unsigned char *base, const unsigned char *line, uint32_t method_len, bint http10,
                    bint trusted):
        self.base = base
        self.block = <sw_block *>base
        memset(base, 0, sizeof(sw_block))
        self.block.method_len = method_len
        memcpy(base + sizeof(sw_block), line, method_len)
        self.at = <uint32_t>sizeof(sw_block) + method_len
        self.http10 = http10
        self.trusted = trusted
        self.forwarded = False
        self.reason = REASON_NONE
        self.complete = self.keep_alive = self.in_trailers = self.chunked = self.expects = self.close = False
        self.websocket = False
        self.hosts = self.encodings = 0
        self.content_length = -1
        self.authority_len = 0
        self.pooled = False

    cdef void drop(self):
        """It will not be used again: undo the cycle of parser and callbacks, so that no collector is needed."""
        self.feed = self.should_keep_alive = None

    def on_url(self, bytes url):
        cdef const unsigned char *target = <const unsigned char *>PyBytes_AS_STRING(url)
        cdef uint32_t length = <uint32_t>PyBytes_GET_SIZE(url)
        cdef sw_block *block = self.block
        memcpy(self.base + self.at, target, length)
        block.target_len = length
        self.split_target(target, length)
        self.at += length + 1  # one byte more: the path of an absolute target without one
        block.headers_off = self.at

    cdef void split_target(self, const unsigned char *target, uint32_t length):
        """origin-form, absolute-form or asterisk-form (RFC 9112 §3.2); CONNECT was refused before."""
        cdef sw_block *block = self.block
        cdef uint32_t path = 0, i
        cdef const unsigned char *mark
        if not sw_is_target(target, length):
            self.reason = REASON_BAD_TARGET
            return
        if target[0] != 47:
            if length == 1 and target[0] == 42:
                if block.method_len != 7 or memcmp(self.base + sizeof(sw_block), b"OPTIONS", 7) != 0:
                    self.reason = REASON_BAD_TARGET
            else:
                if length > 7 and sw_is_word(target, 7, b"http://"):
                    path = 7
                elif length > 8 and sw_is_word(target, 8, b"https://"):
                    path = 8
                else:
                    self.reason = REASON_BAD_TARGET
                    return
                self.authority_at = self.at + path
                while path < length and target[path] != 47 and target[path] != 63:
                    path += 1
                self.authority_len = self.at + path - self.authority_at
                if not sw_is_host(self.base + self.authority_at, self.authority_len):
                    self.reason = REASON_BAD_TARGET
                    return
        mark = <const unsigned char *>memchr(target + path, 63, length - path)
        block.path_off = self.at + path
        block.path_len = length - path
        if mark != NULL:
            i = <uint32_t>(mark - target)
            block.path_len = i - path
            block.query_off = self.at + i + 1
            block.query_len = length - i - 1
        if block.path_len == 0:
            self.base[self.at + length] = 47
            block.path_off = self.at + length
            block.path_len = 1

    def on_header(self, bytes name, bytes value):
        cdef const unsigned char *name_text = <const unsigned char *>PyBytes_AS_STRING(name)
        cdef const unsigned char *value_text = <const unsigned char *>PyBytes_AS_STRING(value)
        cdef uint32_t name_len = <uint32_t>PyBytes_GET_SIZE(name)
        cdef uint32_t value_len = <uint32_t>PyBytes_GET_SIZE(value)
        cdef sw_header *record
        cdef unsigned char *to
        if self.in_trailers:  # RFC 9112 §7.1.2: a recipient may discard them
            return
        while value_len > 0 and (value_text[value_len - 1] == 32 or value_text[value_len - 1] == 9):
            value_len -= 1
        if name_len == 4 and self.authority_len > 0 and self.hosts == 0 and sw_is_word(name_text, 4, b"host"):
            # RFC 9112 §3.2.2: the authority of an absolute target replaces what Host says.
            if not sw_is_host(value_text, value_len):
                self.reason = REASON_BAD_HOST
            value_text = self.base + self.authority_at
            value_len = self.authority_len
        record = <sw_header *>(self.base + self.at)
        to = self.base + self.at + sizeof(sw_header)
        record.name_len = <unsigned short>name_len
        record.value_len = <unsigned short>value_len
        sw_copy_lower(to, name_text, name_len)
        if not sw_copy_value(to + name_len, value_text, value_len):
            self.reason = REASON_BAD_FIELD_VALUE
        self.block.headers_count += 1
        self.at += <uint32_t>sizeof(sw_header) + name_len + value_len
        if name_len == 4 or name_len == 6 or name_len == 7 or name_len == 10 or name_len == 14 or name_len == 16 \
                or name_len == 17:
            self.special(to, name_len, to + name_len, value_len)
        if self.trusted and (to[0] == 120 or to[0] == 102) and forwarded_is_name(to, name_len):  # x, f
            self.forwarded = True

    cdef void special(self, const unsigned char *name, uint32_t name_len, const unsigned char *value,
                      uint32_t value_len):
        """The fields that say something to us."""
        if name_len == 4 and memcmp(name, b"host", 4) == 0:
            self.hosts += 1
            if not sw_is_host(value, value_len):
                self.reason = REASON_BAD_HOST
        elif name_len == 6 and memcmp(name, b"expect", 6) == 0:
            if sw_is_word(value, value_len, b"100-continue"):
                self.expects = True
            else:
                self.reason = REASON_UNKNOWN_EXPECTATION
        elif name_len == 7 and memcmp(name, b"upgrade", 7) == 0:
            self.websocket = self.websocket or _has(value, value_len, b"websocket")
        elif (self.http10 and (name_len == 10 and memcmp(name, b"connection", 10) == 0
                               or name_len == 16 and memcmp(name, b"proxy-connection", 16) == 0)):
            self.close = self.close or _has(value, value_len, b"close")
        elif name_len == 14 and memcmp(name, b"content-length", 14) == 0:
            if self.content_length >= 0:
                self.reason = REASON_BAD_CONTENT_LENGTH
            self.content_length = sw_content_length(value, value_len)
            if self.content_length < 0:
                self.reason = REASON_BAD_CONTENT_LENGTH
        elif name_len == 17 and memcmp(name, b"transfer-encoding", 17) == 0:
            self.encodings += 1
            if self.encodings > 1:
                self.reason = REASON_BAD_TRANSFER_ENCODING
            elif sw_is_word(value, value_len, b"chunked"):
                self.chunked = True
            else:
                self.reason = REASON_UNKNOWN_ENCODING

    def on_headers_complete(self):
        # RFC 9112 §9.3: close counts before keep-alive; httptools looks for it in HTTP/1.1 only.
        self.keep_alive = self.should_keep_alive() and not self.close
        self.in_trailers = True

    def on_message_complete(self):
        self.complete = True
        if self.chunked:  # httptools takes Connection and Upgrade of a trailer for those of the head
            self.keep_alive = self.keep_alive and self.should_keep_alive()

    cdef int checks(self):
        """What httptools leaves to us, once the head has passed it."""
        if self.hosts != 1 and (self.hosts > 1 or not self.http10):
            return REASON_MANY_HOSTS if self.hosts else REASON_MISSING_HOST
        if self.encodings:
            if self.http10:
                return REASON_ENCODING_IN_HTTP10
            if self.content_length >= 0:
                return REASON_LENGTH_AND_ENCODING
        return REASON_NONE
