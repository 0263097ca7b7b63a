"""Medians and spreads of samples: pure, no I/O.

A sample with faults never enters a figure; how many there were, and why, travels along.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from loadtest.rounds import Sample

Key = tuple[str, str, int]  # scenario, server, connections

METRICS = (
    *("cpu_us", "mib_per_cpu_s", "per_second", "p50_us", "p99_us", "pss_kib", "idle_kib"),
    *("root_kib", "own_kib", "per_cpu_s", "client_us"),
)


@dataclass(frozen=True)
class Figure:
    """A median over rounds and the range that it comes from."""

    median: float
    lowest: float
    highest: float

    @property
    def spread(self) -> float:
        """The range over the median: 0.1 means that the rounds lie within 10 % of each other."""
        return (self.highest - self.lowest) / self.median if self.median else 0.0


@dataclass(frozen=True)
class Row:
    """All rounds of one server under one load. values: per metric the valid samples, by round."""

    scenario: str
    server: str
    connections: int
    values: dict[str, tuple[float, ...]]
    faults: tuple[str, ...]

    @property
    def valid(self) -> bool:
        """Whether the row may be compared: no round at fault."""
        return not self.faults and bool(self.values["cpu_us"])

    def figure(self, metric: str) -> Figure:
        """Return a metric's figure; ValueError when no sample is valid."""
        values = self.values[metric]
        if not values:
            raise ValueError(f"no valid sample of {self.server} in {self.scenario}")
        return Figure(statistics.median(values), min(values), max(values))


def rows(samples: Iterable[Sample]) -> dict[Key, Row]:
    """Group samples by scenario, server and connections, keeping the order of first appearance."""
    groups: dict[Key, list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.scenario, sample.server, sample.connections), []).append(sample)
    return {
        key: Row(
            *key,
            values={m: tuple(float(getattr(s, m)) for s in group if not s.faults) for m in METRICS},
            faults=tuple(fault for s in group for fault in s.faults),
        )
        for key, group in groups.items()
    }
