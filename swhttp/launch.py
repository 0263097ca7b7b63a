"""From what was given to a server that has ended, or to one readable message: what the command and `swhttp.run` share.

Every failure of ours becomes a message on stderr and an exit code here, never a traceback. It knows nothing of how
the master works.
"""

from __future__ import annotations

import dataclasses
import errno
import functools
import io
import os
import stat
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NoReturn, TextIO

from swhttp import accessfile, daemon, logs, privileges
from swhttp.binds import NO_SOCKET, FdBind, parse
from swhttp.config import OPTIONS, WAYS_TO_LISTEN, Config
from swhttp.errors import ExitCode, ServerError
from swhttp.logforms import one_line
from swhttp.sources import Layer, Loaded, keywords, load
from swhttp.startedby import StartedBy

if TYPE_CHECKING:
    from swhttp.takeover import Predecessor

NONE: Final = "none"
"""What is shown of an option without a value."""
_MADE_A_BIND: Final = frozenset(name for way in WAYS_TO_LISTEN for name in way)
"""Options whose defaults do not say what is in force."""


def prepare() -> None:
    """Before anything else: see to the standard streams, and end the process where it cannot work."""
    _open_standard_streams()
    if not sys.platform.startswith("linux"):
        fail("swhttp runs on Linux only: it needs memfd, eventfd, epoll and pidfd", ExitCode.PLATFORM)


def fail(message: str, exit_code: int) -> NoReturn:
    """Say why there is no server, and end the process."""
    _print(f"Error: {one_line(message)}", sys.stderr, 2)
    sys.exit(exit_code)


def complain(text: str) -> None:
    """Print to stderr, if that takes anything."""
    _print(text, sys.stderr, 2)


def _print(text: str, stream: TextIO, fd: int) -> str:
    """Print to a standard stream; returns why that is impossible, "" if it is not. `fd`: the stream's."""
    try:
        print(text, file=stream, flush=True)
    except OSError as error:
        # For what is still buffered: its loss would take the place of the exit status.
        os.dup2(os.open(os.devnull, os.O_WRONLY), fd)
        return error.strerror or str(error)
    return ""


