"""The access log's writer: one thread of the master that puts the lines of all reactors into the file.

It owns the file, the rings' reading ends and the count of what it could not write. It alone may wait for a file or for
a reader: a reactor whose ring is full drops lines and goes on. Its thread runs without the GIL from its start to its
end, sleeps while there is nothing to write, and reports in the words of `reason=`; the main thread logs them.

    a line after a pause is written at once, those that follow together: every ACCESS_LINGER_S, or when a ring holds
    SW_LOG_WAKE bytes, so that under load no reactor has to wake the writer
    a reader that does not read (pipe, FIFO, terminal)   is waited for; meanwhile the rings fill
    an error of the file (no space, EPIPE)               loses what there is to write, which is counted
    reopen                                               what was there goes to the old file, what comes to the new one
    stop                                                 all that was published is written, within ACCESS_END_S

A write to a pipe is of whole lines and at most PIPE_BUF bytes, so they never mix with an app's own output (pipe(7)).
A file that an error left within a line gets its line end before the next one.
"""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t, uint64_t
from libc.stdio cimport snprintf
from libc.string cimport memcpy, memset
from posix.unistd cimport close, write

import logging
import os
import threading

from swhttp.ipc.clock cimport sw_monotonic_ns
from swhttp.ipc.ring cimport sw_eventfd_drain
from swhttp.ipc.scoreboard cimport REACTOR_LOG_DROPPED, REACTOR_LOG_LOST
from swhttp.reactor.accessparts cimport access_setup
from swhttp.reactor.logline cimport (SW_LOG_IDLE, SW_LOG_LINGERS, SW_LOG_WAKE, sw_log_bell_init, sw_log_called,
                                     sw_log_head, sw_log_place, sw_log_release, sw_log_say_fd, sw_log_say_stop,
                                     sw_log_sleep_begin, sw_log_sleep_end, sw_log_stop_by_ns, sw_log_take_fd)
from swhttp.reactor.state cimport MAIL_LOG, sw_mail, sw_mailbox_send

from swhttp import accessfile, limits
from swhttp.logs import log

cdef uint64_t RING_BYTES = limits.ACCESS_RING_BYTES
cdef uint64_t LINE_BYTES = limits.ACCESS_LINE_BYTES
cdef int64_t LINGER_NS = <int64_t>(limits.ACCESS_LINGER_S * 1e9)
cdef uint64_t END_NS = <uint64_t>(limits.ACCESS_END_S * 1e9)
cdef uint64_t TELL_EVERY_NS = 1000000000
cdef int WARNING = logging.WARNING
cdef int ERROR = logging.ERROR
assert limits.MAX_REACTORS <= 64
assert RING_BYTES & (RING_BYTES - 1) == 0 and RING_BYTES >= 2 * SW_LOG_WAKE and SW_LOG_WAKE >= 4 * LINE_BYTES

cdef enum:
    PIPE_BYTES = 4096  # PIPE_BUF: poll says that so much can be written, and it is written in one piece

