"""The shapes in which apps come: functions, classes, instances, partials, methods, factories."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
StartResponse = Callable[..., Any]


def wsgi_function(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", "4")])
    return [b"wsgi"]


async def asgi_function(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise RuntimeError("http only")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"asgi"})


class WsgiClass:
    """PEP 3333's class form: instantiated per request, iterated for the body."""

    def __init__(self, environ: dict[str, Any], start_response: StartResponse) -> None:
        self.start_response = start_response

    def __iter__(self) -> Iterator[bytes]:
        self.start_response("200 OK", [("Content-Length", "4")])
        yield b"wsgi"


class WsgiObject:
    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        return wsgi_function(environ, start_response)


class AsgiObject:
    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        await asgi_function(scope, receive, send)

    async def method(self, scope: Message, receive: Receive, send: Send) -> None:
        await asgi_function(scope, receive, send)


async def _asgi_with_option(option: str, scope: Message, receive: Receive, send: Send) -> None:
    await asgi_function(scope, receive, send)


def _wsgi_with_option(option: str, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    return wsgi_function(environ, start_response)


def sync_asgi(scope: Message, receive: Receive, send: Send) -> Awaitable[None]:
    """Legal ASGI that no inspection can tell from WSGI: needs --interface asgi."""
    return asgi_function(scope, receive, send)


class Namespace:
    """Reached by `shapes:namespace.app`."""

    app = WsgiObject()


def make_wsgi() -> WsgiObject:
    return WsgiObject()


def make_asgi() -> AsgiObject:
    return AsgiObject()


wsgi_object = WsgiObject()
asgi_object = AsgiObject()
asgi_method = asgi_object.method
wsgi_partial = functools.partial(_wsgi_with_option, "option")
asgi_partial = functools.partial(_asgi_with_option, "option")
namespace = Namespace()
