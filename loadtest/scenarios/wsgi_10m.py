"""10 MiB from memory, raw WSGI: one bytes object."""

from __future__ import annotations

from dataclasses import replace

from loadtest.scenario import HUGE_CONNECTIONS, MIB, numbered
from loadtest.scenarios import wsgi_64k

SCENARIO = replace(
    wsgi_64k.SCENARIO,
    name="wsgi-10m",
    about="raw WSGI app, 10 MiB from memory",
    app="loadtest.scenarios.wsgi_10m:app",
    body=numbered(10 * MIB),
    connections=HUGE_CONNECTIONS,
)

app = wsgi_64k.answering(SCENARIO.body)
