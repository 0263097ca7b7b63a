"""The server's own log: stdlib logging to stderr, one line an event, the same form in every process.

`2026-11-23 21:00:00 +0000 [PID] [INFO] message`. Only the loggers below `swhttp` are touched: the root logger is
the application's. Reactor threads never log; the master's main thread writes what they report.
"""

from __future__ import annotations

import logging
import sys
from typing import Final

LEVELS: Final = ("debug", "info", "warning", "error", "critical")
log: Final = logging.getLogger("swhttp")


def configure(level: str) -> None:
    """Send the server's log to stderr. `level`: one of LEVELS."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(
        "%(asctime)s [%(process)d] [%(levelname)s] %(message)s", "%Y-%m-%d %H:%M:%S %z"))
    log.handlers[:] = [handler]
    log.propagate = False
    log.setLevel(level.upper())
