"""All reactors of a master, and what they share: the main thread's handle on them.

It owns the threads, the mailboxes, the words that say how much each worker and each reactor has, the memory for
snapshots, and the counting of reports that every reactor must have made. Its methods are called by the master's main
thread only; reactors get commands and give reports by mail, and never see it.
"""

from cpython.ref cimport Py_INCREF
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset, strlen

import logging
import os
import threading

from swhttp.ipc.clock cimport sw_monotonic_ns
from swhttp.ipc.memory cimport SharedMemory
from swhttp.reactor.accesswriter cimport AccessWriter
from swhttp.reactor.iothreads cimport IoThreads
from swhttp.reactor.loop cimport Reactor
from swhttp.reactor.snapshot cimport (SNAPSHOT_ABANDONED, SNAPSHOT_ANSWERING, SNAPSHOT_QUEUED, SNAPSHOT_TAKEN,
                                      SNAPSHOT_WAITING, Snapshot, SnapshotRow)
from swhttp.reactor.staticsite cimport StaticSite
from swhttp.reactor.state cimport (MAIL_CORRUPT, MAIL_DEAF, MAIL_DRAIN, MAIL_DRAINED, MAIL_LISTEN, MAIL_LOG, MAIL_LOST,
                                   MAIL_SETTLED, MAIL_SLOT_DEAD, MAIL_SLOT_STAGE, MAIL_SLOT_STOP, MAIL_SLOT_UP,
                                   MAIL_SLOW, MAIL_SNAPSHOT, MAIL_SNAPSHOT_TAKEN, MAIL_STOP, MAIL_STUCK, MAIL_SWITCH,
                                   sw_gauge, sw_gauge_get, sw_load, sw_load_reset, sw_mail, sw_mailbox,
                                   sw_mailbox_init, sw_mailbox_send, sw_mailbox_take, sw_mailbox_take_dropped,
                                   sw_overdue)

from swhttp import limits

cdef uint32_t SNAPSHOT_ROWS = limits.SNAPSHOT_REQUESTS
STATES = {SNAPSHOT_WAITING: "waiting", SNAPSHOT_QUEUED: "queued", SNAPSHOT_TAKEN: "taken",
          SNAPSHOT_ANSWERING: "answering", SNAPSHOT_ABANDONED: "abandoned"}

cdef extern from "<stdlib.h>" nogil:
    void *aligned_alloc(size_t alignment, size_t size)


