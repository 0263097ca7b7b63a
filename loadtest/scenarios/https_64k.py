"""64 KiB from memory, over TLS."""

from __future__ import annotations

from loadtest.scenario import KIB, LARGE_CONNECTIONS, TLS_SERVERS, Scenario, numbered

SCENARIO = Scenario(
    name="https-64k",
    about="raw ASGI app, 64 KiB from memory, HTTPS",
    app="loadtest.scenarios.asgi_64k:app",
    interface="asgi",
    servers=TLS_SERVERS,
    body=numbered(64 * KIB),
    connections=LARGE_CONNECTIONS,
    secure=True,
)
