"""Who is logged in, in Quart's signed session cookie."""

from __future__ import annotations

import os
from typing import Any

from quart import Blueprint, abort, make_response, redirect, render_template, request, session

blueprint = Blueprint("account", __name__)


@blueprint.get("/")
async def index() -> str:
    return await render_template("index.html", user=session.get("name", "stranger"))


@blueprint.get("/login")
async def form() -> str:
    return await render_template("login.html")


@blueprint.post("/login")
async def login() -> Any:
    session["name"] = (await request.form)["name"]
    answer = await make_response(redirect("/me", 303))
    answer.set_cookie("theme", "dark")
    return answer


@blueprint.post("/logout")
async def logout() -> Any:
    session.clear()
    return redirect("/", 303)


@blueprint.get("/me")
async def me() -> dict[str, Any]:
    if "name" not in session:
        abort(401)
    return {"name": session["name"], "pid": os.getpid()}
