"""Who is logged in, in Flask's signed session cookie."""

from __future__ import annotations

import os

from flask import Blueprint, Response, abort, jsonify, make_response, redirect, render_template, request, session
from werkzeug.wrappers import Response as AnyResponse

blueprint = Blueprint("account", __name__)


@blueprint.get("/")
def index() -> str:
    return render_template("index.html", user=session.get("name", "stranger"))


@blueprint.get("/login")
def form() -> str:
    return render_template("login.html")


@blueprint.post("/login")
def login() -> AnyResponse:
    session["name"] = request.form["name"]
    answer = make_response(redirect("/me", 303))
    answer.set_cookie("theme", "dark")
    return answer


@blueprint.post("/logout")
def logout() -> AnyResponse:
    session.clear()
    return redirect("/", 303)


@blueprint.get("/me")
def me() -> Response:
    if "name" not in session:
        abort(401)
    return jsonify(name=session["name"], pid=os.getpid())
