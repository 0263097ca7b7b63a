"""`python -m loadtest.bench`: swhttp beside its peers, in all scenarios, as a table, JSON and a plot.

Goes scenario by scenario; the rounds of each are interleaved (see rounds.py). Writes bench.md, bench.json and
bench.svg after every scenario, so an interrupted run leaves what it had. Exit status: 0, or 130 interrupted;
a server that fails is a row that says why.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loadtest import options, plot, report, rounds, scenario
from loadtest.lines import SUBJECT
from loadtest.peers import PEERS
from loadtest.stats import Row, rows

RESULTS = Path(__file__).resolve().parent / "results"
CONNECTIONS = (1, 64, 512)
PLOTTED_CONNECTIONS = 64


def counts(text: str) -> tuple[int, ...]:
    """Read comma-separated numbers of connections."""
    return tuple(options.positive(part) for part in text.split(","))


def visits(
    what: scenario.Scenario, servers: Sequence[str], connections: tuple[int, ...] | None = None
) -> list[rounds.Visit]:
    """Return a round's visits in one scenario: those of the asked servers that take part in it."""
    taking_part = [name for name in what.servers if name in servers]
    at = (what.idle_connections,) if what.idle_connections else connections or what.connections or CONNECTIONS
    return [rounds.Visit(what.name, name, at) for name in taking_part]


def groups(found: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Return the plot's panels: per scenario under load, its rows at one number of connections."""
    names = dict.fromkeys(row.scenario for row in found)
    loaded = [what for what in map(scenario.load, names) if not what.idle_connections]
    by_name: list[tuple[str, list[Row]]] = []
    for what in loaded:
        own = [row for row in found if row.scenario == what.name]
        at = {row.connections for row in own}
        shown = PLOTTED_CONNECTIONS if PLOTTED_CONNECTIONS in at else max(at)
        title = f"{what.about}: CPU per request, {shown} connections"
        by_name.append((title, [row for row in own if row.connections == shown]))
    return by_name


def write(out: Path, effort: rounds.Effort, where: dict[str, Any], samples: Sequence[rounds.Sample]) -> None:
    """Write the three files of results."""
    found = list(rows(samples).values())
    versions = ", ".join(f"{name} {version}" for name, version in where["servers"].items())
    machine = f"{where['cpus']} CPUs ({where['cpu']}), Linux {where['kernel']}, Python {where['python']}"
    parts = [
        "# swhttp and its peers",
        report.effort_line(effort),
        f"{machine}; {versions}.",
    ]
    for name in dict.fromkeys(row.scenario for row in found):
        parts.append(report.scenario_tables(name, [row for row in found if row.scenario == name], SUBJECT))
    out.mkdir(parents=True, exist_ok=True)
    (out / "bench.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    (out / "bench.svg").write_text(plot.draw(groups(found), SUBJECT), encoding="utf-8")
    report.write_json(out / "bench.json", effort, where, samples)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; exits with status 2 on a wrong one."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench", description="swhttp beside its peers.")
    parser.add_argument(
        "--scenarios",
        type=lambda text: options.chosen(text, scenario.NAMES),
        default=list(scenario.NAMES),
        help=f"comma-separated, of {', '.join(scenario.NAMES)}",
    )
    parser.add_argument(
        "--servers",
        type=lambda text: options.chosen(text, list(PEERS)),
        default=list(PEERS),
        help=f"comma-separated, of {', '.join(PEERS)}",
    )
    parser.add_argument(
        "--connections", type=counts, help=f"({','.join(map(str, CONNECTIONS))}, or what a scenario names)"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="directory for results (loadtest/results)")
    options.add_effort(parser, rounds=5, seconds=2)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; return the exit status."""
    given = parse(arguments)
    options.prepare()
    effort = options.effort(given)
    where = report.environment(given.servers)
    samples: list[rounds.Sample] = []

    def tell(number: int, sample: rounds.Sample) -> None:
        print(report.sample_line(number, sample), flush=True)

    for name in given.scenarios:
        what = scenario.load(name)
        samples += rounds.run(visits(what, given.servers, given.connections), effort, tell)
        own = [row for row in rows(samples).values() if row.scenario == name]
        if own:
            print(f"\n{report.scenario_tables(name, own, SUBJECT)}\n", flush=True)
        write(given.out, effort, where, samples)
    print(f"Written to {given.out}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
