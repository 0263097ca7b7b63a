"""Where the access log goes: a file that grows, a pipe, or what the server was started with.

It opens, and decides what kind of thing it has opened. It never writes and never waits: a FIFO without a reader is
opened for both directions (fifo(7)), so that its reader may come, go and come again, and until it is there lines wait
in the pipe and then in the ring.
"""

from __future__ import annotations

import os
import stat
from typing import Final

from swhttp.ownership import open_file
from swhttp.privileges import Identity

STREAMS: Final = {"-": 1, "/dev/stdout": 1, "/dev/stderr": 2}
"""Names of what is open already: opening these anew fails where they are sockets, as under systemd."""
MODE: Final = 0o644  # and the umask


def is_stream(path: str) -> bool:
    """Whether `path` names what the server was started with, so that there is nothing to open again."""
    return path in STREAMS


def open_log(path: str, identity: Identity | None = None) -> int:
    """Open `path` for appending; returns the fd, which no child inherits. `identity`: whom this process will be, if
    that is another. Raises OSError."""
    if path in STREAMS:
        import fcntl  # which another system does not have, and is told that it cannot be served

        return fcntl.fcntl(STREAMS[path], fcntl.F_DUPFD_CLOEXEC, 3)
    flags = os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    both = _is_fifo(path)
    return open_file(path, flags | (os.O_RDWR if both else os.O_WRONLY), MODE, identity)


def must_be_asked(fd: int) -> bool:
    """Whether a write may have to wait for a reader: then poll(2) is asked first. A file never waits."""
    kind = os.fstat(fd).st_mode
    return stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind) or os.isatty(fd)


def _is_fifo(path: str) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except OSError:
        return False  # opening it will say why


def why_not(path: str) -> str:
    """Why the log cannot be opened, or ""."""
    try:
        os.close(open_log(path))
    except OSError as error:
        return f"cannot open the access log {path!r} anew: {error.strerror}"
    return ""
