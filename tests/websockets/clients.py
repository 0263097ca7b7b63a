"""One interface for three clients that were written by others, so that a test is written once.

`dial` opens a WebSocket, or raises `Refused`. A client hides nothing of what it makes of the server: a message is what
it takes for one, `ending` is what it says about the end. It never reconnects, and answers pings.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp
import websockets.asyncio.client
import websockets.exceptions
import wsproto
import wsproto.events
import wsproto.extensions

KINDS = ("websockets", "wsproto", "aiohttp")
MOST_BYTES = 1 << 25
HOST = "localhost"


class Refused(Exception):
    """The server has answered with an ordinary response. `body`: None where the client does not tell."""

    def __init__(self, status: int, fields: Mapping[str, str], body: bytes | None) -> None:
        super().__init__(status)
        self.status, self.fields, self.body = status, fields, body


class Ended(Exception):
    """There are no more messages."""


@dataclass
class Dial:
    """What a client is to ask for. `address`: (host, port), or the path of a unix socket; `context`: it speaks TLS."""

    address: tuple[str, int] | str
    target: str = "/echo"
    compressed: bool = True
    protocols: Sequence[str] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    context: ssl.SSLContext | None = None

    @property
    def url(self) -> str:
        port = "" if isinstance(self.address, str) else f":{self.address[1]}"
        return f"{'wss' if self.context else 'ws'}://{HOST}{port}{self.target}"


class Client(Protocol):
    """An open WebSocket."""

    protocol: str | None
    compressed: bool
    fields: Mapping[str, str]
    ending: tuple[int | None, str]

    async def send(self, data: str | bytes) -> None:
        """One message in one frame."""

    async def receive(self) -> str | bytes:
        """The next message; Ended when there is none."""

    async def ping(self, data: bytes) -> None:
        """Returns when the answer has come."""

    async def close(self, code: int, reason: str) -> None:
        """The whole closing handshake."""


class ByWebsockets:
    """The client of websockets."""

    def __init__(self, connection: websockets.asyncio.client.ClientConnection) -> None:
        self.connection = connection
        self.protocol = connection.subprotocol
        assert connection.response is not None
        self.fields: Mapping[str, str] = connection.response.headers
        self.compressed = any(extension.name == "permessage-deflate" for extension in connection.protocol.extensions)

    @property
    def ending(self) -> tuple[int | None, str]:
        return self.connection.close_code, self.connection.close_reason or ""

    async def send(self, data: str | bytes) -> None:
        await self.connection.send(data)

    async def send_pieces(self, pieces: list[str] | list[bytes]) -> None:
        await self.connection.send(pieces)

    async def receive(self) -> str | bytes:
        try:
            return await self.connection.recv()
        except websockets.exceptions.ConnectionClosed:
            raise Ended from None

    async def ping(self, data: bytes) -> None:
        await (await self.connection.ping(data))

    async def close(self, code: int, reason: str) -> None:
        await self.connection.close(code, reason)


class ByAiohttp:
    """The client of aiohttp, which cannot send a message in pieces."""

    def __init__(self, connection: aiohttp.ClientWebSocketResponse[bool]) -> None:
        self.connection = connection
        self.protocol = connection.protocol
        self.fields: Mapping[str, str] = connection._response.headers  # there is no other way to them
        self.compressed = bool(connection.compress)
        self.ending: tuple[int | None, str] = (None, "")

    async def send(self, data: str | bytes) -> None:
        await (self.connection.send_str(data) if isinstance(data, str) else self.connection.send_bytes(data))

    async def receive(self) -> str | bytes:
        message = await self.connection.receive()
        if message.type == aiohttp.WSMsgType.PING:
            await self.connection.pong(message.data)
            return await self.receive()
        if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            data: str | bytes = message.data
            return data
        self.ending = (self.connection.close_code, message.extra or "")
        raise Ended

    async def ping(self, data: bytes) -> None:
        await self.connection.ping(data)
        message = await self.connection.receive()
        assert (message.type, message.data) == (aiohttp.WSMsgType.PONG, data)

    async def close(self, code: int, reason: str) -> None:
        await self.connection.close(code=code, message=reason.encode())
        self.ending = (self.connection.close_code, "")


class ByWsproto:
    """wsproto over a socket: it says only what a test tells it to say."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.state = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        self.protocol: str | None = None
        self.compressed = False
        self.fields: Mapping[str, str] = {}
        self.ending: tuple[int | None, str] = (None, "")
        self._events: list[wsproto.events.Event] = []

    async def say(self, event: wsproto.events.Event) -> None:
        self.writer.write(self.state.send(event))
        await self.writer.drain()

    async def event(self) -> wsproto.events.Event:
        """The next thing that has happened."""
        while not self._events:
            data = await self.reader.read(1 << 16)
            self.state.receive_data(data or None)
            self._events += self.state.events()
        return self._events.pop(0)

    async def shake(self, dial: Dial) -> None:
        extension = wsproto.extensions.PerMessageDeflate()
        fields = [(name.encode(), value.encode()) for name, value in dial.fields.items()]
        await self.say(wsproto.events.Request(
            host=HOST, target=dial.target, subprotocols=list(dial.protocols), extra_headers=fields,
            extensions=[extension] if dial.compressed else []))
        event = await self.event()
        if isinstance(event, wsproto.events.RejectConnection):
            body = b""
            while isinstance(part := await self.event(), wsproto.events.RejectData):
                body += part.data
                if part.body_finished:
                    break
            raise Refused(event.status_code, _texts(event.headers), body)
        assert isinstance(event, wsproto.events.AcceptConnection), event
        self.protocol, self.compressed = event.subprotocol, bool(event.extensions)
        self.fields = _texts(event.extra_headers)

    async def send(self, data: str | bytes) -> None:
        await self.say(wsproto.events.TextMessage(data) if isinstance(data, str) else wsproto.events.BytesMessage(data))

    async def send_pieces(self, pieces: list[str] | list[bytes]) -> None:
        kind: Any = wsproto.events.TextMessage if isinstance(pieces[0], str) else wsproto.events.BytesMessage
        for number, piece in enumerate(pieces, 1):
            await self.say(kind(piece, message_finished=number == len(pieces)))

    async def receive(self) -> str | bytes:
        parts: list[Any] = []
        while True:
            event = await self.event()
            if isinstance(event, wsproto.events.Ping):
                await self.say(event.response())
            elif isinstance(event, wsproto.events.CloseConnection):
                await self._ended(event)
                raise Ended
            else:
                assert isinstance(event, wsproto.events.Message), event
                parts.append(event.data)
                if event.message_finished:
                    return parts[0][:0].join(parts)  # type: ignore[no-any-return]

    async def _ended(self, event: wsproto.events.CloseConnection) -> None:
        self.ending = (event.code, event.reason or "")
        if self.state.state is wsproto.connection.ConnectionState.REMOTE_CLOSING:
            await self.say(event.response())
        assert await self.reader.read() == b"", "the server says something after the close"

    async def ping(self, data: bytes) -> None:
        await self.say(wsproto.events.Ping(data))
        event = await self.event()
        assert isinstance(event, wsproto.events.Pong), event
        assert event.payload == data

    async def close(self, code: int, reason: str) -> None:
        await self.say(wsproto.events.CloseConnection(code, reason))
        event = await self.event()
        assert isinstance(event, wsproto.events.CloseConnection), event
        await self._ended(event)


