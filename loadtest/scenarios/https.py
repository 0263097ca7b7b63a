"""The least an ASGI app can do, over TLS: what a keep-alive request costs beside its handshake."""

from __future__ import annotations

from loadtest.scenario import TLS_SERVERS, Scenario

SCENARIO = Scenario(
    name="https",
    about="raw ASGI app, 13-byte body, HTTPS",
    app="loadtest.scenarios.raw_asgi:app",
    interface="asgi",
    servers=TLS_SERVERS,
    body=b"Hello, World!",
    secure=True,
)