cdef class Reactors:
    """All reactors of a master, and what they share.

    `memory`: the server's SharedMemory; `settings`: ReactorSettings; `listeners`: (fd, "tcp" or "unix", text) each,
    non-blocking and listening. They accept once the first worker is up: until then connections wait in the backlog.
    `access`: who writes the access log, or None; `holds_back`: they do not accept before `listen`. `site` and `io`: the
    files that they serve, and the threads that may wait for these, or None; `certificates`: a
    swhttp.certificates.Certificates, where a listener speaks TLS.
    """

    cdef list reactors
    cdef sw_load *loads
    cdef sw_gauge *gauges
    cdef sw_mailbox *boxes
    cdef int *eventfds
    cdef int count
    cdef int switches
    cdef readonly int report_fd
    cdef dict settling
    cdef dict lost               # (slot being settled, generation, pid): what that worker was on
    cdef dict begun              # slot being settled: how many requests that were, named or not
    cdef set deaf                # reactors that accept nothing more
    cdef set drained             # reactors that have said that their last connection has ended
    cdef Snapshot *snapshots     # one a reactor
    cdef int snapshots_due       # that reactors have not given back
    cdef object memory
    cdef bytes bound             # in words: why there cannot be more connections
    cdef object site             # whose memory they use
    cdef int slots

    def __cinit__(self):
        self.report_fd = -1

    def __init__(self, SharedMemory memory, settings, list listeners, AccessWriter access=None, bint holds_back=False,
                 site=None, IoThreads io=None, certificates=None):
        cdef int i
        cdef Reactor reactor
        self.memory = memory
        self.site = site
        self.count = memory.geometry.reactors
        self.slots = memory.geometry.slots
        self.report_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.loads = <sw_load *>_aligned(self.slots * sizeof(sw_load))
        self.gauges = <sw_gauge *>_aligned((3 * self.count + 2) * sizeof(sw_gauge))
        self.boxes = <sw_mailbox *>_aligned((self.count + 1) * sizeof(sw_mailbox))
        self.eventfds = <int *>_aligned(self.count * sizeof(int))
        self.snapshots = <Snapshot *>_aligned(self.count * sizeof(Snapshot))
        sw_mailbox_init(&self.boxes[self.count], self.report_fd)
        self.settling = {}
        self.lost = {}
        self.begun = {}
        self.deaf = set()
        self.drained = set()
        self.reactors = []
        for i in range(self.count):
            self.eventfds[i] = memory.reactor_eventfds[i]
            sw_mailbox_init(&self.boxes[i], self.eventfds[i])
        for i in range(self.count):
            reactor = Reactor()
            reactor.state.loads = self.loads
            reactor.state.open_gauges = self.gauges
            reactor.state.waiting_gauges = self.gauges + self.count
            reactor.state.switch_gauges = self.gauges + 2 * self.count
            reactor.state.places = self.gauges + 3 * self.count
            reactor.state.holding_gauge = self.gauges + 3 * self.count + 1
            reactor.state.inboxes = self.boxes
            reactor.state.reports = &self.boxes[self.count]
            reactor.state.peer_eventfds = self.eventfds
            reactor.setup(i, memory, settings, listeners)
            reactor.state.holds_back = holds_back
            if site is not None:
                reactor.state.site = <const StaticSite *><size_t>site.address
                reactor.state.io = io.pool
            reactor.certify(certificates)
            if access is not None:
                access.wire(i, &reactor.state, &self.boxes[self.count])
            self.reactors.append(reactor)

    def admit(self, int connections, int files, bytes bound):
        """So many may be open at once, in all reactors, and so many files. `bound`: what does not let there be
        more connections, for the log. To be said before `start`."""
        cdef Reactor reactor
        self.bound = bound
        for reactor in self.reactors:
            reactor.state.most_places = connections
            reactor.state.places_by = <const char *>self.bound
            spares = max(0, min(limits.SPARE_FILES, files // self.count // 4))
            reactor.state.most_spares = <uint32_t>spares
            reactor.state.most_static_files = <uint32_t>max(1, files // self.count - spares)

    def start(self):
        """Start the threads. The caller has blocked all signals, and unblocks its own afterwards."""
        cdef Reactor reactor
        for i, reactor in enumerate(self.reactors):
            reactor.thread = threading.Thread(target=reactor.run, name=f"reactor-{i}", daemon=True)
            reactor.thread.start()

    cdef _tell(self, int kind, int a=0, int b=0, int c=0):
        cdef sw_mail mail
        cdef int i
        memset(&mail, 0, sizeof(mail))
        mail.kind, mail.a, mail.b, mail.c = kind, a, b, c
        for i in range(self.count):
            if not sw_mailbox_send(&self.boxes[i], &mail, False):
                raise RuntimeError(f"reactor {i} takes no commands")

    def certify(self, certificates):
        """New TLS connections get these from now on; those that there are keep what they have."""
        cdef Reactor reactor
        for reactor in self.reactors:
            reactor.certify(certificates)

    def listen(self):
        """Accept from now on, if they were made to hold back."""
        self._tell(MAIL_LISTEN)

    def slot_up(self, int slot, int generation, str interface):
        """A worker of `interface` ("asgi" or "wsgi") is READY in `slot`: send it requests."""
        self._show_interface(interface)
        sw_load_reset(&self.loads[slot], <uint32_t>generation)
        self._tell(MAIL_SLOT_UP, slot, generation, interface == "asgi")

    cdef _show_interface(self, str interface):
        cdef Reactor reactor
        # Before any of them accepts: a connection that one hands to another may be there before this news is.
        for reactor in self.reactors:
            reactor.state.asgi = interface == "asgi"

    def slot_stage(self, int slot, int generation, str interface):
        """The same, but it gets none before the next `switch`."""
        sw_load_reset(&self.loads[slot], <uint32_t>generation)
        self._tell(MAIL_SLOT_STAGE, slot, generation, interface == "asgi")

    def switch(self, str interface):
        """Those that are staged take the place of those that are up, everywhere at once; these are to stop.

        `interface`: of the new ones."""
        self._show_interface(interface)
        self.switches += 1
        self._tell(MAIL_SWITCH, self.switches)

    def slot_stop(self, int slot):
        """Take back what is not begun in `slot`, and say EVENT_STOP there."""
        self._tell(MAIL_SLOT_STOP, slot)

    def slot_dead(self, int slot):
        """The process in `slot` is reaped: settle its requests. Reported as ("settled", slot) by all reactors."""
        self.settling[slot] = self.settling.get(slot, 0) + self.count
        self._tell(MAIL_SLOT_DEAD, slot)

    def manager_dead(self):
        """The manager died, and its workers with it: drain; what is with one of them or waits for one gets a 502."""
        self.drain(True)
        for slot in range(self.slots):
            self.slot_dead(slot)

    def snapshot(self):
        """Have all reactors list what is in flight. Reported as ("snapshot", -1); `rows` has it from then until this
        is called again. Called while one is under way, it changes nothing."""
        cdef sw_mail mail
        cdef Snapshot *snapshot
        cdef int i
        if self.snapshots_due > 0:
            return
        for i in range(self.count):
            if self.snapshots[i].rows == NULL:  # the pages of what is not filled in are never touched
                self.snapshots[i].rows = <SnapshotRow *>malloc(SNAPSHOT_ROWS * sizeof(SnapshotRow))
                if self.snapshots[i].rows == NULL:
                    raise MemoryError("snapshot")
                self.snapshots[i].room = SNAPSHOT_ROWS
        memset(&mail, 0, sizeof(mail))
        mail.kind = MAIL_SNAPSHOT
        for i in range(self.count):
            snapshot = &self.snapshots[i]
            memcpy(mail.text, &snapshot, sizeof(snapshot))
            if not sw_mailbox_send(&self.boxes[i], &mail, False):
                raise RuntimeError(f"reactor {i} takes no commands")
            self.snapshots_due += 1

    def snapshot_size(self):
        """How many requests were in flight or waited when the latest snapshot was taken."""
        return sum(self.snapshots[i].there_were for i in range(self.count))

    def snapshot_rows(self):
        """The oldest of them, at most limits.SNAPSHOT_REQUESTS and oldest first: a generator of (reactor, age in ns,
        slot or -1, pid or 0, state, method, target, bytes the target has in all, client, its port), which gives the
        memory back at its end."""
        cdef SnapshotRow *row
        cdef uint32_t _nth
        cdef int i, oldest
        cdef list at = [0] * self.count
        cdef uint64_t now_ns = sw_monotonic_ns()
        try:
            for _nth in range(SNAPSHOT_ROWS):
                oldest = -1
                for i in range(self.count):
                    if <uint32_t>at[i] < self.snapshots[i].count and (
                            oldest < 0 or self.snapshots[i].rows[<uint32_t>at[i]].ready_ns
                            < self.snapshots[oldest].rows[<uint32_t>at[oldest]].ready_ns):
                        oldest = i
                if oldest < 0:
                    return
                row = &self.snapshots[oldest].rows[<uint32_t>at[oldest]]
                at[oldest] += 1
                yield (oldest, now_ns - min(row.ready_ns, now_ns), row.slot, row.pid, STATES[row.state],
                       row.method[:row.method_bytes], row.target[:row.target_bytes], row.target_whole,
                       row.client[:row.client_bytes].decode("latin-1"), row.client_port)
        finally:
            for i in range(self.count):
                free(self.snapshots[i].rows)
                self.snapshots[i].rows = NULL
                self.snapshots[i].count = self.snapshots[i].room = 0

    def drain(self, bint orphaned=False):
        """Take the last of the backlog and no more, end idle connections, finish the rest. Reported as ("deaf", -1),
        then ("drained", -1).

        orphaned: no worker will ever come again, so what waits for one gets 502; may be said during a drain.
        """
        self._tell(MAIL_DRAIN, orphaned)

    def stop(self):
        """End the threads; connections that are left are closed."""
        self._tell(MAIL_STOP)

    def join(self, double timeout_s):
        """Wait for the threads. False: one is still running."""
        cdef Reactor reactor
        for reactor in self.reactors:
            reactor.thread.join(timeout_s)
            if reactor.thread.is_alive():
                return False
        return True

    def outlive(self):
        """An I/O thread does not end: what it may still write to, and wake, is there for the life of the process."""
        cdef Reactor reactor
        for reactor in self.reactors:
            reactor.state.io_inbox.eventfd = -1  # its number may soon be another file's
            Py_INCREF(reactor)

    cdef int64_t _open(self) noexcept:
        """Connections, those on their way to another reactor too."""
        cdef int64_t count = 0
        cdef int i
        for i in range(self.count):
            count += sw_gauge_get(&self.gauges[i])
        return count

    def reports(self):
        """What the reactors have to say: ("settled", slot), ("deaf", -1), ("drained", -1), ("corrupt", slot),
        ("snapshot", -1), ("log", level, text), and ("slow" or "stuck", the fields of that message). Before "settled",
        if its worker died with requests: ("lost", slot, generation, pid, texts, count) with a text for the latest of
        the `count`."""
        cdef sw_mail mail
        cdef sw_mailbox *box = &self.boxes[self.count]
        cdef uint32_t dropped
        found = []
        try:
            os.eventfd_read(self.report_fd)
        except BlockingIOError:
            pass
        while sw_mailbox_take(box, &mail):
            if mail.kind == MAIL_LOG:
                found.append(("log", mail.a, mail.text[:strlen(mail.text)].decode("latin-1")))
            elif mail.kind == MAIL_CORRUPT:
                found.append(("corrupt", mail.a))
            elif mail.kind == MAIL_SLOW or mail.kind == MAIL_STUCK:
                found.append(("slow" if mail.kind == MAIL_SLOW else "stuck", _overdue(&mail)))
            elif mail.kind == MAIL_DRAINED:
                self.drained.add(mail.a)
                if len(self.drained) == self.count and self._open() == 0:
                    found.append(("drained", -1))
            elif mail.kind == MAIL_DEAF:
                if mail.a not in self.deaf:
                    self.deaf.add(mail.a)
                    if len(self.deaf) == self.count:
                        found.append(("deaf", -1))
            elif mail.kind == MAIL_LOST:
                self.lost.setdefault((mail.a, mail.b, mail.c), []).append(
                    mail.text[:strlen(mail.text)].decode("latin-1"))
            elif mail.kind == MAIL_SNAPSHOT_TAKEN:
                self.snapshots_due -= 1
                if self.snapshots_due == 0:
                    found.append(("snapshot", -1))
            elif mail.kind == MAIL_SETTLED:
                self.begun[mail.a] = self.begun.get(mail.a, 0) + mail.b
                self.settling[mail.a] -= 1
                if self.settling[mail.a] == 0:
                    del self.settling[mail.a]
                    count = self.begun.pop(mail.a)
                    for slot, generation, pid in [key for key in self.lost if key[0] == mail.a]:
                        found.append(("lost", slot, generation, pid, self.lost.pop((slot, generation, pid)), count))
                    found.append(("settled", mail.a))
        dropped = sw_mailbox_take_dropped(box)
        if dropped:
            found.append(("log", logging.WARNING, f"{dropped} log lines dropped: too many at once"))
        return found


cdef dict _overdue(const sw_mail *mail):
    """The fields of a message about a request that takes too long."""
    cdef sw_overdue overdue
    memcpy(&overdue, mail.text, sizeof(overdue))
    line = overdue.line[:strlen(overdue.line)].decode("ascii")
    return {"slot": mail.a, "generation": mail.b, "reactor": overdue.reactor, "request": overdue.request_id,
            "others": overdue.others, "text": f"{line}, {mail.c * 0.001:.1f} s"}


cdef void *_aligned(size_t size) except NULL:
    """Zeroed memory on a cache line. Kept for the life of the process: threads use it to the end."""
    cdef void *memory = aligned_alloc(64, (size + 63) // 64 * 64)
    if memory == NULL:
        raise MemoryError("reactors")
    memset(memory, 0, size)
    return memory
