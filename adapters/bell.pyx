"""A call that waits for something is itself what its task waits for: a future, as far as a Task looks, and one that is
resumed here and now, without a turn of the loop.

It owns the wake-up of one task. A future that is done has its task called by the loop in its next turn, after worker
and reactor have gone to sleep and must be woken; `ring` makes that step of the task at once. So it may be called only
where no task runs, and after what it is rung for is there: between the two nobody else can take it.

It is no object of its own beside the call, because there would be one for each WebSocket that waits for a message. What
asks whether it is a future (asyncio.ensure_future, say) before it has been awaited is told that it is a coroutine.

A task that is cancelled meanwhile has CancelledError raised by the loop, in its next turn.
"""

cdef extern from "Python.h":
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1


cdef class Bell(Call):
    """Each kind of call says in `get_loop` whose loop the task's is."""

    cdef bint step(self) except -1:
        if self.wake_up is not None:  # by another task, which would never be woken
            raise RuntimeError("coroutine is being awaited already")
        return Call.step(self)

    cdef bint suspend(self) except -1:
        """Be what `advance` waits for; it returns this."""
        self.blocking = YIELDED
        self.value = self
        return False

    cdef int resumed(self) noexcept:
        """The task goes on."""
        self.blocking = NO_FUTURE
        self.value = self.wake_up = self.context = None
        return 0

    cdef int ring(self) except -1:
        """Make the next step of the task. Not within a task."""
        cdef object wake_up = self.wake_up, context = self.context
        if wake_up is None:
            return 0
        self.wake_up = self.context = None
        if context is None:
            wake_up(self)
            return 0
        PyContext_Enter(context)
        try:
            wake_up(self)
        finally:
            PyContext_Exit(context)
        return 0

    cdef int ring_soon(self) except -1:
        """Let the loop make it."""
        cdef object wake_up = self.wake_up, context = self.context
        if wake_up is not None:
            self.wake_up = self.context = None
            self.get_loop().call_soon(wake_up, self, context=context)
        return 0

    # ---- what a Task asks of a future

    @property
    def _asyncio_future_blocking(self):
        return None if self.blocking == NO_FUTURE else self.blocking == YIELDED

    @_asyncio_future_blocking.setter
    def _asyncio_future_blocking(self, value):
        self.blocking = YIELDED if value else AWAITED

    def get_loop(self):
        raise NotImplementedError

    def add_done_callback(self, callback, *, context=None):
        """The task says how it is to be woken."""
        self.wake_up = callback
        self.context = context

    def remove_done_callback(self, callback):
        return 0

    def result(self):
        return None

    def exception(self):
        return None

    def done(self):
        return self.wake_up is None

    def cancelled(self):
        return False

    def cancel(self, msg=None):
        """Not here: the Task raises CancelledError in its next step, and has one soon."""
        self.ring_soon()
        return False
