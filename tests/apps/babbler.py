"""An app that says to the manager what no worker of ours would: /babble, until it is not taken any more."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from typing import Any

from tests.apps.hostile import our_context


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/babble":
        channel = our_context().channel
        with contextlib.suppress(BlockingIOError):
            for number in range(5000):
                channel.send(b'{"kind": "nonsense"}' if number % 2 else b"no JSON")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
