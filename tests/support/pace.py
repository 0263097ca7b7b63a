"""A client's own pace, in bytes a second: it waits because it is slow, not in the hope that something happens."""

from __future__ import annotations

import time


class Pace:
    """A token bucket that starts empty. rate_bytes_s: 0 for as fast as it goes."""

    def __init__(self, rate_bytes_s: float) -> None:
        self._rate_bytes_s = rate_bytes_s
        self._begun = time.monotonic()
        self._taken = 0

    def take(self, count: int) -> None:
        """Wait until so many bytes more are due."""
        self._taken += count
        if self._rate_bytes_s:
            due = self._begun + self._taken / self._rate_bytes_s
            time.sleep(max(0.0, due - time.monotonic()))
