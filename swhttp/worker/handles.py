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
    """Those from before, of one loop. What is made for them is made once: what is made later would lie there too."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._context = contextvars.Context()  # else each had one of its own
        self._loop = loop
        self._ours: list[asyncio.Handle] = []
        self._theirs: list[asyncio.Handle] = []
        self._take(self._ours, KEPT + 1)

    def swap(self) -> None:
        """Let go of those that the loop keeps. Takes a turn of the loop."""
        if self._theirs or not self._ours:
            return  # that turn has not come yet, or there was no memory for it
        self._take(self._theirs, KEPT)
        self._ours.pop()  # is for this call
        self._loop.call_soon(self._swapped, context=self._context)
        self._ours.clear()  # the loop keeps these now

    def _swapped(self) -> None:
        self._theirs.clear()  # it has enough: these are freed
        self._take(self._ours, KEPT + 1)

    def _take(self, handles: list[asyncio.Handle], count: int) -> None:
        for _ in range(count):
            handles.append(self._loop.call_soon(_nothing, context=self._context))


def _nothing() -> None:
    """Called by the loop."""
