"""What one WebSocket sends goes to all: 64 bytes of text, 16 messages underway."""

from __future__ import annotations

from dataclasses import replace

from loadtest.scenario import Messages
from loadtest.scenarios import ws_broadcast

SCENARIO = replace(
    ws_broadcast.SCENARIO,
    name="ws-broadcast-16",
    about="WebSocket, 64 bytes of text from one to all, 16 messages underway",
    connections=(1_000,),
    messages=Messages("broadcast", 64, depth=16),
)
