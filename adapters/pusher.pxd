from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from swhttp.adapters.outlet cimport Outlet


cdef enum:
    MOST_REACTORS = 64  # that a session's id can name


cdef enum Put:
    PUT_DONE
    PUT_NO_SPACE   # in the ring: `need` says how much is wanted
    PUT_NO_BLOCK   # in the arena, and it is too large for the ring
    PUT_NO_WAY     # its client is slow, or too much is under way: `need`, too


cdef class Frame:
    cdef int reactor
    cdef uint8_t type
    cdef uint8_t flags
    cdef uint16_t status
    cdef uint64_t request_id
    cdef int64_t content_length
    cdef bytes head
    cdef bytes body
    cdef bint counts             # among what is under way
    cdef Py_ssize_t ahead        # bytes that it counts for there
    cdef uint64_t end            # where it ends among what has been published
    cdef Frame next              # that was published after it
    cdef Py_ssize_t cost(self) noexcept


cdef class Pusher:
    cdef Outlet outlet
    cdef readonly int reactors
    cdef uint64_t need           # what the frame that could not be sent waits for, as `Outlet.wait` takes it
    cdef list first              # per reactor: of the frames that count, the oldest that it has not read
    cdef list last
    cdef Py_ssize_t ahead[MOST_REACTORS]   # bytes of these
    cdef Py_ssize_t queued[MOST_REACTORS]  # bytes of those that count and are not published yet
    cdef dict told               # session -> frame by which it is to block from now on, which the reactor has not read
    cdef bint moved              # some that counted have been read
    cdef Put put(self, Frame frame) noexcept
    cdef bint may_go(self, Frame frame, int waits) noexcept
    cdef bint _has_way(self, Frame frame) noexcept
    cdef void _under_way(self, Frame frame) noexcept
    cdef void _settle(self, int reactor) noexcept
    cdef int post(self, Frame frame) except -1
    cdef int wake(self) except -1
    cdef uint32_t _pace(self, Frame frame) noexcept
    cdef Frame verb(self, int reactor, int flags, int status, int64_t target, bytes head, bytes body)


cdef class BlockingPusher(Pusher):
    cdef uint64_t waits          # so far: each has a name of its own
    cdef int _send(self, Frame frame, int waits) except -1


cdef class LoopPusher(Pusher):
    cdef object loop
    cdef unsigned long thread    # the loop's
    cdef list queues             # per reactor: frames that wait for room
    cdef list needs              # per reactor: bytes of the first of them; 0: it wants a block
    cdef readonly Py_ssize_t waiting  # how many, in all
    cdef Py_ssize_t backlog_bytes  # of these
    cdef unsigned int calls      # of asend()
    cdef list waiters            # called at the next piece of news
    cdef public object drain     # of the worker's loop: looks for room
    cdef bint drains             # a call of it is scheduled
    cdef int room(self) except -1
    cdef bint has_room(self) noexcept
    cdef int _queue(self, Frame frame) except -1
    cdef str _why(self, Frame frame, int waits)
    cdef int _listen(self, object waiter, Frame frame) except -1
    cdef object _teller(self, loop, future)
    cdef int _tell_moved(self) except -1
    cdef bint _is_crowded(self) noexcept
