"""A worker process, from the fork to its exit status: import the app, choose the loop, serve, leave.

It owns the order of these steps. The manager calls `run` in the child, after hygiene. Exit statuses: 0 drained,
ExitCode.APP the app could not be loaded or started, ExitCode.APP_MISSING it is not there, ExitCode.CONFIG the logging
configuration could not be applied (all are logged); everything else is a crash.
"""

from __future__ import annotations

import gc
import signal

from swhttp import limits, logs
from swhttp.adapters.lifespan import LifespanFailed
from swhttp.errors import ExitCode, ServerError
from swhttp.messages import Channel
from swhttp.worker import application
from swhttp.worker.context import WorkerContext


def run(context: WorkerContext) -> int:
    """Be the worker that `context` describes. Returns its exit status."""
    for number in (signal.SIGINT, signal.SIGQUIT):  # the terminal sends them to the whole group
        signal.signal(number, signal.SIG_IGN)
    manager = Channel(context.channel)
    try:
        logs.renew()  # before the app is imported: what it configures itself comes after
    except ServerError as error:
        logs.worker_log.error("%s", error)
        return error.exit_code
    try:
        app = application.load(context.app, factory=context.factory, app_dir=context.app_dir)
    except BaseException as error:
        return _failed(error, manager)
    interface = context.interface
    if interface == "auto":
        interface = application.interface_of(app)

    def ready() -> None:
        # What is there now stays: the collector need not look at it again, and forked pages stay shared.
        gc.collect()
        gc.freeze()
        logs.booted()
        manager.send("ready", interface=interface)

    def stopping() -> None:
        manager.send("stopping")

    try:
        if interface == "asgi":
            from swhttp.worker import asgi_loop

            asgi_loop.serve(context, app, ready, stopping)
        else:
            from swhttp.worker import wsgi_loop

            wsgi_loop.serve(context, app, ready, stopping)
    except LifespanFailed as error:
        return _failed(error.__cause__ or application.BootFailure(str(error)), manager)
    return ExitCode.OK


def _failed(error: BaseException, manager: Channel) -> int:
    """Say why. What has no traceback is the manager's to say: once, however many workers find the same."""
    if isinstance(error, application.BootFailure) and len(str(error)) <= limits.MAX_REASON_CHARS:
        manager.send("unfit", text=str(error))
    else:
        application.log_failure(error)
    return ExitCode.APP_MISSING if isinstance(error, application.AppMissing) else ExitCode.APP
