"""As whom the server runs: who that is in numbers, becoming it for good, and the proof that nothing can be regained.

    start (root) -> resolve -> check -> open logs, bind, pid file -> give them away -> become -> fork

Only the master becomes somebody else, once, while it has one thread and before it forks: the manager, the workers and
whatever these start inherit it. So there is no process with more rights than the app's, and none that could lend them.
It must come before PR_SET_PDEATHSIG, which setuid(2) clears: `hygiene.fork` sets that in each child.

It fails closed. What cannot be dropped, or could be regained, is a ServerError (ExitCode.PRIVILEGES): there is no
server then, instead of one that runs as root.

From then on nobody but root may trace the process or dump its memory (PR_SET_DUMPABLE, prctl(2)), whatever
fs.suid_dumpable says. Master and manager stay so: an app that goes wild, or another server of the same user, can
neither read nor change there what is between all clients and all workers. Workers are made traceable again: core dumps,
py-spy and /proc/self/environ work as they do for every process of that user. They hold the app, and, to be read, the
requests that are in flight, of all workers; that is no more than an app of theirs can see by itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from swhttp.errors import BadValue, ExitCode, ServerError

if TYPE_CHECKING:
    from pwd import struct_passwd

PR_GET_DUMPABLE: Final = 3
PR_SET_DUMPABLE: Final = 4
PR_SET_NO_NEW_PRIVS: Final = 38
PR_GET_NO_NEW_PRIVS: Final = 39
CAP_SETGID: Final = 6
CAP_SETUID: Final = 7
CAP_SYS_CHROOT: Final = 18
ROOT: Final = 0
NOBODYS: Final = 2**32 - 1  # (uid_t)-1, which setresuid(2) takes for "as it is"
_CAPABILITY_VERSION: Final = 0x20080522  # _LINUX_CAPABILITY_VERSION_3: two words of 32 bits for each set


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)  # another system, which is told that it cannot be served, has none


@dataclass(frozen=True)
class Identity:
    """Who the server becomes, in numbers, so that nothing is looked up when it may be too late for that.

    `groups`: all of them, `group` too; `root`: the directory that becomes /, or "".
    """

    user: int
    group: int
    groups: frozenset[int]
    root: str = ""

    @property
    def described(self) -> str:
        """For people."""
        return f"{_described(self.user)}, group {self.group}"

    @property
    def is_now(self) -> bool:
        """Whether this process is it already, so that nothing has to be changed."""
        return (not self.root and os.getresuid() == (self.user,) * 3 and os.getresgid() == (self.group,) * 3
                and set(os.getgroups()) <= self.groups)


def resolve(user: str, group: str, root: str = "") -> Identity | None:
    """What names or numbers of a user and a group mean; None: nobody else was asked for. Raises BadValue.

    A user brings the primary group and all others that the databases of this system say, unless `group` replaces the
    primary one. A number need not be in them; then `group` is needed.
    """
    if not (user or group or root):
        return None
    gid = _group(group) if group else None
    if not user:
        gid = os.getegid() if gid is None else gid
        return Identity(os.geteuid(), gid, frozenset([gid]), root)
    entry = _user(user)
    if isinstance(entry, int):
        if gid is None:
            raise BadValue("--user", f"{user} is the number of nobody who is known here: say --group too")
        return Identity(entry, gid, frozenset([gid]), root)
    gid = entry.pw_gid if gid is None else gid
    return Identity(entry.pw_uid, gid, frozenset([gid, *os.getgrouplist(entry.pw_name, gid)]), root)


def _user(text: str) -> struct_passwd | int:
    import pwd  # which another system may not have

    try:
        return pwd.getpwnam(text)
    except KeyError:
        number = _number("--user", text, "user")
    try:
        return pwd.getpwuid(number)
    except KeyError:
        return number


def _group(text: str) -> int:
    import grp

    try:
        return grp.getgrnam(text).gr_gid
    except KeyError:
        return _number("--group", text, "group")


def _number(flag: str, text: str, what: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise BadValue(flag, f"there is no {what} {text!r}")
    if len(text) > 10 or int(text) >= NOBODYS:
        raise BadValue(flag, f"the number of a {what} is less than {NOBODYS}")
    return int(text)


def check(identity: Identity) -> None:
    """Before anything is opened: whether this process may become it. Raises ServerError."""
    if identity.is_now:
        return
    effective = _capabilities()[0]
    needed = {"CAP_SETUID": CAP_SETUID, "CAP_SETGID": CAP_SETGID}
    if identity.root:
        needed["CAP_SYS_CHROOT"] = CAP_SYS_CHROOT
    missing = [name for name, number in needed.items() if not effective >> number & 1]
    if missing:
        raise _impossible(identity, f"that needs root ({', '.join(missing)}), and this is {_described(os.geteuid())}")


def become(identity: Identity) -> None:
    """Become it, in this process and for good. Raises ServerError when anything is not as it should be afterwards."""
    if len(os.listdir("/proc/self/task")) != 1:  # capabilities belong to threads
        raise _impossible(identity, "the server has more than one thread already")
    try:
        if not identity.is_now:
            if identity.root:
                os.chroot(identity.root)
                os.chdir("/")
            os.setgroups(sorted(identity.groups))
            os.setresgid(*(identity.group,) * 3)
            os.setresuid(*(identity.user,) * 3)
        if identity.user != ROOT:
            _drop_capabilities()
            _prctl(PR_SET_DUMPABLE, 0)
        _prctl(PR_SET_NO_NEW_PRIVS, 1)  # nor by a program that is setuid or has capabilities of its own
        faults = _faults(identity)
    except OSError as error:
        raise _impossible(identity, error.strerror or str(error)) from None
    if faults:
        raise _impossible(identity, f"it would still have {' and '.join(faults)}")


def _faults(identity: Identity) -> list[str]:
    """What is not as it should be. It does not believe the calls before it."""
    faults = []
    if os.getresuid() != (identity.user,) * 3:
        faults.append(f"the users {os.getresuid()}")
    if os.getresgid() != (identity.group,) * 3:
        faults.append(f"the groups {os.getresgid()}")
    if extra := set(os.getgroups()) - identity.groups:
        faults.append(f"the supplementary groups {sorted(extra)}")
    if _prctl(PR_GET_NO_NEW_PRIVS) != 1:
        faults.append("the right to get new privileges")
    if identity.user != ROOT:
        if _prctl(PR_GET_DUMPABLE) == 1:
            faults.append("a memory that its user may read")
        if any(_capabilities()):
            faults.append("capabilities")
        if _works(os.setresuid):
            faults.append("a way back to root")
        if identity.group != ROOT and _works(os.setresgid):
            faults.append("a way back to root's group")
    return faults


def _works(regain: Callable[[int, int, int], None]) -> bool:
    """Whether the call that changes the effective number gets root's."""
    try:
        regain(-1, ROOT, -1)
    except PermissionError:
        return False
    return True


