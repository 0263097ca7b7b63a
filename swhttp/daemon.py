"""In the background: the process that was started ends when the server listens, with a status that says how it went.

    starter --fork--> leader of a session of its own --fork--> server, which can get no terminal any more
       |  <---------------- its pid, then one byte: its exit status, or 0 when it listens --'
       '-- ends with that status

Until it has booted each process keeps the stdout and stderr that it was started with: what goes wrong is read there.
Then it lets go of them, before it says so, and when the starter ends none of them has the terminal (or the pipe of an
`ssh host swhttp --daemon`, which waits for its end). Without --daemon every function but `start` does nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import sys
from typing import Final, NoReturn

from swhttp.errors import ExitCode, ServerError

STANDARD_FDS: Final = (0, 1, 2)
STOPPED: Final = 128 + signal.SIGTERM
"""Status of a start that somebody has ended before the server listened."""
_PID: Final = struct.Struct("=i")

_report_fd = -1  # the master's, to the starter, until it has been told
_has_terminal = False


def start() -> None:
    """Go on in the background. Returns there; the process that calls it never returns.

    It must have one thread, and nothing open that only one process may have. Raises ServerError, in any of the three;
    `reports` must follow then.
    """
    global _report_fd, _has_terminal
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()  # or it is written twice
    # Until a Ctrl-C has somebody to stop. The leader never sees one: it would end without a word.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        heard, _report_fd = os.pipe2(os.O_CLOEXEC)
        leader = os.fork()
        if leader:
            os.close(_report_fd)
            _wait(leader, heard, mask)
        os.close(heard)
        try:
            os.setsid()
            if os.fork():
                os._exit(0)
        except OSError:
            os.write(_report_fd, _PID.pack(0))  # `reports` says the rest
            raise
        os.write(_report_fd, _PID.pack(os.getpid()))
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
    except OSError as error:
        raise ServerError(f"Cannot go into the background: {error.strerror}", ExitCode.INTERNAL) from None
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    _has_terminal = True


def _wait(leader: int, heard: int, mask: set[signal.Signals | int]) -> NoReturn:
    """End as the server's start ends. `mask`: the signals that are blocked once the server can be stopped."""
    status: int = ExitCode.INTERNAL
    pid = 0
    signal.signal(signal.SIGTERM, _stop)
    try:
        os.waitpid(leader, 0)
        pid = _PID.unpack(os.read(heard, _PID.size).ljust(_PID.size, b"\0"))[0]
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if word := os.read(heard, 1):
            status = word[0]
            os.read(heard, 1)  # of one that has failed nothing is left: its end closes the pipe
            if status == STOPPED:
                os.write(2, b"Error: the server was stopped before it listened\n")
        else:  # it was killed, or has said why it ends
            os.write(2, b"Error: the server has ended before it listened\n")
    except KeyboardInterrupt as stop:  # the server does not get it, for it has left the terminal
        with contextlib.suppress(ProcessLookupError):
            if pid:
                os.kill(pid, signal.SIGTERM)
        status = stop.args[0] if stop.args else 128 + signal.SIGINT
    finally:
        os._exit(status)  # exit functions are the server's


def _stop(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt(128 + number)


def booted() -> None:
    """This process is up: it lets go of the stdout and stderr that it was started with."""
    global _has_terminal
    if not _has_terminal:
        return
    _has_terminal = False
    null = os.open(os.devnull, os.O_RDWR)
    for fd in STANDARD_FDS[1:]:
        os.dup2(null, fd)
    os.close(null)


def reports(status: int) -> None:
    """In the master: tell the starter that the server listens (0), or has ended with this exit status before that."""
    global _report_fd
    if _report_fd >= 0:
        with contextlib.suppress(OSError):  # the starter is gone
            os.write(_report_fd, bytes([status & 0xFF]))
        if status == ExitCode.OK:
            os.close(_report_fd)
        _report_fd = -1
