"""The server's own log: one line an event, in the same form from every process, on stderr or in a file.

Everything goes to the loggers `swhttp` (master and manager, and what reactors report) and `swhttp.worker`. It owns
what is set up for these two, and touches no other logger, unless a logging configuration of the user's is to be
applied (`swhttp.logconfig`): that has its way with all the others, and with these two if it asks for them.

    master    configure ──fork──> let_go   manager, which has the master log
                 │                   └─────fork──> let_go, renew   worker
              booted: it listens                      └── booted: it is READY

Until a process has booted, its errors are shown on stderr as well, wherever the log goes: somebody is watching. Our
own file stays open across forks, so that no child can fail to open it; it is in append mode, and a record is one
write. What a user's handlers own is closed in the child, and opened anew in a worker. They run in the master and in
workers only: such a handler may start a thread, and the manager forks. For the same reason none may have started one
when the master forks the manager. Reactor threads never log; the master's main thread writes what they report.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from swhttp.errors import ExitCode, ServerError
from swhttp.logforms import JsonForm, TextForm, takes_colours
from swhttp.loghandlers import AppendingHandler, FdHandler, StderrHandler
from swhttp.privileges import Identity, check

if TYPE_CHECKING:
    from swhttp.logconfig import LogConfig

LEVELS: Final = ("debug", "info", "warning", "error", "critical")
FORMATS: Final = ("text", "json")
STDERR: Final = "-"
"""Where the log goes by default."""


class ServerLogger(logging.Logger):
    """A logger that cannot be disabled by accident.

    `logging.config` disables every logger that it does not name, by default. An application that configures its own
    logging so does not mean ours: without it nobody would learn why requests fail. Its level can still be set.
    """

    @property
    def disabled(self) -> bool:
        """Always False; setting it does nothing."""
        return False

    @disabled.setter
    def disabled(self, value: bool) -> None:
        pass


def _logger(name: str) -> logging.Logger:
    usual = logging.getLoggerClass()
    logging.setLoggerClass(ServerLogger)
    try:
        return logging.getLogger(name)
    finally:
        logging.setLoggerClass(usual)


log: Final = _logger("swhttp")
worker_log: Final = _logger("swhttp.worker")


@dataclass(frozen=True)
class LogSettings:
    """What the log is like. `level`: one of LEVELS; `path`: a file, or STDERR; `form`: one of FORMATS.

    `config`: a logging configuration: a file's name, a dictionary as for `logging.config.dictConfig`, or "";
    `app_dir`: where the classes that it names are looked for first. `identity`: whom this process will be, if that is
    another.
    """

    level: str
    path: str = STDERR
    form: str = "text"
    config: str | Mapping[str, Any] = ""
    app_dir: str = ""
    identity: Identity | None = None


@dataclass
class _Setup:
    """What this process has set up. `own`: where --error-log says; `echo`: of errors, on stderr, while it boots;
    `attached`: the handlers that the application of `config` has left, by logger."""

    level: str
    stderr: StderrHandler
    own: FdHandler
    echo: StderrHandler | None = None
    config: LogConfig | None = None
    attached: dict[logging.Logger, list[logging.Handler]] = field(default_factory=dict)


def _on_stderr_only(level: str, form: logging.Formatter) -> _Setup:
    stderr = StderrHandler()
    stderr.setFormatter(form)
    return _Setup(level, stderr, stderr)


_setup = _on_stderr_only("INFO", TextForm())


def configure(settings: LogSettings) -> None:
    """Set up the log of this process and of those that it will fork. Called once, before there is anything else.

    Raises ServerError: ExitCode.PRIVILEGES when this process cannot become the identity, ExitCode.FILE when the log
    file cannot be written, ExitCode.CONFIG when the logging configuration cannot be read or applied. Whatever happens,
    there is a log on stderr or in the file.
    """
    global _setup
    _setup.own.let_go()
    coloured = takes_colours(_setup.stderr.fd, os.environ)
    _setup = _on_stderr_only(settings.level.upper(), JsonForm() if settings.form == "json" else TextForm(coloured))
    _use_own()
    if settings.identity is not None:
        check(settings.identity)
    if settings.path != STDERR:
        try:
            _setup.own = AppendingHandler(settings.path, identity=settings.identity)
        except OSError as error:
            raise ServerError(
                f"Cannot write the error log {settings.path!r}: {error.strerror}", ExitCode.FILE) from None
        _setup.own.setFormatter(JsonForm() if settings.form == "json" else TextForm())
        _use_own()
    if settings.config:
        from swhttp import logconfig

        _setup.config = logconfig.read(settings.config, settings.app_dir)
        if settings.identity is None:  # else what it imports and opens is not root's business
            _apply(_setup.config, threads_allowed=False)


def renew(after_import: bool = False) -> None:
    """Set up in a worker what it has not inherited. Raises ServerError as `configure` does.

    `after_import`: it has been forked by a process that has done so, and has then imported the application. If that has
    put handlers of its own in the place of the configuration's, they stay; they are closed by the fork, and those of
    the standard library open again what they need.
    """
    if _setup.config is not None and not (after_import and _attached(_setup.attached) != _setup.attached):
        _apply(_setup.config, threads_allowed=True)
        _setup.attached = _attached(_loggers())
    else:
        _echo_errors()


def _loggers() -> list[logging.Logger]:
    known = logging.root.manager.loggerDict.values()
    return [logging.root, *(logger for logger in known if isinstance(logger, logging.Logger))]  # not a PlaceHolder


def _attached(loggers: Iterable[logging.Logger]) -> dict[logging.Logger, list[logging.Handler]]:
    """Those of `loggers` that have handlers, and which."""
    return {logger: handlers for logger in loggers if (handlers := [
        handler for handler in logger.handlers if handler is not _setup.echo])}


def _apply(config: LogConfig, threads_allowed: bool) -> None:
    """Apply the user's configuration. After an error the log is where --error-log says."""
    _use_own()
    try:
        config.apply(threads_allowed)
    except ServerError:
        _use_own()  # half of it may have been applied
        raise
    booted()
    if config.takes_server_log:
        log.propagate = config.propagates  # an INI file that says nothing of it would have set it
    else:
        log.handlers[:] = [_setup.own]
        log.propagate = False
    if not config.sets_level:
        log.setLevel(_setup.level)
    _echo_errors()


