"""10 MiB from memory, raw ASGI: one message with the whole body."""

from __future__ import annotations

from dataclasses import replace

from loadtest.scenario import HUGE_CONNECTIONS, MIB, numbered
from loadtest.scenarios import asgi_64k

SCENARIO = replace(
    asgi_64k.SCENARIO,
    name="asgi-10m",
    about="raw ASGI app, 10 MiB from memory",
    app="loadtest.scenarios.asgi_10m:app",
    body=numbered(10 * MIB),
    connections=HUGE_CONNECTIONS,
)

app = asgi_64k.answering(SCENARIO.body)
