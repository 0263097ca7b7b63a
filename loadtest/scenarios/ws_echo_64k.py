"""A WebSocket message of 64 KiB, binary, sent back."""

from __future__ import annotations

from dataclasses import replace

from loadtest.scenario import KIB, Messages
from loadtest.scenarios import ws_echo_32

SCENARIO = replace(
    ws_echo_32.SCENARIO,
    name="ws-echo-64k",
    about="WebSocket, 64 KiB sent back",
    messages=Messages("echo", 64 * KIB, binary=True),
)