def check_modules(identity: Identity, files: Iterable[str]) -> None:
    """After `become`: whether these files of modules can be read, which have been read before. Raises ServerError.

    An interpreter in root's home directory works for root, and for nobody else: each worker would fail with an
    ImportError that hides why.
    """
    for path in files:
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except PermissionError as error:
            raise _impossible(identity, f"Python's modules cannot be read then: {path}: {error.strerror}") from None
        except OSError:  # of a module in a zip file, say
            continue


def make_traceable() -> None:
    """In a process that runs an app: let its user trace it, and the kernel dump it.

    Harmless where nothing was dropped.
    """
    with contextlib.suppress(OSError):
        _prctl(PR_SET_DUMPABLE, 1)


def _capabilities() -> tuple[int, int, int]:
    """Effective, permitted and inheritable capabilities of this thread, as bits (capget(2))."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    data = (ctypes.c_uint32 * 6)()
    _checked("capget", _libc().capget(header, data))
    low, high = data[:3], data[3:]
    return low[0] | high[0] << 32, low[1] | high[1] << 32, low[2] | high[2] << 32


def _drop_capabilities() -> None:
    """All sets of this thread. setuid(2) leaves the inheritable one, and everything where a securebit says so; the
    ambient set is never larger than these."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    _checked("capset", _libc().capset(header, (ctypes.c_uint32 * 6)()))


def _prctl(what: int, value: int = 0) -> int:
    return _checked("prctl", _libc().prctl(what, value, 0, 0, 0))


def _checked(call: str, result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{call}: {os.strerror(code)}")
    return result


def _impossible(identity: Identity, why: str) -> ServerError:
    where = f", in {identity.root}" if identity.root else ""
    return ServerError(f"Cannot become {identity.described}{where}: {why}", ExitCode.PRIVILEGES)


def _described(uid: int) -> str:
    """A user, for people. After chroot(2) it has no name."""
    import pwd

    try:
        return f"user {pwd.getpwuid(uid).pw_name} ({uid})"
    except KeyError:
        return f"user {uid}"
