"""Where the server's own log is written to: stderr, or a file that may be moved away at any time.

A handler owns its fd. It writes a record with one write(2), so that lines of several processes stay whole, and never
raises: what cannot be written is counted, and the count is written as soon as something can be again. How a record
reads is `swhttp.logforms`'s.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import Final

from swhttp.ownership import give, open_file
from swhttp.privileges import Identity

STDERR_FD: Final = 2
NO_FD: Final = -1


class FdHandler(logging.Handler):
    """Writes to `fd`, or, when that is NO_FD, nowhere."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self.fd = fd
        self._lost = 0
        self._torn = False  # the last line has no end

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record. Not through sys.stderr, which an application may replace or close."""
        try:
            line = self._line(record)
        except Exception:
            self.handleError(record)  # its arguments do not fit its text
            return
        self.follow()
        try:
            if self._lost:
                self._write(self._line(self._own_record(f"{self._lost} log lines lost: they could not be written")))
                self._lost = 0
            self._write(line)
        except OSError:
            self._lost += 1

    def follow(self) -> str:
        """Before a record: see to it that it goes to the right place. Returns why that is impossible, or ""."""
        return ""

    def close(self) -> None:
        """Nothing: `logging.config` closes all handlers of a process, and ours must survive that."""

    def let_go(self) -> None:
        """Really close what is owned."""

    def _line(self, record: logging.LogRecord) -> bytes:
        return self.format(record).encode("utf-8", "backslashreplace") + b"\n"

    def _write(self, data: bytes) -> None:
        """Usually one write; the kernel takes less when a disk becomes full."""
        if self._torn:
            data = b"\n" + data
        while data:
            data = data[os.write(self.fd, data):]
            self._torn = bool(data)

    def _own_record(self, text: str) -> logging.LogRecord:
        return logging.LogRecord("swhttp", logging.WARNING, "", 0, "%s", (text,), None)


class StderrHandler(FdHandler):
    """Writes to the process's stderr, if it was started with one."""

    def __init__(self) -> None:
        # Without, fd 2 is any file, or socket, that was opened since.
        super().__init__(STDERR_FD if sys.__stderr__ is not None else NO_FD)


class AppendingHandler(FdHandler):
    """Appends to the file `path`, wherever that leads when a record comes.

    A file that was moved away or removed (logrotate) is left, and `path` is made anew: it costs a stat(2) for each
    record, and no process has to be told. Where that is impossible, in a directory of somebody else's, say, it goes
    on in the file that it has. `what`: it is called when that is said; `identity`: whom this process will be, as far as
    that is another. Raises OSError.
    """

    def __init__(self, path: str, what: str = "error log", identity: Identity | None = None) -> None:
        super().__init__(NO_FD)
        self._path = path
        self._what = what
        self._identity = identity
        self._refused = False
        self._open()

    def _open(self) -> None:
        # Non-blocking to open only: for a FIFO without a reader it would wait for ever.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
        fd = open_file(self._path, flags, 0o644, self._identity)
        os.set_blocking(fd, True)
        self.let_go()
        self.fd = fd
        self._file = os.fstat(fd)
        self._torn = False

    def follow(self) -> str:
        """Change to the file that is at `path` now, if it is another one; it is made if there is none."""
        if self._holds() and self._is_there():
            return ""
        try:
            self._open()
            self._refused = False
            return ""
        except OSError as error:
            if not self._refused:
                self._refused = True
                note = self._own_record(f"Cannot open the {self._what} {self._path!r} anew: {error.strerror}")
                with contextlib.suppress(OSError):
                    self._write(self._line(note))
            return f"cannot open the {self._what} {self._path!r} anew: {error.strerror}"

    def _holds(self) -> bool:
        """Whether the fd is still our file: an application may have closed all fds, and opened others since."""
        try:
            held = os.path.samestat(os.fstat(self.fd), self._file)
        except OSError:
            held = False
        if not held:
            self.fd = NO_FD
        return held

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(os.stat(self._path), self._file)
        except OSError:
            return False

    def becomes(self, identity: Identity, path: str) -> None:
        """Give the file to `identity`, so that it can open it again. `path`: where it will find it."""
        give(self.fd, self._path, identity)
        self._path = path

    def let_go(self) -> None:
        """Close the file."""
        if self.fd != NO_FD:
            os.close(self.fd)
            self.fd = NO_FD

