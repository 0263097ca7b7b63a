"""Starts a server as systemd starts a service with sockets: they are file descriptors 3 and up, LISTEN_PID its own."""

from __future__ import annotations

import socket
import sys

from tests.support.fleet import Start
from tests.support.server import Server

_EXECUTE = (
    "import fcntl, os, sys\n"
    "high = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 100) for fd in sys.argv[1].split(',')]\n"
    "for at, fd in enumerate(high): os.dup2(fd, 3 + at); os.close(fd)\n"
    "os.closerange(3 + len(high), 100)\n"
    "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(high)), LISTEN_FDNAMES=sys.argv[2])\n"
    "os.execv(sys.argv[3], sys.argv[3:])\n")


def activated(
    start: Start, sockets: list[socket.socket], app: str, *options: str, names: str = "", listening: int
) -> Server:
    """A server that is passed `sockets`. `names`: theirs, with colons between them; `listening`: on how many it
    listens; with 0 it is not waited for."""
    fds = [one.fileno() for one in sockets]
    site = start(app, *options, binds=(), pass_fds=tuple(fds), ready=False,
                 via=(sys.executable, "-c", _EXECUTE, ",".join(map(str, fds)), names))
    if listening:
        site.binds += ["passed"] * listening
        site.wait_ready()
    return site
