"""A WebSocket message of 1 KiB of text, sent back."""

from __future__ import annotations

from dataclasses import replace

from loadtest.scenario import KIB, Messages
from loadtest.scenarios import ws_echo_32

SCENARIO = replace(
    ws_echo_32.SCENARIO,
    name="ws-echo-1k",
    about="WebSocket, 1 KiB of text sent back",
    messages=Messages("echo", KIB),
)