def _texts(fields: Any) -> dict[str, str]:
    return {name.decode().lower(): value.decode() for name, value in fields}


@contextlib.asynccontextmanager
async def dial(kind: str, wanted: Dial) -> AsyncIterator[Any]:
    """A client of this kind; it is gone, politely or not, when the context ends."""
    openers: dict[str, Any] = {"websockets": _websockets, "wsproto": _wsproto, "aiohttp": _aiohttp}
    async with openers[kind](wanted) as client:
        assert client.compressed <= wanted.compressed
        yield client


@contextlib.asynccontextmanager
async def _websockets(wanted: Dial) -> AsyncIterator[ByWebsockets]:
    options: dict[str, Any] = {
        "compression": "deflate" if wanted.compressed else None, "subprotocols": wanted.protocols or None,
        "additional_headers": wanted.fields, "max_size": MOST_BYTES, "proxy": None, "ssl": wanted.context}
    try:
        if isinstance(wanted.address, str):
            opened = websockets.asyncio.client.unix_connect(wanted.address, wanted.url, **options)
        else:
            opened = websockets.asyncio.client.connect(
                wanted.url, host=wanted.address[0], port=wanted.address[1], **options)
        async with opened as connection:
            yield ByWebsockets(connection)
    except websockets.exceptions.InvalidStatus as refusal:
        response = refusal.response
        raise Refused(response.status_code, response.headers, bytes(response.body)) from None


@contextlib.asynccontextmanager
async def _aiohttp(wanted: Dial) -> AsyncIterator[ByAiohttp]:
    connector: aiohttp.BaseConnector
    url = wanted.url
    if isinstance(wanted.address, str):
        connector = aiohttp.UnixConnector(wanted.address)
    else:
        connector, url = aiohttp.TCPConnector(), url.replace(HOST, wanted.address[0])
    async with aiohttp.ClientSession(connector=connector) as session:
        try:
            async with session.ws_connect(
                    url, protocols=wanted.protocols, headers=wanted.fields, compress=15 if wanted.compressed else 0,
                    max_msg_size=MOST_BYTES, autoping=False, ssl=wanted.context or True) as connection:
                yield ByAiohttp(connection)
        except aiohttp.WSServerHandshakeError as refusal:
            raise Refused(refusal.status, refusal.headers or {}, None) from None


@contextlib.asynccontextmanager
async def _wsproto(wanted: Dial) -> AsyncIterator[ByWsproto]:
    if isinstance(wanted.address, str):
        reader, writer = await asyncio.open_unix_connection(wanted.address)
    else:
        reader, writer = await asyncio.open_connection(
            *wanted.address, ssl=wanted.context, server_hostname=HOST if wanted.context else None)
    try:
        client = ByWsproto(reader, writer)
        await client.shake(wanted)
        yield client
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
