"""A user process, from the fork to its exit status: import what is to run, say so, run it.

It owns the order of these steps; `swhttp.attendants` keeps it running. SIGTERM ends it unless it installs a handler;
what is sent to whole groups does nothing to it, unless it installs handlers, nor keeps that from programs that it
starts. Of the server's memory it has the session tables, to read, and no way to the server but to push to WebSockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import socket
from collections.abc import Callable, Sequence
from typing import Any

from swhttp import daemon, hygiene, logs, privileges, sockets
from swhttp.errors import ExitCode, ServerError
from swhttp.messages import Channel, fitting
from swhttp.userway import UserWay
from swhttp.worker import application


def run(
    name: str, target: str | Callable[[], Any], app_dir: str, pushes: Sequence[int], slowness: Callable[[int], int],
    end: socket.socket,
) -> int:
    """Be the process `name`. `target`: `module:callable`, or the callable; `pushes`: fds of the way to the reactors;
    `slowness`: as `UserWay` takes it. Returns its exit status."""
    sockets.use(UserWay(pushes, slowness), also_in_children=True)
    hygiene.do_nothing_at(hygiene.GROUP_SIGNALS)
    privileges.make_traceable()
    manager = Channel(end)
    try:
        logs.renew()
        application.look_in(app_dir)
        found = application.find(target) if isinstance(target, str) else target
        if not callable(found):
            raise application.BootFailure(f"{target!r} cannot be called")
    except BaseException as error:
        return unfit(manager, error, f"Process {name}: cannot be started")
    manager.send("started", survives_reload=int(bool(getattr(found, "survives_reload", False))))
    manager.close()
    logs.booted()
    daemon.booted()
    try:
        result = found()
        if inspect.iscoroutine(result):
            asyncio.run(result)
    except SystemExit:
        raise
    except BaseException as error:
        application.log_failure(error, f"Process {name}: ended by an exception")
        return ExitCode.APP
    return ExitCode.OK


def unfit(manager: Channel, error: BaseException, what: str) -> int:
    """Say why this process cannot start: in a message to the manager, or by a traceback. Returns its exit status.

    what: what the traceback is of.
    """
    code, text = ExitCode.APP, ""
    if isinstance(error, application.AppMissing):
        code = ExitCode.APP_MISSING
    elif isinstance(error, ServerError):
        code = error.exit_code
    if isinstance(error, (application.BootFailure, ServerError)):
        text = str(error)
    else:
        with contextlib.suppress(Exception):  # handlers are the user's
            application.log_failure(error, what)
    manager.send("unfit", code=int(code), text=fitting(text))
    return code
