"""The master's I/O threads: whatever may wait for a disk on behalf of a reactor.

It owns the threads and their queue (iojobs.h says what a job is, and whose). They run without the GIL from their
start to their end, and touch nothing of a reactor but the inbox to which they give back. A disk that hangs stops as
many of them as there are, and then what waits for them; it never stops a reactor.
"""

from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free, malloc

from swhttp.reactor.iojobs cimport (SW_IO_BUFFER_BYTES, SW_IO_OPEN, SW_IO_READ, sw_io_init, sw_io_job, sw_io_pool,
                                    sw_io_run, sw_io_stop, sw_io_submit)
from swhttp.reactor.openat2 cimport sw_in_memory, sw_in_steps

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

def accepted(int most, list opens):
    """Of jobs for a queue of `most`, from which nobody takes any: which are taken. `opens`: of each, whether it opens a
    file, or reads."""
    cdef sw_io_pool *pool = <sw_io_pool *>calloc(1, sizeof(sw_io_pool))
    cdef sw_io_job *jobs = <sw_io_job *>calloc(len(opens) + 1, sizeof(sw_io_job))
    cdef int i
    if pool == NULL or jobs == NULL:
        raise MemoryError("I/O threads")
    sw_io_init(pool, most)
    for i in range(len(opens)):
        jobs[i].kind = SW_IO_OPEN if opens[i] else SW_IO_READ
    found = [sw_io_submit(pool, &jobs[i]) for i in range(len(opens))]
    free(jobs)
    free(pool)
    return found


def in_memory(int fd, uint64_t at, uint64_t length):
    """Whether a part of a file is said to be in memory: by whatever way there is, and by steps."""
    return sw_in_memory(fd, at, length), sw_in_steps(fd, at, length)
