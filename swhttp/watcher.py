"""The process that watches files for --reload, and tells the manager of those that have changed.

It owns nothing but its watch. watchfiles, which does the work, uses a thread, so it is in a process of its own; what
changes at about the same time it reports together.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from pathlib import PurePath

from swhttp import daemon
from swhttp.errors import ExitCode
from swhttp.messages import Channel, fitting

SUFFIXES = (".py", ".pyx", ".pyd")
"""Of the files that are watched without being asked for, as watchfiles' PythonFilter has them."""


def within(path: str, directories: Sequence[str]) -> str:
    """`path` as it is called within the one of `directories` that it is in: what is above does not count."""
    inner = [os.path.relpath(path, one) for one in directories if path.startswith(one.rstrip("/") + "/")]
    return min(inner, key=len, default=path)


def matches(path: str, patterns: Sequence[str]) -> bool:
    """Whether one of `patterns`, as of --reload-include, is that of the file `path` or of a directory it is in."""
    pure = PurePath(path)
    return any(part.match(pattern) for pattern in patterns for part in (pure, *pure.parents))


def run(directories: Sequence[str], include: Sequence[str], exclude: Sequence[str], end: socket.socket) -> int:
    """Be the process. `include`, `exclude`: patterns; `end`: of the channel to the manager."""
    from watchfiles import Change, DefaultFilter, watch

    class Begun:
        """The event by which watchfiles is told to stop. It asks for the first time when it watches."""

        asked = False

        def is_set(self) -> bool:
            if not self.asked:
                self.asked = True
                manager.send("started", survives_reload=1)
            return False

    usual = DefaultFilter()  # no __pycache__, .git, files of editors ...

    def wanted(change: Change, path: str) -> bool:
        path = within(path, directories)
        if matches(path, exclude):
            return False
        return matches(path, include) or (path.endswith(SUFFIXES) and usual(change, path))

    manager = Channel(end)
    daemon.booted()
    for changes in watch(*directories, watch_filter=wanted, stop_event=Begun(), raise_interrupt=False,
                         ignore_permission_denied=True):
        paths = sorted(path for _, path in changes)
        others = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        manager.send("changed", text=fitting(os.path.relpath(paths[0])) + others)
    return ExitCode.INTERNAL