def _use_own() -> None:
    """Have the log where --error-log says, and nowhere else."""
    log.handlers[:] = [_setup.own]
    log.propagate = False
    log.setLevel(_setup.level)
    _echo_errors()


def _echo_errors() -> None:
    """Show errors on stderr too, if what is logged cannot be seen there."""
    booted()
    if not _on_stderr():
        _setup.echo = StderrHandler()
        _setup.echo.setLevel(logging.ERROR)
        _setup.echo.setFormatter(_setup.stderr.formatter)
        log.addHandler(_setup.echo)


def _on_stderr() -> bool:
    """Whether what is logged can be seen on stderr."""
    logger: logging.Logger | None = log
    while logger is not None:
        for handler in logger.handlers:
            stream = getattr(handler, "stream", None)
            if isinstance(handler, StderrHandler) or (stream is not None and stream in (sys.stderr, sys.__stderr__)):
                return True
        logger = logger.parent if logger.propagate else None
    return False


def booted() -> None:
    """This process is up: from now on its errors are in the log only."""
    if _setup.echo is not None:
        log.removeHandler(_setup.echo)
        _setup.echo = None


def flush() -> None:
    """Have every handler write what it holds back: before a fork, or the child would write it too."""
    for logger in _loggers():
        for handler in logger.handlers:
            with contextlib.suppress(Exception):
                handler.flush()


def fds() -> list[int]:
    """The fds that a child keeps for its log."""
    return [_setup.own.fd] if isinstance(_setup.own, AppendingHandler) and _setup.own.fd >= 0 else []


def let_go() -> None:
    """In a new child: close what the user's handlers have inherited. A worker calls `renew` then."""
    booted()
    # The standard library's only way to all handlers of a process. Its children must not stop at one that fails.
    wanted, logging.raiseExceptions = logging.raiseExceptions, False
    try:
        logging.shutdown()
    finally:
        logging.raiseExceptions = wanted


def reopen() -> str:
    """Go on in a new file if the log's has been moved away; it is made if it is not there.

    The other processes look for themselves, before each record. Returns why that is impossible, or "".
    """
    return _setup.own.follow()


def becomes(identity: Identity, path: str) -> None:
    """This process, and all that it forks, will be `identity`, and find the log's file at `path`."""
    if isinstance(_setup.own, AppendingHandler):
        _setup.own.becomes(identity, path)


def became(app_dir: str) -> None:
    """This process is who it was to be: apply the logging configuration, with `app_dir` as it is called now. Raises
    ServerError."""
    if _setup.config is not None:
        _setup.config = replace(_setup.config, app_dir=app_dir)
        _apply(_setup.config, threads_allowed=False)


def last_words(what: str) -> None:
    """Say with the current exception's traceback that this process ends by it: in the log, and on stderr.

    It takes no lock and asks no handler of the user's: a thread that holds one may be the one that has failed.
    """
    record = log.makeRecord(log.name, logging.CRITICAL, "", 0, what, (), sys.exc_info())
    _setup.own.emit(record)
    if _setup.own is not _setup.stderr:
        _setup.stderr.emit(record)
