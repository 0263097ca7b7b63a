"""Runs app coroutines, each in what is to it a Task of its own, for less than a Task costs.

It owns tasks and contexts of requests. It knows nothing of rings: a subclass of `Runners` hands out exchanges.

A Task per request costs about 1.2 us in Python 3.11 (it is made, put in a WeakSet, scheduled by a Handle, taken
out again), as much as everything else that a worker does for a small request. But hardly any app looks at its Task.
So a Task here is long-lived and awaits a `Runner`, a coroutine in C, which runs the coroutines of many requests one
after another, without a trip through the loop. To an app it is a real asyncio.Task that runs only its request:

 * asyncio.current_task() is right from the first step on, for it *is* the current task, in C, in every Python;
 * each request runs in a fresh copy of the context, entered around every step;
 * when the app suspends, the Task is that request's alone until it is through: its future is yielded to the
   Task, which waits for it as ever, and the next request gets another runner;
 * get_coro(), get_stack() and repr show the app's coroutine.

And nobody must be able to see that a Task had a life before. So after each request the object is compared, octet by
octet, with what it was before: reference count, list of weak references, callbacks, name, attributes, cancellation
requests are all there. Any difference, and the Task is retired: it ends with this request, and its callbacks and weak
references see that. A false alarm costs the price of one Task.

A runner without work awaits its `Gate`, whose add_done_callback gets the Task's own wake-up; calling that is a step
of the Task, here and now. The first step of a new Task is called the same way: taken from the call_soon that the
Task makes in its constructor.

"""

import asyncio
import contextvars

from cpython.object cimport PyTypeObject
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject

from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy

from swhttp.adapters.asgi cimport AsgiAdapter, AsgiExchange

cdef extern from "Python.h":
    PySendResult PyIter_Send(object iterator, object argument, PyObject **result) except PYGEN_ERROR
    bint PyCoro_CheckExact(object coroutine)
    object PyContext_Copy(object context)
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1
    ctypedef PySendResult (*sendfunc)(PyObject *, PyObject *, PyObject **) except PYGEN_ERROR
    ctypedef struct PyAsyncMethods:
        sendfunc am_send

cdef extern from *:
    """
    static PyAsyncMethods *sw_async_methods(PyObject *type) { return ((PyTypeObject *)type)->tp_as_async; }

    /* Attributes and weak references of an object are in two pointers, which newer Pythons keep in front of it. */
    static void sw_hidden_words(PyObject *object, void **words)
    {
        Py_ssize_t weak = Py_TYPE(object)->tp_weaklistoffset;
        words[0] = words[1] = NULL;
        if (weak != 0)
            words[0] = *(void **)((char *)object + weak);
    #if defined(Py_TPFLAGS_MANAGED_DICT)
        if (PyType_HasFeature(Py_TYPE(object), Py_TPFLAGS_MANAGED_DICT))
            words[1] = ((void **)object)[-3];
    #endif
    }
    """
    PyAsyncMethods *sw_async_methods(object type)
    void sw_hidden_words(PyObject *object, void **words)

cdef enum:
    MAX_IDLE = 256  # runners kept for the next burst
    HIDDEN_BYTES = 2 * sizeof(void *)

cdef object Task = asyncio.Task
cdef Py_ssize_t TASK_BYTES = (<PyTypeObject *>asyncio.Task).tp_basicsize


cdef class Runners:
    """The runners of one worker. `adapter`: calls the app; `loop`: where its tasks belong."""

    def __init__(self, AsgiAdapter adapter, loop):
        self.adapter = adapter
        self.loop = loop
        self.context = contextvars.copy_context()
        self.idle = []

    cdef AsgiExchange next_exchange(self):
        """The next request that is ours, or None."""
        return None

    cdef int freed(self) except -1:
        """A request that had suspended is through."""
        return 0

    cdef int grown(self) except -1:
        """A task was made."""
        return 0

    cdef int run(self) except -1:
        """Let a runner work until there is no next exchange, or its request suspends."""
        cdef Runner runner
        cdef object resume
        if self.idle:
            runner = <Runner>self.idle.pop()
        else:
            runner = self._make()
        resume = runner.resume
        runner.resume = None
        if runner.gate is None:
            resume()
        else:
            resume(runner.gate)
        return 0

    cdef Runner _make(self):
        """A runner whose Task has not made its first step: that is its `resume`."""
        cdef Runner runner = Runner.__new__(Runner)
        cdef list steps = []
        runner.runners = self
        self.loop.call_soon = lambda step, *arguments, context=None: steps.append(step)
        try:
            runner.task = Task(runner, loop=self.loop, context=self.context)
        finally:
            del self.loop.call_soon
        runner.resume = steps.pop()
        self.made += 1
        self.grown()
        return runner

    cdef int let_go(self) except -1:
        """End the tasks of all idle runners. Not within a task."""
        cdef bint closing = self.closing
        self.closing = True
        while self.idle:
            self.run()
        self.closing = closing
        return 0

    cdef int close(self) except -1:
        """End the tasks of all idle runners, and of others when they are through. Not within a task."""
        self.closing = True
        return self.let_go()


