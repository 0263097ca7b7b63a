"""How a record of the server's log reads: as text for people, or as JSON for programs. Pure.

    2026-11-23 21:00:00 +0000 [PID] [INFO] message
    {"time": "2026-11-23T21:00:00.123+00:00", "level": "INFO", "logger": "swhttp", "pid": 1, "message": "message"}

A message is one line in both: what comes from clients, file names or the application must not look like a line of
ours, nor reach a terminal as a command. A traceback has its lines in text, indented, since an exception may quote what
a client has sent; in JSON it is one string.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

_DATE: Final = "%Y-%m-%d %H:%M:%S %z"
_PLAIN: Final = logging.Formatter()
# C0 but the tab, DEL, C1 (which holds NEL, a line end, and CSI, which begins commands to terminals), LS and PS.
_CONTROLS: Final = (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)
_ESCAPES: Final = {code: chr(code).encode("unicode_escape").decode() for code in _CONTROLS if code != 0x09}
_ESCAPES_IN_LINES: Final = {code: escape for code, escape in _ESCAPES.items() if code != 0x0A}
_COLOURS: Final = {"DEBUG": "36", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}
# What reactors report: an answer of the master's own, or why it gave up a connection.
_REPORT: Final = re.compile(r"(?:(?P<status>[0-9]{3}) )?reason=(?P<reason>[a-z0-9-]+)(?: client=(?P<client>\S+))?")


def takes_colours(fd: int, environ: Mapping[str, str]) -> bool:
    """Whether what is written to `fd` may be coloured: it is a terminal, and nobody minds (https://no-color.org)."""
    if environ.get("NO_COLOR") or environ.get("TERM", "dumb") == "dumb":
        return False
    try:
        return os.isatty(fd)
    except OSError:
        return False


def one_line(text: str) -> str:
    """`text` with escapes for what would end its line, or be a command to a terminal."""
    return text.translate(_ESCAPES)


def escaped_lines(text: str) -> str:
    """The same for a text that may have lines, as a traceback."""
    return text.translate(_ESCAPES_IN_LINES)


class TextForm(logging.Formatter):
    """One line, and those of the traceback. `coloured`: the level's name is."""

    def __init__(self, coloured: bool = False) -> None:
        super().__init__()
        self._coloured = coloured

    def format(self, record: logging.LogRecord) -> str:
        """The record, without a newline at its end."""
        level = record.levelname
        if self._coloured and level in _COLOURS:
            level = f"\x1b[{_COLOURS[level]}m{level}\x1b[0m"
        lines = [f"{self.formatTime(record, _DATE)} [{record.process}] [{level}] {one_line(record.getMessage())}"]
        for text in (_exception(record), record.stack_info):
            lines += escaped_lines(text).split("\n") if text else ()
        return "\n  ".join(lines)


class JsonForm(logging.Formatter):
    """One object on one line of ASCII (RFC 8259); `status`, `reason` and `client` where a message has them."""

    def format(self, record: logging.LogRecord) -> str:
        """The record, without a newline at its end."""
        message = record.getMessage()
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds"),
            "level": record.levelname, "logger": record.name, "pid": record.process, "message": message}
        if (report := _REPORT.match(message)) is not None:
            fields |= {name: text for name, text in report.groupdict().items() if text is not None}
            if "status" in fields:
                fields["status"] = int(fields["status"])
        if exception := _exception(record):
            fields["exception"] = exception
        if record.stack_info:
            fields["stack"] = record.stack_info
        return json.dumps(fields)


def _exception(record: logging.LogRecord) -> str:
    if record.exc_info and record.exc_info[0] is not None:
        return _PLAIN.formatException(record.exc_info)
    return record.exc_text or ""
