"""The least a WSGI app can do: 13 bytes, two headers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from loadtest.scenario import FLOOR, WSGI_SERVERS, Scenario

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

SCENARIO = Scenario(
    name="raw-wsgi",
    about="raw WSGI app, 13-byte body",
    app="loadtest.scenarios.raw_wsgi:app",
    interface="wsgi",
    servers=WSGI_SERVERS + FLOOR,
    body=b"Hello, World!",
)

BODY = (SCENARIO.body,)


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer every request with 13 bytes."""
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", "13")])
    return BODY
