"""The same small site as flask_site.py in FastAPI, with a sync endpoint that runs in a thread."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse
from pydantic import BaseModel

app = FastAPI()


class Order(BaseModel):
    """What /json takes."""

    name: str
    count: int
    tags: list[str] = []


@app.get("/hello/{name}")
def hello(name: str, request: Request) -> dict[str, Any]:
    return {"hello": name, "query": dict(request.query_params), "pid": os.getpid()}


@app.post("/form")
async def form(request: Request) -> dict[str, Any]:
    return {"form": dict(parse_qsl((await request.body()).decode())), "pid": os.getpid()}


@app.post("/json")
async def json(order: Order) -> dict[str, Any]:
    return {"json": order.model_dump(), "pid": os.getpid()}


@app.get("/login")
async def login() -> Response:
    answer = RedirectResponse("/hello/you", 302)
    answer.set_cookie("session", "s3cret", httponly=True)
    answer.set_cookie("theme", "dark")
    return answer


@app.get("/stream")
async def stream() -> Response:
    async def lines() -> AsyncIterator[str]:
        for number in range(100):
            yield f"line {number}\n"

    return StreamingResponse(lines(), media_type="text/plain")


@app.get("/broken")
async def broken() -> None:
    raise RuntimeError("the view is broken")
