"""What an adapter needs of the worker's end of shared memory: the interface, without an implementation.

Adapters know frames and requests, not rings, eventfds or sleeping; the worker's channel implements this. So imports
point one way, and an adapter can be driven by anything that takes frames.

Contract: every call is made with the GIL held, which is the lock between threads of one worker; nothing may
release it between `reserve` and `publish`.
"""

from libc.errno cimport EBADF


cdef class Outlet:
    """Where an adapter reads requests and puts response frames.

    `max_payload_bytes`: head and body bytes that one frame should have; `max_frame_bytes`: of the largest that can be;
    `max_block_bytes`: of the arena's largest block; `high_water_bytes`: how far a response may be ahead of its client;
    `line`: the worker's line of the scoreboard.
    """

    cdef sw_request_entry *entry(self, int reactor, uint64_t request_id) noexcept:
        """The request's row of the request table."""
        return NULL

    cdef const sw_block *block(self, int reactor, const sw_descriptor *descriptor) noexcept:
        """The request itself, readable until its final frame is published."""
        return NULL

    cdef const sw_chunk *chunk(self, int reactor, const sw_descriptor *descriptor) noexcept:
        """More of a request body, readable until credit says that it was read, or the final frame is published."""
        return NULL

    cdef int body_file(self, int reactor, uint64_t request_id) except -2:
        """The fd that came with a request, which is the caller's from here on; -1: none came."""
        return -1

    cdef bint address(self, int reactor, uint32_t row, uint64_t generation, sw_address *address) noexcept:
        """Copy a session's addresses; False when the connection is gone."""
        return False

    cdef uint32_t slowness(self, int reactor, uint32_t row, uint64_t generation) noexcept:
        """SW_SESSION_ bits of a WebSocket; 0 when it is gone."""
        return 0

    cdef unsigned char *reserve(self, int reactor, uint64_t length) noexcept:
        """Room for a frame, or NULL while there is none."""
        return NULL

    cdef bint has_room(self, int reactor, uint64_t need) noexcept:
        """Is there room for what `Exchange.need` or `Pusher.need` says?"""
        return False

    cdef uint64_t published(self, int reactor) noexcept:
        """Where what has been published for a reactor ends: counted in bytes, it only grows."""
        return 0

    cdef uint64_t unread(self, int reactor) noexcept:
        """How much of it the reactor has not read. What followed from the rest can be seen from then on."""
        return 0

    cdef unsigned char *shm_take(self, uint64_t length, uint32_t *room, uint32_t *block) noexcept:
        """A free block of the slot's arena, at best one of `length` bytes: `room` says; NULL while there is none.

        It must be published, so reserve the frame before; or returned.
        """
        return NULL

    cdef void shm_return(self, uint32_t block) noexcept:
        """A block that was taken will not be published."""

    cdef int pass_file(self, int reactor, int fd, uint64_t request_id) noexcept:
        """Pass a file to the reactor, before the frame that refers to it: 0, or an errno; EAGAIN: no room now."""
        return EBADF

    cdef void publish(self, int reactor, uint64_t length, bint last) noexcept:
        """Publish the frame just reserved and see that the reactor learns of it."""

    cdef void want_space(self, int reactor) noexcept:
        """Ask for a wake-up when there is room. The caller must try `reserve` once more before it waits."""

    cdef int watch(self, int reactor, uint64_t request_id) except -1:
        """Begin to listen for news of a request, before asking for any (WSGI only).

        `request_id`: a request's, whose thread this is; or one with PUSHES in it, of any thread that pushes.
        """
        raise RuntimeError("this worker's loop does not block")

    cdef int wait(self, int reactor, uint64_t request_id, uint64_t need) except -1:
        """Block this thread, without the GIL, until there may be news since `watch` or the last `wait`.

        need: what had no room (`Exchange.need`, `Pusher.need`), or 0. It may return early: the caller tries, asks,
        waits again.
        """
        raise RuntimeError("this worker's loop does not block")

    cdef int unwatch(self, int reactor, uint64_t request_id) except -1:
        """Listen no more."""
        raise RuntimeError("this worker's loop does not block")
