"""10,000 keep-alive connections that have had one answer each and then stay silent."""

from __future__ import annotations

from dataclasses import replace

from loadtest.scenarios import raw_asgi

SCENARIO = replace(
    raw_asgi.SCENARIO,
    name="idle",
    about="memory of an idle keep-alive connection, 10,000 of them",
    idle_connections=10_000,
)
