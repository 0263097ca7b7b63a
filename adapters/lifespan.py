"""The ASGI lifespan protocol: startup before the first request, shutdown after the last.

It owns the task in which the app runs for its whole life, and the state that requests get copies of. Modes:

    auto   an exception before the app's first receive() means that it has no lifespan; later ones are failures
    on     every exception is a failure
    off    the app is not asked
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from swhttp import limits

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

logger = logging.getLogger("swhttp.worker")


class LifespanFailed(Exception):
    """The app could not start. The cause is its exception; or the text is its message."""


class Lifespan:
    """One app's lifespan. `mode`: auto, on or off. `state` is what the app put there at startup."""

    def __init__(self, app: App, mode: str = "auto") -> None:
        self._app = app
        self._mode = mode
        self.state: dict[str, Any] = {}
        self._task: asyncio.Task[None] | None = None
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._asked = False
        self._answer: asyncio.Future[Message] | None = None

    @property
    def task(self) -> asyncio.Task[None] | None:
        """In which the app runs its lifespan, while it does."""
        return self._task

    async def startup(self) -> None:
        """Wait until the app has started, or does not want to be asked. Raises LifespanFailed."""
        if self._mode == "off":
            return
        self._task = asyncio.create_task(self._run())
        message = await self._tell("lifespan.startup")
        if message is None:
            error = self._failure()
            self._task = None
            if error is not None and (self._asked or self._mode == "on"):
                raise LifespanFailed("the application's lifespan failed in startup") from error
            self.state.clear()
        elif message["type"] == "lifespan.startup.failed":
            await self._end()
            text = message.get("message") or "the application said that its startup failed"
            raise LifespanFailed(f"lifespan startup failed: {text}")

    async def shutdown(self) -> None:
        """Let the app shut down. What goes wrong is logged: the worker leaves in any case."""
        if self._task is None:
            return
        if not self._task.done():
            message = await self._tell("lifespan.shutdown")
            if message is not None and message["type"] == "lifespan.shutdown.failed":
                logger.error("lifespan shutdown failed: %s", message.get("message", ""))
        if (error := await self._end()) is not None:
            logger.error("exception in the application's lifespan", exc_info=error)

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        await self._app(scope, self._receive, self._send)

    async def _tell(self, kind: str) -> Message | None:
        """Send a message and wait for the answer; None when the app ends without one."""
        assert self._task is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._messages.put_nowait({"type": kind})
        waiting: list[asyncio.Future[Any]] = [self._task, self._answer]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        return self._answer.result() if self._answer.done() else None

    async def _end(self) -> BaseException | None:
        """Let the app end after its last answer, and end it when it does something else instead; its exception."""
        assert self._task is not None
        await asyncio.wait([self._task], timeout=limits.LIFESPAN_END_S)
        if self._task.done():
            return self._failure()
        logger.warning("the application's lifespan goes on %g s after its last message: cancelled",
                       limits.LIFESPAN_END_S)
        self._task.cancel()
        return None

    def _failure(self) -> BaseException | None:
        """With what the app has ended; CancelledError too, which an app can raise like any other."""
        assert self._task is not None
        try:
            self._task.result()
        except BaseException as error:
            return error
        return None

    async def _receive(self) -> Message:
        self._asked = True
        return await self._messages.get()

    async def _send(self, message: Message) -> None:
        kinds = ("lifespan.startup.complete", "lifespan.startup.failed",
                 "lifespan.shutdown.complete", "lifespan.shutdown.failed")
        if message["type"] not in kinds or self._answer is None or self._answer.done():
            raise RuntimeError(f"unexpected ASGI message {message['type']!r}")
        self._answer.set_result(message)
