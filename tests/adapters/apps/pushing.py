"""Applications that push, as their target says: /?verb=..."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import swhttp
from swhttp import sockets

SESSION = 5 << 22 | 3 << 6
FULL = 1 << 22


def said(query: str) -> str:
    """Say what the query asks for, and what came of it."""
    asked = {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}
    count, size = int(asked.get("count", "1")), int(asked.get("size", "0"))
    data: Any = bytes(size) if size else asked.get("text", "")
    try:
        for _ in range(count):
            match asked["verb"]:
                case "push":
                    swhttp.push(SESSION, data, overflow=asked.get("overflow"))
                case "broadcast":
                    swhttp.broadcast("people", data, but=SESSION)
                case "join":
                    swhttp.join(SESSION, asked.get("group", ""))
                case "leave":
                    swhttp.leave(SESSION, "people")
                case "close":
                    swhttp.close_session(SESSION, int(asked["code"]), asked.get("reason", ""))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "said"


def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    query = environ["QUERY_STRING"]
    if "in=thread" in query:
        threading.Thread(target=said, args=(query,), name="pusher").start()
        text = "begun"
    else:
        text = said(query)
    start_response("200 OK", [])
    return [text.encode()]


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    query = scope["query_string"].decode()
    if "in=thread" in query:
        text = await asyncio.to_thread(said, query)
    elif "in=await" in query:
        asked = parse_qs(query)
        for _ in range(int(asked["count"][0])):
            await swhttp.apush(SESSION, bytes(int(asked["size"][0])), overflow=asked.get("overflow", [None])[0])
        text = "said"
    elif "in=tries" in query:
        for _ in range(100):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(swhttp.apush(SESSION, "", overflow="block"), 0.001)
        text = str(sum(isinstance(one, asyncio.Future) for one in gc.get_objects()))
    elif "until=" in query:
        path = Path(parse_qs(query)["until"][0])
        while not path.exists():
            time.sleep(0.001)  # the loop stands still
        sockets.set_overflow(SESSION, "drop")
        text = "said"
    else:
        text = said(query)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text.encode()})
