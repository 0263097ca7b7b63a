"""A worker's answer to the manager's question what it is doing (swhttp.stacks).

It owns what is registered for the signal, and how a task's stack is told. It never calls anything of the application's:
not even a `repr`.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
from collections.abc import Collection
from typing import Any

from swhttp import limits
from swhttp.stacks import MARK, SIGNAL

_file: os.stat_result | None = None


def register(fd: int) -> None:
    """From now on SIGNAL has the stacks of all threads written to `fd`, by C code that needs no GIL.

    The signal is ignored otherwise, before, and again if an application takes faulthandler's registration back: what it
    does by default is to end the process.
    """
    global _file
    _file = os.fstat(fd)
    signal.signal(SIGNAL, signal.SIG_IGN)
    faulthandler.register(SIGNAL, file=fd, all_threads=True, chain=False)


def write_tasks(fd: int, token: int, text: str) -> None:
    """Answer a question: with one write, so that it is there whole or not at all. The application may have closed `fd`
    and have something else there now: then nothing is written."""
    try:
        if _file is not None and os.path.samestat(os.fstat(fd), _file):
            os.write(fd, f"{MARK}{token}\n{text}{MARK}".encode("ascii", "backslashreplace"))
    except OSError:
        return


def describe(tasks: Collection[asyncio.Task[Any]], first: asyncio.Task[Any] | None) -> str:
    """The stacks of tasks, that of `first` before all others."""
    lines = [] if first is None else ["Task of this request (most recent call first):", *stack(first.get_coro())]
    others = [task for task in tasks if task is not first]
    for task in others[:limits.MAX_TASKS_SHOWN]:
        lines += ["", f"Task {task.get_name()[:80]!r} (most recent call first):", *stack(task.get_coro())]
    if len(others) > limits.MAX_TASKS_SHOWN:
        lines += ["", f"... and {len(others) - limits.MAX_TASKS_SHOWN} other tasks"]
    return "\n".join(lines) if lines else "No tasks of the application"


def stack(awaitable: Any) -> list[str]:
    """Where a suspended coroutine is, down to what it waits for, in faulthandler's form.

    asyncio's own `Task.print_stack` shows the outermost frame only.
    """
    frames: list[str] = []
    while awaitable is not None and len(frames) < limits.MAX_TASK_FRAMES:
        frame = _any_of(awaitable, "cr_frame", "gi_frame", "ag_frame")
        if frame is None:
            frames.append(f"  waits for {type(awaitable).__module__}.{type(awaitable).__qualname__}")
            break
        code = frame.f_code
        frames.append(f'  File "{code.co_filename}", line {frame.f_lineno} in {code.co_qualname}')
        awaitable = _any_of(awaitable, "cr_await", "gi_yieldfrom", "ag_await")
    frames.reverse()
    return frames


def _any_of(thing: Any, *names: str) -> Any:
    for name in names:
        if (found := getattr(thing, name, None)) is not None:
            return found
    return None
