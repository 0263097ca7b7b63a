"""Hooks that raise, hang and end their process."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any


def on_start(told: Any) -> None:
    raise ValueError("this hook raises")


def on_manager_start(told: Any) -> None:
    sys.exit("this hook leaves")


def on_worker_start(told: Any) -> None:
    raise KeyboardInterrupt


async def on_worker_stop(told: Any) -> None:
    raise ValueError("this hook raises at the end")


def on_worker_error(told: Any) -> None:
    if os.environ["ON_ERROR"] == "hang":
        os.write(2, b"a hook hangs\n")
        threading.Event().wait()
    os._exit(77)


def on_shutdown(told: Any) -> None:
    os.write(2, b"the last hook\n")
