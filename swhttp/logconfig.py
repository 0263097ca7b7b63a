"""A logging configuration of the user's (`--log-config`): read once, applied in every process.

It owns the reading and what the configuration says of the server's own log. Whatever is wrong with it, or with a
handler that it names, is a ServerError (ExitCode.CONFIG) with one message.

A file `.json`, `.toml` or `.yaml` (`.yml`) holds the dictionary of `logging.config.dictConfig`, any other the INI form
of `logging.config.fileConfig`. It is read in the master only: a worker that is forked a week later gets the same. It
is applied anew in each process, because a handler owns fds, and a child must not share its parent's; and never by root
for another user, who may be the owner of the classes that it names.

The log of the server stays where --error-log says, unless the configuration gives the logger `swhttp` handlers, or
says that it propagates to the root logger. A level that it gives `swhttp` goes before --log-level.
"""

from __future__ import annotations

import configparser
import contextlib
import json
import logging.config
import os
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final

from swhttp.errors import ExitCode, ServerError

LOGGER: Final = "swhttp"
INI_SECTIONS: Final = ("loggers", "handlers", "formatters")


@dataclass(frozen=True)
class LogConfig:
    """What was read. `name`: what it is called in messages; `form`: the dictionary, or the INI form."""

    name: str
    form: Mapping[str, Any] | configparser.RawConfigParser
    takes_server_log: bool
    """The server's log goes where the configuration says, not where --error-log says."""
    propagates: bool
    """So do the handlers of the root logger get it."""
    sets_level: bool
    """It has a level for the server's log."""
    app_dir: str

    def apply(self, threads_allowed: bool) -> None:
        """Apply it in this process.

        `threads_allowed`: a process that still forks must not get a thread, for a child of it may find any lock
        held for ever. Raises ServerError.
        """
        threads = _threads()
        try:
            with _first_on_path(self.app_dir):
                if isinstance(self.form, configparser.RawConfigParser):
                    logging.config.fileConfig(self.form, disable_existing_loggers=False)
                else:
                    logging.config.dictConfig(dict(self.form))
        except Exception as error:
            raise _bad(self.name, _reason(error)) from None
        if not threads_allowed and _threads() > threads:
            raise _bad(self.name, "one of its handlers starts a thread. It is applied in processes that fork, where "
                                  "no thread may run: start it in the application")


def read(source: str | Mapping[str, Any], app_dir: str) -> LogConfig:
    """Read `source`, a file's name or the dictionary itself. `app_dir`: where its classes are looked for first."""
    name = source if isinstance(source, str) else "that is given as a dictionary"
    form = _read_file(source) if isinstance(source, str) else source
    entry: Mapping[str, Any]
    if isinstance(form, configparser.RawConfigParser):
        missing = [section for section in INI_SECTIONS if not form.has_section(section)]
        if missing:
            raise _bad(name, f"there is no section [{missing[0]}]")
        entry = _ini_entry(form)
    else:
        entry = _entry(_entry(form, "loggers"), LOGGER)
    propagates = bool(entry.get("propagate"))
    return LogConfig(
        name, form, takes_server_log=bool(entry.get("handlers")) or propagates, propagates=propagates,
        sets_level=bool(entry.get("level")), app_dir=app_dir)


def _entry(form: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = form.get(name)
    return found if isinstance(found, Mapping) else {}


def _ini_entry(form: configparser.RawConfigParser) -> Mapping[str, Any]:
    """What an INI form says of LOGGER, as a dictionary would."""
    for key in form.get("loggers", "keys", fallback="").split(","):
        section = f"logger_{key.strip()}"
        if form.get(section, "qualname", fallback="") == LOGGER:
            return {
                "handlers": form.get(section, "handlers", fallback="").strip(),
                "level": form.get(section, "level", fallback=""),
                # In this form a logger propagates if nothing is said; here that must be said.
                "propagate": form.get(section, "propagate", fallback="0").strip() not in ("0", ""),
            }
    return {}


def _read_file(path: str) -> Mapping[str, Any] | configparser.RawConfigParser:
    readers: dict[str, Callable[[str], Any]] = {
        ".json": json.loads, ".toml": tomllib.loads, ".yaml": _yaml, ".yml": _yaml}
    reader = readers.get(PurePath(path).suffix.lower(), _ini)
    try:
        with open(path, encoding="utf-8") as file:
            form = reader(file.read())
    except OSError as error:
        raise _bad(path, error.strerror or str(error)) from None
    except Exception as error:
        raise _bad(path, _reason(error)) from None
    if not isinstance(form, (Mapping, configparser.RawConfigParser)):
        raise _bad(path, f"a dictionary is needed, not a {type(form).__name__}")
    return form


def _ini(text: str) -> configparser.RawConfigParser:
    form = configparser.ConfigParser()
    form.read_string(text)
    return form


def _yaml(text: str) -> Any:
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError:
        raise ValueError("PyYAML is needed to read it, and is not installed") from None
    return yaml.safe_load(text)


@contextlib.contextmanager
def _first_on_path(directory: str) -> Iterator[None]:
    """Only for a moment: what lies in the application's directory must not stand in for our own imports."""
    if not directory:
        yield
        return
    sys.path.insert(0, directory)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(directory)


def _threads() -> int:
    """Threads of this process, those that Python does not know of too."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:  # the root of a chroot has no /proc
        return threading.active_count()


def _reason(error: BaseException) -> str:
    """What went wrong and why: `logging.config` says in the cause which handler it was not and what was the matter."""
    texts = []
    seen: BaseException | None = error
    while seen is not None:
        text = str(seen)
        texts.append(text if isinstance(seen, (ValueError, OSError)) and text else f"{type(seen).__name__}: {text}")
        seen = seen.__cause__
    return ": ".join(texts)


def _bad(name: str, why: str) -> ServerError:
    return ServerError(f"Cannot use the logging configuration {name}: {why}", ExitCode.CONFIG)
