"""Finds the application, and says whether it is ASGI or WSGI.

It owns the import and the inspection. It never calls the application (only a factory), and never serves.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from types import ModuleType, TracebackType
from typing import Any

from swhttp.logs import worker_log
from swhttp.options import meant

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
USUAL_NAMES = ("application", "app")
"""What an application is called, in this order, when only its module is named."""
_MACHINERY = (_OURS, "<frozen importlib", os.path.dirname(importlib.__file__) + os.sep,
              os.path.join(os.path.dirname(os.__file__), "asyncio") + os.sep)


class BootFailure(Exception):
    """The application cannot be served: one readable message."""


class AppMissing(BootFailure):
    """There is no such module, or nothing of that name in it."""


def load(app: Any, *, factory: bool, app_dir: str | None) -> Any:
    """The application that `app` names (or is).

    app: `module` (its `application` or `app`), `module:attr`, `module:attr.attr`, or an object; factory: call it to
    get the application; app_dir: where modules are looked for first, None for the current directory. Raises
    BootFailure, and whatever the import raises.
    """
    look_in(app_dir)
    found = find(app) if isinstance(app, str) else app
    if factory:
        if not callable(found):
            raise BootFailure(f"{app!r} is no factory: it cannot be called")
        found = found()
    if not callable(found):
        raise BootFailure(f"{app!r} is no application: {type(found).__name__} objects cannot be called")
    return found


def look_in(app_dir: str | None) -> None:
    """Have modules looked for there first; None: in the current directory."""
    directory = os.path.abspath(app_dir or os.getcwd())
    if directory not in sys.path:
        sys.path.insert(0, directory)


def module_of(name: str) -> ModuleType:
    """The module in `module` or `module:attribute`. Raises AppMissing, and whatever its import raises."""
    module_name = name.partition(":")[0]
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise AppMissing(f"there is no module {error.name!r} (looked for {name!r}{_unseen()})") from None
        raise


def _unseen() -> str:
    """A hint: the import system passes over a directory that it may not look into, and says nothing."""
    directory = sys.path[0] if sys.path else ""
    return "" if os.access(directory or os.curdir, os.R_OK | os.X_OK) else f"; {directory!r} cannot be read"


def find(name: str) -> Any:
    """What `name` stands for: `module` (its `application` or `app`), `module:attr`, `module:attr.attr`. Raises as
    `module_of`."""
    module = module_of(name)
    module_name, _, path = name.partition(":")
    if not path:
        for usual in USUAL_NAMES:
            if hasattr(module, usual):
                return getattr(module, usual)
        raise AppMissing(f"module {module_name!r} has neither {' nor '.join(map(repr, USUAL_NAMES))}: "
                         f"write {module_name}:attribute")
    found: Any = module
    for attribute in path.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            raise AppMissing(f"module {module_name!r} has no {path!r}{_like(path, found)}") from None
    return found


def _like(path: str, found: Any) -> str:
    """A hint, when the name is nearly right."""
    return meant(path.rpartition(".")[2], (name for name in dir(found) if not name.startswith("_")))


def check(app: Callable[..., Any], interface: str) -> None:
    """Raise BootFailure if `app` cannot be called as `interface` has it: every request would fail."""
    count = 3 if interface == "asgi" else 2
    try:
        signature = inspect.signature(app)
    except (TypeError, ValueError):
        return
    if isinstance(app, type) or _takes(signature, count):
        return
    hint = ": say --factory, if it makes the application" if _takes(signature, 0) else ""
    raise BootFailure(f"it cannot be called with {count} arguments, as {interface.upper()} has it{hint}")


def interface_of(app: Callable[..., Any]) -> str:
    """ "asgi" or "wsgi", by looking at what a call would return, or else at what a call would take.

    ASGI is what returns an awaitable: a coroutine function, an object whose __call__ is one, a class whose instances
    can be awaited; partials and decorators (`__wrapped__`) are looked through. What is none of these and takes three
    arguments but not two is ASGI as well, for a WSGI application must take two.
    """
    if isinstance(app, type):
        return "asgi" if hasattr(app, "__await__") else "wsgi"
    if returns_coroutine(app):
        return "asgi"
    try:
        signature = inspect.signature(app)
    except (TypeError, ValueError):
        return "wsgi"
    return "asgi" if _takes(signature, 3) and not _takes(signature, 2) else "wsgi"


def returns_coroutine(app: Any) -> bool:
    """Whether a call gives something to be awaited, as far as can be known without one."""
    seen = 0
    while app is not None and seen < 100:  # a decorator may wrap itself
        if inspect.iscoroutinefunction(app):
            return True
        if isinstance(app, functools.partial):
            app = app.func
        elif inspect.isfunction(app) or inspect.ismethod(app) or inspect.isbuiltin(app):
            app = getattr(app, "__wrapped__", None)
        elif isinstance(app, type):
            return hasattr(app, "__await__")
        else:
            app = getattr(type(app), "__call__", None)  # noqa: B004 - the function, not whether there is one
            if not (inspect.isfunction(app) or inspect.iscoroutinefunction(app)):
                return False
        seen += 1
    return False


def takes(function: Callable[..., Any], count: int) -> bool:
    """Whether it can be called with so many arguments, as far as can be known."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return True
    return _takes(signature, count)


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def log_failure(error: BaseException, what: str = "Cannot serve the application") -> None:
    """Log why something of the user's does not work, with its own frames, none of ours or of the import system.

    what: that something; by default the application.
    """
    frames = _without_ours(error.__traceback__)
    worker_log.error(what, exc_info=(type(error), error, frames))


def failure_text(error: BaseException) -> str:
    """The traceback that `log_failure` logs."""
    return "".join(traceback.format_exception(type(error), error, _without_ours(error.__traceback__))).rstrip()


def _without_ours(frames: TracebackType | None) -> TracebackType | None:
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_MACHINERY):
        frames = frames.tb_next
    return frames
