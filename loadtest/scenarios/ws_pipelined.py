"""WebSocket messages of 32 bytes of text, sent back: each socket has 16 of them underway."""

from __future__ import annotations

from dataclasses import replace

from loadtest.scenario import Messages
from loadtest.scenarios import ws_echo_32

SCENARIO = replace(
    ws_echo_32.SCENARIO,
    name="ws-pipelined",
    about="WebSocket, 32 bytes of text sent back, 16 messages underway on each socket",
    messages=Messages("echo", 32, depth=16),
)
