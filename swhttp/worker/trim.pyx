"""Memory of a crowd that has left a worker: back to the kernel, at a quiet moment.

Hundreds of requests at once leave touched blocks in the response arena, and heap that lies free between what is in use.
Neither shrinks by itself. The loops say when to look: while the arena has more than is usual, or (ASGI) tasks have been
made for a crowd, every TRIM_EVERY_S at most. A worker that serves what it usually serves does nothing here, and a busy
one puts it off. Arenas of Python's own, which only Python gives back, are in oldmemory.pyx.
"""

cimport cython

from libc.stdint cimport uint64_t

from swhttp.ipc.arena cimport sw_arena, sw_arena_trim

from swhttp import limits

cdef extern from "<malloc.h>" nogil:
    int malloc_trim(size_t pad)


cdef enum:
    MOST_IN_FLIGHT = 4  # a quarter of the crowd
    FEW = 1000          # requests between two looks
    QUIET_LOOKS = 2     # in a row

cdef uint64_t KEEP_BYTES = limits.KEEP_ARENA_BYTES
cdef uint64_t USUAL_BYTES = (len(limits.ARENA_CLASSES) + 1) * limits.KEEP_ARENA_BYTES  # so it ends below it


@cython.final
cdef class Departure:
    """Has a crowd left? The decision alone."""

    cpdef bint look(self, int64_t in_flight, int64_t taken) noexcept:
        """Asked every TRIM_EVERY_S while there may be something to give back. `in_flight`: requests here; `taken`:
        that this worker has ever taken."""
        cdef int64_t fresh = taken - self.taken_before
        self.taken_before = taken
        if in_flight > self.most:
            self.most = in_flight
        self.busy = fresh > FEW
        if self.is_crowd(in_flight) or self.busy:
            self.quiet = 0
            return False
        self.quiet += 1
        if self.quiet < QUIET_LOOKS:
            return False
        self.quiet = 0
        self.most = in_flight
        return True

    cpdef bint is_crowd(self, int64_t in_flight) noexcept:
        """Are as many still a crowd, by the most that there were?"""
        return in_flight * MOST_IN_FLIGHT > self.most


cdef bint arena_is_crowded(const sw_arena *arena) noexcept nogil:
    """Has it more memory than is usual?"""
    return arena.fresh_bytes > USUAL_BYTES


cdef void give_back(sw_arena *arena) noexcept nogil:
    """All that can be had of the arena and the heap. May take milliseconds. The caller is the lock of the arena."""
    sw_arena_trim(arena, KEEP_BYTES)
    malloc_trim(0)
