"""Forking without leaking: what a child of ours inherits is exactly what it was meant to get.

Every fork of the server goes through `fork`. It must be called from a process with one thread only; signals are
blocked from before the fork until the child is clean, so no handler of the parent ever runs in the child. What log
handlers hold is written before the fork, and their files are closed in the child.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Collection
from typing import Final, NoReturn

from swhttp import logs
from swhttp.errors import ExitCode

PR_SET_PDEATHSIG: Final = 1
# Python ignores these from its start, so that writing to a closed socket or past a file's limit is an exception.
KEPT_IGNORED: Final = frozenset({signal.SIGPIPE, signal.SIGXFSZ})
# A terminal sends INT, QUIT and HUP to its whole foreground group, `systemctl kill` and pkill any signal to a whole
# service; the master decides what they mean.
GROUP_SIGNALS: Final = frozenset({
    signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU,
    signal.SIGRTMIN})

_apps_fds: set[int] = set()

_libc = ctypes.CDLL(None, use_errno=True)


def fork(
    run: Callable[[], int],
    keep_fds: Collection[int],
    enter: Callable[[], None],
    ignore: Collection[signal.Signals] = GROUP_SIGNALS,
) -> int:
    """Fork a clean child that dies with this process. Returns its pid here; never returns in the child.

    `run`: the child's work; what it returns is its exit status. `keep_fds`: the fds that the child keeps besides
    stdin, stdout, stderr and the log's. `enter`: called in the child first, to let go of the parent's objects: an
    object that still believed to own an fd would later close somebody else's. `ignore`: the signals that it does not
    see from the start; what runs foreign code calls `do_nothing_at` with them. Raises OSError when the kernel refuses.
    """
    parent = os.getpid()
    logs.flush()
    blocked_before = block_signals()
    try:
        pid = os.fork()
        if pid == 0:
            _be_child(run, keep_fds, enter, ignore, parent)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked_before)
    return pid


def block_signals() -> set[signal.Signals | int]:
    """Block every signal in this thread; returns the mask before, for `signal.pthread_sigmask`."""
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals()))


def _be_child(
    run: Callable[[], int],
    keep_fds: Collection[int],
    enter: Callable[[], None],
    ignore: Collection[signal.Signals],
    parent: int,
) -> NoReturn:
    status: int = ExitCode.INTERNAL
    try:
        enter()
        logs.let_go()
        close_all_but([*keep_fds, *logs.fds()])
        reset_signals(ignore)
        die_with(parent)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        status = run()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else ExitCode.INTERNAL
    except BaseException:
        logs.last_words("Internal error")
    finally:
        _leave(status)


def _leave(status: int) -> NoReturn:
    """End a forked child as an interpreter ends, but without unwinding the parent's frames below this one."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # an application may have put nothing there
                stream.flush()
    except BaseException:
        logs.last_words("An exit function failed")
    finally:
        os._exit(status)


def keep_what_is_open(but: Collection[int]) -> None:
    """Let children keep the fds that are open now, except `but`: those of an application that exists already.

    An application that is imported in a worker opens its files there. One that was made before the forks has them
    already, and would go on writing to the numbers, whatever they are by then.
    """
    _apps_fds.update(open_fds().difference(but))


def open_fds() -> set[int]:
    """The fds that are open."""
    found = set()
    for fd in [int(name) for name in os.listdir("/proc/self/fd")]:
        with contextlib.suppress(OSError):  # the one that listed the directory
            os.fstat(fd)
            found.add(fd)
    return found


def close_all_but(keep_fds: Collection[int]) -> None:
    """Close every fd but `keep_fds`, an application's and the three standard ones, whoever opened them."""
    kept = {0, 1, 2, *keep_fds, *_apps_fds}
    try:
        found = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:  # the root of a chroot has no /proc
        last = -1
        for fd in sorted([*kept, resource.getrlimit(resource.RLIMIT_NOFILE)[0]]):
            if fd > last + 1:  # else Python 3.11's closes everything when the range is empty at 0
                os.closerange(last + 1, fd)
            last = fd
        return
    for fd in found:
        if fd not in kept:
            try:
                os.close(fd)
            except OSError:
                continue  # the one that listed the directory


def reset_signals(ignore: Collection[signal.Signals]) -> None:
    """Forget the parent's handlers and wake-up fd. `ignore`: signals that are ignored from now on."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        wanted = signal.SIG_IGN if number in KEPT_IGNORED or number in ignore else signal.SIG_DFL
        try:
            if signal.getsignal(number) != wanted:
                signal.signal(number, wanted)
        except OSError:
            continue  # 32 and 33 belong to the C library


def do_nothing_at(numbers: Collection[signal.Signals]) -> None:
    """Go on ignoring these signals, but not in programs that this process starts: they inherit what is ignored, and not
    a handler. Nor do system calls fail with EINTR for it where the kernel can take them up again.

    TTIN and TTOU stay ignored: then a background process that uses its terminal gets an error, where a handler would
    have the kernel signal the whole group and begin the call anew, for ever.
    """
    for number in set(numbers) - {signal.SIGTTIN, signal.SIGTTOU}:
        signal.signal(number, _do_nothing)
        signal.siginterrupt(number, False)


def _do_nothing(number: int, frame: object) -> None:
    pass


def die_with(parent: int) -> None:
    """Have the kernel kill this process when the thread that forked it dies. `parent`: its pid."""
    if _libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl(PR_SET_PDEATHSIG): {os.strerror(code)}")
    if os.getppid() != parent:  # it died before the kernel knew
        os._exit(ExitCode.INTERNAL)
