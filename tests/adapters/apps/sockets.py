"""WebSockets. What an app has seen is noted, and told by GET /notes."""

from __future__ import annotations

import asyncio
import contextvars
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
NOTES: list[Any] = []
GATES: list[asyncio.Event] = []
VARIABLE = contextvars.ContextVar("variable", default="fresh")


def note(event: Message) -> Message:
    NOTES.append({key: value.hex() if isinstance(value, bytes) else value for key, value in event.items()})
    return event


async def gate() -> None:
    """Until GET /open."""
    GATES.append(asyncio.Event())
    await GATES[-1].wait()


async def echo(scope: Message, receive: Receive, send: Send) -> None:
    """Each message back, until the client leaves."""
    assert await receive() == {"type": "websocket.connect"}
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        event["type"] = "websocket.send"
        await send(event)
    note(event)


async def steps(scope: Message, receive: Receive, send: Send) -> None:
    """What the query says, as JSON: a message to send, with what that raises noted; or a word."""
    for step in json.loads(unquote(scope["query_string"].decode())):
        if step == "receive":
            note(await receive())
        elif step == "gate":
            await gate()
        elif step == "raise":
            raise RuntimeError("on purpose")
        else:
            if "hex" in step:
                step["bytes" if step["type"] == "websocket.send" else "body"] = (
                    bytes.fromhex(step.pop("hex")) * step.get("times", 1))
            if "headers" in step:
                fields = [(name.encode(), value.encode()) for name, value in step["headers"]]
                step["headers"] = fields * step.get("times", 1)
            try:
                await send(step)
            except Exception as error:
                NOTES.append([type(error).__name__, isinstance(error, OSError), str(error)])


async def scopes(scope: Message, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept", "subprotocol": scope["subprotocols"][-1]})
    scope["headers"] = [[part.decode() for part in pair] for pair in scope["headers"]]
    scope["raw_path"], scope["query_string"] = scope["raw_path"].decode(), scope["query_string"].decode()
    await send({"type": "websocket.send", "text": json.dumps(scope)})


async def tasks(scope: Message, receive: Receive, send: Send) -> None:
    """receive() in tasks and with timeouts; the task and context of the app are the same after each."""
    await receive()
    await send({"type": "websocket.accept"})
    task = asyncio.current_task()
    VARIABLE.set("ours")

    async def inner() -> str:
        VARIABLE.set("inner")
        event = await receive()
        return str(event["text"]) + VARIABLE.get()

    seen: list[Any] = []
    for _ in range(3):
        try:
            await asyncio.wait_for(receive(), 0.001)
        except TimeoutError:
            seen.append("timeout")
    await send({"type": "websocket.send", "text": "now"})
    seen.append((await asyncio.create_task(receive()))["text"])  # type: ignore[arg-type]
    seen.append(await asyncio.create_task(inner()))
    seen.append((await asyncio.wait_for(receive(), 20))["text"])
    seen += sorted(event["text"] for event in await asyncio.gather(receive(), receive(), receive()))
    call: Any = receive()
    waiting = asyncio.ensure_future(call)
    await asyncio.sleep(0)
    waits_for = call.cr_await
    try:
        call.send(None)
    except RuntimeError as error:  # as that of a coroutine
        seen.append(str(error))
    waiting.cancel()
    await send({"type": "websocket.send", "text": "cancelled"})
    seen.append((await receive())["text"])
    await asyncio.wait([waiting])
    seen += [asyncio.current_task() is task, VARIABLE.get(), waiting.cancelled(), waits_for]
    await send({"type": "websocket.send", "text": json.dumps(seen)})


async def both(scope: Message, receive: Receive, send: Send) -> None:
    """Several tasks send messages of `?SIZE`, each of its own byte."""
    await receive()
    await send({"type": "websocket.accept"})
    size = int(scope["query_string"])

    async def many(byte: bytes) -> None:
        for _ in range(3):
            await send({"type": "websocket.send", "bytes": byte * size})

    await asyncio.gather(*(many(byte) for byte in (b"a", b"b", b"c")))


async def gives_up(scope: Message, receive: Receive, send: Send) -> None:
    """A send() that is cancelled half-way, and one after it."""
    await receive()
    await send({"type": "websocket.accept"})
    sending = asyncio.create_task(send({"type": "websocket.send", "bytes": b"a" * 3_000_000}))  # type: ignore[arg-type]
    await gate()
    sending.cancel()
    await send({"type": "websocket.send", "text": "after"})
    NOTES.append(sending.cancelled())


async def turns(scope: Message, receive: Receive, send: Send) -> None:
    """How often another task has had its turn while messages were there."""
    await receive()
    await send({"type": "websocket.accept"})
    await gate()
    count = 0

    async def ticks() -> None:
        nonlocal count
        while True:
            await asyncio.sleep(0)
            count += 1

    ticking = asyncio.create_task(ticks())
    while (event := await receive()).get("text") != "end":
        if event["text"] == "back":
            await send({"type": "websocket.send", "text": "back"})
    ticking.cancel()
    NOTES.append(count)


async def sends_on(scope: Message, receive: Receive, send: Send) -> None:
    """Send until that raises; `?listens`: while a receive() waits."""
    await receive()
    await send({"type": "websocket.accept"})
    if scope["query_string"] == b"listens":
        asyncio.create_task(receive())  # type: ignore[arg-type]  # noqa: RUF006
        await asyncio.sleep(0)
    NOTES.append("ready")
    await gate()
    for count in range(100):
        try:
            await send({"type": "websocket.send", "text": "on"})
        except OSError as error:
            NOTES.append([count, type(error).__name__])
            raise


class WebSocketDisconnect(Exception):
    pass


async def disconnects(scope: Message, receive: Receive, send: Send) -> None:
    """As frameworks do where the app lets it out."""
    await receive()
    await send({"type": "websocket.accept"})
    await receive()
    raise WebSocketDisconnect


APPS = {function.__name__: function
        for function in (echo, steps, scopes, tasks, both, gives_up, turns, sends_on, disconnects)}


async def app(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        raise RuntimeError("none")
    if scope["type"] == "http":
        if scope["path"] == "/open":
            while not GATES:
                await asyncio.sleep(0)
            GATES.pop(0).set()
        told, NOTES[:] = json.dumps(NOTES).encode(), []
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": told})
        return
    await APPS[scope["path"].strip("/")](scope, receive, send)
