"""Reads a server's log as it is written and lets a test wait for a line.

Owns the reading end of the server's stderr pipe and one thread. The end of the pipe is itself an event: it
comes when the last process of the server has gone.
"""

from __future__ import annotations

import array
import fcntl
import os
import re
import select
import termios
import threading
import time
from typing import IO

ALARM = re.compile(
    r"\[(ERROR|CRITICAL)\]|Traceback \(most recent call last\)|^Fatal Python error|AddressSanitizer"
)


class LogTail:
    """Lines of one server's stderr, in order, without their newline."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.lines: list[str] = []
        self.ended = False
        self._stream = stream
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True, name="log-tail")
        self._thread.start()

    def _read(self) -> None:
        fd = self._stream.fileno()
        partial = b""
        while not self.ended:
            select.select([fd], [], [])
            with self._changed:  # held over the read: what has left the pipe is in `lines`
                data = os.read(fd, 65536)
                *whole, partial = (partial + (data or (b"\n" if partial else b""))).split(b"\n")
                # latin-1: the bytes as they are, so that a test can look for control characters.
                self.lines.extend(line.decode("latin-1") for line in whole)
                self.ended = not data
                self._changed.notify_all()

    def catch_up(self, timeout_s: float = 10.0) -> None:
        """Wait until everything that the server has written so far has been read."""
        deadline = time.monotonic() + timeout_s
        unread = array.array("i", [0])
        with self._changed:
            while not self.ended:
                fcntl.ioctl(self._stream, termios.FIONREAD, unread)
                if unread[0] == 0:
                    return
                if not self._changed.wait(deadline - time.monotonic()):
                    raise AssertionError(f"the log is still being written after {timeout_s} s")

    def mark(self) -> int:
        """A position: pass it as `since` to look only at what comes later."""
        with self._changed:
            return len(self.lines)

    def wait_for(
        self, pattern: str, timeout_s: float = 10.0, since: int = 0, count: int = 1
    ) -> list[re.Match[str]]:
        """Wait for `count` lines that match; returns their matches, or AssertionError at the deadline."""
        expression = re.compile(pattern)
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                found = [match for line in self.lines[since:] if (match := expression.search(line))]
                if len(found) >= count:
                    return found
                left_s = deadline - time.monotonic()
                why = "the log ended" if self.ended else f"{timeout_s} s passed"
                if self.ended or left_s <= 0:
                    raise AssertionError(f"{why} without {count} x {pattern!r}; the log:\n{self.text(since)}")
                self._changed.wait(left_s)

    def text(self, since: int = 0) -> str:
        """The lines since a mark as one string."""
        return "\n".join(self.lines[since:])

    def alarms(self, since: int, expected: list[str]) -> list[str]:
        """Lines of level ERROR or above and tracebacks since a mark that no `expected` pattern allows."""
        with self._changed:
            lines = self.lines[since:]
        return [
            line
            for line in lines
            if ALARM.search(line) and not any(re.search(pattern, line) for pattern in expected)
        ]

    def join(self, timeout_s: float) -> bool:
        """Wait for the end of the pipe: nobody holds the server's stderr any more; False at the deadline."""
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            return False
        self._stream.close()
        return True
