"""What the server is told to do: one immutable, validated value, and the one source of the command line's options.

Each field carries its option (flags, help, group), so that an option and what it means cannot drift apart. Nothing
here touches sockets, processes or the application.
"""

from __future__ import annotations

import dataclasses
import math
import os
import tempfile
from dataclasses import dataclass
from typing import Any, Final

from swhttp import binds, cpus, limits, logs
from swhttp.errors import ExitCode, ServerError

DISPATCH_MODES: Final = ("least", "round-robin", "fixed", "ip", "idle")
INTERFACES: Final = ("auto", "asgi", "wsgi")
WORKERS_PER_REACTOR: Final = 8
MOST: Final = {
    "limit_request_line": limits.MAX_HEAD_BYTES, "limit_request_fields": limits.MOST_FIELDS,
    "limit_request_field_size": limits.MAX_HEAD_BYTES, "limit_request_body": limits.MOST_BODY_BYTES,
    "inline_body_bytes": limits.MAX_INLINE_BODY_BYTES, "response_spool_max_bytes": limits.MOST_BODY_BYTES,
}
"""The highest value of each of these options."""
MAY_BE_ZERO: Final = frozenset({"limit_request_body", "inline_body_bytes", "response_spool_max_bytes"})


@dataclass(frozen=True)
class Option:
    """How a field of Config is given on the command line.

    `flags`: as click takes them; `group`: its heading in the help; `metavar`: what its value is called there;
    `choices`: the values it may have, if these are all; `repeatable`: may be given more than once;
    `default_text`: what the help calls a default that depends on the machine.
    """

    flags: tuple[str, ...]
    group: str
    help: str
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    repeatable: bool = False
    default_text: str | None = None


def _option(default: Any, *flags: str, **about: Any) -> Any:
    return dataclasses.field(default=default, metadata={"option": Option(flags, **about)})


