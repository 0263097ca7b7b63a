"""Routes, bodies in and out, streams, files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Form, Request, UploadFile
from fastapi.responses import FileResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from pydantic import BaseModel

import site_parts

router = APIRouter()


class Order(BaseModel):
    """What /json takes."""

    name: str
    count: int
    tags: list[str] = []


@router.get("/items/{number:int}")
def item(number: int, request: Request) -> dict[str, Any]:
    query = {name: request.query_params.getlist(name) for name in request.query_params}
    return {"item": number, "query": query, "pid": os.getpid()}


@router.get("/pages/{page:path}")
async def page(page: str) -> dict[str, str]:
    return {"page": page}


@router.get("/links")
async def links(request: Request) -> dict[str, str]:
    return {"item": str(request.url_for("item", number=7))}


@router.get("/old")
async def old(request: Request) -> Response:
    return RedirectResponse(request.url_for("item", number=1), 301)


@router.post("/form")
async def form(request: Request) -> dict[str, Any]:
    async with request.form() as fields:
        return {"form": {name: fields.getlist(name) for name in fields}}


@router.post("/json")
async def json(order: Order) -> dict[str, Any]:
    return {"json": order.model_dump(), "pid": os.getpid()}


@router.post("/files")
def files(title: Annotated[str, Form()], file: UploadFile) -> dict[str, Any]:
    return {"title": title, "name": file.filename, **site_parts.Digest().read(file.file).report()}


@router.put("/uploads/{name}")
async def upload(name: str, request: Request) -> dict[str, Any]:
    digest = site_parts.Digest()
    async for piece in request.stream():
        digest.update(piece)
    return {"name": name, **digest.report()}


@router.get("/lines")
async def lines() -> Response:
    async def produce() -> AsyncIterator[str]:
        for number in range(site_parts.LINES):
            yield f"line {number}\n"

    return StreamingResponse(produce(), media_type="text/plain")


@router.get("/events/{name}")
async def events(name: str) -> Response:
    async def ticks() -> AsyncIterator[str]:
        number = 0
        try:
            while True:
                yield site_parts.event(number)
                number += 1
                await asyncio.sleep(site_parts.pause_s(number))
        finally:
            site_parts.note(f"gone {name}")

    fields = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(ticks(), media_type="text/event-stream", headers=fields)


@router.post("/later/{name}", status_code=202)
async def later(name: str, gate: str, tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(site_parts.work, name, gate)
    return {"later": name}


@router.get("/text", response_class=PlainTextResponse)
async def text() -> str:
    return site_parts.LONG_TEXT


@router.get("/download")
async def download() -> FileResponse:
    return FileResponse(site_parts.BOOK, filename="book.py")


@router.get("/started")
async def started(request: Request) -> dict[str, str]:
    return {"started": request.state.started}


@router.get("/broken")
async def broken() -> None:
    raise RuntimeError("the view is broken")
