"""A file of 10 MiB, raw WSGI: by `wsgi.file_wrapper` where the server has it, read in pieces where not.

By 256 KiB, as in asgi_file. Against reading, the wrapper saved uWSGI and gunicorn CPU. bjoern sends 16 KiB at a
time by it, which cost more than reading does; an app would take it all the same, and bjoern is far from the best
here either way.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

from loadtest.scenario import FILE, FLOOR, HUGE_CONNECTIONS, KIB, MIB, WSGI_SERVERS
from loadtest.scenarios import wsgi_64k

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

SCENARIO = replace(
    wsgi_64k.SCENARIO,
    name="wsgi-file",
    about="raw WSGI app, file of 10 MiB",
    app="loadtest.scenarios.wsgi_file:app",
    servers=WSGI_SERVERS + FLOOR,
    body=b"",
    file_bytes=10 * MIB,
    connections=HUGE_CONNECTIONS,
)

PATH = os.environ.get(FILE, "")
PIECE = 256 * KIB


def pieces(file: BinaryIO) -> Iterator[bytes]:
    """Yield the file's content and close it."""
    with file:
        while piece := file.read(PIECE):
            yield piece


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer every request with the file."""
    start_response("200 OK", wsgi_64k.headers(SCENARIO.file_bytes))
    file = open(PATH, "rb", buffering=0)  # noqa: SIM115  (whoever sends it closes it)
    wrapper = environ.get("wsgi.file_wrapper")
    answer: Iterable[bytes] = wrapper(file, PIECE) if wrapper else pieces(file)
    return answer
