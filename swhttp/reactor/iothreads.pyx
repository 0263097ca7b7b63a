"""The master's I/O threads: whatever may wait for a disk on behalf of a reactor.

It owns the threads and their queue (iojobs.h says what a job is, and whose). They run without the GIL from their
start to their end, and touch nothing of a reactor but the inbox to which they give back. A disk that hangs stops as
many of them as there are, and then what waits for them; it never stops a reactor.
"""

from libc.stdlib cimport calloc, free, malloc

from swhttp.reactor.iojobs cimport (SW_IO_BUFFER_BYTES, sw_io_init, sw_io_job, sw_io_pool, sw_io_run, sw_io_stop,
                                    sw_io_submit)

import threading

from swhttp import limits


cdef class IoThreads:
    """`limits.IO_THREADS` threads. Its methods are called by the main thread."""

    def __init__(self):
        # Kept for the life of the process: reactors and threads use it to the end.
        self.pool = <sw_io_pool *>calloc(1, sizeof(sw_io_pool))
        if self.pool == NULL:
            raise MemoryError("I/O threads")
        sw_io_init(self.pool, limits.IO_QUEUE)
        self.threads = []

    def start(self):
        """Start the threads. The caller has blocked all signals."""
        for i in range(limits.IO_THREADS):
            thread = threading.Thread(target=self._thread, name=f"io-{i}", daemon=True)
            thread.start()
            self.threads.append(thread)

    def _thread(self):
        cdef char *buffer = <char *>malloc(SW_IO_BUFFER_BYTES)
        if buffer == NULL:
            raise MemoryError("I/O thread")
        with nogil:
            sw_io_run(self.pool, buffer)
        free(buffer)

    def stop(self):
        """End them, when no reactor is left that could ask for anything. False: a disk still keeps one."""
        sw_io_stop(self.pool)
        for thread in self.threads:
            thread.join(limits.IO_END_S)
            if thread.is_alive():
                return False
        return True


# ---- for tests ----

def accepted(int most, list always):
    """Of jobs for a queue of `most`, from which nobody takes any: which are taken. `always`: of each, whether it has to
    be."""
    cdef sw_io_pool *pool = <sw_io_pool *>calloc(1, sizeof(sw_io_pool))
    cdef sw_io_job *jobs = <sw_io_job *>calloc(len(always) + 1, sizeof(sw_io_job))
    cdef int i
    if pool == NULL or jobs == NULL:
        raise MemoryError("I/O threads")
    sw_io_init(pool, most)
    found = [sw_io_submit(pool, &jobs[i], always[i]) for i in range(len(always))]
    free(jobs)
    free(pool)
    return found
