"""Who is logged in, in the encrypted cookie of Litestar's client-side sessions."""

from __future__ import annotations

import os
from typing import Annotated, Any

from litestar import Request, get, post
from litestar.datastructures import Cookie
from litestar.enums import RequestEncodingType
from litestar.exceptions import NotAuthorizedException
from litestar.params import Body
from litestar.response import Redirect, Template


@get("/")
async def index(request: Request[Any, Any, Any]) -> Template:
    return Template("index.html", context={"user": request.session.get("name", "stranger")})


@get("/login")
async def form() -> Template:
    return Template("login.html")


@post("/login")
async def login(
    request: Request[Any, Any, Any],
    data: Annotated[dict[str, str], Body(media_type=RequestEncodingType.URL_ENCODED)],
) -> Redirect:
    request.set_session({"name": data["name"]})
    return Redirect("/me", status_code=303, cookies=[Cookie("theme", value="dark")])


@post("/logout")
async def logout(request: Request[Any, Any, Any]) -> Redirect:
    request.clear_session()
    return Redirect("/", status_code=303)


@get("/me")
async def me(request: Request[Any, Any, Any]) -> dict[str, Any]:
    if "name" not in request.session:
        raise NotAuthorizedException("log in first")
    return {"name": request.session["name"], "pid": os.getpid()}


handlers = [index, form, login, logout, me]
