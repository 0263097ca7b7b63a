"""Handlers for logging configurations: one that starts a thread, one that fails in the processes that a test says."""

from __future__ import annotations

import logging
import os
import threading


class Threaded(logging.Handler):
    """Starts a thread when it is made, as handlers that send over a network may."""

    def __init__(self) -> None:
        super().__init__()
        threading.Thread(target=threading.Event().wait, daemon=True).start()


class NotInWorkers(logging.NullHandler):
    """Cannot be made in a worker while there is a file `flag`. `made`: a file that tells that the master has one."""

    def __init__(self, flag: str, made: str) -> None:
        super().__init__()
        if os.path.exists(made) and os.path.exists(flag):
            raise RuntimeError("not in a worker")
        with open(made, "a"):
            pass
