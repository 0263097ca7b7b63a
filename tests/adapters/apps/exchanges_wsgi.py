"""exchanges.py for WSGI: what an app can see of the objects behind start_response and write."""

from __future__ import annotations

import gc
import json
import threading
import weakref
from collections.abc import Callable
from typing import Any

KEPT: list[Any] = []
WEAK: list[weakref.ref[Any]] = []
HELD = threading.Barrier(4)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    write = start_response("200 OK", [("Content-Type", "application/json")])
    how = environ["PATH_INFO"][1:]
    mine = (start_response, write, start_response.__self__)  # type: ignore[attr-defined]
    seen: Any = None
    if how == "count":
        seen = sum(type(each) is type(mine[2]) for each in gc.get_objects())
    elif how == "hold":
        HELD.wait(timeout=10)
    elif how == "known":
        seen = any(old is new for old in KEPT for new in mine) or any(old() is not None for old in WEAK)
    elif how.startswith("keep"):
        KEPT.append(mine[int(how[-1])])
    elif how.startswith("weak"):
        WEAK.append(weakref.ref(mine[int(how[-1])]))
    return [json.dumps(seen).encode()]
