"""The site of site_parts in FastAPI: routers, models, endpoints in threads and on the loop, dependencies."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import TypedDict

from fastapi import FastAPI, Request
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates
from starlette.middleware.sessions import SessionMiddleware

import site_parts
from fastapi_site import account, data

templates = Jinja2Templates(directory=site_parts.TEMPLATES)


class State(TypedDict):
    """What startup makes."""

    started: str


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    yield {"started": "lifespan"}
    site_parts.note("stopped")


app = FastAPI(debug=site_parts.DEBUG, lifespan=lifespan)
app.add_middleware(SessionMiddleware, secret_key=site_parts.SECRET)
app.add_middleware(GZipMiddleware)
app.include_router(account.router)
app.include_router(data.router)
app.mount("/static", StaticFiles(directory=site_parts.STATIC))


@app.exception_handler(404)
async def not_found(request: Request, error: Exception) -> Response:
    context = {"status": 404, "message": "nothing is here"}
    return templates.TemplateResponse(request, "error.html", context, status_code=404)


@app.exception_handler(500)
async def broken(request: Request, error: Exception) -> Response:
    context = {"status": 500, "message": "that went wrong"}
    return templates.TemplateResponse(request, "error.html", context, status_code=500)
