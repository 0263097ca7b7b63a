"""Where a process had its memory before a crowd: what is made after it goes there, and the arenas of the crowd empty.

Python gives an arena of its allocator back, a mebibyte, when nothing lies in it; and puts the next object where one of
its size was last freed. So what comes after a crowd goes into arenas that hold next to nothing, and keeps them. Here
the free places of each size are put in another order: first come those in memory that was there before. It lasts until
the pools of old arenas that are in use are full; what lies in young arenas moves when it is next made anew.

Nothing of the allocator is looked into. With another one (PYTHONMALLOC=malloc) this costs time and changes nothing.
"""

import tracemalloc

from libc.stddef cimport size_t
from libc.stdint cimport uintptr_t
from libc.stdlib cimport calloc, free

cdef extern from "Python.h":
    void *PyObject_Malloc(size_t size) noexcept
    void PyObject_Free(void *place) noexcept

cdef enum:
    STEP_BYTES = 16                # of the sizes of Python's pools
    LARGEST_BYTES = 512
    ENOUGH_BYTES = 64 << 10        # old places of a size
    MOST_TAKEN_BYTES = 2 << 20     # of a size, in search of them: a hundred pools that the crowd has left nearly empty

cdef struct Range:
    uintptr_t begin
    uintptr_t end

cdef struct Place:                 # that is free, while it is ours
    Place *next


cdef class OldMemory:
    """The anonymous memory that this process has when it is made. Without /proc: none, and `prefer` does nothing."""

    cdef Range *ranges             # ascending
    cdef size_t count
    cdef Range last                # in which the place lay that was looked for last, or the gap
    cdef bint last_is_old

    def __init__(self):
        cdef size_t i
        found = _anonymous()
        self.ranges = <Range *>calloc(max(1, len(found)), sizeof(Range))
        if self.ranges == NULL:
            raise MemoryError
        for i, (begin, end) in enumerate(found):
            self.ranges[i].begin = begin
            self.ranges[i].end = end
        self.count = len(found)

    def __dealloc__(self):
        free(self.ranges)

    def __contains__(self, address):
        """`address`: as of `id`."""
        return self.holds(<uintptr_t>address)

    def prefer(self):
        """Takes some milliseconds, in which no other Python code runs."""
        cdef size_t size, taken, found
        cdef Place *place
        cdef Place *old
        cdef Place *young
        if self.count == 0 or tracemalloc.is_tracing():  # each place would be written down
            return
        for size in range(STEP_BYTES, LARGEST_BYTES + 1, STEP_BYTES):
            taken = found = 0
            old = young = NULL
            while taken < MOST_TAKEN_BYTES and found < ENOUGH_BYTES:
                place = <Place *>PyObject_Malloc(size)
                if place == NULL:
                    break
                taken += size
                if self.holds(<uintptr_t>place):
                    found += size
                    place.next = old
                    old = place
                else:
                    place.next = young
                    young = place
            _give(young)
            _give(old)  # last, so they come first

    cdef bint holds(self, uintptr_t address) noexcept:
        cdef size_t low = 0, high = self.count, middle
        if self.last.begin <= address < self.last.end:
            return self.last_is_old
        while low < high:  # for the first range that ends behind it
            middle = (low + high) // 2
            if self.ranges[middle].end <= address:
                low = middle + 1
            else:
                high = middle
        self.last_is_old = low < self.count and self.ranges[low].begin <= address
        if self.last_is_old:
            self.last = self.ranges[low]
        else:
            self.last.begin = self.ranges[low - 1].end if low > 0 else 0
            self.last.end = self.ranges[low].begin if low < self.count else <uintptr_t>-1
        return self.last_is_old


cdef void _give(Place *places) noexcept:
    cdef Place *place
    while places != NULL:
        place = places
        places = place.next
        PyObject_Free(place)


def _anonymous():
    """Where the process has anonymous memory, as pairs of addresses, ascending."""
    found = []
    try:
        with open("/proc/self/maps") as maps:
            for line in maps:
                fields = line.split()  # addresses, rights, offset, device, inode, and for some a name
                if len(fields) == 5 and fields[1] == "rw-p":
                    begin, end = fields[0].split("-")
                    found.append((int(begin, 16), int(end, 16)))
    except OSError:
        return []
    return found
