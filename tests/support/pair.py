"""Two processes that do the same thing at the same moment, as often as they are asked."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

END_TIMEOUT_S = 10.0


class Pair:
    """`command` says "there" on its stdout; then, for each byte on its stdin, does something and says a line of it."""

    def __init__(self, command: Sequence[str], directory: Path) -> None:
        self._both = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=directory, text=True)
            for _ in range(2)
        ]
        assert self._lines() == ["there"] * 2

    def _lines(self) -> list[str]:
        lines = []
        for one in self._both:
            assert one.stdout is not None
            lines.append(one.stdout.readline().strip())
        return lines

    def ask(self) -> list[str]:
        """What each says to the next byte."""
        for one in self._both:
            assert one.stdin is not None
            one.stdin.write(".")
            one.stdin.flush()
        return self._lines()

    def end(self) -> None:
        """End both; AssertionError unless they end well."""
        for one in self._both:
            one.communicate(timeout=END_TIMEOUT_S)
            assert one.returncode == 0
