"""Routes, bodies in and out, streams, files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

from starlette.background import BackgroundTask
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

import site_parts


def _lists(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    lists: dict[str, list[str]] = {}
    for name, value in pairs:
        lists.setdefault(name, []).append(value)
    return lists


async def item(request: Request) -> Response:
    query = _lists(request.query_params.multi_items())
    return JSONResponse({"item": request.path_params["number"], "query": query, "pid": os.getpid()})


async def page(request: Request) -> Response:
    return JSONResponse({"page": request.path_params["page"]})


async def links(request: Request) -> Response:
    return JSONResponse({"item": str(request.url_for("item", number=7))})


async def old(request: Request) -> Response:
    return RedirectResponse(request.url_for("item", number=1), 301)


async def form(request: Request) -> Response:
    async with request.form() as fields:
        return JSONResponse({"form": _lists([(name, str(value)) for name, value in fields.multi_items()])})


async def json(request: Request) -> Response:
    try:
        return JSONResponse({"json": await request.json(), "pid": os.getpid()})
    except ValueError:
        return PlainTextResponse("that is no JSON", 400)


async def files(request: Request) -> Response:
    async with request.form() as fields:
        file = fields["file"]
        assert isinstance(file, UploadFile)
        digest = site_parts.Digest().read(file.file)
        return JSONResponse({"title": fields["title"], "name": file.filename, **digest.report()})


async def upload(request: Request) -> Response:
    digest = site_parts.Digest()
    async for piece in request.stream():
        digest.update(piece)
    return JSONResponse({"name": request.path_params["name"], **digest.report()})


async def lines(request: Request) -> Response:
    return StreamingResponse((f"line {number}\n" for number in range(site_parts.LINES)), media_type="text/plain")


async def events(request: Request) -> Response:
    async def ticks() -> AsyncIterator[str]:
        number = 0
        try:
            while True:
                yield site_parts.event(number)
                number += 1
                await asyncio.sleep(site_parts.pause_s(number))
        finally:
            site_parts.note(f"gone {request.path_params['name']}")

    fields = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(ticks(), media_type="text/event-stream", headers=fields)


async def later(request: Request) -> Response:
    name = request.path_params["name"]
    task = BackgroundTask(site_parts.work, name, request.query_params["gate"])
    return JSONResponse({"later": name}, 202, background=task)


async def text(request: Request) -> Response:
    return PlainTextResponse(site_parts.LONG_TEXT)


async def download(request: Request) -> Response:
    return FileResponse(site_parts.BOOK, filename="book.py")


async def started(request: Request) -> Response:
    return JSONResponse({"started": request.state.started})


async def broken(request: Request) -> Response:
    raise RuntimeError("the view is broken")


routes = [
    Route("/items/{number:int}", item, name="item"),
    Route("/pages/{page:path}", page),
    Route("/links", links),
    Route("/old", old),
    Route("/form", form, methods=["POST"]),
    Route("/json", json, methods=["POST"]),
    Route("/files", files, methods=["POST"]),
    Route("/uploads/{name}", upload, methods=["PUT"]),
    Route("/lines", lines),
    Route("/events/{name}", events),
    Route("/later/{name}", later, methods=["POST"]),
    Route("/text", text),
    Route("/download", download),
    Route("/started", started),
    Route("/broken", broken),
]
