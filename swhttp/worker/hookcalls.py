"""The hooks of a worker: on_worker_start, on_worker_exit while it drains, on_worker_stop at its end.

It owns when each is called and where: in the main thread, on the event loop if there is one. A WSGI worker that drains
has no thread to spare, so on_worker_exit runs in one of its own, beside the requests that end. Each is called once;
on_worker_stop is called after on_worker_start whatever came between, unless the process is killed or ends at once.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from typing import Any

from swhttp.hookmodule import HookModule
from swhttp.hooks import Worker


class HookCalls:
    """Those of one worker. `module`: None: it has no hooks; `worker`: what they are told."""

    def __init__(self, module: HookModule | None, worker: Worker) -> None:
        self._module = module
        self._worker = worker
        self._exiting = False
        self._thread: threading.Thread | None = None
        self._task: asyncio.Task[Any] | None = None

    # For a worker without an event loop

    def start(self) -> None:
        """The app is imported."""
        self._call("on_worker_start")

    def exit(self) -> None:
        """The first reactor has let go of this worker."""
        if self._first("on_worker_exit"):
            self._thread = threading.Thread(target=self._unsignalled, name="swhttp-hook", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Nothing is left to do."""
        if self._thread is not None:
            self._thread.join()
        self._call("on_worker_stop")

    def _call(self, name: str) -> None:
        if self._module is not None:
            self._module.call(name, self._worker)

    def _unsignalled(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        self._call("on_worker_exit")

    # For one with an event loop

    async def start_in_loop(self) -> None:
        """The app is imported."""
        await self._call_in_loop("on_worker_start")

    def exit_in_loop(self) -> None:
        """The first reactor has let go of this worker."""
        if self._first("on_worker_exit"):
            self._task = asyncio.get_running_loop().create_task(self._call_in_loop("on_worker_exit"))

    async def exited_in_loop(self) -> None:
        """The last one has, and all is answered: wait for the hook that runs beside."""
        if self._task is not None:
            await self._task

    async def stop_in_loop(self) -> None:
        """Nothing is left to do."""
        await self._call_in_loop("on_worker_stop")

    async def _call_in_loop(self, name: str) -> None:
        if self._module is not None:
            await self._module.call_in_loop(name, self._worker)

    def _first(self, name: str) -> bool:
        is_first = not self._exiting and self._module is not None and name in self._module
        self._exiting = True
        return is_first
