from libc.stdint cimport int64_t, uint32_t

from swhttp.ipc.memory cimport SharedMemory
from swhttp.reactor.http1 cimport Http1
from swhttp.reactor.state cimport Conn, State
from swhttp.reactor.trusted cimport Trusted


cdef class Reactor:
    cdef State state
    cdef Http1 http1
    cdef object thread
    cdef bytes tmp_dir
    cdef Trusted trusted
    cdef object certificates
    cdef bint pushes_wait        # packets of user processes have not all been read
    cdef void *_zeroed(self, size_t count, size_t size) except NULL
    cdef setup(self, int index, SharedMemory memory, settings, list listeners)
    cdef watch(self, int fd, uint32_t events, size_t data)
    cdef certify(self, certificates)
    cdef _run(self)
    cdef void _without_gil(self) noexcept nogil
    cdef void _phase1(self) noexcept nogil
    cdef void _announce_sleep(self, uint32_t how) noexcept nogil
    cdef void _end_sleep(self) noexcept nogil
    cdef bint _spin(self) noexcept nogil
    cdef int64_t _sleep_ns(self, bint tick) noexcept nogil
    cdef void _do_todo(self) noexcept nogil
    cdef void _event(self, Conn *c, uint32_t events) noexcept nogil
    cdef bint _writable(self, Conn *c) noexcept nogil
    cdef void _phase3(self) noexcept nogil
    cdef void _take_files(self) noexcept nogil
    cdef void _submit_ready(self) noexcept nogil
    cdef void _deadlines(self) noexcept nogil
    cdef void _expire_queue(self, Conn *c) noexcept nogil
    cdef void _expire_keyed(self) noexcept nogil
    cdef void _report(self, int kind, int which, int count=*) noexcept nogil
    cdef void _commands(self) noexcept nogil
    cdef void _drain(self) noexcept nogil
    cdef void _last_look(self, Conn *c) noexcept nogil
    cdef void _close_all(self)
