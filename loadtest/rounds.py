"""Measures servers in interleaved rounds.

Each round visits each server once: start it, warm it up, load it, measure, end it. The next round goes
through them in the opposite order. So a slow drift of the machine meets all of them alike, nobody is always
the neighbour of the same other, an idle server's timers never disturb the loaded one, and a fresh process
each round takes the luck of one process's memory layout and hash seed out of the medians.

Two servers that differ by a few per cent need more: from one load to the next the same server's throughput
varies by over 10 %, as the scheduler moves its processes and wrk between the CPUs. In a duel both run, on one
CPU, and wrk on another; loads of the one and the other follow each other at once, many times, and what is
judged is the median of the quotients of such pairs. The server's CPU is the only bottleneck, so a difference
shows whole, where it would be about halved if wrk shared all CPUs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from loadtest import bare, idle, proctree, scenario, servers, wrk, wsload
from loadtest.peers import PEERS

# The tree's CPU is read when the connections that the load left are cleared away, so that all pay for that.
SETTLE_STEP_S = 0.02
SETTLE_STEPS = 15
SETTLED_SHARE = 0.1
WARM_UP_CONNECTIONS = (64,)
DUEL_PAIRS = 8  # a round

FAILURES = (servers.ServerError, wrk.WrkError, wsload.WsloadError, idle.IdleError, bare.BareError)


@dataclass(frozen=True)
class Visit:
    """One server in one scenario, loaded with each of these numbers of connections in turn."""

    scenario: str
    server: str
    connections: tuple[int, ...]


@dataclass(frozen=True)
class Duel:
    """Two servers in one scenario, that run side by side on one CPU and are loaded in turn from another."""

    scenario: str
    servers: tuple[str, str]
    connections: int


@dataclass(frozen=True)
class Effort:
    """How long and how often. seconds: of each load; wrk_threads: more take CPU away from the server."""

    rounds: int = 5
    seconds: int = 3
    warm_up_s: int = 1
    wrk_threads: int = 1


@dataclass(frozen=True)
class Sample:
    """What one load of one server gave. A sample with faults is kept, shown, and never compared.

    A WebSocket message that a client has received counts as a request.
    """

    scenario: str
    server: str
    connections: int
    cpu_us: float = 0.0  # CPU of the whole process tree per request
    mib_per_cpu_s: float = 0.0  # content moved, both ways, per second of that CPU; in bulk scenarios only
    per_second: float = 0.0
    p50_us: float = 0.0
    p99_us: float = 0.0
    pss_kib: int = 0
    idle_kib: float = 0.0  # PSS per idle connection, in idle scenarios only; of WebSockets also:
    root_kib: float = 0.0  # what of it is in the server's first process, which shares pages with others
    own_kib: float = 0.0  # what is left without what any server needs for the app (bare.py)
    per_cpu_s: float = 0.0  # messages received per second of the tree's CPU, of WebSockets only
    client_us: float = 0.0  # CPU of the client itself per message, of WebSockets only
    faults: tuple[str, ...] = ()


def settle(server: servers.Server) -> list[proctree.Stat]:
    """Wait, shortly, until the tree uses next to no CPU; return its processes."""
    members = server.tree()
    before = proctree.cpu_ns(members)
    for _ in range(SETTLE_STEPS):
        time.sleep(SETTLE_STEP_S)
        members = server.tree()
        now = proctree.cpu_ns(members)
        if now - before < SETTLED_SHARE * SETTLE_STEP_S * 1e9:
            break
        before = now
    return members


def mib_per_cpu_s(payload_bytes: int, cpu_us: float) -> float:
    """Return what a request's content and CPU come to; 0 when the CPU is too little to be seen."""
    return payload_bytes / scenario.MIB / (cpu_us / 1e6) if cpu_us else 0.0


def sample(
    server: servers.Server, what: scenario.Scenario, connections: int, before: Sequence[proctree.Stat], used_ns: int,
    count: int, seen: wrk.Load | wsload.Load
) -> Sample:
    """Return what a load gave that is over. before, used_ns: the tree and its CPU when it began. count: requests."""
    after = settle(server)
    used_ns = proctree.cpu_ns(after) - used_ns
    faults = seen.faults
    if {member.pid for member in before} != {member.pid for member in after}:
        faults += ("processes of the server came or went under load",)
    cpu_us = used_ns / 1000 / max(count, 1)
    return Sample(
        scenario=what.name,
        server=server.name,
        connections=connections,
        cpu_us=cpu_us,
        mib_per_cpu_s=mib_per_cpu_s(what.payload_bytes, cpu_us) if what.bulk else 0.0,
        per_second=seen.per_second,
        p50_us=seen.p50_us,
        p99_us=seen.p99_us,
        pss_kib=proctree.pss_kib(after),
        faults=faults,
    )


def load(server: servers.Server, what: scenario.Scenario, connections: int, effort: Effort) -> Sample:
    """Load a running server and measure."""
    before = settle(server)
    used_ns = proctree.cpu_ns(before)
    seen = wrk.run(server.port, connections, effort.seconds, effort.wrk_threads, what.headers, server.post, what.secure)
    return sample(server, what, connections, before, used_ns, seen.requests, seen)


