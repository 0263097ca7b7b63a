"""What the Autobahn suite is asked for, and what its reports say. Pure: no process, no file.

A case has two verdicts: on what the server did, and on how the connection ended. Both count. What the suite has not
run is not passed: which cases it means to run it says itself, before the first one.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

AGENT = "swhttp"
GOOD = frozenset({"OK", "NON-STRICT", "INFORMATIONAL"})
EVERYTHING = ("*",)
# What CI has the time for, two minutes or so instead of ten: all that does not compress, and of those that do, each way
# to negotiate it with small, middle-sized and fragmented messages.
SHORT = (*(f"{group}.*" for group in (1, 2, 3, 4, 5, 6, 7, 9, 10)),
         *(f"{group}.{case}" for group in (*(f"12.{n}" for n in range(1, 6)), *(f"13.{n}" for n in range(1, 8)))
           for case in (1, 4, 7, 11, 13)))
ANNOUNCED = re.compile(r"^Cases = (\[.*\])$", re.MULTILINE)


def specification(url: str, directory: str, cases: Iterable[str]) -> dict[str, Any]:
    """The suite's specification file, for one server at `url`; reports go to `directory`."""
    return {"outdir": directory, "servers": [{"agent": AGENT, "url": url}], "cases": list(cases), "exclude-cases": [],
            "exclude-agent-cases": {}}


@dataclass(frozen=True)
class Case:
    """One case as it went. `code`: with which the server closed, None where it did not say."""

    name: str
    behaviour: str
    ending: str
    code: int | None
    duration_ms: int

    @property
    def good(self) -> bool:
        """Whether both verdicts are such as a server that keeps to the standard gets."""
        return self.behaviour in GOOD and self.ending in GOOD


def cases_of(index: Mapping[str, Any]) -> list[Case]:
    """The cases in an index.json, in their order."""
    cases = [Case(name, seen["behavior"], seen["behaviorClose"], seen["remoteCloseCode"], seen["duration"])
             for name, seen in index.get(AGENT, {}).items()]
    return sorted(cases, key=lambda case: [int(part) for part in case.name.split(".")])


def announced(output: str) -> set[str]:
    """The names of the cases that the suite has said it will run; empty: it has not come so far."""
    found = ANNOUNCED.search(output)
    return set(ast.literal_eval(found[1])) if found else set()


def summary(cases: list[Case], expected: set[str]) -> tuple[bool, list[str]]:
    """(all is well, lines for a person): the counts per verdict, then every case that is not as it should be."""
    lines = [f"{len(cases)} cases in {sum(case.duration_ms for case in cases) / 1000:.0f} s"]
    for what, verdicts in (("behaviour", Counter(case.behaviour for case in cases)),
                           ("ending", Counter(case.ending for case in cases))):
        lines.append(f"  {what}: " + ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common()))
    bad = [case for case in cases if not case.good]
    lines += [f"  {case.name}: {case.behaviour}, ending {case.ending}, close code {case.code}" for case in bad]
    lost = expected - {case.name for case in cases}
    lines += [f"  {name}: not run" for name in sorted(lost)]
    return bool(expected) and not bad and not lost, lines
