"""Flask: one view that answers a string."""

from __future__ import annotations

from flask import Flask

from loadtest.scenario import WSGI_SERVERS, Scenario

SCENARIO = Scenario(
    name="flask",
    about="Flask, one view, a string",
    app="loadtest.scenarios.flask:app",
    interface="wsgi",
    servers=WSGI_SERVERS,
    body=b"Hello, World!",
)

app = Flask("loadtest")


@app.get("/")
def hello() -> str:
    """Answer with 13 bytes."""
    return "Hello, World!"
