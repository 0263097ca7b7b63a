from libc.stdint cimport int64_t, uint8_t, uint64_t

from swhttp.adapters.head cimport Head
from swhttp.adapters.outlet cimport Outlet
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
    cdef bint is_head         # the request's method is HEAD
    cdef bint started         # the app has given the head
    cdef bint opened          # the head is published
    cdef bint complete        # the final frame is published
    cdef bint gone            # the client is gone
    cdef bint bodiless        # HEAD, 204, 304: what the app gives as body stays here
    cdef bint overlong        # the body was longer than announced
    cdef bint short           # the body was shorter: the final frame cuts the connection
    cdef int64_t remaining    # body bytes announced and not yet given, or SW_NO_LENGTH
    cdef uint64_t body_bytes  # published
    cdef uint64_t turn_bytes  # published since the adapter set it to 0
    cdef uint64_t turn_limit  # `turn_bytes` past which others get a turn
    cdef uint64_t need        # bytes of the frame for which there was no room
    cdef void open(self, int reactor, const sw_descriptor *descriptor) noexcept
    cdef Py_ssize_t push(self, const unsigned char *data, Py_ssize_t length, bint last) except -1
    cdef bint fail(self) noexcept
    cdef bint abort(self) noexcept
    cdef bint is_gone(self) noexcept
    cdef int _open_response(self, Py_ssize_t length, bint last) except -1
    cdef bint _put(self, uint8_t flags, const unsigned char *body, Py_ssize_t body_len) noexcept
