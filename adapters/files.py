"""`wsgi.file_wrapper`, and which part of a file its reader would read.

It opens nothing, and closes nothing but by the wrapper's `close`.
"""

from __future__ import annotations

import io
import os
import stat
from typing import Any

READ_AHEAD_BYTES = 2 * 1024 * 1024
"""Asked of the kernel before a file is sent."""


class FileWrapper:
    """PEP 3333: an iterable over what `filelike.read(blksize)` gives. Has `close` when `filelike` has it."""

    def __init__(self, filelike: Any, blksize: int = 8192) -> None:
        self.filelike = filelike
        self.blksize = blksize
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self) -> FileWrapper:
        return self

    def __next__(self) -> bytes:
        data: bytes = self.filelike.read(self.blksize)
        if data:
            return data
        raise StopIteration


def part_of(filelike: Any) -> tuple[int, int, int] | None:
    """(fd, offset, length) of what reading `filelike` to its end would give; None: only reading it can tell.

    Not everything with a fileno() reads what is in that file: the one of a GzipFile is compressed, a subclass may
    decrypt. So whose method `read` is decides: it must be an object of the io module itself, over a raw file, which
    looks through tempfile's wrappers and Django's File as well. A regular file without length may be one of /proc.
    """
    try:
        read = filelike.read
        file: Any = getattr(getattr(read, "__wrapped__", read), "__self__", None)
        raw = file.raw if type(file) in (io.BufferedReader, io.BufferedRandom) else file
        if type(raw) is not io.FileIO or not raw.readable():
            return None
        if type(file) is io.BufferedRandom:
            file.flush()
        fd, offset = raw.fileno(), file.tell()
        found = os.fstat(fd)
    except (OSError, ValueError, AttributeError):  # closed, say: reading says it better
        return None
    if not stat.S_ISREG(found.st_mode) or offset >= found.st_size:
        return None
    read_ahead(fd, offset, found.st_size - offset)
    return fd, offset, found.st_size - offset


def open_file(path: Any) -> tuple[int, int]:
    """(fd, length) of a regular file, for `http.response.pathsend`. Raises OSError, and ValueError for a bad path.

    The specification wants an absolute path; frameworks pass on what their users gave them, so a relative one will do.
    """
    if not isinstance(path, str):
        raise ValueError(f"http.response.pathsend takes a path, not {path!r:.200}")
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO would wait for its writer
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(f"http.response.pathsend takes a regular file, not {path!r}")
        read_ahead(fd, 0, found.st_size)
    except BaseException:
        os.close(fd)
        raise
    return fd, found.st_size


def read_ahead(fd: int, offset: int, length: int) -> None:
    """Let the kernel begin to read, so that the reactor finds it in memory. Where the beginning is there already, so is
    the rest, most likely: then to ask for it would only look up each of its pages once more."""
    if length <= 0:
        return
    try:
        os.preadv(fd, [bytearray(1)], offset, os.RWF_NOWAIT)
    except OSError:  # not in memory; or a file system that cannot say
        os.posix_fadvise(fd, offset, min(length, READ_AHEAD_BYTES), os.POSIX_FADV_WILLNEED)
