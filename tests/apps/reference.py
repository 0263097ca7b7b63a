"""The reference app of the conformance cases and of most tests, once as WSGI and once as ASGI.

It answers 200 with JSON of what it saw (method, target, path, query, Host, headers, body, pid; as WSGI also
the environ). Routes, the same in both forms:

    /ignore-body          answers without reading the body
    /sleep/<seconds>      sleeps first
    /hold?gate=<path>     tells a test's gate that it is here and waits until that lets it go
    /stream?...           see `Plan`: a response of any size, framing, status and number of pieces
    /raise-first          raises before it answered anything
    /raise-later          raises when half of its response is out
    /ws                   accepts a WebSocket and echoes (ASGI)

Each request's method and target are also appended to the file SEEN_PATH before anything else happens, so that
a test can tell what never reached the app even when its answer could not have come back.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote

Message = MutableMapping[str, Any]
SEEN_PATH = os.environ.get("SEEN_PATH")
PATTERN = bytes(range(256)) * 256


class Broken(Exception):
    """What the failing routes raise."""


@dataclass
class Plan:
    """How /stream answers, from its query; a gate is waited at behind the first piece."""

    status: int = 200
    size: int = 0
    pieces: int = 1
    framing: str = "length"
    gate: str = ""

    @classmethod
    def of(cls, query: str) -> Plan:
        values = {key: value[0] for key, value in parse_qs(query).items()}
        return cls(
            status=int(values.get("status", 200)),
            size=int(values.get("size", 0)),
            pieces=int(values.get("pieces", 1)),
            framing=values.get("framing", "length"),
            gate=values.get("gate", ""),
        )

    def headers(self) -> list[tuple[str, str]]:
        fields = [("Content-Type", "application/octet-stream")]
        if self.framing == "length":
            fields.append(("Content-Length", str(self.size)))
        return fields

    def parts(self) -> Iterator[bytes]:
        """The body: byte n is n % 256, so that a lost, doubled or shifted piece shows."""
        step = -(-self.size // self.pieces) if self.size else 0
        for start in range(0, self.size, step or 1):
            length = min(step, self.size - start)
            shift = start % 256
            repeated = PATTERN[shift:] + PATTERN * (length // len(PATTERN) + 1)
            yield repeated[:length]


def note_seen(method: str, target: str) -> None:
    """One O_APPEND write, so that lines of several workers never mix."""
    if SEEN_PATH is not None:
        fd = os.open(SEEN_PATH, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, f"{method} {target}\n".encode("latin-1"))
        finally:
            os.close(fd)


def gate_path(query: str) -> str:
    """The gate that a query names."""
    return parse_qs(query)["gate"][0]


def wait_at_gate(path: str) -> None:
    """Say who we are and wait until the gate closes the connection."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(b"%d\n" % os.getpid())
        connection.recv(1)


async def wait_at_gate_async(path: str) -> None:
    """The same without holding the loop."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"%d\n" % os.getpid())
    await reader.read(1)
    writer.close()


# WSGI


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The reference app as WSGI."""
    path = environ["SCRIPT_NAME"] + environ["PATH_INFO"]
    query = environ.get("QUERY_STRING", "")
    target = quote(path, safe="/*:;=@!$&'()+,~", encoding="latin-1") + ("?" + query if query else "")
    note_seen(environ["REQUEST_METHOD"], target)
    if path == "/raise-first":
        raise Broken("before the response")
    if path in ("/stream", "/raise-later"):
        return _wsgi_stream(path, Plan.of(query), start_response)
    if path.startswith("/sleep/"):
        time.sleep(float(path.removeprefix("/sleep/")))
    elif path == "/hold":
        wait_at_gate(gate_path(query))
    body = b"" if path == "/ignore-body" else environ["wsgi.input"].read()
    headers = [
        (key[5:].replace("_", "-").lower(), value)
        for key, value in environ.items()
        if key.startswith("HTTP_")
    ]
    report = {
        "pid": os.getpid(),
        "interface": "wsgi",
        "method": environ["REQUEST_METHOD"],
        "target": target,
        "path": path,
        "query": query,
        "host": environ.get("HTTP_HOST"),
        "headers": headers,
        "body": body.decode("latin-1"),
        "environ": {key: value for key, value in environ.items() if isinstance(value, str)},
    }
    answer = json.dumps(report).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
    return [answer]


def _wsgi_stream(path: str, plan: Plan, start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response(f"{plan.status} Chosen", plan.headers())
    if plan.pieces == 1 and not plan.gate and path == "/stream":
        return list(plan.parts()) or [b""]
    return _wsgi_pieces(path, plan)


def _wsgi_pieces(path: str, plan: Plan) -> Iterator[bytes]:
    for number, part in enumerate(plan.parts()):
        if number == 1 and plan.gate:
            wait_at_gate(plan.gate)
        if number == 1 and path == "/raise-later":
            raise Broken("after the first piece")
        yield part


# ASGI


async def asgi(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """The reference app as ASGI 3; lifespan is answered at once."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await _websocket(receive, send)
    else:
        await _http(scope, receive, send)


async def _http(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    path = scope["path"]
    query = scope["query_string"].decode("latin-1")
    target = scope["raw_path"].decode("latin-1") + ("?" + query if query else "")
    note_seen(scope["method"], target)
    if path == "/raise-first":
        raise Broken("before the response")
    if path in ("/stream", "/raise-later"):
        await _asgi_stream(path, Plan.of(query), send)
        return
    if path.startswith("/sleep/"):
        await asyncio.sleep(float(path.removeprefix("/sleep/")))
    elif path == "/hold":
        await wait_at_gate_async(gate_path(query))
    body = b""
    more = path != "/ignore-body"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        more = message.get("more_body", False)
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    report = {
        "pid": os.getpid(),
        "interface": "asgi",
        "method": scope["method"],
        "target": target,
        "path": path,
        "query": query,
        "host": next((value for name, value in headers if name == "host"), None),
        "headers": headers,
        "body": body.decode("latin-1"),
        "http_version": scope["http_version"],
        "client": scope["client"],
        "server": scope["server"],
        "scheme": scope["scheme"],
        "root_path": scope["root_path"],
        "tls": scope["extensions"].get("tls"),
    }
    answer = json.dumps(report).encode()
    fields = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": answer})


async def _asgi_stream(path: str, plan: Plan, send: Callable[[Message], Awaitable[None]]) -> None:
    fields = [(name.lower().encode(), value.encode()) for name, value in plan.headers()]
    await send({"type": "http.response.start", "status": plan.status, "headers": fields})
    parts = list(plan.parts()) or [b""]
    if len(parts) < plan.pieces:  # fewer bytes than pieces: still more than one message
        parts.append(b"")
    for number, part in enumerate(parts):
        if number == 1 and plan.gate:
            await wait_at_gate_async(plan.gate)
        if number == 1 and path == "/raise-later":
            raise Broken("after the first piece")
        await send({"type": "http.response.body", "body": part, "more_body": number + 1 < len(parts)})


async def lifespan(
    receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await _open_a_first_stream()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _open_a_first_stream() -> None:
    """With a loop's first stream libuv opens a spare fd that it keeps: before the tests count fds."""
    ours, peer = socket.socketpair()
    with peer:
        _, writer = await asyncio.open_connection(sock=ours)
        writer.close()
        await writer.wait_closed()


async def _websocket(
    receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})
