"""Arenas of Python's allocator: those that came with a crowd become empty, and go back to the kernel.

Python gives back an arena, a mebibyte, when nothing lies in it; and puts the next object of a size wherever one of that
size was last freed. So after a crowd what comes next goes into arenas that hold next to nothing, and keeps them. Here
the order of the free places is mended: those in older arenas come first. What still lies in young ones moves when it is
next made anew.

One for the process, which has one allocator. Where Python uses another (PYTHONMALLOC=malloc) there are no arenas, and
nothing is done.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uintptr_t

cdef extern from "Python.h":
    ctypedef struct PyObjectArenaAllocator:
        void *ctx
        void *(*alloc)(void *ctx, size_t size) noexcept
        void (*free)(void *ctx, void *arena, size_t size) noexcept
    void PyObject_GetArenaAllocator(PyObjectArenaAllocator *allocator)
    void PyObject_SetArenaAllocator(PyObjectArenaAllocator *allocator)
    void *PyObject_Malloc(size_t size) noexcept
    void PyObject_Free(void *block) noexcept

cdef enum:
    MOST_YOUNG = 256          # more of them count as old
    STEP_BYTES = 16           # of the sizes for which Python's allocator has pools
    MOST_BYTES = 512
    TAKEN_BYTES = 1 << 20     # of each size: more than the free places of its pools that are in use

cdef struct Arena:
    uintptr_t begin
    uintptr_t end

cdef struct Place:            # a free place, while it is ours
    Place *next

cdef PyObjectArenaAllocator pythons
cdef Arena young[MOST_YOUNG]
cdef int youngs = 0
cdef bint watched = False


cdef void *_alloc(void *ctx, size_t size) noexcept:
    global youngs
    cdef void *arena = pythons.alloc(ctx, size)
    if arena != NULL and youngs < MOST_YOUNG:
        young[youngs].begin = <uintptr_t>arena
        young[youngs].end = <uintptr_t>arena + size
        youngs += 1
    return arena


cdef void _free(void *ctx, void *arena, size_t size) noexcept:
    global youngs
    cdef int i
    for i in range(youngs):
        if young[i].begin == <uintptr_t>arena:
            youngs -= 1
            young[i] = young[youngs]
            break
    pythons.free(ctx, arena, size)


def begin():
    """From now on arenas are young. Again, before each crowd: those that there are have grown old."""
    global youngs, watched
    cdef PyObjectArenaAllocator ours
    youngs = 0
    if not watched:
        watched = True
        PyObject_GetArenaAllocator(&pythons)
        ours.ctx = pythons.ctx
        ours.alloc = _alloc
        ours.free = _free
        PyObject_SetArenaAllocator(&ours)


def prefer_old():
    """What is made next goes into old arenas, as long as they have room. Takes some milliseconds."""
    cdef Place *old
    cdef Place *fresh
    cdef Place *place
    cdef size_t size
    cdef size_t _count
    if youngs == 0:
        return
    for size in range(STEP_BYTES, MOST_BYTES + 1, STEP_BYTES):
        old = fresh = NULL
        for _count in range(TAKEN_BYTES // size):
            place = <Place *>PyObject_Malloc(size)
            if place == NULL:
                break
            if is_young(place):
                place.next = fresh
                fresh = place
            else:
                place.next = old
                old = place
        _give(fresh)
        _give(old)  # last, so the pools of these are first


cdef void _give(Place *places) noexcept:
    cdef Place *place
    while places != NULL:
        place = places
        places = place.next
        PyObject_Free(place)


cdef bint is_young(const void *place) noexcept:
    """Does it lie in an arena that came after the last `begin`?"""
    cdef int i
    for i in range(youngs):
        if young[i].begin <= <uintptr_t>place < young[i].end:
            return True
    return False


def young_arenas():
    """Where they begin and end, as `id` counts."""
    return [(young[i].begin, young[i].end) for i in range(youngs)]
