"""A POST of 64 KiB, raw WSGI: the whole body is read, then sent back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from loadtest.scenario import KIB
from loadtest.scenarios import wsgi_64k

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

SCENARIO = replace(
    wsgi_64k.SCENARIO,
    name="wsgi-echo",
    about="raw WSGI app, POST of 64 KiB sent back",
    app="loadtest.scenarios.wsgi_echo:app",
    post_bytes=64 * KIB,
)


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer every request with its body."""
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start_response("200 OK", wsgi_64k.headers(len(body)))
    return (body,)
