"""Apps that put what the client says into their response heads, as careless apps do: /value, /name, /status, /hint and
/trailer, each with the text in question, percent-encoded, as the query. Anything else is answered "plain"."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import unquote_to_bytes

Message = MutableMapping[str, Any]


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """As WSGI."""
    text = unquote_to_bytes(environ["QUERY_STRING"]).decode("latin-1")
    path = environ["PATH_INFO"]
    status = f"200 {text}" if path == "/status" else "200 OK"
    fields = {"/value": [("X-Said", text)], "/name": [(text, "said")]}.get(path, [])
    start_response(status, [("Content-Length", "5"), *fields])
    return [b"plain"]


async def asgi(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """As ASGI."""
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    text = unquote_to_bytes(scope["query_string"])
    path = scope["path"]
    if path == "/hint":
        await send({"type": "http.response.early_hint", "links": [text]})
    fields = {"/value": [(b"x-said", text)], "/name": [(text, b"said")]}.get(path, [])
    trailers = path == "/trailer"
    await send({"type": "http.response.start", "status": 200, "headers": fields, "trailers": trailers})
    await send({"type": "http.response.body", "body": b"plain"})
    if trailers:
        await send({"type": "http.response.trailers", "headers": [(b"x-said", text)]})
