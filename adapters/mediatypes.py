"""Which media types are compressed. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

EVENT_STREAM: Final = b"text/event-stream"


class MediaTypes:
    """`types`: as swhttp.compressing.parse_types gives them: `type/subtype`, `type/*`, `+suffix`."""

    def __init__(self, types: Iterable[str]) -> None:
        names = [name.encode() for name in types]
        self._exact = frozenset(name for name in names if not name.endswith(b"/*") and not name.startswith(b"+"))
        self._groups = tuple(name[:-1] for name in names if name.endswith(b"/*"))
        self._suffixes = tuple(name for name in names if name.startswith(b"+"))

    def holds(self, content_type: bytes) -> bool:
        """Whether the value of a Content-Type is of one of them. Event streams have to be named: `text/*` is not
        enough, for each event becomes larger by a few bytes, and proxies may take a compressed stream for a page."""
        name = content_type.partition(b";")[0].strip(b" \t").lower()
        if name in self._exact:
            return True
        return name != EVENT_STREAM and (name.startswith(self._groups) or name.endswith(self._suffixes))
