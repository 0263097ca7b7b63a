"""The site of site_parts in Starlette: routes in two modules, middleware for sessions and gzip, a lifespan."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import TypedDict

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

import site_parts
from starlette_site import account, data
from starlette_site.pages import templates


class State(TypedDict):
    """What startup makes."""

    started: str


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[State]:
    yield {"started": "lifespan"}
    site_parts.note("stopped")


async def not_found(request: Request, error: Exception) -> Response:
    context = {"status": 404, "message": "nothing is here"}
    return templates.TemplateResponse(request, "error.html", context, status_code=404)


async def broken(request: Request, error: Exception) -> Response:
    context = {"status": 500, "message": "that went wrong"}
    return templates.TemplateResponse(request, "error.html", context, status_code=500)


async def refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return Response(error.detail, error.status_code, headers=error.headers)


app = Starlette(
    debug=site_parts.DEBUG,
    routes=[*account.routes, *data.routes, Mount("/static", StaticFiles(directory=site_parts.STATIC))],
    middleware=[
        Middleware(GZipMiddleware),
        Middleware(SessionMiddleware, secret_key=site_parts.SECRET),
    ],
    exception_handlers={404: not_found, 500: broken, HTTPException: refused},
    lifespan=lifespan,
)
