"""Tells systemd how far the server is (sd_notify(3)): one datagram each time, to the socket that it names.

Used by the master alone, in its main thread. Without NOTIFY_SOCKET every function does nothing. Nothing here waits or
fails: a service manager that does not listen is no reason to serve nobody. What does not fit into its queue, which all
services of a host share, is kept, the latest of each kind, and told by `tick`: READY=1 must not get lost.
"""

from __future__ import annotations

import errno
import math
import os
import socket
import time
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Final

from swhttp import limits
from swhttp.logs import log

VARIABLES: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
MOST_TEXT_CHARS: Final = 200  # of a status


@dataclass
class _Link:
    """`watchdog_s`: how often it wants to hear that we live; 0: it does not. `next_s`: when it is told next; `unsent`:
    what it could not be told yet, in order, by its first word."""

    socket: socket.socket | None = None
    watchdog_s: float = 0.0
    next_s: float = 0.0
    unsent: dict[str, bytes] = field(default_factory=dict)


_link = _Link()


def connect(variables: MutableMapping[str, str], pid: int) -> None:
    """Take the variables away, so that no child takes them for its own, and connect, while the socket's path can still
    be reached. `pid`: this process's."""
    global _link
    values = {name: variables.pop(name, "") for name in VARIABLES}
    address = values["NOTIFY_SOCKET"]
    if not address:
        return
    if address[0] not in "/@":
        log.warning("NOTIFY_SOCKET is no unix socket: %s", address)
        return
    link = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        link.connect("\0" + address[1:] if address[0] == "@" else address)
    except OSError as error:
        link.close()
        log.warning("NOTIFY_SOCKET %s: %s", address, error.strerror or error)
        return
    _link = _Link(link, _watchdog_s(values["WATCHDOG_USEC"], values["WATCHDOG_PID"], pid))


def _watchdog_s(usec: str, for_pid: str, pid: int) -> float:
    """Half of the time after which it takes us for dead, as sd_watchdog_enabled(3) says to."""
    if not usec.isdecimal() or (for_pid and for_pid != str(pid)):
        return 0.0
    return int(usec) / 2e6


def ready() -> None:
    """It listens; or a reload has ended, whichever way."""
    _send("READY=1", f"MAINPID={os.getpid()}")


def reloading() -> None:
    """A reload has begun. `ready` must follow."""
    _send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> None:
    """The end has begun."""
    _send("STOPPING=1")


def status(text: str) -> None:
    """What `systemctl status` shows."""
    _send("STATUS=" + " ".join(text.split())[:MOST_TEXT_CHARS])


def tick(now_s: float) -> float:
    """Say that the main loop turns, if it is time to, and what could not be said before; returns when it will be next,
    `inf` for never."""
    if _link.watchdog_s and now_s >= _link.next_s:
        _link.next_s = now_s + _link.watchdog_s
        _send("WATCHDOG=1")
    elif _link.unsent:
        _send_all()
    return min(_link.next_s if _link.watchdog_s else math.inf,
               now_s + limits.NOTIFY_RETRY_S if _link.unsent else math.inf)


def close() -> None:
    """Nothing more will be said."""
    global _link
    _send_all()
    if _link.socket is not None:
        _link.socket.close()
    _link = _Link()


def _send(*lines: str) -> None:
    if _link.socket is not None:
        kind = lines[0].partition("=")[0]
        _link.unsent.pop(kind, None)  # the new one comes last
        _link.unsent[kind] = "\n".join(lines).encode("utf-8", "replace")
        _send_all()


def _send_all() -> None:
    while _link.socket is not None and _link.unsent:
        kind = next(iter(_link.unsent))
        try:
            _link.socket.send(_link.unsent[kind])
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno in (errno.ENOBUFS, errno.ENOMEM):
                return
            # It does not listen any more.
            _link.unsent.clear()
            return
        del _link.unsent[kind]
