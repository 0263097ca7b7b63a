"""10,000 WebSockets that have had one message back each and then stay silent."""

from __future__ import annotations

from dataclasses import replace

from loadtest.scenario import Messages
from loadtest.scenarios import ws_echo_32

SCENARIO = replace(
    ws_echo_32.SCENARIO,
    name="ws-idle",
    about="memory of an idle WebSocket, 10,000 of them",
    messages=Messages("idle", 32),
    idle_connections=10_000,
)
