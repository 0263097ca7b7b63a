from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from swhttp.adapters.compression cimport Compression, Packer
from swhttp.adapters.flag cimport flag
from swhttp.adapters.head cimport Head
from swhttp.adapters.outlet cimport Outlet
from swhttp.adapters.spool cimport Spool
from swhttp.ipc.frame cimport sw_block, sw_descriptor
from swhttp.ipc.request_table cimport sw_request_entry


cdef enum Wait:
    WAIT_NONE
    WAIT_SPACE
    WAIT_ACK
    WAIT_TURN


cdef class Exchange:
    cdef Outlet outlet
    cdef Head head
    cdef sw_request_entry *request
    cdef const sw_block *block
    cdef uint64_t request_id
    cdef int reactor
    cdef Wait blocked         # what `push` waits for
    cdef int64_t remaining    # body bytes announced and not yet given, or SW_NO_LENGTH
    cdef uint64_t body_bytes  # published
    cdef uint64_t turn_bytes  # published since the adapter set it to 0
    cdef uint64_t turn_limit  # `turn_bytes` past which others get a turn
    cdef uint64_t need        # bytes of the frame for which there was no room; or NEED_CHANNEL with them
    cdef Compression compression  # what is compressed; None: nothing is
    cdef Packer packer        # its body goes through here; None: it goes as it is
    cdef Spool spool          # the file that the rest of this response goes to, or None
    cdef str spool_dir
    cdef uint64_t spool_max_bytes  # how far it may be ahead of its client in files; 0: no files
    cdef flag is_head         # the request's method is HEAD
    cdef flag started         # the app has given the head
    cdef flag opened          # the head is published
    cdef flag complete        # the final frame is published
    cdef flag gone            # the client is gone
    cdef flag bodiless        # HEAD, 204, 304: what the app gives as body stays here
    cdef flag overlong        # the body was longer than announced
    cdef flag short           # the body was shorter: the final frame cuts the connection
    cdef flag expects         # the client waits for 100 Continue, which nobody has asked for
    cdef flag trailing        # trailers follow the body: its end is not the response's
    cdef flag measured        # the last byte announced ends the response
    cdef flag spills          # what a slow client does not take may go to a file
    cdef flag weighed         # whether this response is compressed has been decided
    cdef flag coded           # its head says that it is
    cdef void open(self, int reactor, const sw_descriptor *descriptor) noexcept
    cdef Py_ssize_t push(self, const unsigned char *data, Py_ssize_t length, bint last) except -1
    cdef Py_ssize_t _publish(self, const unsigned char *data, Py_ssize_t length, bint last) except -1
    cdef bint push_file(self, int fd, uint64_t offset, uint64_t length, bint last) except -1
    cdef bint put(self, uint8_t type, uint8_t flags, uint16_t status, int64_t length, const void *payload,
                  uint32_t payload_len, uint32_t head_len, uint32_t body_len) noexcept
    cdef bint put_lines(self, uint8_t flags, uint16_t status, bytes lines) noexcept
    cdef bint put_credit(self, uint64_t total_bytes) noexcept
    cdef bint fail(self) noexcept
    cdef bint abort(self) noexcept
    cdef bint is_gone(self) noexcept
    cdef int _open_response(self, int64_t length, bint last) except -1
    cdef int _weigh(self, int64_t length, bint last) except -1
    cdef Py_ssize_t _push_packed(self, const unsigned char *data, Py_ssize_t length, bint last, bint ends) except -1
    cdef bint _push_file_packed(self, int fd, uint64_t offset, uint64_t length, bint last) except -1
    cdef bint finish_packed(self) except -1
    cdef int unpack(self) except -1
    cdef int64_t missing(self) noexcept
    cdef int64_t _within(self, int64_t promised, int64_t length, bint last)
    cdef void _too_short(self, int64_t missing)
    cdef bint _is_slow(self) noexcept
    cdef Py_ssize_t _put_apart(self, const unsigned char *data, Py_ssize_t rest, bint last) except -2
    cdef Py_ssize_t _put_block(self, const unsigned char *data, Py_ssize_t rest, bint last) noexcept
    cdef Py_ssize_t _put_spooled(self, const unsigned char *data, Py_ssize_t rest, bint last,
                                 uint64_t ahead) except -2
    cdef int _put_file(self, uint8_t flags, int fd, uint64_t offset, uint64_t length, bint passed) except -1
    cdef bint _begin_spool(self) except -1
    cdef int _spool_failed(self, error) except -1
    cdef uint8_t _flags(self, bint final) noexcept
    cdef void _given(self, uint64_t step) noexcept
    cdef uint64_t _frame_bytes(self, uint32_t inline_len) noexcept
    cdef bint _put(self, uint8_t type, uint8_t flags, const void *payload, uint32_t payload_len,
                   uint32_t body_len) noexcept
