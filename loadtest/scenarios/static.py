"""A file of 100 KiB, served by the server itself without the app: --static, granian's static mount, nginx's root."""

from __future__ import annotations

from dataclasses import replace

from loadtest.scenario import FLOOR, KIB, LARGE_CONNECTIONS
from loadtest.scenarios import raw_asgi

SCENARIO = replace(
    raw_asgi.SCENARIO,
    name="static",
    about="static file of 100 KiB, no app",
    servers=("swhttp", "granian", *FLOOR),
    body=b"",
    file_bytes=100 * KIB,
    static=True,
    connections=LARGE_CONNECTIONS,
)