cdef extern from * nogil:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <poll.h>
    #include <stdint.h>
    #include <stdlib.h>
    #include <string.h>
    #include <time.h>

    /* Wait for the eventfd, or for room in `fd` (-1: not asked). 1: there is room, or an error that a write will tell;
     * 0: neither. `wait_ns` below 0: for ever. */
    static int sw_log_poll(int eventfd, int fd, int64_t wait_ns)
    {
        struct pollfd fds[2] = {{eventfd, POLLIN, 0}, {fd, POLLOUT, 0}};
        struct timespec wait = {wait_ns / 1000000000, wait_ns % 1000000000};
        return ppoll(fds, fd < 0 ? 1 : 2, wait_ns < 0 ? NULL : &wait, NULL) > 0 && fd >= 0 && fds[1].revents != 0;
    }

    static const unsigned char *sw_log_last_newline(const unsigned char *at, size_t length)
    {
        return (const unsigned char *)memrchr(at, '\\n', length);
    }

    static const char *sw_log_error(int error, char *text, size_t room)
    {
        return strerror_r(error, text, room);
    }
    """
    void *aligned_alloc(size_t alignment, size_t size)
    bint sw_log_poll(int eventfd, int fd, int64_t wait_ns)
    const unsigned char *sw_log_last_newline(const unsigned char *at, size_t length)
    const char *sw_log_error(int error, char *text, size_t room)


cdef void *_memory(size_t size) except NULL:
    """Zeroed memory on a cache line. Kept for the life of the process: threads use it to the end."""
    cdef void *memory = aligned_alloc(64, (size + 63) // 64 * 64)
    if memory == NULL:
        raise MemoryError("access log")
    memset(memory, 0, size)
    return memory


cdef class AccessWriter:
    """Writes the lines of `reactors` reactors, in `format` (accessformat.Format), to `path`, which is open as `fd`:
    from here on the writer's. Its methods are called by the main thread."""

    def __init__(self, str path, int fd, format, int reactors):
        cdef int i
        self.path = path
        self.fd = fd
        self.asks = accessfile.must_be_asked(fd)
        self.count = reactors
        self.bell = <sw_log_bell *>_memory(sizeof(sw_log_bell))
        sw_log_bell_init(self.bell, os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
        self.logs = <sw_access_log *>_memory(reactors * sizeof(sw_access_log))
        self.rings = <sw_log_ring *>_memory(reactors * sizeof(sw_log_ring))
        for i in range(reactors):
            # Not zeroed: pages that no line has touched take no memory.
            self.rings[i].data = <unsigned char *>aligned_alloc(4096, RING_BYTES + LINE_BYTES + 4096)
            if self.rings[i].data == NULL:
                raise MemoryError("access log")
            self.rings[i].size = RING_BYTES
            self.logs[i].ring = &self.rings[i]
            self.logs[i].bell = self.bell
            access_setup(&self.logs[i], format)

    cdef void wire(self, int index, State *state, sw_mailbox *reports) noexcept:
        """Have a reactor write its lines for this writer."""
        state.access = &self.logs[index]
        self.lines[index] = state.line
        self.reports = reports

    def start(self):
        """Start the thread. The caller has blocked all signals."""
        self.thread = threading.Thread(target=self._thread, name="access-log", daemon=True)
        self.thread.start()

    def _thread(self):
        with nogil:
            self._run()

    def reopen(self):
        """Go on in a new file of the same name. When it cannot be opened, in the old one; the log says so."""
        cdef int before, i
        if accessfile.is_stream(self.path):
            return
        try:
            fd = accessfile.open_log(self.path)
        except OSError as error:
            log.error("The access log cannot be opened again, and goes on as it is: %s", error)
            return
        self.next_asks = accessfile.must_be_asked(fd)
        for i in range(self.count):
            self.until[i] = sw_log_head(&self.rings[i])
        before = sw_log_say_fd(self.bell, fd)
        if before >= 0:
            os.close(before)

    def stop(self):
        """Write what there is, after the last reactor has ended. False: the thread still waits for its file."""
        sw_log_say_stop(self.bell, sw_monotonic_ns() + END_NS)
        self.thread.join(limits.ACCESS_END_S + 1)
        if self.thread.is_alive():
            return False
        os.close(self.fd)
        os.close(self.bell.eventfd)
        return True

    # In the thread

    cdef void _run(self) noexcept nogil:
        cdef bint stopping, wrote
        cdef int i
        while True:
            stopping = sw_log_stop_by_ns(self.bell) != 0  # before the rings are looked at
            self._go_on_in_next_file()
            wrote = False
            for i in range(self.count):
                if self._drain(i, sw_log_head(&self.rings[i])):
                    wrote = True
            self._tell(stopping)
            if stopping:
                return
            if wrote:
                self._sleep(SW_LOG_LINGERS, LINGER_NS)
            else:
                self._sleep(SW_LOG_IDLE, self._untold_ns())

    cdef void _go_on_in_next_file(self) noexcept nogil:
        """If there is one to go on in; what was published before it was said goes to the old one, unless that may have
        to be waited for."""
        cdef int fd = sw_log_take_fd(self.bell)
        cdef int i
        if fd < 0:
            return
        for i in range(self.count):
            if self.tails[i] < self.until[i] and not self.asks:
                self._drain(i, self.until[i])
        self._switch(fd)

    cdef void _switch(self, int fd) noexcept nogil:
        close(self.fd)
        self.fd = fd
        self.asks = self.next_asks
        self.within = self.broken = False

    cdef bint _pending(self) noexcept nogil:
        cdef int i
        for i in range(self.count):
            if sw_log_head(&self.rings[i]) != self.tails[i]:
                return True
        return False

    cdef bint _enough(self) noexcept nogil:
        cdef int i
        for i in range(self.count):
            if sw_log_head(&self.rings[i]) - self.tails[i] >= SW_LOG_WAKE:
                return True
        return False

    cdef void _sleep(self, int state, int64_t wait_ns) noexcept nogil:
        """Sleep as `state` says, unless there is something to do already."""
        cdef bint awake
        sw_log_sleep_begin(self.bell, state)
        awake = self._pending() if state == SW_LOG_IDLE else self._enough()
        if not awake and not sw_log_called(self.bell):
            sw_log_poll(self.bell.eventfd, -1, wait_ns)
        sw_log_sleep_end(self.bell)

    cdef bint _drain(self, int index, uint64_t head) noexcept nogil:
        """Write what a reactor has published up to `head`, and give its room back as that is done. False: there was
        nothing."""
        cdef int64_t done
        cdef int fd
        if self.tails[index] == head:
            return False
        while self.tails[index] != head:
            if self.asks and not self._may_write():
                if sw_log_stop_by_ns(self.bell) != 0 and sw_monotonic_ns() >= sw_log_stop_by_ns(self.bell):
                    self._lose(index, head, EAGAIN)
                    return True
                self._tell(False)
                fd = sw_log_take_fd(self.bell)
                if fd >= 0:  # nobody reads the old one: what waits for it goes to the new one too
                    self._switch(fd)
                continue
            done = 1
            if self.broken:
                done = write(self.fd, b"\n", 1)
                if done == 1:
                    self.within = self.broken = False
            if done == 1:
                done = self._write(index, head)
            if done < 0 and errno != EINTR and errno != EAGAIN:
                self._lose(index, head, errno)
                return True
            if done < 0 and errno == EAGAIN and not self.asks:
                self.asks = True  # whatever it is, it has to be waited for
        return True

    cdef int64_t _write(self, int index, uint64_t head) noexcept nogil:
        """One write; what it took is done. Returns what write(2) does."""
        cdef sw_log_ring *ring = &self.rings[index]
        cdef uint64_t tail = self.tails[index]
        cdef uint64_t at = sw_log_place(ring, tail)
        cdef uint64_t length = head - tail
        cdef unsigned char piece[PIPE_BYTES]
        cdef const unsigned char *start = ring.data + at
        cdef const unsigned char *newline
        cdef int64_t done
        if self.asks:
            if length > PIPE_BYTES:
                length = PIPE_BYTES
            if at + length > RING_BYTES:
                memcpy(piece, start, RING_BYTES - at)
                memcpy(piece + (RING_BYTES - at), ring.data, at + length - RING_BYTES)
                start = piece
            newline = sw_log_last_newline(start, length)
            if newline != NULL:
                length = newline + 1 - start
        elif at + length > RING_BYTES:
            length = RING_BYTES - at
        done = write(self.fd, start, length)
        if done > 0:
            self.within = start[done - 1] != 10
            self.tails[index] = tail + <uint64_t>done
            sw_log_release(ring, self.tails[index])
        return done

    cdef void _lose(self, int index, uint64_t head, int error) noexcept nogil:
        """What cannot be written makes room, and is counted."""
        cdef sw_log_ring *ring = &self.rings[index]
        cdef uint64_t tail = self.tails[index]
        cdef uint64_t at = sw_log_place(ring, tail)
        self.broken = self.within
        while tail != head:
            if ring.data[at & (RING_BYTES - 1)] == 10:
                self.lines[index][REACTOR_LOG_LOST] += 1
            at += 1
            tail += 1
        self.tails[index] = head
        sw_log_release(ring, head)
        self.last_errno = error

    cdef bint _may_write(self) noexcept nogil:
        """Wait for room in what is read by somebody else, until there is some or the main thread has something to say.
        Wakes once a second too, to tell of what was dropped."""
        cdef uint64_t now_ns = sw_monotonic_ns()
        cdef uint64_t by_ns = sw_log_stop_by_ns(self.bell)
        cdef int64_t wait_ns = TELL_EVERY_NS
        cdef bint room
        if by_ns != 0 and by_ns < now_ns + TELL_EVERY_NS:
            wait_ns = <int64_t>(by_ns - now_ns) if by_ns > now_ns else 0
        room = sw_log_poll(self.bell.eventfd, self.fd, wait_ns)
        sw_eventfd_drain(self.bell.eventfd)
        return room

    cdef void _tell(self, bint at_once) noexcept nogil:
        """Report what was dropped or lost since the last time, once a second at most."""
        cdef int64_t dropped = 0, lost = 0
        cdef sw_mail mail
        cdef char text[128]
        cdef const char *why
        cdef int i
        cdef uint64_t now_ns
        for i in range(self.count):
            dropped += self.lines[i][REACTOR_LOG_DROPPED]
            lost += self.lines[i][REACTOR_LOG_LOST]
        if dropped == self.told_dropped and lost == self.told_lost:
            return
        now_ns = sw_monotonic_ns()
        if not at_once and now_ns - self.told_ns < TELL_EVERY_NS:
            return
        self.told_ns = now_ns
        mail.kind = MAIL_LOG
        if lost != self.told_lost:
            mail.a = ERROR
            why = b"nobody reads it"
            if self.last_errno != EAGAIN:
                why = sw_log_error(self.last_errno, text, sizeof(text))
            snprintf(mail.text, sizeof(mail.text), "reason=access-log-failed lines=%lld: %s",
                     <long long>(lost - self.told_lost), why)
            sw_mailbox_send(self.reports, &mail, True)
            self.told_lost = lost
        if dropped != self.told_dropped:
            mail.a = WARNING
            snprintf(mail.text, sizeof(mail.text),
                     "reason=access-log-dropped lines=%lld: they come faster than they can be written",
                     <long long>(dropped - self.told_dropped))
            sw_mailbox_send(self.reports, &mail, True)
            self.told_dropped = dropped

    cdef int64_t _untold_ns(self) noexcept nogil:
        """How long until what happened may be told; -1: there is nothing to tell."""
        cdef int64_t dropped = 0, lost = 0
        cdef uint64_t now_ns
        cdef int i
        for i in range(self.count):
            dropped += self.lines[i][REACTOR_LOG_DROPPED]
            lost += self.lines[i][REACTOR_LOG_LOST]
        if dropped == self.told_dropped and lost == self.told_lost:
            return -1
        now_ns = sw_monotonic_ns()
        return <int64_t>(self.told_ns + TELL_EVERY_NS - now_ns) if now_ns < self.told_ns + TELL_EVERY_NS else 0
