"""swhttp: an application server for Python web apps on Linux."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from swhttp.sockets import abroadcast, apush, broadcast, close_session, join, leave, push

if TYPE_CHECKING:
    from swhttp.adapters.sessions import Session

__version__ = "0.1.0"

__all__ = ["Session", "abroadcast", "apush", "broadcast", "close_session", "join", "leave", "push", "run"]


def __getattr__(name: str) -> Any:
    # Of the processes that import this package only workers have sessions.
    if name == "Session":
        from swhttp.adapters.sessions import Session

        return Session
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def run(app: Any, **options: Any) -> NoReturn:
    """Serve `app` until the server is told to stop, as the command `swhttp` does, and end the process as it does.

    app: an import string (`module:attribute`), or a WSGI or ASGI application; options: those of the command, by the
    names that they have in a TOML file, with underscores (`keep_alive=10`); `hooks` may be the module itself, and
    `process` a dictionary of names and functions. They count as the command line. To be called in the main thread of a
    process without other threads, because workers are forked from it. Raises SystemExit.
    """
    # Imported here: the version is all that most who import this package want.
    from swhttp.launch import run as launch

    launch(app, options)
