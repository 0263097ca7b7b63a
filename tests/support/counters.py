"""Figures of a server's scoreboard, as differences: what came of an exchange, and by which path it went."""

from __future__ import annotations

from collections import Counter

from tests.support import processes
from tests.support.server import Server


def totals(site: Server) -> Counter[str]:
    """Every counter, summed up over all reactors; those of slots with `slot_` before their name."""
    board = site.counters()
    found: Counter[str] = Counter()
    for reactor in board.reactors:
        found.update(reactor)
    for slot in board.slots:
        found.update({f"slot_{name}": value for name, value in slot.items()})
    return found


class Since:
    """What the counters of a server have grown by since this was made."""

    def __init__(self, site: Server) -> None:
        self._site = site
        self._before = totals(site)

    def __getitem__(self, name: str) -> int:
        return totals(self._site)[name] - self._before[name]

    def becomes(self, **figures: int) -> None:
        """Wait until the counters have grown by exactly this: a process may count a moment after a client reads."""
        try:
            processes.wait_until(lambda: self._grown(figures) == figures, f"counters {figures}")
        except AssertionError as error:
            raise AssertionError(f"{error}; they have grown by {self._grown(figures)}") from None

    def passes(self, name: str, least: int = 1) -> None:
        """Wait until one counter has grown by `least` or more."""
        processes.wait_until(lambda: self[name] >= least, f"{name} to grow by {least}; it has by {self[name]}")

    def _grown(self, figures: dict[str, int]) -> dict[str, int]:
        now = totals(self._site)
        return {name: now[name] - self._before[name] for name in figures}


def gauge(site: Server, name: str, value: int = 0) -> None:
    """Wait until what the reactors hold at the moment is so much."""
    processes.wait_until(lambda: totals(site)[name] == value, f"{name} to be {value}")
