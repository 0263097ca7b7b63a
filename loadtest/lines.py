"""What the gate asks: one line per promise, as a table, and the arithmetic that decides it. Pure, no I/O.

A line compares medians of one run. It falls short when its value is past its limit, and also when a row
that it needs had a fault in any round: a figure that cannot be trusted never passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from loadtest.rounds import DUEL_PAIRS
from loadtest.scenario import CALLBACKS
from loadtest.stats import Key, Row

SUBJECT = "swhttp"
MANY = 5_000
IDLE_CONNECTIONS = 10_000
BYTES = "mib_per_cpu_s"


@dataclass(frozen=True)
class Line:
    """A promise. kind: "ratio" (subject's metric over that of the best of the peers), "duel" (the same against the
    only peer, as the median of the quotients of a duel's pairs), "growth" (the metric at MANY connections over that
    at `connections`, against the only peer's same ratio plus `limit`) or "own" (the subject's metric alone).

    at_most: whether `limit` is an upper bound, and so the best peer the one with the lowest figure. own: the server
    that is judged, where that is another form of the subject: then the subject itself may be its peer.
    """

    name: str
    scenario: str
    metric: str
    limit: float
    peers: tuple[str, ...] = ()
    connections: int = 64
    at_most: bool = True
    kind: str = "ratio"
    own: str = ""

    @property
    def bulk(self) -> bool:
        """Whether the line is about bytes."""
        return self.metric == BYTES

    def needs(self, subject: str) -> list[Key]:
        """Return the rows that deciding this line takes."""
        counts = (self.connections, MANY) if self.kind == "growth" else (self.connections,)
        names = (self.own or subject, *self.peers)
        return [(self.scenario, name, count) for name in names for count in counts]


CORE = (
    Line("raw-asgi-cpu-granian", "raw-asgi", "cpu_us", 0.45, ("granian",)),
    Line("raw-asgi-cpu-uvicorn", "raw-asgi", "cpu_us", 0.42, ("uvicorn",)),
    Line("raw-asgi-throughput-granian", "raw-asgi", "per_second", 1.5, ("granian",), at_most=False),
    Line("raw-asgi-p50-uvicorn", "raw-asgi", "p50_us", 0.85, ("uvicorn",), connections=1),
    Line("raw-asgi-throughput-access-log", "raw-asgi", "per_second", 0.97, (SUBJECT,), at_most=False,
         kind="duel", own="swhttp-access-log"),
    Line("raw-wsgi-cpu-bjoern", "raw-wsgi", "cpu_us", 1.0, ("bjoern",)),
    Line("raw-wsgi-throughput-bjoern", "raw-wsgi", "per_second", 0.95, ("bjoern",), at_most=False),
    Line("raw-wsgi-throughput-fastpysgi", "raw-wsgi", "per_second", 0.95, ("fastpysgi",), at_most=False),
    Line("starlette-cpu-granian", "starlette", "cpu_us", 0.70, ("granian",)),
    Line("flask-cpu-bjoern", "flask", "cpu_us", 1.05, ("bjoern",)),
    Line("flask-throughput-bjoern", "flask", "per_second", 1.0, ("bjoern",), at_most=False),
    Line("django-cpu-bjoern", "django", "cpu_us", 1.05, ("bjoern",)),
    Line("django-throughput-bjoern", "django", "per_second", 1.0, ("bjoern",), at_most=False),
    Line("many-connections-cpu-nginx", "raw-asgi", "cpu_us", 0.15, ("nginx",), kind="growth"),
    Line("idle-connection-pss", "idle", "idle_kib", 1.0, connections=IDLE_CONNECTIONS, kind="own"),
)


def moved(scenario: str, limit: float, *peers: str, connections: int = 64) -> Line:
    """Return a promise about bytes per CPU second in a scenario, against the best of these peers."""
    return Line(f"{scenario}-bytes", scenario, BYTES, limit, peers, connections, at_most=False)


# The peers are those of the interface that were the best, or within 1 % of the best, in any of four short looks; the
# rest would only make the gate longer. `make bench` shows them all. nginx runs no app: it is the floor, not a peer.
BULK = (
    moved("asgi-64k", 0.9, "uvicorn", "granian", "fastpysgi"),
    moved("wsgi-64k", 1.0, "bjoern"),
    moved("asgi-10m", 0.6, "uvicorn", "hypercorn", connections=8),
    moved("wsgi-10m", 0.6, "fastpysgi", "uwsgi", connections=8),
    moved("asgi-file", 1.0, "uvicorn", "gunicorn-asgi", connections=8),
    moved("wsgi-file", 1.0, "uwsgi", connections=8),
    moved("asgi-echo", 1.0, "fastpysgi", "gunicorn-asgi"),
)

STATIC = (
    Line("static-bytes-nginx", "static", BYTES, 0.7, ("nginx",), at_most=False),
    Line("static-bytes-granian", "static", BYTES, 1.5, ("granian",), at_most=False),
)

# Of a broadcast whose messages come one by one, each takes a write to each socket, and the kernel's part of that alone
# (wsfloor) is half of what uvicorn takes: nobody can be 8 times as good. Where messages follow each other, who gathers
# them for each socket can.
# Memory without the app's own: bare.py says what that is. By callbacks there is none, and all of it is the server's.
WEBSOCKET = (
    Line("ws-echo-32-cpu-granian", "ws-echo-32", "cpu_us", 0.5, ("granian",)),
    Line("ws-echo-32-cpu-gunicorn", "ws-echo-32", "cpu_us", 0.7, ("gunicorn-asgi",)),
    Line("ws-echo-64k-cpu-granian", "ws-echo-64k", "cpu_us", 0.6, ("granian",)),
    Line("ws-broadcast-16-uvicorn", "ws-broadcast-16", "per_cpu_s", 8.0, ("uvicorn-websockets", "uvicorn-wsproto"),
         connections=1_000, at_most=False),
    Line("ws-idle-own", "ws-idle", "own_kib", 2.0, connections=IDLE_CONNECTIONS, kind="own"),
    Line("ws-idle-own-callbacks", "ws-idle", "own_kib", 2.0, connections=IDLE_CONNECTIONS, kind="own", own=CALLBACKS),
)

LINES = CORE + BULK + STATIC + WEBSOCKET


@dataclass(frozen=True)
class Verdict:
    """A decided line. per_round: the value's range if each round were decided alone; None without a value."""

    line: Line
    passed: bool
    value: float | None
    limit: float
    detail: str
    per_round: tuple[float, float] | None = None