def _open_standard_streams() -> None:
    """Give the standard fds that are closed something to lead to. The next file or socket would have their numbers, and
    get what is printed."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 - for the life of the process
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # paths may be no text in the terminal's encoding


def show(text: str) -> None:
    """Print what was asked for. Ends the process when stdout takes nothing."""
    if why := _print(text, sys.stdout, 1):
        fail(f"stdout takes nothing: {why}", ExitCode.FILE)


def serve(
    what_was_given: Callable[[], Layer], started_by: StartedBy, predecessor: Predecessor | None = None
) -> NoReturn:
    """Serve until the server is told to stop; ends the process.

    `what_was_given`: the layer above all others; it may raise ServerError. `predecessor`: a server whose place is to be
    taken.
    """
    try:
        sys.exit(_serve(what_was_given, started_by, predecessor))
    except KeyboardInterrupt:  # while it was starting; later the master has a handler
        sys.exit(ExitCode.OK)


def _serve(what_was_given: Callable[[], Layer], started_by: StartedBy, predecessor: Predecessor | None) -> int:
    try:
        loaded = load(what_was_given())
        if predecessor is not None:
            loaded = dataclasses.replace(loaded, notes=(*loaded.notes, *predecessor.suit(loaded.config)))
        if loaded.config.check_config:
            check_files(loaded.config)
    except ServerError as error:
        fail(str(error), error.exit_code)
    except Exception:
        logs.last_words("Internal error")
        return ExitCode.INTERNAL
    if loaded.config.check_config:
        for note in loaded.notes:
            _print(f"Warning: {one_line(note)}", sys.stderr, 2)
        show(in_force(loaded))
        return ExitCode.OK
    from swhttp import hygiene  # which another system may not even be able to import

    is_object = not isinstance(loaded.config.app, str)
    binds = [parse(text) for text in loaded.config.bind]
    inherited = [bind.fd for bind in binds if isinstance(bind, FdBind)]
    if predecessor is not None:
        inherited += predecessor.fds
    if is_object:  # before we open anything ourselves
        hygiene.keep_what_is_open(inherited)
    if loaded.config.daemon:
        hygiene.close_all_but(inherited)  # a lock, say, of the script that starts us, and does not mean to lend it
        try:
            daemon.start()
        except ServerError as error:
            daemon.reports(error.exit_code)
            fail(str(error), error.exit_code)
    status = _run(loaded, is_object, started_by, predecessor)
    daemon.reports(status or daemon.STOPPED)  # what has listened has said so before
    return status


def _run(loaded: Loaded, is_object: bool, started_by: StartedBy, predecessor: Predecessor | None) -> int:
    try:
        if loaded.config.umask:
            os.umask(int(loaded.config.umask, 8))
        logs.configure(loaded.config.log_settings)
        for note in loaded.notes:
            logs.log.warning("%s", note)
        if loaded.config.daemon and loaded.config.error_log == logs.STDERR and not loaded.config.log_config:
            logs.log.warning("The log is on stderr, which leads nowhere once the server is in the background: "
                             "--error-log FILE keeps it")
        if is_object:
            preload = "; --preload changes nothing" if loaded.config.preload else ""
            logs.log.info("The app is an object: workers are forked with it, and none can import it afresh%s", preload)
        # Imported here so that a bad option, --help and --version do not wait for the compiled modules.
        from swhttp.master import Master

        return Master(loaded.config, started_by, predecessor).run()
    except ServerError as error:
        logs.log.error("%s", error)
        return error.exit_code
    except Exception:
        logs.last_words("Internal error")
        daemon.reports(ExitCode.INTERNAL)
        os._exit(ExitCode.INTERNAL)  # threads may still run; the kernel ends them, and the manager with us


def check_files(config: Config) -> None:
    """What the start would find wrong with the files and the user of `config`, without making a file or becoming
    anybody. Raises ServerError."""
    if (identity := config.identity) is not None:
        privileges.check(identity)
    for what, path in (("error log", config.error_log), ("access log", config.access_log),
                       ("slow log", config.slow_log_file), ("pid file", config.pid),
                       ("control socket", config.control)):
        directory = os.path.dirname(path)
        is_log = what.endswith("log")
        if not path or accessfile.is_stream(path):
            continue
        if os.path.isdir(path) and is_log:
            why = os.strerror(errno.EISDIR)
        elif what == "control socket" and os.path.lexists(path) and not stat.S_ISSOCK(os.lstat(path).st_mode):
            why = NO_SOCKET
        elif not os.path.isdir(directory):
            why = os.strerror(errno.ENOTDIR if os.path.exists(directory) else errno.ENOENT)
        elif not os.access(path if os.path.exists(path) and is_log else directory, os.W_OK):
            why = os.strerror(errno.EACCES)
        else:
            continue
        verb = "make" if what == "control socket" else "write"
        raise ServerError(f"Cannot {verb} the {what} {path!r}: {why}", ExitCode.FILE)
    if config.pid:
        from swhttp.pidfile import PidFile

        PidFile(config.pid).check()
    if config.tls is not None:
        from swhttp.certificates import Certificates

        Certificates(config.tls)
    if config.log_config:
        from swhttp import logconfig

        logconfig.read(config.log_config, config.app_dir)


def in_force(loaded: Loaded) -> str:
    """One line for each option: its key, its value, where that comes from."""
    rows = [("app", shown(loaded.config.app), _source(loaded, "app"))]
    for name, option in OPTIONS.items():
        if name != "check_config":
            value = getattr(loaded.config, name)
            text = "***" if option.secret and value else shown(value)
            if text == NONE and name not in _MADE_A_BIND:
                text = option.default_text or NONE
            rows.append((option.key, text, _source(loaded, name)))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(f"{key:{widths[0]}}  {value:{widths[1]}}  {source}" for key, value, source in rows)


def _source(loaded: Loaded, name: str) -> str:
    if name in loaded.given:
        return loaded.given[name].source
    if name == "bind":  # composed of another way to say it
        said = [other for way in WAYS_TO_LISTEN for other in way if other in loaded.given]
        if said:
            return f"{loaded.given[said[0]].source} ({', '.join(OPTIONS[other].key for other in said)})"
    return "default"


def shown(value: object) -> str:
    """A value, as people write it."""
    if value is None or value == () or value == "":
        return NONE
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def run(app: object, options: dict[str, object]) -> NoReturn:
    """`swhttp.run`, which see."""
    prepare()
    if threading.current_thread() is not threading.main_thread():
        fail("run(): to be called in the main thread, which gets the signals", ExitCode.USAGE)
    if threading.active_count() > 1:
        others = ", ".join(thread.name for thread in threading.enumerate() if thread is not threading.main_thread())
        fail(f"run(): workers cannot be forked from a process with other threads: {others}", ExitCode.USAGE)
    serve(functools.partial(keywords, {"app": app, **options}), StartedBy())
