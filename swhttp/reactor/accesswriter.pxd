from libc.stdint cimport int64_t, uint64_t

from swhttp.reactor.logline cimport sw_access_log, sw_log_bell, sw_log_ring
from swhttp.reactor.state cimport State, sw_mailbox


cdef class AccessWriter:
    cdef readonly str path
    cdef int fd
    cdef bint asks           # a write to it may have to wait
    cdef int next_asks       # of the file to go on with
    cdef int count
    cdef sw_access_log *logs
    cdef sw_log_ring *rings
    cdef sw_log_bell *bell
    cdef sw_mailbox *reports
    cdef int64_t *lines[64]  # pages of the scoreboard
    cdef uint64_t tails[64]
    cdef uint64_t until[64]  # what was published when the file to go on with was said
    cdef bint within         # what was written last ends within a line
    cdef bint broken         # the file ends within a line
    cdef int last_errno
    cdef int64_t told_dropped
    cdef int64_t told_lost
    cdef uint64_t told_ns
    cdef object thread
    cdef void wire(self, int index, State *state, sw_mailbox *reports) noexcept
    cdef void _run(self) noexcept nogil
    cdef void _go_on_in_next_file(self) noexcept nogil
    cdef void _switch(self, int fd) noexcept nogil
    cdef bint _pending(self) noexcept nogil
    cdef bint _enough(self) noexcept nogil
    cdef void _sleep(self, int state, int64_t wait_ns) noexcept nogil
    cdef bint _drain(self, int index, uint64_t head) noexcept nogil
    cdef void _lose(self, int index, uint64_t head, int error) noexcept nogil
    cdef int64_t _write(self, int index, uint64_t head) noexcept nogil
    cdef bint _may_write(self) noexcept nogil
    cdef void _tell(self, bint at_once) noexcept nogil
    cdef int64_t _untold_ns(self) noexcept nogil
