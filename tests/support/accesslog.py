"""Reads a server's access log, whose lines come a moment after the answers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import wait_until

COMBINED = re.compile(
    r'(?P<client>\S+) - - \[(?P<time>[^\]]+)\] "(?P<request>(?:[^"\\]|\\.)*)" (?P<status>\d{3}) (?P<bytes>\d+|-) '
    r'"(?P<referer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Line:
    """A line in the combined format. body_bytes: 0 where the line has a dash."""

    client: str
    time: str
    request: str
    status: int
    body_bytes: int
    referer: str
    agent: str


def line(text: str) -> Line:
    """Parse a line in the combined format; AssertionError when it is none."""
    match = COMBINED.fullmatch(text)
    assert match, f"not a combined line: {text!r}"
    size = 0 if match["bytes"] == "-" else int(match["bytes"])
    return Line(match["client"], match["time"], match["request"], int(match["status"]), size, match["referer"],
                match["agent"])


class AccessLog:
    """The file at `path`. What was in it when this was made is left out, unless `from_start`."""

    def __init__(self, path: str, from_start: bool = False) -> None:
        self.path = Path(path)
        self._from = 0 if from_start else len(self._all())

    @classmethod
    def whole(cls, path: str) -> list[Line]:
        """All lines of a server that has ended."""
        text = Path(path).read_bytes().decode("latin-1")
        assert text.endswith("\n"), "the last line has no end"
        return [line(part) for part in text.split("\n")[:-1]]

    @staticmethod
    def whole_after(path: Path, before: str, count: int) -> list[Line]:
        """Wait until `path` holds `before` and so many lines; these."""
        log = AccessLog(str(path))
        log._from = before.count("\n")
        found = log.lines(count)
        assert path.read_text().startswith(before)
        return found

    def _all(self) -> list[str]:
        try:
            text = self.path.read_bytes().decode("latin-1")
        except FileNotFoundError:
            return []
        return text.split("\n")[:-1]  # not splitlines(), which knows other line ends too

    def texts(self, count: int) -> list[str]:
        """Wait for this many lines; AssertionError when there are more."""
        wait_until(lambda: len(self._all()) - self._from >= count, f"{count} lines of the access log")
        found = self._all()[self._from :]
        assert len(found) == count, f"{len(found)} lines instead of {count}: {found}"
        return found

    def lines(self, count: int) -> list[Line]:
        """The same, parsed."""
        return [line(text) for text in self.texts(count)]
