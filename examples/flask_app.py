"""A small Flask site: `swhttp flask_app:app --app-dir examples`.

Shows a page with a form, and JSON.

    curl http://127.0.0.1:8000/
    curl -d name=Ada http://127.0.0.1:8000/greet
    curl --json '[1, 2, 3]' http://127.0.0.1:8000/sum
"""

from __future__ import annotations

from flask import Flask, Response, jsonify, request

app = Flask(__name__)

FORM = """<!doctype html>
<title>swhttp and Flask</title>
<form method="post" action="/greet"><input name="name" placeholder="Your name"> <button>Greet me</button></form>
"""


@app.get("/")
def index() -> str:
    """A page with a form."""
    return FORM


@app.post("/greet")
def greet() -> Response:
    """The answer to it."""
    return Response(f"Hello, {request.form.get('name') or 'stranger'}!\n", mimetype="text/plain")


@app.post("/sum")
def add() -> Response:
    """JSON in, JSON out."""
    return jsonify(sum=sum(request.get_json()))
