"""An app that sets fields which the server sets too, as its query says: server, date, bulk=<bytes of a field>."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answers with the variable NAMING."""
    query = dict(parse_qsl(environ["QUERY_STRING"]))
    fields = [("X-One", "app")]
    if "bulk" in query:
        fields.append(("X-Bulk", "b" * int(query.pop("bulk"))))
    start_response("200 OK", fields + [(name.title(), value) for name, value in query.items()])
    return [os.environ.get("NAMING", "").encode()]