def paired(above: tuple[float, ...], below: tuple[float, ...]) -> tuple[float, float]:
    """Return the lowest and highest quotient of values of the same round."""
    quotients = [a / b for a, b in zip(above, below, strict=False) if b]
    return min(quotients), max(quotients)


def by_round(quotients: Sequence[float]) -> tuple[float, float]:
    """Return the lowest and highest of a duel's rounds, each decided alone."""
    rounds = [median(quotients[at:at + DUEL_PAIRS]) for at in range(0, len(quotients), DUEL_PAIRS)]
    return min(rounds), max(rounds)


def best(line: Line, rows: Sequence[Row]) -> tuple[Row, tuple[float, ...]]:
    """Return the best of the peers' rows by its median, and the best peer's value of each round."""
    choose = min if line.at_most else max
    per_round = zip(*(row.values[line.metric] for row in rows), strict=False)
    return choose(rows, key=lambda row: row.figure(line.metric).median), tuple(choose(values) for values in per_round)


def decide(line: Line, rows: dict[Key, Row], subject: str) -> Verdict:
    """Decide one line from the run's rows; a row that is missing counts as one with a fault."""
    needed = [rows.get(key) for key in line.needs(subject)]
    bad = [(key, row) for key, row in zip(line.needs(subject), needed, strict=True) if not (row and row.valid)]
    if bad:
        (scenario, server, connections), row = bad[0]
        why = row.faults[0].strip() if row and row.faults else "never measured"
        return Verdict(line, False, None, line.limit, f"{server}, {scenario}, {connections} connections: {why}")

    found = [row for row in needed if row]
    medians = [row.figure(line.metric).median for row in found]
    values = [row.values[line.metric] for row in found]
    limit = line.limit
    if line.kind == "own":
        value, span = medians[0], (min(values[0]), max(values[0]))
        detail = f"{medians[0]:.2f} KiB each"
        if line.metric == "own_kib":
            whole, root = (found[0].figure(metric).median for metric in ("idle_kib", "root_kib"))
            detail += f", {whole:.2f} with the app's; {root:.2f} in the first process"
    elif line.kind == "growth":
        few, many, peer_few, peer_many = medians
        value, span = many / few, paired(values[1], values[0])
        limit = peer_many / peer_few + line.limit
        detail = f"{few:.2f} to {many:.2f}; {line.peers[0]} {peer_few:.2f} to {peer_many:.2f}"
    elif line.kind == "duel":
        quotients = [ours / theirs for ours, theirs in zip(*values, strict=True)]
        value, span = median(quotients), by_round(quotients)
        detail = f"{medians[0]:,.2f} against {medians[1]:,.2f}, {len(quotients)} pairs"
    else:
        peer, peer_values = best(line, found[1:])
        against = peer.figure(line.metric).median
        value, span = medians[0] / against, paired(values[0], peer_values)
        of = f" of {peer.server}" if len(line.peers) > 1 else ""
        detail = f"{medians[0]:,.2f} against {against:,.2f}{of}"
    passed = value <= limit if line.at_most else value >= limit
    return Verdict(line, passed, value, limit, detail, span)
