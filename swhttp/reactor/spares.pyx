"""Temporary files that have served one client and are kept, empty, for the next.

To make a file and to forget it can cost the disk's file system half a millisecond, in which no client of the reactor is
served, and slow clients come and go by the hundred each second. It keeps those alone that no worker has ever had: what
goes into them next is nobody else's to read. Runs without the GIL.
"""

from posix.unistd cimport close, ftruncate

from swhttp.ipc.tempfile cimport sw_temp_file


cdef int spare_take(State *s) noexcept nogil:
    """An empty file in tmp_dir without a name; -1 with errno."""
    if s.spare_count == 0:
        return sw_temp_file(s.tmp_dir)
    s.spare_count -= 1
    return s.spares[s.spare_count]


cdef void spare_give(State *s, int fd) noexcept nogil:
    """Done with a file that no worker has had. What the kernel still has to send of it keeps its pages: they are cut
    off from the file here, not written over. ext4 hastens to write what is in a file that was once cut to nothing
    when it is closed: so it is emptied before that, too."""
    if ftruncate(fd, 0) == 0 and s.spare_count < s.most_spares:
        s.spares[s.spare_count] = fd
        s.spare_count += 1
    else:
        close(fd)


cdef void spares_close(State *s) noexcept nogil:
    """The reactor ends."""
    while s.spare_count > 0:
        s.spare_count -= 1
        close(s.spares[s.spare_count])
