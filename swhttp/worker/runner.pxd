from cpython.ref cimport PyObject

from swhttp.adapters.asgi cimport AsgiAdapter, AsgiExchange


cdef extern from "Python.h":
    ctypedef enum PySendResult:
        PYGEN_RETURN
        PYGEN_ERROR
        PYGEN_NEXT


cdef class Runners:
    cdef AsgiAdapter adapter
    cdef readonly object loop
    cdef readonly object context
    cdef list idle               # runners that wait in their gate
    cdef PyObject *suspended     # runners whose request waits for something, linked: the reference to their tasks
    cdef readonly Py_ssize_t suspended_count
    cdef readonly int made       # tasks made, for tests and tuning
    cdef bint closing
    cdef AsgiExchange next_exchange(self)
    cdef int freed(self) except -1
    cdef int grown(self) except -1
    cdef int run(self) except -1
    cdef Runner _make(self)
    cdef int let_go(self) except -1
    cdef int close(self) except -1


cdef class Runner:
    cdef Runners runners
    cdef readonly object task
    cdef object resume           # what continues the task: its wake-up, or its first step
    cdef Gate gate               # None: it has not rested yet, or will not again
    cdef AsgiExchange exchange
    cdef readonly object coroutine  # the app's
    cdef object steps            # what is sent to: the coroutine, or the iterator of another awaitable
    cdef object context
    cdef PyObject *next          # of those that are suspended; this one is while `link` is not NULL
    cdef PyObject **link         # what points to this one
    cdef unsigned char *before   # of the task: the object, and its hidden words; NULL: it is not used again
    cdef PySendResult go(self, PyObject **result) except PYGEN_ERROR
    cdef PySendResult _step(self, PyObject **result) except PYGEN_ERROR
    cdef int _finish(self, object error) except -1
    cdef int _suspend(self) noexcept
    cdef int _unlink(self) noexcept
    cdef PySendResult _rest(self, PyObject **result) except PYGEN_ERROR
    cdef PySendResult _retire(self, PyObject **result) except PYGEN_ERROR
    cdef void _remember(self) noexcept
    cdef bint _unnoticed(self) noexcept


cdef class Gate:
    cdef public object _asyncio_future_blocking
    cdef Runner runner
