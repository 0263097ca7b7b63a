"""How many client connections there may be at once: as many as --max-connections, memory and file descriptors allow.

A connection is a file descriptor, and the master needs others: for bodies and responses in files, logs, commands. So
connections never get the last ones: past their number they wait in the kernel's backlog, and nothing else suffers.
"""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING

from swhttp import limits
from swhttp.errors import ExitCode, ServerError
from swhttp.logs import log

if TYPE_CHECKING:
    from swhttp.ipc.geometry import Geometry


def raise_fd_limit() -> None:
    """Take as many file descriptors as the system lets us have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError) as error:
            log.warning("The limit of open files stays at %d: %s", soft, error)


def fd_limit() -> int:
    """How many this process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limits.MOST_FDS if soft == resource.RLIM_INFINITY else min(soft, limits.MOST_FDS)


def fds_in_use() -> int:
    """How many it has."""
    try:
        return len(os.listdir("/proc/self/fd")) - 1  # but the one that it is listed with
    except OSError:  # no /proc: then count in the hard way, up to the first stretch of numbers that is free
        used, gap = 0, 0
        for fd in range(fd_limit()):
            used, gap = (used + 1, 0) if _is_open(fd) else (used, gap + 1)
            if gap > limits.STACKS_FD:
                break
        return used


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def room(limit: int, in_use: int) -> int:
    """For how many connections there are file descriptors. Raises ServerError for none."""
    free = limit - in_use - limits.KEPT_FDS
    most = free - free // limits.KEPT_FDS_SHARE
    if most < 1:
        raise ServerError(
            f"No file descriptor is left for connections: {limit} may be open (ulimit -n), {in_use} are, and "
            f"{limits.KEPT_FDS} are kept for files: raise the hard limit", ExitCode.PLATFORM)
    return most


def too_few() -> ServerError:
    """What a start is ended with that has come to the last file descriptor."""
    return ServerError(f"Too few file descriptors to start: {fd_limit()} may be open (ulimit -n): raise the hard limit",
                       ExitCode.PLATFORM)


def connections(asked: int, limit: int, in_use: int, geometry: Geometry) -> int:
    """How many there may be; `asked`: by --max-connections, 0: as many as can be. Raises ServerError for none."""
    most = min(room(limit, in_use), geometry.sessions * geometry.reactors)
    if asked > most:
        log.warning("--max-connections %d: there can be %d at once, for %d files may be open (ulimit -n)",
                    asked, most, limit)
    return min(asked, most) if asked else most


def bound(asked: int, connections: int, geometry: Geometry) -> str:
    """What does not let there be more than these `connections`, for a person."""
    if asked == connections:
        return "--max-connections"
    return "ulimit -n" if connections < geometry.sessions * geometry.reactors else "the most that the server has"
