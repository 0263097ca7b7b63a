"""Reloads as the master sees them: who waits for one, and how the last one ended. Pure.

A reload is for what the code was when it was asked for, so whoever asks during one waits for the next. The manager
counts how many times it was asked, and says of each reload's end for how many of these it was; the master asks in one
order, so the same count tells it whom to answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

Waiter = Callable[[bool, str], None]
"""Is told how it has ended: well, or not and why not."""


@dataclass
class Reloads:
    """`running`: one is under way; `count`: how many have ended; `ok`, `text`, `ended_s`: how and when the last did."""

    running: bool = False
    count: int = 0
    ok: bool = True
    text: str = ""
    ended_s: float = 0.0
    _asked: int = 0
    _waiting: deque[tuple[int, Waiter]] = field(default_factory=deque)

    def asked(self, waiter: Waiter | None = None) -> None:
        """The manager has been asked for a reload, once more."""
        self._asked += 1
        if waiter is not None:
            self._waiting.append((self._asked, waiter))

    def began(self) -> None:
        """One is under way."""
        self.running = True

    def ended(self, asked: int, ok: bool, text: str, now_s: float) -> None:
        """It has ended, for the first `asked` that wanted one."""
        self.count, self.ok, self.text, self.ended_s, self.running = self.count + 1, ok, text, now_s, False
        self._tell(asked, ok, text)

    def refused(self, why: str, now_s: float) -> None:
        """The manager has not been asked. One that is under way goes on."""
        self.count, self.ok, self.text, self.ended_s = self.count + 1, False, why, now_s

    def abandon(self, why: str) -> None:
        """Nobody will hear of an end."""
        self._tell(self._asked, False, why)

    def _tell(self, asked: int, ok: bool, text: str) -> None:
        while self._waiting and self._waiting[0][0] <= asked:
            self._waiting.popleft()[1](ok, text)
