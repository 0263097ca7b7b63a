from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t

from swhttp.adapters.outlet cimport Outlet


cdef enum Put:
    PUT_DONE
    PUT_NO_SPACE   # in the ring: `need` says how much is wanted
    PUT_NO_BLOCK   # in the arena, and it is too large for the ring


cdef class Frame:
    cdef int reactor
    cdef uint8_t type
    cdef uint8_t flags
    cdef uint16_t status
    cdef uint64_t request_id
    cdef int64_t content_length
    cdef bytes head
    cdef bytes body
    cdef Py_ssize_t cost(self) noexcept


cdef class Pusher:
    cdef Outlet outlet
    cdef readonly int reactors
    cdef uint64_t need           # of the frame for which there was no room
    cdef Put put(self, Frame frame) noexcept
    cdef bint is_full(self, int64_t session, int waits) noexcept
    cdef int post(self, Frame frame) except -1
    cdef int wake(self) except -1
    cdef Frame verb(self, int reactor, int flags, int status, int64_t target, bytes head, bytes body)


cdef class BlockingPusher(Pusher):
    cdef uint64_t waits          # so far: each has a name of its own


cdef class LoopPusher(Pusher):
    cdef object loop
    cdef unsigned long thread    # the loop's
    cdef list queues             # per reactor: frames that wait for room
    cdef list needs              # per reactor: bytes of the first of them; 0: it wants a block
    cdef readonly Py_ssize_t waiting  # how many, in all
    cdef readonly Py_ssize_t backlog_bytes  # of these
    cdef unsigned int calls      # of asend()
    cdef list waiters            # called at the next piece of news
    cdef public object drain     # of the worker's loop: looks for room
    cdef bint drains             # a call of it is scheduled
    cdef int room(self) except -1
    cdef bint has_room(self) noexcept
    cdef int _queue(self, Frame frame) except -1
    cdef bint _is_crowded(self) noexcept
