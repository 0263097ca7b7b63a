"""A coroutine in C: what `receive()` and `send()` return.

A Call is a real coroutine (collections.abc.Coroutine; a Task can be made of it) that nearly always completes within the
`await` itself: its type has an `am_send` slot, so the interpreter's SEND instruction gets the result by one C call,
without a StopIteration and without a trip through the loop. It owns that protocol and nothing else; each kind of call
says what it does, in `advance`.
"""

from cpython.ref cimport PyObject, Py_INCREF

cdef extern from "Python.h":
    ctypedef enum PySendResult:
        PYGEN_RETURN
        PYGEN_ERROR
        PYGEN_NEXT
    ctypedef PySendResult (*sendfunc)(PyObject *, PyObject *, PyObject **) except PYGEN_ERROR
    ctypedef struct PyAsyncMethods:
        sendfunc am_send

cdef extern from *:
    """
    static PyAsyncMethods *sw_async_methods(PyObject *type) { return ((PyTypeObject *)type)->tp_as_async; }
    """
    PyAsyncMethods *sw_async_methods(object type)


cdef class Call:
    """What receive() and send() return. It does its work when it is awaited, once."""

    cdef bint advance(self) except -1:
        """Go on: True when done, with the result in `value`; False to wait for the future (or None) in `value`.

        Each kind of call has its own.
        """
        raise NotImplementedError

    cdef int drop(self) except -1:
        """It will not go on: let go of what it works on. Each kind of call has its own."""
        raise NotImplementedError

    cdef bint step(self) except -1:
        cdef bint done
        if self.over:
            raise RuntimeError("cannot reuse already awaited coroutine")
        self.begun = True
        self.over = True  # an exception ends it
        done = self.advance()
        self.over = done
        return done

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        if self.step():
            if self.value is None:
                raise StopIteration
            raise StopIteration(self.value)
        return self.value

    def send(self, value):
        """Run to the next suspension."""
        if self.step():
            raise StopIteration(self.value)
        return self.value

    def throw(self, kind, value=None, traceback=None):
        """Raise inside: it does not go on."""
        self.over = True
        self.drop()
        if value is None:
            value = kind() if isinstance(kind, type) else kind
        elif not isinstance(value, BaseException):
            value = kind(value)
        raise value if traceback is None else value.with_traceback(traceback)

    def close(self):
        """Give up."""
        self.over = True
        self.drop()

    @property
    def cr_running(self):
        return False

    @property
    def cr_suspended(self):
        return self.begun and not self.over

    @property
    def cr_await(self):
        # None where it waits for itself: whoever follows what coroutines wait for would go round for ever.
        return self.value if self.begun and not self.over and self.value is not self else None

    @property
    def cr_frame(self):
        return None

    @property
    def cr_code(self):
        return None


cdef PySendResult _call_send(PyObject *call, PyObject *argument, PyObject **result) except PYGEN_ERROR:
    """`am_send` of calls: a result without StopIteration."""
    cdef bint done = (<Call>call).step()
    value = (<Call>call).value
    Py_INCREF(value)
    result[0] = <PyObject *>value
    return PYGEN_RETURN if done else PYGEN_NEXT


sw_async_methods(Call).am_send = _call_send  # inherited by the types of the kinds of calls
