"""What runs here, in one line: for the log, and for the reports that people copy it into."""

from __future__ import annotations

import importlib.metadata
import platform

from swhttp import __version__
from swhttp.config import Config


def what_runs(config: Config, interface: str) -> str:
    """The server, what it is made of, the application and the processes. `interface`: asgi or wsgi, as found."""
    parts = ["httptools", "uvloop"] if interface == "asgi" else ["httptools"]
    versions = ", ".join(map(_version, parts))
    workers = _count(config.workers, "worker")
    if interface == "wsgi":
        workers += f" with {_count(config.threads, 'thread')}" + (" each" if config.workers > 1 else "")
    return (f"swhttp {__version__} on {platform.python_implementation()} {platform.python_version()} with {versions}: "
            f"{config.app}, {interface}, {workers}, {_count(config.reactors, 'reactor')}")


def _version(part: str) -> str:
    try:
        return f"{part} {importlib.metadata.version(part)}"
    except importlib.metadata.PackageNotFoundError:  # in a bundle that has the modules only
        return part


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
