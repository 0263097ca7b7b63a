"""A worker's answer to the manager's question what it is doing (swhttp.stacks).

It owns what is registered for the signal, and how a task's stack is told. It never calls anything of the application's:
not even a `repr`, or an attribute of an object that is not of one of Python's own types, for tasks and awaitables may
be of its making.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import sys
import types
from collections.abc import Collection
from typing import Any

from swhttp import limits
from swhttp.stacks import MARK, SIGNAL

_file: os.stat_result | None = None


def register(fd: int) -> None:
    """From now on SIGNAL has the stacks of all threads written to `fd`, by C code that needs no GIL.

    It is ignored again if an application takes faulthandler's registration back: what it does by default is to end the
    process. So nobody may send it before this.
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
    lines = [] if first is None else ["Task of this request (most recent call first):", *stack(coroutine_of(first))]
    others = [task for task in tasks if task is not first]
    for task in others[:limits.MAX_TASKS_SHOWN]:
        name = asyncio.Task.get_name(task) if issubclass(type(task), asyncio.Task) else _name_of(type(task))
        lines += ["", f"Task {name[:80]!r} (most recent call first):", *stack(coroutine_of(task))]
    if len(others) > limits.MAX_TASKS_SHOWN:
        lines += ["", f"... and {len(others) - limits.MAX_TASKS_SHOWN} other tasks"]
    return "\n".join(lines) if lines else "No tasks of the application"


def stack(awaitable: Any) -> list[str]:
    """Where a suspended coroutine is, down to what it waits for, in faulthandler's form.

    asyncio's own `Task.print_stack` shows the outermost frame only.
    """
    from swhttp.worker.runner import Runner  # only where there are tasks

    if type(awaitable) is Runner:
        awaitable = awaitable.coroutine
    kinds = _kinds()
    frames: list[str] = []
    while awaitable is not None and len(frames) < limits.MAX_TASK_FRAMES:
        names = next((names for kind, names in kinds if kind is type(awaitable)), None)
        frame = getattr(awaitable, names[0]) if names is not None else None
        if names is None or frame is None:
            frames.append(f"  waits for {_name_of(type(awaitable))}")
            break
        code = frame.f_code
        frames.append(f'  File "{code.co_filename}", line {frame.f_lineno} in {code.co_qualname}')
        awaitable = getattr(awaitable, names[1])
    frames.reverse()
    return frames


def coroutine_of(task: asyncio.Task[Any]) -> Any:
    """What a task runs; None if it is none of asyncio's."""
    return asyncio.Task.get_coro(task) if issubclass(type(task), asyncio.Task) else None


def _kinds() -> list[tuple[type, tuple[str, str]]]:
    """The types of coroutines, Python's and Cython's, and what is called there their frame and what they wait for."""
    coroutine, generator = ("cr_frame", "cr_await"), ("gi_frame", "gi_yieldfrom")
    found: list[tuple[type, tuple[str, str]]] = [
        (types.CoroutineType, coroutine), (types.GeneratorType, generator),
        (types.AsyncGeneratorType, ("ag_frame", "ag_await"))]
    for module in [module for name, module in list(sys.modules.items()) if name.startswith("_cython_")]:
        for name, names in (("coroutine", coroutine), ("iterable_coroutine", coroutine), ("generator", generator)):
            if (kind := vars(module).get(name)) is not None:
                found.append((kind, names))
    return found


def _name_of(kind: type) -> str:
    """Of any class, whatever its metaclass makes of such questions."""
    module, name = (type.__dict__[part].__get__(kind) for part in ("__module__", "__qualname__"))
    return f"{module}.{name}" if type(module) is str and type(name) is str else "?"
