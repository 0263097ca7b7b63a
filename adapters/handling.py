"""Calls the handlers of a session's event, in the event's order: in a thread, or on an event loop.

It owns the order of calls, and the promise that what a handler raises harms its own session alone. It knows no frames:
the event takes what came of each call (`swhttp.adapters.sessions`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Protocol

from swhttp.ipc.words import EVENT_WS_MESSAGE, EVENT_WS_OPEN

if TYPE_CHECKING:
    from swhttp.adapters.sessions import Event

_logger = logging.getLogger("swhttp.worker")


class Handler(Protocol):
    """What takes WebSockets. None: nobody is to be called for that."""

    on_open: Callable[..., Any] | None
    on_message: Callable[..., Any] | None
    on_close: Callable[..., Any] | None


def handle(event: Event, handler: Handler) -> None:
    """Call the handlers of an event, which are plain functions."""
    session = event.session
    what = "on_open"
    try:
        if event.kind == EVENT_WS_OPEN:
            event.opened(handler.on_open(session) if handler.on_open is not None else None)
        elif event.kind == EVENT_WS_MESSAGE:
            what = "on_message"
            while handler.on_message is not None and event.messages():
                handler.on_message(session, event.next())
                event.done()
        else:
            what = "on_close"
            if handler.on_close is not None:
                handler.on_close(session, event.code)
        if not event.over:
            event.end()
    except BaseException as error:
        event.failed(what, error)


async def handle_in_loop(event: Event, handler: Handler) -> None:
    """The same where they may be coroutine functions."""
    session = event.session
    what = "on_open"
    try:
        if event.kind == EVENT_WS_OPEN:
            answer = handler.on_open(session) if handler.on_open is not None else None
            event.opened(await answer if isawaitable(answer) else answer)
        elif event.kind == EVENT_WS_MESSAGE:
            what = "on_message"
            while handler.on_message is not None and event.messages():
                answer = handler.on_message(session, event.next())
                if answer is not None and isawaitable(answer):
                    await answer
                event.done()
                if event.is_crowded():
                    await event.room()
        else:
            what = "on_close"
            if handler.on_close is not None:
                answer = handler.on_close(session, event.code)
                if isawaitable(answer):
                    await answer
        if not event.over:
            event.end()
    except BaseException as error:
        event.failed(what, error)


def log(what: str, error: BaseException) -> None:
    """What a handler has raised, with its own frames."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    _logger.error("exception in %s of the WebSocket handler", what, exc_info=(type(error), error, frames))
