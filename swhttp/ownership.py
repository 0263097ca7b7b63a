"""Files of a server that becomes another user: opened with that user's rights, and given to him.

It owns what root may do to a path for somebody else, before `privileges.become`. Whoever may write to a directory can
put a link there, to /etc/cron.d, say: root would open it, and every worker inherits the fd. So the rights are the
user's. Only what he may not open is opened with root's, and only where nobody else can choose what that is:

    every directory on the way, links followed   root's, and writable neither for all nor for a group of the user's
                                                 (or sticky, as /tmp)
    every link on the way                        root's
    a file                                       with one name

It must be used while there is one thread: whose the rights are counts for all of them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

from swhttp.privileges import ROOT, Identity

_MOST_LINKS = 40  # as the kernel


def open_file(path: str, flags: int, mode: int, identity: Identity | None) -> int:
    """As os.open, for a server that will be `identity`, or is it already; None: it stays who it is. Raises OSError."""
    if identity is None or os.geteuid() == identity.user:
        return os.open(path, flags, mode)
    try:
        with _acting_as(identity):
            return os.open(path, flags, mode)
    except PermissionError:
        real, may_follow = _root_s_own(path, identity)
    fd = os.open(real, flags | (0 if may_follow else os.O_NOFOLLOW), mode)
    found = os.fstat(fd)
    is_device = stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode)
    if not is_device and not may_follow and (found.st_nlink > 1 or found.st_uid not in (0, os.geteuid())):
        os.close(fd)
        raise _refused("it has several names" if found.st_nlink > 1 else "it is somebody else's")
    return fd


def give(fd: int, path: str, identity: Identity) -> None:
    """Give the log file that is open as `fd` to it, so that it can be opened again.

    Only a file that is ours and has this one name, where nobody else can have put it.
    """
    with contextlib.suppress(OSError):  # it stays open; opening it again will say what is wrong
        found = os.fstat(fd)
        named = os.stat(path, follow_symlinks=False)
        if (stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_uid == os.geteuid()
                and os.path.samestat(found, named)):
            _root_s_own(path, identity)
            os.fchown(fd, identity.user, identity.group)


def give_socket(path: str, device: int, inode: int, identity: Identity) -> None:
    """Give a unix socket that we have made to it, if it is still there and has no other name. Raises OSError."""
    fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)  # whatever is there, and no other meanwhile
    try:
        found = os.fstat(fd)
        if (stat.S_ISSOCK(found.st_mode) and found.st_nlink == 1 and found.st_uid == os.geteuid()
                and (found.st_dev, found.st_ino) == (device, inode)):
            os.chown(f"/proc/self/fd/{fd}", identity.user, identity.group)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _acting_as(identity: Identity) -> Iterator[None]:
    """With its rights, as far as files go. What cannot be taken back is found by `privileges.become`."""
    user, group, groups = os.geteuid(), os.getegid(), os.getgroups()
    try:
        os.setgroups(sorted(identity.groups))
        os.setegid(identity.group)
        os.seteuid(identity.user)
        yield
    finally:
        os.seteuid(user)
        os.setegid(group)
        os.setgroups(groups)


def _root_s_own(path: str, identity: Identity) -> tuple[str, bool]:
    """Where `path` leads, if nobody but root has a say in that, and whether the last step is a link that must be
    followed all the same: to what a process has open. Raises OSError."""
    trusted = {ROOT, os.geteuid()}
    rest = _parts(os.path.join(os.getcwd(), path))
    here = os.sep
    links = 0
    while rest:
        _check_directory(here, trusted, identity)
        part = rest.pop()
        if part == os.pardir:
            here = os.path.dirname(here)
            continue
        there = os.path.join(here, part)
        try:
            found = os.lstat(there)
        except FileNotFoundError:
            if rest:
                raise
            return there, False  # to be made
        if not stat.S_ISLNK(found.st_mode):
            here = there
            continue
        if found.st_uid not in trusted:
            raise _refused(f"{there!r} is a link of somebody else's")
        if _is_in_proc(found):
            return os.path.join(there, *reversed(rest)), True
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        target = os.readlink(there)
        if os.path.isabs(target):
            here = os.sep
        rest += _parts(target)
    return here, False


def _parts(path: str) -> list[str]:
    """Its names, the last one first."""
    return [part for part in path.split(os.sep) if part not in ("", os.curdir)][::-1]


def _check_directory(path: str, trusted: set[int], identity: Identity) -> None:
    found = os.lstat(path)
    for_others = found.st_mode & stat.S_IWOTH or (found.st_mode & stat.S_IWGRP and found.st_gid in identity.groups)
    if found.st_uid not in trusted or (for_others and not found.st_mode & stat.S_ISVTX):
        raise _refused(f"the directory {path!r} is not root's alone")


def _is_in_proc(found: os.stat_result) -> bool:
    try:
        return found.st_dev == os.stat("/proc").st_dev
    except OSError:
        return False


def _refused(why: str) -> OSError:
    return OSError(errno.EACCES, f"its user may not write to it, and root does not: {why}")
