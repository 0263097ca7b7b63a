"""Who is logged in, in the signed cookie of SessionMiddleware."""

from __future__ import annotations

import os

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from starlette_site.pages import templates


async def index(request: Request) -> Response:
    return templates.TemplateResponse(request, "index.html", {"user": request.session.get("name", "stranger")})


async def form(request: Request) -> Response:
    return templates.TemplateResponse(request, "login.html")


async def login(request: Request) -> Response:
    async with request.form() as fields:
        request.session["name"] = str(fields["name"])
    answer = RedirectResponse("/me", 303)
    answer.set_cookie("theme", "dark")
    return answer


async def logout(request: Request) -> Response:
    request.session.clear()
    return RedirectResponse("/", 303)


async def me(request: Request) -> Response:
    if "name" not in request.session:
        raise HTTPException(401, "log in first")
    return JSONResponse({"name": request.session["name"], "pid": os.getpid()})


routes = [
    Route("/", index),
    Route("/login", form, methods=["GET"]),
    Route("/login", login, methods=["POST"]),
    Route("/logout", logout, methods=["POST"]),
    Route("/me", me),
]
