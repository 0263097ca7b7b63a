"""The same small site as flask_site.py in Starlette; its form is parsed by the standard library."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route


async def hello(request: Request) -> Response:
    return JSONResponse(
        {"hello": request.path_params["name"], "query": dict(request.query_params), "pid": os.getpid()}
    )


async def form(request: Request) -> Response:
    # Starlette's own form() needs python-multipart even for urlencoded forms.
    return JSONResponse({"form": dict(parse_qsl((await request.body()).decode())), "pid": os.getpid()})


async def json(request: Request) -> Response:
    return JSONResponse({"json": await request.json(), "pid": os.getpid()})


async def login(request: Request) -> Response:
    answer = RedirectResponse("/hello/you", 302)
    answer.set_cookie("session", "s3cret", httponly=True)
    answer.set_cookie("theme", "dark")
    return answer


async def stream(request: Request) -> Response:
    async def lines() -> AsyncIterator[str]:
        for number in range(100):
            yield f"line {number}\n"

    return StreamingResponse(lines(), media_type="text/plain")


async def broken(request: Request) -> Response:
    raise RuntimeError("the view is broken")


app = Starlette(
    routes=[
        Route("/hello/{name}", hello),
        Route("/form", form, methods=["POST"]),
        Route("/json", json, methods=["POST"]),
        Route("/login", login),
        Route("/stream", stream),
        Route("/broken", broken),
    ]
)
