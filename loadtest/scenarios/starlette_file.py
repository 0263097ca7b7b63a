"""A file of 10 MiB, Starlette's FileResponse: pathsend where the server has it, else read in threads by 64 KiB."""

from __future__ import annotations

from dataclasses import replace

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

from loadtest.scenarios import asgi_file

SCENARIO = replace(
    asgi_file.SCENARIO,
    name="starlette-file",
    about="Starlette, FileResponse of 10 MiB",
    app="loadtest.scenarios.starlette_file:app",
    servers=asgi_file.SERVERS,
)


async def download(request: Request) -> FileResponse:
    """Answer with the file."""
    return FileResponse(asgi_file.PATH)


app = Starlette(routes=[Route("/", download)])
