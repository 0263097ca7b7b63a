"""Runs a target without a fuzzer: over its seeds, some bent ones, or files.

    python -m tests.fuzz.replay TARGET [--bent N] [FILE...]      FILE: what a fuzzer has found; else the seeds

The bent ones are the same each time. Ends with the first finding.
"""

from __future__ import annotations

import argparse
import importlib
import random
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.seeds import seeds

TARGETS = ("http", "frames", "proxy", "blocks", "control", "websocket")


def bent(originals: list[bytes], count: int) -> Iterator[bytes]:
    """Seeds with some bytes changed, doubled, left out, or taken from another."""
    chance = random.Random(20)  # the same whenever it is run
    for _ in range(count):
        data = bytearray(chance.choice(originals))
        for _ in range(chance.randrange(1, 4)):
            at, length = chance.randrange(len(data) + 1), chance.randrange(1, 9)
            how = chance.randrange(4)
            if how == 0:
                data[at : at + 1] = chance.randbytes(1)
            elif how == 1:
                data[at:at] = data[at : at + length]
            elif how == 2:
                del data[at : at + length]
            else:
                other = chance.choice(originals)
                begin = chance.randrange(len(other) + 1)
                data[at : at + length] = other[begin : begin + 4 * length]
        yield bytes(data)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--bent", type=int, default=0)
    chosen = parser.parse_args()
    one = importlib.import_module(f"tests.fuzz.{chosen.target}").one
    originals = [path.read_bytes() for path in chosen.files] or seeds(chosen.target)
    done = 0
    for data in (*originals, *bent(originals, chosen.bent)):
        try:
            one(data)
        except BaseException:
            print(f"a finding: {data!r}", flush=True)
            raise
        done += 1
    print(f"{done} inputs")


if __name__ == "__main__":
    main()
