"""What user processes run. They say on stderr what they do."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from typing import Any


def say(line: str) -> None:
    os.write(2, f"program {line} {os.getpid()}\n".encode())


def waits() -> None:
    """Until it is told to leave, which it knows nothing of."""
    say("waits")
    threading.Event().wait()


def waits_with_a_handler() -> None:
    """Leaves as it wants to."""
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    say("has a handler")
    while not told.wait(0.05):  # a handler runs between two of these
        pass
    say("says good-bye")


def stays() -> None:
    """Whatever it is told."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say("stays")
    threading.Event().wait()


def returns() -> None:
    say("returns")


async def raises() -> None:
    await asyncio.sleep(0)
    raise ValueError("this program raises")


async def survives() -> None:
    say("survives")
    await asyncio.Event().wait()


survives.survives_reload = True  # type: ignore[attr-defined]

no_program: Any = 7
