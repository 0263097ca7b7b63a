"""Routes, bodies in and out, streams, files."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from flask import Blueprint, Response, jsonify, redirect, request, send_file, url_for
from werkzeug.wrappers import Response as AnyResponse

import site_parts

blueprint = Blueprint("data", __name__)


@blueprint.get("/items/<int:number>")
def item(number: int) -> Response:
    return jsonify(item=number, query=request.args.to_dict(flat=False), pid=os.getpid())


@blueprint.get("/pages/<path:page>")
def page(page: str) -> Response:
    return jsonify(page=page)


@blueprint.get("/links")
def links() -> Response:
    return jsonify(item=url_for("data.item", number=7, _external=True))


@blueprint.get("/old")
def old() -> AnyResponse:
    return redirect(url_for("data.item", number=1), 301)


@blueprint.post("/form")
def form() -> Response:
    return jsonify(form=request.form.to_dict(flat=False))


@blueprint.post("/json")
def json() -> Response:
    return jsonify(json=request.get_json(), pid=os.getpid())


@blueprint.post("/files")
def files() -> Response:
    file = request.files["file"]
    digest = site_parts.Digest().read(file.stream)
    return jsonify(title=request.form["title"], name=file.filename, **digest.report())


@blueprint.put("/uploads/<name>")
def upload(name: str) -> Response:
    return jsonify(name=name, **site_parts.Digest().read(request.stream).report())


@blueprint.get("/lines")
def lines() -> Response:
    return Response((f"line {number}\n" for number in range(site_parts.LINES)), mimetype="text/plain")


@blueprint.get("/events/<name>")
def events(name: str) -> Response:
    def ticks() -> Iterator[str]:
        number = 0
        try:
            while True:
                yield site_parts.event(number)
                number += 1
                time.sleep(site_parts.pause_s(number))
        finally:
            site_parts.note(f"gone {name}")

    fields = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return Response(ticks(), mimetype="text/event-stream", headers=fields)


@blueprint.post("/later/<name>")
def later(name: str) -> tuple[Response, int]:
    gate = request.args["gate"]
    answer = jsonify(later=name)
    answer.call_on_close(lambda: site_parts.work(name, gate))
    return answer, 202


@blueprint.get("/text")
def text() -> Response:
    return Response(site_parts.LONG_TEXT, mimetype="text/plain")


@blueprint.get("/download")
def download() -> Response:
    return send_file(site_parts.BOOK, as_attachment=True, download_name="book.py")


@blueprint.get("/started")
def started() -> Response:
    return jsonify(started=None)  # Flask has no startup hook: the import is it


@blueprint.get("/broken")
def broken() -> Response:
    raise RuntimeError("the view is broken")
