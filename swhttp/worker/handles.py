"""Handles of uvloop, out of the way when memory of a crowd is to be given back.

uvloop keeps the last KEPT handles that were done with for the next calls. Those of a crowd lie here and there in all
the memory that it had, and Python gives back no arena in which anything lies. So as many from before the crowd are
kept here, and take their place.
"""

from __future__ import annotations

import asyncio
import contextvars

KEPT = 250  # uvloop's DEFAULT_FREELIST_SIZE


class Handles:
    """Those from before, of one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ours = self._take()
        self._theirs: list[asyncio.Handle] = []

    def swap(self) -> None:
        """Let go of those that the loop keeps. Takes a turn of the loop."""
        self._theirs = self._take()
        self._ours = []  # the loop keeps these now
        self._loop.call_soon(self._swapped)

    def _take(self) -> list[asyncio.Handle]:
        context = contextvars.Context()  # else each had one of its own
        return [self._loop.call_soon(_nothing, context=context) for _ in range(KEPT)]

    def _swapped(self) -> None:
        self._theirs = []  # it has enough: these are freed
        self._ours = self._take()


def _nothing() -> None:
    """Called by the loop."""
