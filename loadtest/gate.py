"""`python -m loadtest.gate`: measures what the project promises against its peers, and fails if it falls short.

Measures only the rows that the chosen lines need, each once per round. Exit status: 0 all lines pass, 1 any
falls short, 2 wrong options, 130 interrupted.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from loadtest import options, report, rounds
from loadtest.lines import LINES, SUBJECT, Line, Verdict, decide
from loadtest.peers import PEERS
from loadtest.rounds import DUEL_PAIRS
from loadtest.stats import rows

MAX_IDLE_ROUNDS = 3  # memory does not vary as time does


def visits(lines: Sequence[Line], subject: str) -> list[rounds.Visit]:
    """Return the fewest visits that give every row the lines need, one scenario after another."""
    wanted: dict[tuple[str, str], set[int]] = {}
    for line in lines:
        for scenario, server, connections in line.needs(subject):
            wanted.setdefault((scenario, server), set()).add(connections)
    order = list(dict.fromkeys(line.scenario for line in lines))
    return [
        rounds.Visit(scenario, server, tuple(sorted(counts)))
        for (scenario, server), counts in sorted(wanted.items(), key=lambda item: order.index(item[0][0]))
    ]


def select(prefixes: Sequence[str]) -> list[Line]:
    """Return the lines whose names begin with any of the prefixes; all when there is none."""
    return [line for line in LINES if not prefixes or line.name.startswith(tuple(prefixes))]


def tell(number: int, sample: rounds.Sample) -> None:
    """Print a sample as soon as it is there."""
    print(report.sample_line(number, sample), flush=True)


def measure(
    lines: Sequence[Line], subject: str, effort: rounds.Effort, bulk_effort: rounds.Effort
) -> list[rounds.Sample]:
    """Run the rounds; idle connections are visited last, and not more often than tells something."""
    apart = [line for line in lines if line.kind in ("own", "duel") or line.bulk]
    loads = visits([line for line in lines if line not in apart], subject)
    bulk = visits([line for line in lines if line.bulk], subject)
    idles = visits([line for line in lines if line.kind == "own"], subject)
    few = replace(effort, rounds=min(effort.rounds, MAX_IDLE_ROUNDS))
    samples = rounds.run(loads, effort, tell)
    samples += rounds.run(bulk, bulk_effort, tell)
    return samples + rounds.run(idles, few, tell)


def fought(lines: Sequence[Line], subject: str, effort: rounds.Effort) -> dict[str, list[rounds.Sample]]:
    """Run the duels; return each one's samples by the name of its line."""
    return {
        line.name: rounds.duel(
            rounds.Duel(line.scenario, (line.own or subject, line.peers[0]), line.connections), effort, tell)
        for line in lines if line.kind == "duel"
    }


def told(verdicts: Sequence[Verdict]) -> list[dict[str, object]]:
    """Return the verdicts as JSON holds them."""
    return [
        {"line": v.line.name, "passed": v.passed, "value": v.value, "limit": v.limit, "detail": v.detail}
        for v in verdicts
    ]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; exits with status 2 on a wrong one."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.gate", description="Is swhttp as fast as promised?")
    parser.add_argument("--only", default="", help="comma-separated prefixes of lines, as raw-asgi,flask-cpu")
    parser.add_argument("--list", action="store_true", help="name the lines and end")
    parser.add_argument("--subject", choices=list(PEERS), default=SUBJECT, help="server judged (%(default)s)")
    parser.add_argument("--json", type=Path, help="write samples and verdicts there")
    options.add_effort(parser, rounds=5, seconds=3)
    text = "of lines that a duel decides (%(default)s)"
    parser.add_argument("--duel-rounds", type=options.positive, default=10, help=f"rounds {text}")
    parser.add_argument("--duel-seconds", type=options.positive, default=1, help=f"seconds of each load {text}")
    text = "of the lines about bytes (%(default)s)"
    parser.add_argument("--bulk-rounds", type=options.positive, default=3, help=f"rounds {text}")
    parser.add_argument("--bulk-seconds", type=options.positive, default=1, help=f"seconds of each load {text}")
    given = parser.parse_args(arguments)
    given.lines = select([prefix for prefix in given.only.split(",") if prefix])
    if not given.lines:
        parser.error(f"no line begins with {given.only}; see --list")
    return given


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the gate; return the exit status."""
    given = parse(arguments)
    lines: list[Line] = given.lines
    if given.list:
        print("\n".join(line.name for line in lines))
        return 0
    options.prepare()
    effort = options.effort(given)
    began = time.monotonic()
    bulk_effort = replace(effort, rounds=given.bulk_rounds, seconds=given.bulk_seconds)
    duel_effort = replace(effort, rounds=given.duel_rounds, seconds=given.duel_seconds)
    samples = measure(lines, given.subject, effort, bulk_effort)
    duels = fought(lines, given.subject, duel_effort)
    found = rows(samples)
    verdicts = [
        decide(line, rows(duels[line.name]) if line.name in duels else found, given.subject) for line in lines
    ]
    print(f"\n{report.gate_table(verdicts)}\n")
    if not all(line.bulk or line.kind == "duel" for line in lines):
        print(report.effort_line(effort))
    if any(line.bulk for line in lines):
        print(f"Lines about bytes: {report.effort_line(bulk_effort)}")
    if duels:
        print(f"Duels: {DUEL_PAIRS} pairs of loads a round; {report.effort_line(duel_effort)}")
    print(f"{time.monotonic() - began:.0f} s.")
    for verdict in verdicts:
        if verdict.value is None:
            print(f"\n{verdict.line.name}: {verdict.detail}")
    if given.json:
        names = dict.fromkeys(sample.server for sample in [*samples, *itertools.chain(*duels.values())])
        more = {"bulk_effort": asdict(bulk_effort), "duel_effort": asdict(duel_effort), "verdicts": told(verdicts),
                "duels": {name: [asdict(sample) for sample in of] for name, of in duels.items()}}
        report.write_json(given.json, effort, report.environment(names), samples, **more)
    short = [verdict.line.name for verdict in verdicts if not verdict.passed]
    if short:
        print(f"\nFAIL: {', '.join(short)}")
        return 1
    print(f"\nPASS: all {len(verdicts)} lines")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
