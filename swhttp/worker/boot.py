"""How a process comes to have the application, a worker or a zygote, and says why it has not.

It owns the first steps: the log as the user has configured it, then the import, whose own configuration comes after.
It never serves.
"""

from __future__ import annotations

import contextlib
import signal

from swhttp import limits, logs
from swhttp.errors import ExitCode, ServerError
from swhttp.messages import Channel, end_of, fitting
from swhttp.worker import application
from swhttp.worker.context import NO_SLOT, Loaded, WorkerContext
from swhttp.worker.sockethandler import SocketHandler


class Unfit(Exception):
    """There is no application. It has been said why. `exit_code`: with which the process is to leave, soon."""

    def __init__(self, exit_code: ExitCode) -> None:
        super().__init__(exit_code.name)
        self.exit_code = exit_code


def load(context: WorkerContext, manager: Channel) -> Loaded:
    """Import the application, unless a zygote has. Raises Unfit."""
    try:
        logs.renew(after_import=context.loaded is not None)
    except ServerError as error:
        raise unfit(manager, error.exit_code, str(error)) from None
    if context.loaded is not None:
        for number, handler in context.loaded.handlers.items():
            signal.signal(number, handler)
        return context.loaded
    try:
        app = application.load(context.app, factory=context.factory, app_dir=context.app_dir)
    except BaseException as error:
        raise failed(error, context, manager) from None
    interface = context.interface
    if interface == "auto":
        interface = application.interface_of(app)
    try:
        application.check(app, interface)
    except application.BootFailure as error:
        raise failed(error, context, manager) from None
    return Loaded(app, interface, {}, _ws_handler(context, interface, manager))


def _ws_handler(context: WorkerContext, interface: str, manager: Channel) -> SocketHandler | None:
    if not context.ws_handler:
        return None
    try:
        handler = SocketHandler.load(context.ws_handler, context.app_dir, interface)
    except BaseException as error:
        raise failed(error, context, manager) from None
    if context.slot in (0, NO_SLOT):  # once is enough
        handler.report()
    return handler


def failed(error: BaseException, context: WorkerContext, manager: Channel) -> Unfit:
    """Say why the application cannot be served.

    What has no traceback is the manager's to say. A traceback is logged by the first of the processes that boot with
    the server, by each that boots later.
    """
    code = ExitCode.APP_MISSING if isinstance(error, application.AppMissing) else ExitCode.APP
    if isinstance(error, application.BootFailure):
        return unfit(manager, code, str(error))
    try:
        with context.first_word.turn() if context.first_word else contextlib.nullcontext(True) as first:
            if first:
                application.log_failure(error)
    except OSError:
        application.log_failure(error)
    return unfit(manager, code, "", application.failure_text(error))


def unfit(manager: Channel, code: ExitCode, why: str, traceback: str = "") -> Unfit:
    """Tell the manager that this process leaves by `code`, which without that word would be the application's own."""
    manager.send("unfit", code=int(code), text=fitting(why), traceback=end_of(traceback))
    # The application's exit functions, and its threads that do not end, get no longer than this.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
    signal.setitimer(signal.ITIMER_REAL, limits.KILL_GRACE_S)
    return Unfit(code)
