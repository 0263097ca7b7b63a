"""Requests below a --static prefix: from the request to the file, without any worker.

It owns the decision whether a request is one of these, and the opening of files: at once, when the kernel knows the way
to the file by heart (RESOLVE_CACHED), else by an I/O thread, so that no reactor ever waits for a disk. In between the
connection is STAGE_FILE, keeps its request, and reads nothing more. Its answers are staticanswer's. Runs without the
GIL.

A job whose connection was closed meanwhile is not the one that the connection's row has now: `Conn.job` tells.
"""

from libc.errno cimport EACCES, EINVAL, ELOOP, ENAMETOOLONG, ENODEV, ENOENT, ENOTDIR, ENXIO, EPERM, EXDEV
from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset
from posix.unistd cimport close

from swhttp.ipc.blocks cimport sw_blocks_at
from swhttp.ipc.frame cimport sw_block
from swhttp.ipc.scoreboard cimport REACTOR_IO_OPENS, REACTOR_STATIC
from swhttp.reactor.iojobs cimport SW_IO_OPEN, sw_io_submit
from swhttp.reactor.openat2 cimport SW_CODING_IDENTITY, SW_CODINGS, SW_SUFFIX_BYTES, sw_find_file, sw_found
from swhttp.reactor.outbox cimport out_file_drop
from swhttp.reactor.reasons cimport (REASON_FILE_METHOD, REASON_FILE_NOT_FOUND, REASON_FILE_NOT_OPENED,
                                     REASON_IO_QUEUE_FULL)
from swhttp.reactor.state cimport CONN_HEAD_METHOD, CONN_WRITABLE_WAIT, STAGE_FILE, OutFile
from swhttp.reactor.staticanswer cimport answer_file, answer_place, answer_without_file
from swhttp.reactor.staticcodings cimport codings_wanted
from swhttp.reactor.staticconditions cimport Wishes, wishes_read
from swhttp.reactor.staticsite cimport StaticMount, static_type
from swhttp.reactor.statictarget cimport TARGET_DIRECTORY, TARGET_NOTHING, TARGET_OTHER, Target, static_target
from swhttp.reactor.timers cimport timer_arm


cdef void _found(State *s, Conn *c, const Wishes *wishes, const unsigned char *path, uint32_t path_len, bint index,
                 const sw_found *found) noexcept nogil:
    """A file was looked for: answer by what there is."""
    cdef int error = found.error
    if found.directory:
        if index or s.site.index_len == 0:  # a directory that is called like an index, say
            answer_without_file(s, c, REASON_FILE_NOT_FOUND)
        else:
            answer_place(s, c)
    elif error == 0:
        answer_file(s, c, wishes, path, path_len, found)
    elif (error == ENOENT or error == ENOTDIR or error == EACCES or error == EPERM or error == ELOOP or error == EXDEV
            or error == ENAMETOOLONG or error == ENXIO or error == ENODEV or error == EINVAL):
        answer_without_file(s, c, REASON_FILE_NOT_FOUND)
    else:  # no fds, no memory, a disk that fails
        answer_without_file(s, c, REASON_FILE_NOT_OPENED)


cdef int _codings(const Wishes *wishes, bint coded, uint8_t *wanted) noexcept nogil:
    """What may be looked for: of a file that is never coded only itself, whatever the client says, or its answers
    would vary with that."""
    if not coded:
        wanted[0] = SW_CODING_IDENTITY
        return 1
    return codings_wanted(wishes, wanted)


cdef void _ask(State *s, Conn *c, const Target *target, const uint8_t *wanted, int count) noexcept nogil:
    """Have an I/O thread look for the file."""
    cdef sw_io_job *job = <sw_io_job *>malloc(sizeof(sw_io_job) + target.path_len + SW_SUFFIX_BYTES)
    if job == NULL:
        answer_without_file(s, c, REASON_FILE_NOT_OPENED)
        return
    memset(job, 0, sizeof(sw_io_job))
    job.kind = SW_IO_OPEN
    job.inbox = &s.io_inbox
    job.connection = c
    job.fd = s.site.mounts[target.mount].directory
    job.index = target.index
    memcpy(job.wanted, wanted, count)
    job.wanted_count = <uint8_t>count
    memcpy(job.path, target.path, target.path_len + 1)
    job.path_length = target.path_len
    c.job = job
    c.stage = STAGE_FILE
    if not sw_io_submit(s.io, job):
        c.job = NULL
        free(job)
        answer_without_file(s, c, REASON_IO_QUEUE_FULL)
        return
    s.line[REACTOR_IO_OPENS] += 1


cdef bint static_takes(State *s, Conn *c) noexcept nogil:
    """Is this request, which is ready to be dispatched, for a file? Then it is answered, or on its way to that."""
    cdef const unsigned char *base = <const unsigned char *>sw_blocks_at(&s.blocks, c.block)
    cdef const sw_block *block = <const sw_block *>base
    cdef const unsigned char *method = base + sizeof(sw_block)
    cdef const StaticMount *mount
    cdef Target target
    cdef Wishes wishes
    cdef sw_found found
    cdef uint8_t wanted[SW_CODINGS]
    cdef int what = static_target(s.site, base + block.path_off, block.path_len, &target), count
    if what == TARGET_OTHER:
        return False
    s.line[REACTOR_STATIC] += 1
    timer_arm(s, c)
    if not c.flags & CONN_HEAD_METHOD and (block.method_len != 3 or memcmp(method, b"GET", 3) != 0):
        answer_without_file(s, c, REASON_FILE_METHOD)
    elif what == TARGET_NOTHING:
        answer_without_file(s, c, REASON_FILE_NOT_FOUND)
    elif what == TARGET_DIRECTORY:
        answer_place(s, c)
    else:
        wishes_read(block, &wishes)
        count = _codings(&wishes, static_type(s.site, target.path, target.path_len).coded, wanted)
        mount = &s.site.mounts[target.mount]
        if mount.cached and sw_find_file(mount.directory, <char *>target.path, target.path_len, wanted, count, True,
                                         &found):
            _found(s, c, &wishes, target.path, target.path_len, target.index, &found)
        else:
            _ask(s, c, &target, wanted, count)
    return True


cdef bint static_done(State *s, sw_io_job *job) noexcept nogil:
    """An I/O thread has done this, which is to be freed. True: its connection can go on sending."""
    cdef Conn *c = <Conn *>job.connection
    cdef Wishes wishes
    cdef bint wanted = c.job == job
    cdef bint sends = False
    if wanted:
        c.job = NULL
    if job.kind == SW_IO_OPEN and wanted:
        wishes_read(<const sw_block *>sw_blocks_at(&s.blocks, c.block), &wishes)
        _found(s, c, &wishes, <const unsigned char *>job.path, job.path_length, job.index, &job.found)
    elif job.kind == SW_IO_OPEN:
        if job.found.fd >= 0:
            close(job.found.fd)
    else:
        out_file_drop(s, <OutFile *>job.file)
        if wanted:
            c.flags &= ~CONN_WRITABLE_WAIT  # it was no client that we waited for
            sends = True
    free(job)
    return sends
