"""Checks the models of the shared-memory protocols with spin, and that the models can fail.

Every model must hold as it is, and must be broken by each of its mutants: a protocol without one of its fences, or
with one of its steps left out. A mutant that survives means that the model proves nothing about that step.

    python tests/model/run.py          # or: make model

Needs spin and gcc. Works in a temporary directory. Prints a table; the exit status is 1 when a line differs from what
is expected, and 2 when a check could not be run.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
MAX_DEPTH = 100_000
DEADLINE_S = 60

# Model -> the ways to check it: flags that must hold, flags that must be broken.
HOLD: dict[str, list[str]] = {
    "wake": ["", "DEATH"],
    "space": [""],
    "take": [""],
    "ack": [""],
}
BROKEN: dict[str, list[str]] = {
    "wake": [
        "NO_PRODUCER_FENCE", "NO_CONSUMER_FENCE", "NO_LOOK", "QUIET_ANY", "NO_TICK", "NO_EXCHANGE", "DEATH NO_REAP",
    ],
    "space": ["NO_WANT_FENCE", "NO_RELEASE_FENCE", "NO_LOOK", "NO_FLUSH", "WANT_FIRST", "ASK_ONCE"],
    "take": ["STATE_ONLY", "NO_SWAP", "SAME_ID"],
    "ack": ["NO_WANT_FENCE", "NO_ACK_FENCE", "NO_LOOK", "ASK_ONCE", "SILENT_CLOSE"],
}


class CheckFailed(Exception):
    """spin, the compiler or the verifier did not do its work; the message holds what it said."""


@dataclass(frozen=True)
class Outcome:
    """What the verifier found: whether the property holds in every state, and how many states there are."""

    holds: bool
    states: int


def run(command: list[str], folder: Path) -> str:
    """The output of a command that must succeed."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    if done.returncode:
        raise CheckFailed(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


def check(model: str, flags: str) -> Outcome:
    """Explore every state of one variant of a model."""
    with tempfile.TemporaryDirectory(prefix="swhttp-model-") as name:
        folder = Path(name)
        for source in (HERE / f"{model}.pml", HERE / "memory.inc"):
            shutil.copy(source, folder)
        run(["spin", *(f"-D{flag}" for flag in flags.split()), "-a", f"{model}.pml"], folder)
        run(["gcc", "-O1", "-w", "-DSAFETY", "-o", "pan", "pan.c"], folder)
        # -E: blocking for ever is judged by the assertion behind `timeout`, not by where each process stands.
        return outcome(run(["./pan", "-E", f"-m{MAX_DEPTH}"], folder))


def outcome(report: str) -> Outcome:
    """Read the verifier's report. Raises CheckFailed when it did not look at everything it should."""
    errors = re.search(r"errors: (\d+)", report)
    states = re.search(r"(\d+) states, stored", report)
    if errors is None or states is None or "max search depth too small" in report:
        raise CheckFailed(report)
    holds = errors.group(1) == "0"
    if not holds and "assertion violated" not in report:
        raise CheckFailed(report)
    return Outcome(holds, int(states.group(1)))


def main() -> int:
    """Check everything; the exit status."""
    wrong = 0
    print(f"{'model':8} {'variant':20} {'expected':9} {'found':9} {'states':>10} {'s':>6}")
    for expected, variants in ((True, HOLD), (False, BROKEN)):
        for model, flags in ((model, flags) for model, each in variants.items() for flags in each):
            start = time.monotonic()
            try:
                found = check(model, flags)
            except (CheckFailed, OSError, subprocess.TimeoutExpired) as error:
                print(f"{model} {flags}: {error}", file=sys.stderr)
                return 2
            right = found.holds is expected
            wrong += not right
            print(
                f"{model:8} {flags or 'as built':20} {'holds' if expected else 'broken':9} "
                f"{'holds' if found.holds else 'broken':9} {found.states:10} {time.monotonic() - start:6.1f}"
                f"{'' if right else '  <-- WRONG'}",
                flush=True,
            )
    print(f"{wrong} wrong" if wrong else "all as expected")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