@dataclass(frozen=True)
class Config:
    """The configuration of one server. Raises ServerError (ExitCode.USAGE) for a value that cannot work.

    `app`: `module:attribute` (the attribute may have dots), or `module:factory` with `factory`. A count of 0 workers
    or reactors is replaced by its default for this machine.
    """

    app: str
    bind: tuple[str, ...] = _option(
        ("127.0.0.1:8000",), "--bind", "-b", group="Listening", metavar="ADDRESS", repeatable=True,
        help="host:port, [address]:port, unix:path or fd://number; repeatable. Port 0: any that is free.")
    keep_alive_s: float = _option(
        5.0, "--keep-alive", group="Listening", metavar="SECONDS",
        help="How long a connection may be idle between two requests.")
    head_timeout_s: float = _option(
        limits.HEAD_TIMEOUT_S, "--head-timeout", group="Listening", metavar="SECONDS",
        help="How long a request's head may take to arrive, in all.")
    body_timeout_s: float = _option(
        limits.BODY_TIMEOUT_S, "--body-timeout", group="Listening", metavar="SECONDS",
        help=f"How long a request's body may come at less than {limits.MIN_RATE_BYTES_S} bytes a second.")
    write_timeout_s: float = _option(
        limits.WRITE_TIMEOUT_S, "--write-timeout", group="Listening", metavar="SECONDS",
        help=f"How long a client may take what it is sent at less than {limits.MIN_RATE_BYTES_S} bytes a second.")
    limit_request_line: int = _option(
        limits.MAX_REQUEST_LINE_BYTES, "--limit-request-line", group="Limits", metavar="BYTES",
        help="Longest request line; past it 414.")
    limit_request_fields: int = _option(
        limits.MAX_FIELDS, "--limit-request-fields", group="Limits", metavar="N",
        help="Most header fields of a request; past it 431.")
    limit_request_field_size: int = _option(
        limits.MAX_FIELD_BYTES, "--limit-request-field-size", group="Limits", metavar="BYTES",
        help="Longest header field line; past it 431.")
    limit_request_body: int = _option(
        limits.MAX_BODY_BYTES, "--limit-request-body", group="Limits", metavar="BYTES",
        help="Largest request body; past it 413. 0: no limit.")
    inline_body_bytes: int = _option(
        limits.INLINE_BODY_BYTES, "--inline-body", group="Limits", metavar="BYTES",
        help="A body up to this is received whole before an ASGI app is called; a larger one is streamed to it.")
    response_spool_max_bytes: int = _option(
        limits.RESPONSE_SPOOL_MAX_BYTES, "--response-spool-max", group="Limits", metavar="BYTES",
        help="How much of a WSGI response may wait in a file for a slow client, before the thread waits too.")
    tmp_dir: str = _option(
        "", "--tmp-dir", group="Processes", metavar="DIR", default_text="TMPDIR or /tmp",
        help="Where large bodies and what slow clients make wait is kept, in files without a name.")
    workers: int = _option(
        0, "--workers", "-w", group="Processes", metavar="N", default_text="usable CPUs",
        help="Worker processes, each with an application of its own.")
    threads: int = _option(
        1, "--threads", group="Processes", metavar="N", help="Threads of a worker that serves WSGI.")
    reactors: int = _option(
        0, "--reactors", group="Processes", metavar="N", default_text=f"one for {WORKERS_PER_REACTOR} workers",
        help="Threads of the master that own the connections.")
    dispatch: str = _option(
        "least", "--dispatch", group="Processes", choices=DISPATCH_MODES,
        help="Which worker gets a request: the least loaded, each in turn, one by connection, one by the client's "
             "address, or only an idle one.")
    graceful_timeout_s: float = _option(
        30.0, "--graceful-timeout", group="Processes", metavar="SECONDS",
        help="How long requests in flight may take to end when the server stops.")
    interface: str = _option(
        "auto", "--interface", group="Application", choices=INTERFACES, help="What APP is; auto finds out.")
    factory: bool = _option(
        False, "--factory", group="Application",
        help="APP is a function without arguments that returns the application.")
    app_dir: str = _option(
        "", "--app-dir", group="Application", metavar="DIR", default_text="the current directory",
        help="Where APP is looked for, before the rest of sys.path.")
    log_level: str = _option(
        "info", "--log-level", group="Logging", choices=logs.LEVELS, help="What the server's own log shows.")
    error_log: str = _option(
        logs.STDERR, "--error-log", group="Logging", metavar="PATH",
        help="File for the server's own log; -: stderr.")
    log_format: str = _option(
        "text", "--log-format", group="Logging", choices=logs.FORMATS, help="What a line of the server's own log is.")
    log_config: str = _option(
        "", "--log-config", group="Logging", metavar="FILE", default_text="none",
        help="Logging configuration for the master and every worker: a dictionary (.json, .toml, .yaml), or INI.")

    def __post_init__(self) -> None:
        _check_app(self.app)
        if not self.bind:
            raise _bad("--bind", "at least one address is needed")
        for text in self.bind:
            try:
                binds.parse(text)
            except ValueError as error:
                raise _bad("--bind", str(error)) from None
            if self.bind.count(text) > 1 and not text.endswith(":0"):
                raise _bad("--bind", f"{text!r} is given more than once")
        self._fill("app_dir", os.path.abspath(self.app_dir or os.curdir))
        if not os.path.isdir(self.app_dir):
            raise _bad("--app-dir", f"{self.app_dir!r} is not a directory")
        self._fill("tmp_dir", os.path.abspath(self.tmp_dir or tempfile.gettempdir()))
        try:
            with tempfile.TemporaryFile(dir=self.tmp_dir):
                pass
        except OSError as error:
            raise _bad("--tmp-dir", f"no file can be made in {self.tmp_dir!r}: {error.strerror}") from None
        if self.workers == 0:
            self._fill("workers", min(cpus.usable(), limits.MAX_WORKERS))
        _check_count("--workers", self.workers, limits.MAX_WORKERS)
        if self.reactors == 0:
            self._fill("reactors", min(math.ceil(self.workers / WORKERS_PER_REACTOR), limits.MAX_REACTORS))
        _check_count("--reactors", self.reactors, limits.MAX_REACTORS)
        _check_count("--threads", self.threads, limits.MAX_THREADS)
        for name, most in MOST.items():
            least = 0 if name in MAY_BE_ZERO else 1
            _check_count(OPTIONS[name].flags[0], getattr(self, name), most, least)
        for name in ("keep_alive_s", "head_timeout_s", "body_timeout_s", "write_timeout_s"):
            _check_seconds(OPTIONS[name].flags[0], getattr(self, name))
        _check_seconds("--graceful-timeout", self.graceful_timeout_s)
        for name in ("dispatch", "interface", "log_level", "log_format"):
            option = OPTIONS[name]
            value = getattr(self, name)
            if value not in option.choices:
                raise _bad(option.flags[0], f"{value!r} is none of {', '.join(option.choices)}")

        if not self.error_log:
            raise _bad("--error-log", "a path is needed, or - for stderr")
        if self.error_log != logs.STDERR:
            self._fill("error_log", os.path.abspath(self.error_log))
        given: object = self.log_config  # a program that embeds us may give a dictionary
        if isinstance(given, str):
            self._fill("log_config", given and os.path.abspath(given))
        elif not isinstance(given, dict):
            raise _bad("--log-config", f"a file or a dictionary is needed, not {given!r}")

    def _fill(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @property
    def log_settings(self) -> logs.LogSettings:
        """What the server's own log is like."""
        return logs.LogSettings(
            level=self.log_level, path=self.error_log, form=self.log_format, config=self.log_config,
            app_dir=self.app_dir)

    @property
    def slots(self) -> int:
        """Places for worker processes: a replacement boots beside its predecessor."""
        return 2 * self.workers


OPTIONS: Final[dict[str, Option]] = {
    field.name: field.metadata["option"] for field in dataclasses.fields(Config) if "option" in field.metadata}


def _check_app(app: str) -> None:
    module, _, attribute = app.partition(":")
    for name in (module, attribute):
        if not all(part.isidentifier() for part in name.split(".")):
            raise _bad("APP", f"{app!r} is not of the form module:attribute, as in myapp:app")


def _check_count(flag: str, count: int, most: int, least: int = 1) -> None:
    if not least <= count <= most:
        raise _bad(flag, f"a number from {least} to {most} is needed, not {count}")


def _check_seconds(flag: str, seconds: float) -> None:
    if not 0 < seconds <= limits.MAX_WAIT_S:  # nan is refused too
        raise _bad(flag, f"seconds, more than 0 and at most {limits.MAX_WAIT_S:g}, are needed, not {seconds:g}")


def _bad(what: str, why: str) -> ServerError:
    return ServerError(f"{what}: {why}", ExitCode.USAGE)