def converse(
    server: servers.Server, what: scenario.Scenario, messages: scenario.Messages, connections: int, effort: Effort
) -> Sample:
    """Open WebSockets, warm the server up by them, load it and measure: opening and closing them do not count."""
    with wsload.opened(server.port, connections, messages) as client:
        warm = client.load(effort.warm_up_s)
        before = settle(server)
        used_ns = proctree.cpu_ns(before)
        seen = client.load(effort.seconds)
        given = sample(server, what, connections, before, used_ns, seen.messages, seen)
    per_cpu_s = 1e6 / given.cpu_us if given.cpu_us else 0.0
    faults = given.faults or warm.faults
    return replace(given, per_cpu_s=per_cpu_s, client_us=seen.client_us, faults=faults)


def hold_idle(server: servers.Server, what: scenario.Scenario) -> Sample:
    """Measure what the scenario's idle connections cost a running, warm server."""
    empty = proctree.pss_kib(settle(server))
    with idle.connections(server.port, what.idle_connections, what.headers) as held:
        full = proctree.pss_kib(settle(server))
        lost = held.lost()
    return Sample(
        scenario=what.name,
        server=server.name,
        connections=what.idle_connections,
        pss_kib=full,
        idle_kib=(full - empty) / what.idle_connections,
        faults=(f"{lost} idle connections were closed",) if lost else (),
    )


def memory_kib(server: servers.Server) -> tuple[int, int]:
    """Return the PSS of the server's tree once that is calm, and what of it is its first process's."""
    members = settle(server)
    return proctree.pss_kib(members), proctree.pss_kib(member for member in members if member.pid == server.root)


def hold_open(server: servers.Server, what: scenario.Scenario, messages: scenario.Messages) -> Sample:
    """Measure what the scenario's idle WebSockets cost a running server, once some others have come and gone."""
    with wsload.opened(server.port, max(WARM_UP_CONNECTIONS), messages):
        pass
    empty, empty_root = memory_kib(server)
    count = what.idle_connections
    with wsload.opened(server.port, count, messages) as client:
        full, full_root = memory_kib(server)
        faults = client.look().faults
    each = (full - empty) / count
    needed = bare.kib(what.app, count) if PEERS[server.name].coroutines else 0.0
    return Sample(
        scenario=what.name,
        server=server.name,
        connections=count,
        pss_kib=full,
        idle_kib=each,
        root_kib=(full_root - empty_root) / count,
        own_kib=each - needed,
        faults=faults,
    )


def measured(
    server: servers.Server, what: scenario.Scenario, counts: Sequence[int], effort: Effort
) -> Iterator[Sample]:
    """Measure a running server with each of these numbers of connections."""
    if what.messages:
        for connections in counts:
            if what.idle_connections:
                yield hold_open(server, what, what.messages)
            else:
                yield converse(server, what, what.messages, connections, effort)
        return
    warm = max(what.connections or WARM_UP_CONNECTIONS)
    wrk.run(server.port, warm, effort.warm_up_s, effort.wrk_threads, what.headers, server.post, what.secure)
    for connections in counts:
        yield hold_idle(server, what) if what.idle_connections else load(server, what, connections, effort)


def visit(where: Visit, effort: Effort) -> Iterator[Sample]:
    """Start the server, warm it up, measure, end it; a server that fails gives samples that say so."""
    what = scenario.load(where.scenario)
    blank = Sample(what.name, where.server, 0)
    done: set[int] = set()
    try:
        with servers.running(where.server, what) as server:
            for found in measured(server, what, where.connections, effort):
                done.add(found.connections)
                yield found
    except FAILURES as error:
        for connections in where.connections:
            if connections not in done:
                yield replace(blank, connections=connections, faults=(str(error),))


def run(visits: Sequence[Visit], effort: Effort, tell: Callable[[int, Sample], None]) -> list[Sample]:
    """Run all rounds and return every sample; `tell` gets each, with its round, as soon as it is there."""
    samples: list[Sample] = []
    for number in range(1, effort.rounds + 1):
        for where in visits if number % 2 else reversed(visits):
            for found in visit(where, effort):
                samples.append(found)
                tell(number, found)
    return samples


@contextmanager
def on_cpu(number: int) -> Iterator[None]:
    """Have what is started meanwhile run on one of our CPUs, if there are so many."""
    all_of_ours = os.sched_getaffinity(0)
    if number < len(all_of_ours):
        os.sched_setaffinity(0, {sorted(all_of_ours)[number]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, all_of_ours)


def fight(where: Duel, effort: Effort) -> Iterator[Sample]:
    """Start both servers, warm them up, load them in turn, end them; a failure gives samples that say so."""
    what = scenario.load(where.scenario)
    try:
        with ExitStack() as stack:
            with on_cpu(0):
                both = [stack.enter_context(servers.running(name, what)) for name in where.servers]
            stack.enter_context(on_cpu(1))
            for server in both:
                wrk.run(server.port, where.connections, effort.warm_up_s, effort.wrk_threads, what.headers, server.post,
                        what.secure)
            for pair in range(DUEL_PAIRS):
                for server in both if pair % 2 == 0 else reversed(both):
                    yield load(server, what, where.connections, effort)
    except (servers.ServerError, wrk.WrkError) as error:
        for name in where.servers:
            yield Sample(what.name, name, where.connections, faults=(str(error),))


def duel(where: Duel, effort: Effort, tell: Callable[[int, Sample], None]) -> list[Sample]:
    """Run all rounds of a duel, as `run` does those of visits."""
    samples: list[Sample] = []
    for number in range(1, effort.rounds + 1):
        for found in fight(where, effort):
            samples.append(found)
            tell(number, found)
    return samples
