"""Routes, bodies in and out, streams, files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Annotated, Any

from litestar import MediaType, Request, Response, get, post, put
from litestar.background_tasks import BackgroundTask
from litestar.datastructures import State, UploadFile
from litestar.enums import RequestEncodingType
from litestar.params import Body
from litestar.response import File, Redirect, ServerSentEvent, ServerSentEventMessage, Stream

import site_parts


@get("/items/{number:int}", name="item")
async def item(number: int, request: Request[Any, Any, Any]) -> dict[str, Any]:
    return {"item": number, "query": request.query_params.dict(), "pid": os.getpid()}


@get("/pages/{page:path}")
async def page(page: str) -> dict[str, str]:
    return {"page": page.removeprefix("/")}


@get("/links")
async def links(request: Request[Any, Any, Any]) -> dict[str, str]:
    return {"item": str(request.base_url).rstrip("/") + request.app.route_reverse("item", number=7)}


@get("/old")
async def old(request: Request[Any, Any, Any]) -> Redirect:
    return Redirect(request.app.route_reverse("item", number=1), status_code=301)


@post("/form", status_code=200)
async def form(request: Request[Any, Any, Any]) -> dict[str, Any]:
    return {"form": (await request.form()).dict()}


@post("/json", status_code=200)
async def json(data: dict[str, Any]) -> dict[str, Any]:
    return {"json": data, "pid": os.getpid()}


@post("/files", status_code=200)
async def files(
    data: Annotated[dict[str, Any], Body(media_type=RequestEncodingType.MULTI_PART)],
) -> dict[str, Any]:
    file: UploadFile = data["file"]
    digest = site_parts.Digest()
    while piece := await file.read(site_parts.PIECE_BYTES):
        digest.update(piece)
    await file.close()
    return {"title": data["title"], "name": file.filename, **digest.report()}


@put("/uploads/{name:str}", request_max_body_size=None)
async def upload(name: str, request: Request[Any, Any, Any]) -> dict[str, Any]:
    digest = site_parts.Digest()
    async for piece in request.stream():
        digest.update(piece)
    return {"name": name, **digest.report()}


@get("/lines")
async def lines() -> Stream:
    async def produce() -> AsyncIterator[str]:
        for number in range(site_parts.LINES):
            yield f"line {number}\n"

    return Stream(produce(), media_type=MediaType.TEXT)


@get("/events/{name:str}")
async def events(name: str) -> ServerSentEvent:
    async def ticks() -> AsyncIterator[ServerSentEventMessage]:
        number = 0
        try:
            while True:
                yield ServerSentEventMessage(event="tick", data=f'{{"number": {number}}}', sep="\n")
                number += 1
                await asyncio.sleep(site_parts.pause_s(number))
        finally:
            site_parts.note(f"gone {name}")

    return ServerSentEvent(ticks())  # with X-Accel-Buffering: no


@post("/later/{name:str}", status_code=202)
async def later(name: str, gate: str) -> Response[dict[str, str]]:
    task = BackgroundTask(asyncio.to_thread, site_parts.work, name, gate)
    return Response({"later": name}, background=task)


@get("/text", media_type=MediaType.TEXT)
async def text() -> str:
    return site_parts.LONG_TEXT


@get("/download")
async def download() -> File:
    return File(site_parts.BOOK, filename="book.py")


@get("/started")
async def started(state: State) -> dict[str, str]:
    return {"started": state.started}


@get("/broken")
async def broken() -> None:
    raise RuntimeError("the view is broken")


handlers = [
    item, page, links, old, form, json, files, upload, lines, events, later, text, download, started, broken,
]
