from libc.stdint cimport int64_t, uint32_t, uint64_t

from swhttp.adapters.outlet cimport Outlet
from swhttp.ipc.arena cimport sw_arena
from swhttp.ipc.frame cimport sw_block, sw_descriptor
from swhttp.ipc.memory cimport SharedMemory
from swhttp.ipc.request_table cimport sw_request_entry
from swhttp.ipc.ring cimport sw_ring_end, sw_sleeping
from swhttp.ipc.sessions cimport sw_address, sw_session
from swhttp.worker.looks cimport Looks


cdef struct Link:                    # with one reactor
    sw_ring_end requests
    sw_ring_end responses
    sw_request_entry *table
    const unsigned char *blocks
    sw_session *sessions
    sw_sleeping *sleeping            # the reactor's, for us
    int eventfd                      # the same
    int files                        # our end of the channel for fds
    bint held                        # a response was published that it has not been woken for
    bint stopped                     # EVENT_STOP has come


cdef class Channel(Outlet):
    cdef SharedMemory memory
    cdef Link *links
    cdef sw_arena arena              # response blocks of this slot
    cdef dict body_files             # (reactor, request_id) -> fd that came with a descriptor
    cdef readonly int reactors
    cdef uint32_t rows               # of each reactor's session table
    cdef readonly int stops          # reactors that sent EVENT_STOP
    cdef readonly int eventfd        # this slot's
    cdef sw_sleeping *sleeping       # this slot's
    cdef bint may_hold               # somebody will flush soon: wake-ups may be held back
    cdef int quiet_run               # wake-ups held back since the last one
    cdef int turn                    # the reactor whose ring is looked at first
    cdef int popped                  # descriptors since `missed_news` began to count
    cdef int ring_descriptors        # that fit in one request ring
    cdef uint64_t spin_ns            # how long `look` looks, 0: never
    cdef Looks looks                 # is it worth it?
    cdef bint pop(self, sw_descriptor *descriptor, int *reactor) except? True
    cdef bint take(self, int reactor, const sw_descriptor *descriptor) noexcept
    cdef int _receive(self, int reactor, const sw_descriptor *descriptor) except -1
    cdef void _lose_file(self, int reactor, uint64_t request_id) noexcept
    cdef bint has_more(self) noexcept nogil
    cdef bint missed_news(self, bint emptied) noexcept
    cdef bint look(self) noexcept
    cdef void flush(self) noexcept
    cdef void stop(self, int reactor) noexcept
    cdef void _wake(self, Link *link) noexcept
