"""The pid file: whose server this is, for scripts and service managers, and a lock that keeps a second one out.

It holds the master's process id and a line end, mode 0644, and is put in place whole by a rename, so nobody ever reads
half of it. The master keeps it open with a lock (flock(2)) on it, which ends with the process however that ends. So a
file that is not locked is stale, whatever process has that number today, in whatever container; and one that is locked
belongs to a server that runs. Only the master makes and removes it, and it removes only its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from typing import Final

from swhttp.errors import ExitCode, ServerError

MODE: Final = 0o644
_MOST_BYTES: Final = 32  # that are read of somebody's pid file, to show them


class PidFile:
    """One pid file. `path`: absolute, because the master's directory may change."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1

    def claim(self) -> None:
        """Put this process's id there. Raises ServerError (ExitCode.FILE) when that is impossible, or when a running
        server has the file."""
        try:
            self._check_owner()
            self._put()
        except OSError as error:
            raise ServerError(f"Cannot write the pid file {self._path}: {error.strerror or error}",
                              ExitCode.FILE) from None

    def release(self) -> None:
        """Remove it, unless another is there by now."""
        if self._fd < 0:
            return
        with contextlib.suppress(OSError):  # gone already, and so is our right to it
            if os.path.samestat(os.stat(self._path, follow_symlinks=False), os.fstat(self._fd)):
                os.unlink(self._path)
        os.close(self._fd)
        self._fd = -1

    def _check_owner(self) -> None:
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise OSError(None, "it is not a regular file")
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(fd, _MOST_BYTES).decode("latin-1").strip()
            raise ServerError(f"The pid file {self._path} is that of a server that runs: pid {owner}",
                              ExitCode.FILE) from None
        finally:
            os.close(fd)

    def _put(self) -> None:
        passing = f"{self._path}.{os.getpid()}"
        with contextlib.suppress(FileNotFoundError):  # a namesake in another container, that was killed here
            os.unlink(passing)
        fd = os.open(passing, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
        try:
            os.fchmod(fd, MODE)  # whatever the umask is
            os.write(fd, f"{os.getpid()}\n".encode())
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.rename(passing, self._path)
        except BaseException:
            os.unlink(passing)
            os.close(fd)
            raise
        self._fd = fd
