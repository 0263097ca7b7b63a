"""A WSGI app that keeps a mebibyte of memory for each request."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

kept: list[bytes] = []


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    kept.append(os.urandom(1 << 20))
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