cdef class Runner:
    """The coroutine of a long-lived Task: it runs app coroutines one after another."""

    def __dealloc__(self):
        free(self.before)

    cdef PySendResult go(self, PyObject **result) except PYGEN_ERROR:
        """One step of the Task: on with the request that suspended, or as many requests as there are."""
        if self.exchange is None:
            self._remember()
        while True:
            if self.exchange is None:
                if self.runners.closing:
                    return self._retire(result)
                self.exchange = self.runners.next_exchange()
                if self.exchange is None:
                    return self._rest(result)
                self.context = PyContext_Copy(self.runners.context)
            if self._step(result) == PYGEN_NEXT:
                self._suspend()
                return PYGEN_NEXT
            if not self._unnoticed():
                return self._retire(result)
            if self.link != NULL:
                return self._rest(result)

    cdef PySendResult _step(self, PyObject **result) except PYGEN_ERROR:
        """One step of the app. PYGEN_NEXT: it suspended, on what is in `result`; PYGEN_RETURN: it is through."""
        cdef PySendResult status = PYGEN_RETURN
        cdef object coroutine, error = None
        PyContext_Enter(self.context)
        try:
            if self.steps is None:
                coroutine = self.runners.adapter.call(self.exchange)
                self.coroutine = coroutine
                self.steps = coroutine if PyCoro_CheckExact(coroutine) else type(coroutine).__await__(coroutine)
                coroutine = None
            status = PyIter_Send(self.steps, None, result)
            if status == PYGEN_RETURN:
                Py_DECREF(<object>result[0])
        except BaseException as caught:
            error = caught
        PyContext_Exit(self.context)
        if status == PYGEN_RETURN:
            self._finish(error)
        return status

    cdef int _finish(self, object error) except -1:
        """The app is through. What the adapter raises ends the Task, and this runner with it."""
        cdef AsgiExchange exchange = self.exchange
        cdef bint done = False
        self.exchange = None
        self.steps = self.coroutine = self.context = None
        try:
            self.runners.adapter.ended(exchange, error)
            done = True
        finally:
            if self.link != NULL:
                self.runners.freed()
            if not done:
                self._unlink()
                self.task = self.gate = None  # they refer to us
        return 0

    cdef int _suspend(self) noexcept:
        cdef PyObject **first = &self.runners.suspended
        if self.link != NULL:
            return 0
        if self.exchange is not None and self.exchange.lasting:  # it runs no other request
            free(self.before)
            self.before = NULL
            self.gate = None
        self.next = first[0]
        self.link = first
        if self.next != NULL:
            (<Runner>self.next).link = &self.next
        first[0] = <PyObject *>self
        Py_INCREF(self)
        self.runners.suspended_count += 1
        return 0

    cdef int _unlink(self) noexcept:
        if self.link == NULL:
            return 0
        self.link[0] = self.next
        if self.next != NULL:
            (<Runner>self.next).link = self.link
        self.link = NULL
        self.runners.suspended_count -= 1
        Py_DECREF(self)
        return 0

    cdef PySendResult _rest(self, PyObject **result) except PYGEN_ERROR:
        """Wait in the gate: the Task gives it its wake-up."""
        if self.link != NULL:
            self._unlink()
            if len(self.runners.idle) >= MAX_IDLE:
                return self._retire(result)
        if self.gate is None:
            self.gate = Gate.__new__(Gate)
            self.gate.runner = self
        self.gate._asyncio_future_blocking = True
        Py_INCREF(self.gate)
        result[0] = <PyObject *>self.gate
        return PYGEN_NEXT

    cdef PySendResult _retire(self, PyObject **result) except PYGEN_ERROR:
        """End the Task."""
        self._unlink()
        self.task = self.gate = None  # they refer to us
        Py_INCREF(None)
        result[0] = <PyObject *>None
        return PYGEN_RETURN

    cdef void _remember(self) noexcept:
        if self.before == NULL:
            self.before = <unsigned char *>malloc(TASK_BYTES + HIDDEN_BYTES)
            if self.before == NULL:
                return
        memcpy(self.before, <PyObject *>self.task, TASK_BYTES)
        sw_hidden_words(<PyObject *>self.task, <void **>(self.before + TASK_BYTES))

    cdef bint _unnoticed(self) noexcept:
        cdef void *words[2]
        if self.before == NULL:
            return False
        sw_hidden_words(<PyObject *>self.task, words)
        return (memcmp(self.before, <PyObject *>self.task, TASK_BYTES) == 0
                and memcmp(self.before + TASK_BYTES, words, HIDDEN_BYTES) == 0)

    # ---- the coroutine protocol, as Task uses it

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)

    def send(self, value):
        """One step."""
        cdef PyObject *result = NULL
        cdef PySendResult status = self.go(&result)
        value = <object>result
        Py_DECREF(value)
        if status == PYGEN_RETURN:
            raise StopIteration
        return value

    def throw(self, kind, value=None, traceback=None):
        """What the app waited for failed, or its Task is cancelled."""
        cdef PyObject *result = NULL
        cdef object error = None, future = None
        cdef bint through = False
        if value is None:
            value = kind() if isinstance(kind, type) else kind
        if self.exchange is None:  # an idle task, that somebody found in all_tasks()
            self._retire(&result)
            Py_DECREF(<object>result)
            raise value
        PyContext_Enter(self.context)
        try:
            future = self.steps.throw(value)
        except StopIteration:
            through = True
        except BaseException as caught:
            through = True
            error = caught
        PyContext_Exit(self.context)
        if not through:
            return future
        self._finish(error)
        if (self._rest(&result) if self._unnoticed() else self._retire(&result)) == PYGEN_RETURN:
            Py_DECREF(<object>result)
            raise StopIteration
        future = <object>result
        Py_DECREF(future)
        return future

    def close(self):
        """The Task is given up."""
        coroutine, self.coroutine, self.steps = self.coroutine, None, None
        if coroutine is not None:
            coroutine.close()

    @property
    def __name__(self):
        return getattr(self.coroutine, "__name__", "idle")

    @property
    def cr_running(self):
        return getattr(self.coroutine, "cr_running", False)

    @property
    def cr_suspended(self):
        return getattr(self.coroutine, "cr_suspended", self.coroutine is None)

    @property
    def cr_await(self):
        return getattr(self.coroutine, "cr_await", self.gate if self.coroutine is None else None)

    @property
    def cr_frame(self):
        return getattr(self.coroutine, "cr_frame", None)

    @property
    def cr_code(self):
        return getattr(self.coroutine, "cr_code", None)


cdef PySendResult _runner_send(PyObject *runner, PyObject *argument, PyObject **result) except PYGEN_ERROR:
    return (<Runner>runner).go(result)


cdef class Gate:
    """The future that an idle runner's Task waits for. It is never done: calling the wake-up is all."""

    def get_loop(self):
        return self.runner.runners.loop

    def add_done_callback(self, callback, *, context=None):
        """The Task says how it is to be woken: the runner is idle now."""
        self.runner.resume = callback
        self.runner.runners.idle.append(self.runner)

    def remove_done_callback(self, callback):
        return 0

    def result(self):
        return None

    def done(self):
        return False

    def cancelled(self):
        return False

    def cancel(self, msg=None):
        """Not here: the Task raises CancelledError in its next step, and has one soon."""
        cdef Runner runner = self.runner
        resume, runner.resume = runner.resume, None
        if resume is not None:
            runner.runners.idle.remove(runner)
            runner.runners.loop.call_soon(resume, self)
        return False


sw_async_methods(Runner).am_send = _runner_send
