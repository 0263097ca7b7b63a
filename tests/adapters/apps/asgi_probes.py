"""ASGI probes: each path looks at one thing from inside an app and answers what it saw, as JSON."""

from __future__ import annotations

import asyncio
import collections.abc
import contextvars
import inspect
import json
import weakref
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import anyio

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="fresh")
KEPT: list[Any] = []
WEAK: weakref.WeakSet[Any] = weakref.WeakSet()
ENDED: list[str] = []
GONE: list[str] = []
OPEN = asyncio.Event()
WAITING: list[str] = []


def task() -> asyncio.Task[Any]:
    current = asyncio.current_task()
    assert current is not None
    return current


async def look(scope: Message, receive: Receive, send: Send) -> dict[str, Any]:
    """Everything about the Task of this request that an earlier request could have left there."""
    current = task()
    return {
        "is_task": isinstance(current, asyncio.Task),
        "listed": current in asyncio.all_tasks(),
        "kept_before": any(current is kept for kept in KEPT),
        "weak_before": current in WEAK,
        "name": current.get_name(),
        "mark": getattr(current, "mark", None),
        "cancelling": current.cancelling(),
        "variable": VARIABLE.get(),
        "ended": list(ENDED),
        "coroutine": current.get_coro().__name__,
        "frames": [frame.f_code.co_name for frame in current.get_stack()],
        "state": inspect.getcoroutinestate(current.get_coro()),
    }


async def notice(scope: Message, receive: Receive, send: Send) -> dict[str, Any]:
    """Do to the Task what the query says, within the first step."""
    current, how = task(), scope["query_string"].decode()
    if how == "keep":
        KEPT.append(current)
    elif how == "weak":
        WEAK.add(current)
    elif how == "name":
        current.set_name("noticed")
    elif how == "mark":
        current.mark = "noticed"  # type: ignore[attr-defined]
    elif how == "callback":
        current.add_done_callback(lambda ended: ENDED.append("callback"))
    elif how == "cancel":
        current.cancel()
    elif how == "variable":
        VARIABLE.set("noticed")
    elif how == "late":
        await asyncio.sleep(0)
        WEAK.add(task())
    return {"how": how, "same": task() is current}


async def suspends(scope: Message, receive: Receive, send: Send) -> dict[str, Any]:
    """Task and context stay over suspensions of every kind."""
    before = task()
    VARIABLE.set(scope["query_string"].decode())
    seen = []
    await asyncio.sleep(0)
    seen.append((task() is before, VARIABLE.get()))
    await asyncio.sleep(0.001)
    seen.append((task() is before, VARIABLE.get()))
    await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0.001))
    seen.append((task() is before, VARIABLE.get()))
    inner = await asyncio.create_task(in_task())
    seen.append((task() is before, VARIABLE.get()))
    return {"seen": seen, "inner": inner}


async def in_task() -> str:
    value = VARIABLE.get()
    VARIABLE.set("inner")
    return value


async def cancels(scope: Message, receive: Receive, send: Send) -> dict[str, Any]:
    """Timeouts, groups and cancellation work on the Task of a request."""
    done = []
    try:
        async with asyncio.timeout(0.005):
            await asyncio.sleep(60)
    except TimeoutError:
        done.append("timeout")
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fails())
            await asyncio.sleep(60)
    except ExceptionGroup:
        done.append("group")
    with anyio.move_on_after(0.005):
        await anyio.sleep(60)
    done.append("anyio")
    done.append(await anyio.to_thread.run_sync(lambda: "thread"))
    task().cancel()
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        done.append("cancelled")
        task().uncancel()
    try:
        await fails()
    except RuntimeError:
        done.append("raised")
    return {"done": done, "cancelling": task().cancelling()}


async def fails() -> None:
    await asyncio.sleep(0)
    raise RuntimeError("on purpose")


