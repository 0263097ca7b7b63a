"""The module of --hooks in a process that calls some of them: import, look, call.

It owns the import, and the promise that a hook that raises is logged and does no other harm, whatever it raises.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any

from swhttp.hooks import ARGUMENTS
from swhttp.logs import worker_log
from swhttp.options import meant
from swhttp.worker import application

PREFIX = "on_"


class HookModule:
    """The hooks of `module`."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._hooks: dict[str, Callable[[Any], Any]] = {
            name: hook for name in ARGUMENTS if callable(hook := getattr(module, name, None))}

    @classmethod
    def load(cls, hooks: str | ModuleType, app_dir: str) -> HookModule:
        """`hooks`: the module's name, or the module. Raises AppMissing, and whatever the import raises."""
        application.look_in(app_dir)
        return cls(application.module_of(hooks) if isinstance(hooks, str) else hooks)

    def mistakes(self) -> list[str]:
        """What in the module looks like a hook and is none: a text for each."""
        module = self._module
        found = []
        for name, value in sorted(vars(module).items()):
            if not name.startswith(PREFIX) or name in self._hooks:
                continue
            if name in ARGUMENTS:
                found.append(f"{module.__name__}.{name} is never called: it cannot be")
            elif inspect.isfunction(value) and value.__module__ == module.__name__:  # else it is somebody else's
                found.append(f"{module.__name__}.{name} is never called: there is no such hook{meant(name, ARGUMENTS)}")
        return found

    def __contains__(self, name: str) -> bool:
        return name in self._hooks

    def call(self, name: str, argument: Any) -> None:
        """Call the hook `name`, if there is one, where no event loop runs."""
        awaitable = self._called(name, argument)
        if awaitable is not None:
            asyncio.run(self._awaited(name, awaitable))

    async def call_in_loop(self, name: str, argument: Any) -> None:
        """The same where one does."""
        awaitable = self._called(name, argument)
        if awaitable is not None:
            await self._awaited(name, awaitable)

    def _called(self, name: str, argument: Any) -> Awaitable[Any] | None:
        hook = self._hooks.get(name)
        if hook is None:
            return None
        try:
            result = hook(argument)
        except BaseException as error:
            self._failed(name, error)
            return None
        return result if inspect.isawaitable(result) else None

    async def _awaited(self, name: str, awaitable: Awaitable[Any]) -> None:
        try:
            await awaitable
        except BaseException as error:
            self._failed(name, error)

    def _failed(self, name: str, error: BaseException) -> None:
        try:
            application.log_failure(error, f"Hook {name} failed")
        except Exception:  # handlers are the user's
            worker_log.error("Hook %s failed: %s", name, type(error).__name__)
