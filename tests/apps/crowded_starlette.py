"""The site in Starlette, with what slow clients ask for (crowded.py) beside its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from crowded import pieces
from starlette_site import app


async def large(request: Request) -> Response:
    """So many bytes, from memory, in pieces of 64 KiB."""
    size, answer = pieces(request.url.query)

    async def body() -> AsyncIterator[bytes]:
        for piece in answer:
            yield piece

    return StreamingResponse(body(), headers={"Content-Length": str(size)})


async def upload(request: Request) -> Response:
    """Reads a body to its end, and answers with its length."""
    taken = 0
    async for piece in request.stream():
        taken += len(piece)
    return PlainTextResponse(str(taken))


app.router.routes[:0] = [Route("/large", large), Route("/upload", upload, methods=["POST"])]
