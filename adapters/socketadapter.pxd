from cpython.ref cimport PyObject

from libc.stdint cimport uint64_t

from swhttp.adapters.asgi cimport AsgiAdapter
from swhttp.adapters.websocket cimport WebSocket


cdef class SocketAdapter(AsgiAdapter):
    cdef PyObject ***rows           # per reactor: index in the request table -> WebSocket
    cdef int reactors
    cdef readonly Py_ssize_t sockets
    cdef list rung                  # bells, for the drain
    cdef PyObject *find(self, int reactor, uint64_t request_id) noexcept
    cdef void _count(self, int by) noexcept
    cdef int _keep(self, WebSocket socket) except -1
    cdef int resume(self) except -1
