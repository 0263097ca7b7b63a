"""Who is logged in: a dependency that reads the signed cookie of SessionMiddleware."""

from __future__ import annotations

import os
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.templating import Jinja2Templates

from site_parts import TEMPLATES

router = APIRouter()
templates = Jinja2Templates(directory=TEMPLATES)


def user(request: Request) -> str:
    """The name of who is logged in; 401 for others."""
    if "name" not in request.session:
        raise HTTPException(401, "log in first")
    return str(request.session["name"])


@router.get("/", response_class=HTMLResponse)
def index(request: Request) -> Response:
    return templates.TemplateResponse(request, "index.html", {"user": request.session.get("name", "stranger")})


@router.get("/login", response_class=HTMLResponse)
def form(request: Request) -> Response:
    return templates.TemplateResponse(request, "login.html")


@router.post("/login")
def login(request: Request, name: Annotated[str, Form()]) -> Response:
    request.session["name"] = name
    answer = RedirectResponse("/me", 303)
    answer.set_cookie("theme", "dark")
    return answer


@router.post("/logout")
async def logout(request: Request) -> Response:
    request.session.clear()
    return RedirectResponse("/", 303)


@router.get("/me")
async def me(name: Annotated[str, Depends(user)]) -> dict[str, Any]:
    return {"name": name, "pid": os.getpid()}
