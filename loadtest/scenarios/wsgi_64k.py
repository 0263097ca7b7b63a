"""64 KiB from memory, raw WSGI: one bytes object."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from loadtest.scenario import KIB, LARGE_CONNECTIONS, WSGI_SERVERS, Scenario, numbered

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

SCENARIO = Scenario(
    name="wsgi-64k",
    about="raw WSGI app, 64 KiB from memory",
    app="loadtest.scenarios.wsgi_64k:app",
    interface="wsgi",
    servers=WSGI_SERVERS,
    body=numbered(64 * KIB),
    connections=LARGE_CONNECTIONS,
)


def headers(length: int) -> list[tuple[str, str]]:
    """Return the headers of an answer of `length` bytes."""
    return [("Content-Type", "application/octet-stream"), ("Content-Length", str(length))]


def answering(body: bytes) -> WSGIApplication:
    """Return an app that answers every request with `body`."""
    whole = (body,)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", headers(len(body)))
        return whole

    return app


app = answering(SCENARIO.body)
