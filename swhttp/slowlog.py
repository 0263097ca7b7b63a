"""Where it is said which requests take too long: the server's own log, or a file of its own.

It owns that file. It belongs to the master: entries come from the manager in pieces, for one is larger than a message.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from swhttp import limits
from swhttp.errors import ExitCode, ServerError
from swhttp.logforms import JsonForm, TextForm
from swhttp.loghandlers import AppendingHandler, FdHandler, StderrHandler
from swhttp.logs import STDERR, log
from swhttp.privileges import Identity


def pieces(headline: str, body: str) -> Iterator[tuple[str, bool]]:
    """An entry in pieces, and whether more of it follow. Both texts are ASCII, the headline is one line."""
    text = f"{headline}\n{body}"
    size = limits.ENTRY_PIECE_CHARS
    for start in range(0, len(text), size):
        yield text[start:start + size], start + size < len(text)


class SlowLog:
    """`path`: of its file, STDERR, or "" for the server's own log; `form`: text or json; `identity`: whom this process
    will be, if that is another.

    Raises ServerError when the file cannot be written.
    """

    def __init__(self, path: str, form: str, identity: Identity | None = None) -> None:
        self._handler: FdHandler | None = None
        self._pieces: list[str] = []
        if not path:
            return
        try:
            self._handler = StderrHandler() if path == STDERR else AppendingHandler(path, "slow log", identity)
        except OSError as error:
            raise ServerError(f"Cannot write the slow log {path!r}: {error.strerror}", ExitCode.FILE) from None
        self._handler.setFormatter(JsonForm() if form == "json" else TextForm())

    def add(self, piece: str, more: bool) -> None:
        """A piece has come; write the entry if it is the last one."""
        self._pieces.append(piece)
        if more:
            return
        headline, _, body = "".join(self._pieces).partition("\n")
        self._pieces.clear()
        record = log.makeRecord(log.name, logging.WARNING, "", 0, "%s", (headline,), None, sinfo=body)
        if self._handler is not None:
            self._handler.handle(record)
        elif log.isEnabledFor(logging.WARNING):
            log.handle(record)

    def becomes(self, identity: Identity, path: str) -> None:
        """This process will be `identity`, and find the file at `path`."""
        if isinstance(self._handler, AppendingHandler):
            self._handler.becomes(identity, path)

    def reopen(self) -> str:
        """Go on in a new file if this one has been moved away. Returns why that is impossible, or ""."""
        return self._handler.follow() if self._handler is not None else ""

    def close(self) -> None:
        """Close the file."""
        if self._handler is not None:
            self._handler.let_go()
