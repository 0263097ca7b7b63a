"""The site in Flask, with what slow clients ask for (crowded.py) beside its own."""

from __future__ import annotations

from flask import Response, request

from crowded import PIECE, pieces
from flask_site import create_app

app = create_app()


@app.get("/large")
def large() -> Response:
    """So many bytes, from memory, in pieces of 64 KiB."""
    size, answer = pieces(request.query_string.decode())
    return Response(answer, headers={"Content-Length": str(size)})


@app.post("/upload")
def upload() -> str:
    """Reads a body to its end, and answers with its length."""
    return str(sum(map(len, iter(lambda: request.stream.read(len(PIECE)), b""))))
