"""The pid file: whose server this is, for scripts and service managers, and a lock that keeps a second one out.

It holds the master's process id and a line end, mode 0644. It is put in place whole, by a link where there is none and
by a rename where there is a stale one: nobody ever reads half of it, and of two servers one gets it. The master keeps
it open with a lock (flock(2)) on it, which ends with the process however that ends. So a file that is not locked is
stale, whatever process has that number today, in whatever container; and one that is locked belongs to a server that
runs. Only the master makes and removes it; it removes only its own, and replaces nothing but numbers.

It stays its maker's when the master becomes another user: scripts of root's send signals to the number in it. If that
user may not remove it in the end, it is left there empty, and is stale.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from typing import Final

from swhttp.errors import ExitCode, ServerError

MODE: Final = 0o644
_MOST_BYTES: Final = 32  # that are read of somebody's pid file
_NO_LINKS: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK)  # of a file system without hard links


class PidFile:
    """One pid file. `path`: absolute, because the master's directory may change."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1

    @property
    def is_ours(self) -> bool:
        """Whether it was claimed, and not released."""
        return self._fd >= 0

    def claim(self) -> None:
        """Put this process's id there. Raises ServerError (ExitCode.FILE) when that is impossible, when a running
        server has the file, or when it holds something else."""
        try:
            passing = self._write_beside()
            try:
                while not (self._link(passing) or self._replace(passing)):
                    pass  # what was there has gone meanwhile, or another server was faster: look again
            except BaseException:
                os.close(self._fd)
                self._fd = -1
                raise
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(passing)
        except OSError as error:
            raise self._impossible(error) from None

    def check(self) -> None:
        """Raise what `claim` would because of what is there, and touch nothing. A server that runs is let pass: it is
        the one whose next configuration may be looked at."""
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._impossible(error) from None
        try:
            _number_in(fd)
        except OSError as error:
            raise self._impossible(error) from None
        finally:
            os.close(fd)

    def _impossible(self, error: OSError) -> ServerError:
        return ServerError(f"Cannot write the pid file {self._path!r}: {error.strerror or error}", ExitCode.FILE)

    def moved(self, path: str) -> None:
        """Its path is another one now, for this process has another root; empty: it cannot be reached."""
        self._path = path

    def release(self) -> None:
        """Remove it, unless another is there by now; where this process may not do that, make it empty."""
        if self._fd < 0:
            return
        try:
            if os.path.samestat(os.stat(self._path, follow_symlinks=False), os.fstat(self._fd)):
                os.unlink(self._path)
        except OSError:  # gone already; or we have become another user, or have another root
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, 0)
        os.close(self._fd)
        self._fd = -1

    def _write_beside(self) -> str:
        """Make the file, whole and locked, under another name."""
        passing = f"{self._path}.{os.getpid()}"
        with contextlib.suppress(FileNotFoundError):  # a namesake in another container, that was killed here
            os.unlink(passing)
        fd = os.open(passing, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
        try:
            os.fchmod(fd, MODE)  # whatever the umask is
            os.write(fd, f"{os.getpid()}\n".encode())
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            os.close(fd)
            os.unlink(passing)
            raise
        self._fd = fd
        return passing

    def _link(self, passing: str) -> bool:
        """Give it its name, if there is none of that name: of several servers one does."""
        try:
            os.link(passing, self._path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS or os.path.lexists(self._path):
                raise
            os.rename(passing, self._path)
        return True

    def _replace(self, passing: str) -> bool:
        """Put it in the place of a stale one. False: that has gone, or is another's by now."""
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:  # a link to nothing is replaced as if it were stale
            return os.path.islink(self._path) and self._rename(passing)
        try:
            found = _number_in(fd)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until it is replaced: so nobody else takes it for stale
            return os.path.samestat(os.stat(self._path), os.fstat(fd)) and self._rename(passing)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            raise ServerError(f"The pid file {self._path} is that of a server that runs: pid {found}",
                              ExitCode.FILE) from None
        finally:
            os.close(fd)

    def _rename(self, passing: str) -> bool:
        os.rename(passing, self._path)
        return True


def _number_in(fd: int) -> str:
    """The number that a pid file holds, "" if nothing. Raises OSError for anything that is no pid file."""
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise OSError(None, "it is not a regular file")
    found = os.read(fd, _MOST_BYTES).decode("latin-1").strip()
    if found and not (found.isascii() and found.isdecimal() and len(found) < _MOST_BYTES):
        raise OSError(None, "it holds something else than a process id")
    return found