async def calls(scope: Message, receive: Receive, send: Send) -> dict[str, Any]:
    """receive() and send() return coroutines in every way that can be asked for."""
    one = receive()
    seen: dict[str, Any] = {
        "is_coroutine": isinstance(one, collections.abc.Coroutine),
        "iscoroutine": asyncio.iscoroutine(one),
        "isawaitable": inspect.isawaitable(one),
    }
    message = await asyncio.create_task(one)  # type: ignore[arg-type]
    seen["task"] = [message["type"], message["body"].decode(), message["more_body"]]
    try:
        await one
    except RuntimeError as error:
        seen["again"] = str(error)
    closed = receive()
    closed.close()  # type: ignore[attr-defined]
    try:
        await closed
    except RuntimeError:
        seen["closed"] = True
    try:
        receive().throw(KeyError("thrown"))  # type: ignore[attr-defined]
    except KeyError as error:
        seen["throw"] = error.args[0]
    waiting = asyncio.create_task(receive())  # type: ignore[arg-type]
    await asyncio.sleep(0)
    seen["waits"] = not waiting.done()
    waiting.cancel()
    seen["cancelled"] = isinstance((await asyncio.gather(waiting, return_exceptions=True))[0], asyncio.CancelledError)
    try:
        send({"type": "http.response.start", "status": 200}).send(None)  # type: ignore[attr-defined]
    except StopIteration as error:
        seen["by_hand"] = error.value
    body = asyncio.create_task(answer_body(send, json.dumps(seen).encode()))
    await body
    after = await receive()
    WAITING.append(after["type"])
    return {}


async def answer_body(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body})


async def disconnect(scope: Message, receive: Receive, send: Send) -> dict[str, Any]:
    """Wait until the client is gone, then try to send to it."""
    await receive()
    WAITING.append("disconnect")
    GONE.append((await receive())["type"])
    GONE.append((await receive())["type"])
    try:
        await send({"type": "http.response.start", "status": 200})
        for _ in range(10):  # the first are dropped: who listens is left the time to end by itself
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
    except OSError as error:
        GONE.append(type(error).__name__)
    return {}


async def watched(scope: Message, receive: Receive, send: Send) -> dict[str, Any]:
    """Stream in a task, and cancel it when the client is gone, as frameworks do."""
    await receive()
    await send({"type": "http.response.start", "status": 200})
    piece = b"x" * (1 if scope["query_string"] == b"turns" else 65536)

    async def stream() -> None:
        while True:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)

    sender = asyncio.create_task(stream())
    GONE.append((await receive())["type"])
    sender.cancel()
    try:
        await sender
    except BaseException as error:
        GONE.append(type(error).__name__)
    return {}


class FrameworkError(Exception):
    """What a framework raises instead of ours."""


async def translates(scope: Message, receive: Receive, send: Send) -> dict[str, Any]:
    """Stream until the client is gone, and let out something else than what send() raised."""
    await receive()
    await send({"type": "http.response.start", "status": 200})
    how = scope["query_string"].decode()
    try:
        try:
            while True:
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        except OSError as error:
            if how == "own":
                raise FrameworkError from None
            if how == "bug":
                raise KeyError(how) from error
            if how == "mixed":
                raise ExceptionGroup(how, [error, ValueError(how)]) from None
            if how == "context":
                raise FrameworkError  # noqa: B904 - as Starlette does
            raise FrameworkError from ExceptionGroup("", [error])
    finally:
        GONE.append(how)


async def wait(scope: Message, receive: Receive, send: Send) -> dict[str, Any]:
    """Wait for /open."""
    WAITING.append("open")
    await OPEN.wait()
    return {"opened": scope["query_string"].decode()}


async def opens(scope: Message, receive: Receive, send: Send) -> dict[str, Any]:
    """Let all of those go on."""
    OPEN.set()
    return {"waited": WAITING.count("open")}


async def notes(scope: Message, receive: Receive, send: Send) -> dict[str, Any]:
    """What other probes noted."""
    return {"gone": GONE, "waiting": WAITING}


async def shows(scope: Message, receive: Receive, send: Send) -> dict[str, Any]:
    """The scope itself."""
    shown = {
        key: value
        for key, value in scope.items()
        if key not in ("headers", "raw_path", "query_string", "state", "extensions")
    }
    extensions, scope["extensions"]["mine"] = dict(scope["extensions"]), {}
    return shown | {
        "raw_path": scope["raw_path"].decode("latin-1"),
        "query_string": scope["query_string"].decode("latin-1"),
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]],
        "types": [type(scope[key]).__name__ for key in ("headers", "raw_path", "query_string", "state")],
        "extensions": extensions,
    }


PROBES = {
    function.__name__: function
    for function in (look, notice, suspends, cancels, calls, disconnect, watched, translates, wait, opens, notes, shows)
}


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Run the probe that the path names."""
    if scope["type"] != "http":
        raise RuntimeError("http only")
    probe = PROBES.get(scope["path"].split("/")[1], shows)
    report = await probe(scope, receive, send)
    if not report:
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(report).encode()})


async def raw(scope: Message, receive: Receive, send: Send) -> None:
    """Send the messages that the request's body lists, as a Python literal."""
    if scope["type"] != "http":
        raise RuntimeError("http only")
    body = (await receive())["body"].decode()
    for message in eval(body, {}):
        await send(message)
