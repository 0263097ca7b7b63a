"""Signals as events: the handlers do nothing, the numbers arrive at an fd that the main loop waits for."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterable


class SignalInbox:
    """Receives `numbers` for the main thread. Owns a socketpair and Python's wake-up fd.

    Created in the main thread, with signals blocked if none may be lost or act by its default before that.
    """

    def __init__(self, numbers: Iterable[signal.Signals]) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._theirs.setblocking(False)
        self._numbers = frozenset(numbers)
        signal.set_wakeup_fd(self._theirs.fileno(), warn_on_full_buffer=False)
        for number in self._numbers:
            signal.signal(number, _nothing)

    def fileno(self) -> int:
        """The fd that becomes readable, for selectors."""
        return self._ours.fileno()

    def receive(self) -> list[signal.Signals]:
        """The signals that have come, in order."""
        try:
            return [signal.Signals(number) for number in self._ours.recv(4096) if number in self._numbers]
        except BlockingIOError:
            return []

    def close(self) -> None:
        """Stop receiving; the signals are ignored from now on, for the process is about to end."""
        for number in self._numbers:
            signal.signal(number, signal.SIG_IGN)
        signal.set_wakeup_fd(-1)
        self._ours.close()
        self._theirs.close()


def _nothing(number: int, frame: object) -> None:
    """Only a handler of Python's makes the C handler write to the wake-up fd."""
