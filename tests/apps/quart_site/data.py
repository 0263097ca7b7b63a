"""Routes, bodies in and out, streams, files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

from quart import Blueprint, Response, current_app, make_response, redirect, request, send_file, url_for

import site_parts

blueprint = Blueprint("data", __name__)


@blueprint.get("/items/<int:number>")
async def item(number: int) -> dict[str, Any]:
    return {"item": number, "query": request.args.to_dict(flat=False), "pid": os.getpid()}


@blueprint.get("/pages/<path:page>")
async def page(page: str) -> dict[str, str]:
    return {"page": page}


@blueprint.get("/links")
async def links() -> dict[str, str]:
    return {"item": url_for("data.item", number=7, _external=True)}


@blueprint.get("/old")
async def old() -> Any:
    return redirect(url_for("data.item", number=1), 301)


@blueprint.post("/form")
async def form() -> dict[str, Any]:
    return {"form": (await request.form).to_dict(flat=False)}


@blueprint.post("/json")
async def json() -> dict[str, Any]:
    return {"json": await request.get_json(), "pid": os.getpid()}


@blueprint.post("/files")
async def files() -> dict[str, Any]:
    fields, file = await request.form, (await request.files)["file"]
    digest = site_parts.Digest().read(file.stream)
    return {"title": fields["title"], "name": file.filename, **digest.report()}


@blueprint.put("/uploads/<name>")
async def upload(name: str) -> dict[str, Any]:
    digest = site_parts.Digest()
    async for piece in request.body:
        digest.update(piece)
    return {"name": name, **digest.report()}


@blueprint.get("/lines")
async def lines() -> Response:
    async def produce() -> AsyncIterator[str]:
        for number in range(site_parts.LINES):
            yield f"line {number}\n"

    return Response(produce(), mimetype="text/plain")


@blueprint.get("/events/<name>")
async def events(name: str) -> Any:
    async def ticks() -> AsyncIterator[str]:
        number = 0
        try:
            while True:
                yield site_parts.event(number)
                number += 1
                await asyncio.sleep(site_parts.pause_s(number))
        finally:
            site_parts.note(f"gone {name}")

    fields = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    answer = await make_response(ticks(), fields)
    answer.timeout = None  # Quart ends responses after a minute otherwise
    return answer


@blueprint.post("/later/<name>")
async def later(name: str) -> tuple[dict[str, str], int]:
    current_app.add_background_task(site_parts.work, name, request.args["gate"])
    return {"later": name}, 202


@blueprint.get("/text")
async def text() -> Response:
    return Response(site_parts.LONG_TEXT, mimetype="text/plain")


@blueprint.get("/download")
async def download() -> Response:
    return await send_file(site_parts.BOOK, as_attachment=True, attachment_filename="book.py", conditional=True)


@blueprint.get("/started")
async def started() -> dict[str, str]:
    return {"started": current_app.config["STARTED"]}


@blueprint.get("/broken")
async def broken() -> Response:
    raise RuntimeError("the view is broken")
