"""A worker process, from the fork to its exit status: import the app, choose the loop, serve, leave.

It owns the order of these steps. The manager calls `run` in the child, after hygiene. Exit statuses: 0 drained,
ExitCode.APP the app could not be loaded or started, ExitCode.APP_MISSING it is not there, ExitCode.CONFIG the logging
configuration could not be applied (all are logged); everything else is a crash.
"""

from __future__ import annotations

import contextlib
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
        return _unfit(manager, error.exit_code, str(error))
    try:
        app = application.load(context.app, factory=context.factory, app_dir=context.app_dir)
    except BaseException as error:
        return _failed(error, context, manager)
    interface = context.interface
    if interface == "auto":
        interface = application.interface_of(app)

    def ready() -> None:
        # What is there now stays: the collector need not look at it again, and forked pages stay shared.
        gc.collect()
        gc.freeze()
        logs.booted()
        if context.first_word is not None:
            context.first_word.close()
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
        return _failed(error.__cause__ or application.BootFailure(str(error)), context, manager)
    return ExitCode.OK


def _failed(error: BaseException, context: WorkerContext, manager: Channel) -> int:
    """Say why the application cannot be served.

    What has no traceback is the manager's to say. A traceback is logged by the first of the workers that boot with the
    server, by each that boots later.
    """
    code = ExitCode.APP_MISSING if isinstance(error, application.AppMissing) else ExitCode.APP
    if isinstance(error, application.BootFailure):
        return _unfit(manager, code, str(error))
    try:
        with context.first_word.turn() if context.first_word else contextlib.nullcontext(True) as first:
            if first:
                application.log_failure(error)
    except OSError:
        application.log_failure(error)
    return _unfit(manager, code, "", application.failure_text(error))


def _unfit(manager: Channel, code: ExitCode, why: str, traceback: str = "") -> int:
    """Tell the manager that this process leaves by `code`, which without that word would be the application's own."""
    # Of UTF-16 JSON writes each unit in at most six bytes.
    units = why.encode("utf-16-le", "surrogatepass")
    if len(units) > 2 * limits.MAX_REASON_CHARS:
        why = units[:2 * limits.MAX_REASON_CHARS].decode("utf-16-le", "ignore") + "..."
    units = traceback.encode("utf-16-le", "surrogatepass")
    if len(units) > 2 * limits.MAX_TRACEBACK_CHARS:  # its end says what is wrong
        traceback = "..." + units[-2 * limits.MAX_TRACEBACK_CHARS:].decode("utf-16-le", "ignore")
    manager.send("unfit", code=int(code), text=why, traceback=traceback)
    return code
