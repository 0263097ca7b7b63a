"""Starlette: one route, one plain text response."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from loadtest.scenario import ASGI_SERVERS, Scenario

SCENARIO = Scenario(
    name="starlette",
    about="Starlette, one route, plain text",
    app="loadtest.scenarios.starlette:app",
    interface="asgi",
    servers=ASGI_SERVERS,
    body=b"Hello, World!",
)


async def hello(request: Request) -> PlainTextResponse:
    """Answer with 13 bytes."""
    return PlainTextResponse("Hello, World!")


app = Starlette(routes=[Route("/", hello)])
