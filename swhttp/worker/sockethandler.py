"""The handler of --ws-handler: what takes WebSockets in the callback API.

It owns its import and its inspection, so that what cannot work is said when the server starts. It never calls any.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from swhttp.logs import worker_log
from swhttp.options import meant
from swhttp.worker import application
from swhttp.worker.application import AppMissing, BootFailure

_ARGUMENTS: Final = {
    "on_open": ("session",),
    "on_message": ("session", "data"),
    "on_close": ("session", "code"),
}
_PREFIX: Final = "on_"


class SocketHandler:
    """What is called for WebSockets; None: nobody for that."""

    def __init__(self, found: Any, name: str, interface: str) -> None:
        """`found`: the module or object that `name` stands for. Raises BootFailure."""
        self._found = found
        self._name = name
        self._interface = interface
        self.on_open = self._one("on_open")
        self.on_message = self._one("on_message")
        self.on_close = self._one("on_close")
        if self.on_open is None and self.on_message is None:
            raise BootFailure(f"--ws-handler: {name} has neither on_open nor on_message{self._hint()}")

    @classmethod
    def load(cls, named: Any, app_dir: str | None, interface: str) -> SocketHandler:
        """`named`: `module`, `module:object`, or the object; a class is called for its instance. `interface`: the
        application's. Raises BootFailure, and whatever the import raises."""
        application.look_in(app_dir)
        found, name = named, str(getattr(named, "__name__", type(named).__name__))
        if isinstance(named, str):
            name = named
            try:
                found = application.find(named) if ":" in named else application.module_of(named)
            except AppMissing as error:
                raise AppMissing(f"--ws-handler: {error}") from None  # else it would read as if the app were meant
        if isinstance(found, type):
            found = found()
        return cls(found, name, interface)

    def report(self) -> None:
        """Log what looks like a handler and is none."""
        names = vars(self._found) if isinstance(self._found, ModuleType) else dir(self._found)
        for name in sorted(names):
            if not name.startswith(_PREFIX) or name in _ARGUMENTS:
                continue
            value = getattr(self._found, name, None)
            if callable(value) and (not isinstance(self._found, ModuleType)
                                    or getattr(value, "__module__", None) == self._found.__name__):
                worker_log.warning("--ws-handler: %s.%s is never called: there is no such handler%s",
                                   self._name, name, meant(name, _ARGUMENTS))

    def _one(self, name: str) -> Callable[..., Any] | None:
        handler = getattr(self._found, name, None)
        if handler is None:
            return None
        arguments = _ARGUMENTS[name]
        if not callable(handler):
            raise BootFailure(f"--ws-handler: {self._name}.{name} cannot be called")
        if not application.takes(handler, len(arguments)):
            raise BootFailure(f"--ws-handler: {self._name}.{name} cannot be called with {len(arguments)} arguments: "
                              f"{name}({', '.join(arguments)})")
        if self._interface == "wsgi" and application.returns_coroutine(handler):
            raise BootFailure(f"--ws-handler: {self._name}.{name} is a coroutine function, and the workers of a WSGI "
                              "application have no event loop: make it a plain function")
        result: Callable[..., Any] = handler
        return result

    def _hint(self) -> str:
        for name in dir(self._found):
            if name.startswith(_PREFIX) and (hint := meant(name, _ARGUMENTS)):
                return f", but {name}{hint}"
        return ""
