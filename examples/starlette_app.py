"""A small Starlette site: `swhttp starlette_app:app --app-dir examples`.

Shows a lifespan whose state every request can see.

    curl http://127.0.0.1:8000/
    curl --json '[1, 2, 3]' http://127.0.0.1:8000/sum
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from typing import TypedDict

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route


class State(TypedDict):
    """What startup makes and every request can see."""

    started_at: float


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[State]:
    """Runs once in each worker: open pools here, close them after the yield."""
    yield {"started_at": time.time()}


async def index(request: Request) -> Response:
    """How long this worker has been up."""
    return PlainTextResponse(f"Hello! I have been up for {time.time() - request.state.started_at:.0f} s.\n")


async def add(request: Request) -> Response:
    """JSON in, JSON out."""
    return JSONResponse({"sum": sum(await request.json())})


app = Starlette(routes=[Route("/", index), Route("/sum", add, methods=["POST"])], lifespan=lifespan)
