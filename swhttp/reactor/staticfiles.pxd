from swhttp.reactor.iojobs cimport sw_io_job
from swhttp.reactor.state cimport Conn, State


cdef bint static_takes(State *s, Conn *c) noexcept nogil
cdef bint static_done(State *s, sw_io_job *job) noexcept nogil
