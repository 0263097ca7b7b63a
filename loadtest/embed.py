"""Starts the servers that are libraries.

`python -m loadtest.embed bjoern|fastpysgi module:attr PORT BACKLOG`
"""

from __future__ import annotations

import importlib
import inspect
import sys
from typing import Any

# fastpysgi's own is 10,000,000, less than 10 MiB; this is swhttp's.
MAX_CONTENT_LENGTH = 100 << 20


def serve(server: str, app: Any, port: int, backlog: int) -> None:
    """Serve `app` on 127.0.0.1:port until a signal ends the process; ValueError for an unknown server.

    fastpysgi serves ASGI on asyncio's loop unless it is lent a faster one: uvloop saves it a tenth.
    """
    if server == "bjoern":
        bjoern = importlib.import_module("bjoern")
        bjoern.run(app, "127.0.0.1", port, listen_backlog=backlog)
    elif server == "fastpysgi":
        fastpysgi = importlib.import_module("fastpysgi")
        fastpysgi.server.backlog = backlog
        fastpysgi.server.max_content_length = MAX_CONTENT_LENGTH
        if inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(type(app).__call__):
            fastpysgi.server.loop = importlib.import_module("uvloop").new_event_loop()
        fastpysgi.run(app, "127.0.0.1", port, loglevel=fastpysgi.LL_ERROR)
    else:
        raise ValueError(f"unknown server: {server}")


if __name__ == "__main__":
    name, target, port_text, backlog_text = sys.argv[1:]
    module, _, attribute = target.partition(":")
    serve(name, getattr(importlib.import_module(module), attribute), int(port_text), int(backlog_text))
