"""Writes results for people and for programs: text tables, Markdown, JSON. Decides nothing."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from loadtest import scenario
from loadtest.lines import Verdict
from loadtest.peers import PEERS
from loadtest.rounds import Effort, Sample
from loadtest.stats import Row

Column = tuple[str, str, int]  # head, metric, decimal places


def version(server: str) -> str:
    """Return a server's version as its package says, nginx's as nginx says; "?" when unknown, "" where it is ours."""
    if server in scenario.WEBSOCKET_FLOOR:
        return ""
    package = PEERS[server].package
    if package:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return "?"
    told = subprocess.run([server, "-v"], capture_output=True, text=True, check=False)
    return (told.stderr or told.stdout).strip().rpartition("/")[2] or "?"


def environment(names: Iterable[str]) -> dict[str, Any]:
    """Return what a reader needs to judge the figures: machine, kernel, Python, versions of these servers."""
    cpu = ""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    return {
        "cpu": cpu,
        "cpus": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "servers": {name: version(name) for name in names},
    }


def sample_line(number: int, sample: Sample) -> str:
    """Return one line about one measurement, printed while the run goes on."""
    head = f"round {number}  {sample.scenario:<17} {sample.server:<17} {sample.connections:>6}  "
    if sample.faults:
        return head + "INVALID: " + "; ".join(sample.faults)
    if sample.idle_kib:
        own = f", {sample.own_kib:.2f} without the app's; {sample.root_kib:.2f} in the first process"
        return head + f"{sample.idle_kib:8.2f} KiB a connection" + (own if sample.own_kib else "")
    bytes_too = f"{sample.mib_per_cpu_s:7,.0f} MiB/CPU s  " if sample.mib_per_cpu_s else ""
    return head + (
        f"{sample.cpu_us:8.2f} µs CPU  {bytes_too}{sample.per_second:9,.0f}/s  "
        f"p50 {sample.p50_us:8,.0f} µs  p99 {sample.p99_us:9,.0f} µs  {sample.pss_kib / 1024:7.1f} MiB"
        + (f"  client {sample.client_us:6.2f} µs" if sample.client_us else "")
    )


def table(head: Sequence[str], body: Sequence[Sequence[str]], text_columns: int = 1) -> str:
    """Return a Markdown table that reads well as text too; first columns text, the rest figures."""
    widths = [max(len(row[i]) for row in (head, *body)) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if i < text_columns else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "| " + " | ".join(padded) + " |"

    rule = ["-" * w if i < text_columns else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return "\n".join([line(head), line(rule), *map(line, body)])


def further(what: scenario.Scenario) -> tuple[Column, ...]:
    """Return the columns that a scenario's table has beside those of every load, or of every memory."""
    if what.messages is None:
        return (("MiB/CPU s", "mib_per_cpu_s", 0),) if what.bulk else ()
    if what.idle_connections:
        return ("without the app's", "own_kib", 2), ("in the first process", "root_kib", 2)
    return ("requests/CPU s", "per_cpu_s", 0), ("client µs", "client_us", 2)


def further_cells(row: Row, columns: Sequence[Column]) -> list[str]:
    """Return the cells of these columns; empty ones for a row that is not valid."""
    return [f"{row.figure(metric).median:,.{places}f}" if row.valid else "" for _, metric, places in columns]


def load_head(reference: str, columns: Sequence[Column]) -> list[str]:
    """Return the heads of `load_cells`."""
    head = ["server", "CPU µs/request", "spread", f"vs {reference}"]
    return [*head, *(name for name, _, _ in columns), "requests/s", "p50 µs", "p99 µs", "PSS MiB"]


def load_cells(row: Row, reference: Row | None, columns: Sequence[Column]) -> list[str]:
    """Return the cells of one server under one load; ratio is the row's CPU over the reference's."""
    name = row.server
    if not row.valid:
        return [name, "invalid", "", "", *further_cells(row, columns), *[""] * 4]
    cpu, rate, pss = row.figure("cpu_us"), row.figure("per_second"), row.figure("pss_kib")
    ratio = ""
    if reference is not None and reference.valid:
        ratio = f"{cpu.median / reference.figure('cpu_us').median:.2f}"
    return [
        name,
        f"{cpu.median:,.2f}",
        f"±{cpu.spread * 50:.0f} %",
        ratio,
        *further_cells(row, columns),
        f"{rate.median:,.0f}",
        f"{row.figure('p50_us').median:,.0f}",
        f"{row.figure('p99_us').median:,.0f}",
        f"{pss.median / 1024:.1f}",
    ]


def idle_cells(row: Row, columns: Sequence[Column]) -> list[str]:
    """Return the cells of one server that holds idle connections."""
    each, whole = ("invalid", "")
    if row.valid:
        each, whole = f"{row.figure('idle_kib').median:.2f}", f"{row.figure('pss_kib').median / 1024:.1f}"
    return [row.server, each, *further_cells(row, columns), whole]


def first_line(fault: str) -> str:
    """Return what happened, without what the server printed."""
    return fault.strip().partition("\n")[0]


def scenario_tables(name: str, rows: Sequence[Row], reference: str) -> str:
    """Return one scenario's tables, one per number of connections, cheapest server first."""
    what = scenario.load(name)
    columns = further(what)
    parts = [f"## {what.about}"]
    for connections in dict.fromkeys(row.connections for row in rows):
        group = [row for row in rows if row.connections == connections]
        base = next((row for row in group if row.server == reference), None)
        metric = "idle_kib" if what.idle_connections else "cpu_us"
        group.sort(key=lambda row: row.figure(metric).median if row.valid else float("inf"))
        parts.append(f"### {connections:,} {'idle ' if what.idle_connections else ''}connections")
        if what.idle_connections:
            head = ["server", "KiB per connection", *(column for column, _, _ in columns), "MiB in all"]
            body = [idle_cells(row, columns) for row in group]
        else:
            head = load_head(reference, columns)
            body = [load_cells(row, base, columns) for row in group]
        parts.append(table(head, body))
        parts += [f"{row.server} is invalid: {first_line(row.faults[0])}" for row in group if row.faults]
    return "\n\n".join(parts)


def gate_table(verdicts: Sequence[Verdict]) -> str:
    """Return the gate's table, one line per promise."""
    body = []
    for verdict in verdicts:
        sign = "≤" if verdict.line.at_most else "≥"
        value = "none" if verdict.value is None else f"{verdict.value:.3f}"
        span = "" if verdict.per_round is None else "{:.3f} to {:.3f}".format(*verdict.per_round)
        cells = [verdict.line.name, "PASS" if verdict.passed else "FAIL", value, f"{sign} {verdict.limit:.3f}", span]
        body.append([*cells, verdict.detail.splitlines()[0]])
    return table(["line", "", "value", "limit", "rounds", "medians"], body, text_columns=2)


def effort_line(effort: Effort) -> str:
    """Return how the figures were made."""
    return (
        f"{effort.rounds} rounds, interleaved, {effort.seconds} s per load after {effort.warm_up_s} s of warm-up; "
        f"1 worker each, wrk with {effort.wrk_threads} thread(s), or wsload, on the same machine; medians."
    )


def write_json(path: Path, effort: Effort, where: dict[str, Any], samples: Sequence[Sample], **more: Any) -> None:
    """Write every sample, and all that is needed to read them, as JSON."""
    document = {"environment": where, "effort": asdict(effort), **more, "samples": [asdict(s) for s in samples]}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
