"""What a task waits for that is resumed here and now: a future, as far as a Task looks, without a turn of the loop.

It owns the wake-up of one task. A future that is done has its task called by the loop in its next turn, after worker
and reactor have gone to sleep and must be woken; `ring` makes that step of the task at once. So it may be called only
where no task runs, and after what it is rung for is there: between the two nobody else can take it.

A task that is cancelled meanwhile has CancelledError raised by the loop, in its next turn.
"""

cdef extern from "Python.h":
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1


cdef class Bell:
    """Awaited once, by yielding it to the task. `loop`: the task's."""

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
            self.loop.call_soon(wake_up, self, context=context)
        return 0

    # ---- what a Task asks of a future

    def get_loop(self):
        return self.loop

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
