"""FastAPI: one async endpoint that answers JSON."""

from __future__ import annotations

from fastapi import FastAPI

from loadtest.scenario import ASGI_SERVERS, Scenario

SCENARIO = Scenario(
    name="fastapi",
    about="FastAPI, one async endpoint, JSON",
    app="loadtest.scenarios.fastapi:app",
    interface="asgi",
    servers=ASGI_SERVERS,
    body=b'{"message":"Hello, World!"}',
)

app = FastAPI(openapi_url=None)


@app.get("/")
async def hello() -> dict[str, str]:
    """Answer with a JSON object."""
    return {"message": "Hello, World!"}
