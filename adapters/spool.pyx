"""Files on their way to the reactor: an fd with an owner, and the temp file that a response is written to.

They own their fd and close it when nobody refers to them any more. They never decide what goes to a file.
"""

import errno as errors
import os

from libc.errno cimport EINTR, errno
from libc.stdint cimport uint64_t
from posix.types cimport off_t
from posix.unistd cimport close, pwrite

from swhttp.ipc.tempfile cimport sw_temp_file


cdef class OpenFile:
    """An open file. Takes the fd over."""

    def __cinit__(self, *_):
        self.fd = -1

    def __init__(self, int fd):
        self.fd = fd

    def __dealloc__(self):
        if self.fd >= 0:
            close(self.fd)


cdef class Spool(OpenFile):
    """A temp file without a name. `directory`: where. Raises OSError."""

    def __init__(self, str directory):
        cdef bytes name = os.fsencode(directory)
        self.fd = sw_temp_file(name)
        if self.fd < 0:
            raise OSError(errno, os.strerror(errno), directory)

    cdef uint64_t write(self, const unsigned char *data, uint64_t length) except 0:
        """Write at `offset`, without the GIL: how many bytes, at least one. Raises OSError."""
        cdef ssize_t written
        while True:
            with nogil:
                written = pwrite(self.fd, data, length, <off_t>self.offset)
            if written > 0:
                return <uint64_t>written
            if written == 0:
                raise OSError(errors.ENOSPC, os.strerror(errors.ENOSPC))
            if errno != EINTR:
                raise OSError(errno, os.strerror(errno))
