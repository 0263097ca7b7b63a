"""An upload of 10 MiB, raw WSGI: read by 64 KiB as form parsers do, the answer is the number of bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from loadtest.scenario import HUGE_CONNECTIONS, KIB, MIB
from loadtest.scenarios import wsgi_64k

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

SCENARIO = replace(
    wsgi_64k.SCENARIO,
    name="wsgi-upload",
    about="raw WSGI app, upload of 10 MiB",
    app="loadtest.scenarios.wsgi_upload:app",
    body=b"%d" % (10 * MIB),
    post_bytes=10 * MIB,
    connections=HUGE_CONNECTIONS,
)

PIECE = 64 * KIB


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer every request with the number of bytes in its body."""
    read, left = environ["wsgi.input"].read, int(environ["CONTENT_LENGTH"])
    count = 0
    while left > 0 and (piece := read(min(PIECE, left))):
        count += len(piece)
        left -= len(piece)
    told = b"%d" % count
    start_response("200 OK", wsgi_64k.headers(len(told)))
    return (told,)
