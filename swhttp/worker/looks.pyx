"""When it is worth it that a worker looks for the next request a little longer before it sleeps: the decision alone.

It is, when requests come one at a time and soon, so after LONE_RUN batches of a few. A look in vain costs its whole
time: after each, twice as many are skipped as after the one before, up to MAX_SKIP; one that finds something makes
good for all.
"""

cimport cython

cdef enum:
    LONE_RUN = 16
    MAX_SKIP = 1023


@cython.final
cdef class Looks:
    """One worker's. `few`: so many requests at once are few."""

    def __init__(self, int few):
        self.few = few

    cpdef bint worth(self, int64_t taken) noexcept:
        """Asked before each sleep. `taken`: requests that this worker has ever taken."""
        cdef int64_t fresh = taken - self.taken_before
        self.taken_before = taken
        if fresh == 0:
            return False
        if fresh > self.few:
            self.lone_run = 0
            return False
        if self.lone_run < LONE_RUN:
            self.lone_run += 1
        if self.lone_run < LONE_RUN:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        return True

    cpdef void learn(self, bint found) noexcept:
        """What came of a look."""
        if found:
            self.backoff = 0
        else:
            self.backoff = min(2 * self.backoff + 1, MAX_SKIP)
            self.skip = self.backoff
