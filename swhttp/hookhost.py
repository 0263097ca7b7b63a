"""The process in which the hooks run that are not a worker's: import the module, call what the manager says, answer.

It owns the order of calls: one after another, as the messages come. Not the manager itself does it: what is imported
there every worker would inherit, and a reload would not import it afresh; a thread that a hook starts would make forks
unsafe; and a hook that hangs would stop supervision. `swhttp.hookevents` is the other end.
"""

from __future__ import annotations

import os
import select
import signal
import socket
from types import ModuleType

from swhttp import daemon, hooks, hygiene, logs, privileges
from swhttp.errors import ExitCode
from swhttp.hookmodule import HookModule
from swhttp.logs import worker_log
from swhttp.messages import Channel, Message
from swhttp.userprocess import unfit

NOTHING_TO_US = hygiene.GROUP_SIGNALS | {signal.SIGTERM}
"""Signals that may come to all processes of a service: the last hooks are called after everybody else is gone.
Programs that a hook starts see them."""


def run(module: str | ModuleType, app_dir: str, server: hooks.Server, end: socket.socket) -> int:
    """Be the process. `module`: that of --hooks; `end`: of the channel to the manager. Returns its exit status."""
    hygiene.do_nothing_at(NOTHING_TO_US)
    privileges.make_traceable()
    manager = Channel(end)
    try:
        logs.renew()
        found = HookModule.load(module, app_dir)
    except BaseException as error:
        return unfit(manager, error, "Hooks: cannot be imported")
    for mistake in found.mistakes():
        worker_log.warning("Hooks: %s", mistake)
    logs.booted()
    daemon.booted()
    manager.send("started", survives_reload=0)
    lines: list[str] = []
    poller = select.poll()
    poller.register(end.fileno(), select.POLLIN)
    while True:
        poller.poll()
        messages, is_open = manager.receive()
        for message in messages:
            match message:
                case {"kind": "line", "text": str(text)}:
                    lines.append(text)
                case {"kind": "hook", "name": str(name)}:
                    found.call(name, _argument(name, message, lines, server))
                    lines = []
                    manager.send("done")
                case {"kind": "leave"}:
                    return ExitCode.OK
        if not is_open:
            os._exit(ExitCode.INTERNAL)  # the manager is gone, or a hook has closed what was not its own


def _argument(name: str, message: Message, lines: list[str], server: hooks.Server) -> object:
    if name == "on_worker_error":
        status = message["status"]
        return hooks.WorkerError(
            slot=message["slot"], generation=message["generation"], pid=message["pid"],
            exit_code=status if status >= 0 else None, signal=-status if status < 0 else None, requests=tuple(lines))
    if name == "on_after_reload":
        return hooks.Reload(ok=bool(message["ok"]), text="".join(lines))
    return server
