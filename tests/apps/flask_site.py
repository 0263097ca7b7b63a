"""A small Flask site: GET, form, JSON, a cookie with a redirect, a streamed answer, an error of the app."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, jsonify, redirect, request

app = Flask(__name__)


@app.get("/hello/<name>")
def hello(name: str) -> Response:
    return jsonify(hello=name, query=request.args.to_dict(), pid=os.getpid())


@app.post("/form")
def form() -> Response:
    return jsonify(form=request.form.to_dict(), pid=os.getpid())


@app.post("/json")
def json() -> Response:
    return jsonify(json=request.get_json(), pid=os.getpid())


@app.get("/login")
def login() -> Any:
    answer = redirect("/hello/you")
    answer.set_cookie("session", "s3cret", httponly=True)
    answer.set_cookie("theme", "dark")
    return answer


@app.get("/stream")
def stream() -> Response:
    def lines() -> Iterator[str]:
        for number in range(100):
            yield f"line {number}\n"

    return Response(lines(), mimetype="text/plain")


@app.get("/broken")
def broken() -> Response:
    raise RuntimeError("the view is broken")
