"""The manager's lines for the log, and its entries for the slow log: they go to the master, who writes them.

It owns how many of them may wait. A master that waits itself, for whoever reads its log, must not cost the manager
memory without end: what comes then is lost, and counted.
"""

from __future__ import annotations

import logging

from swhttp import limits, slowlog
from swhttp.messages import Channel


class MasterLog:
    """`master`: the channel to it, on which other messages go too."""

    def __init__(self, master: Channel) -> None:
        self._master = master
        self._lost = 0

    def line(self, level: int, text: str) -> None:
        """Log a line."""
        if self._is_open():
            self._master.send("log", level=level, text=text[:limits.MAX_LOG_TEXT_CHARS])

    def entry(self, headline: str, body: str) -> None:
        """Write an entry into the slow log, whole or not at all."""
        if self._is_open():
            for piece, more in slowlog.pieces(headline, body):
                self._master.send("entry", text=piece, more=int(more))

    def _is_open(self) -> bool:
        if self._master.waiting >= limits.LOG_BACKLOG:
            self._lost += 1
            return False
        if self._lost:
            text = f"The log was not taken: lost are lines and entries: {self._lost}"
            self._lost = 0
            self._master.send("log", level=logging.WARNING, text=text)
        return True
