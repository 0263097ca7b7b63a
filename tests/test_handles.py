"""uvloop keeps no handles of a crowd that has left."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.server import TESTS

pytestmark = pytest.mark.unsanitized  # the sanitizer's own memory would count

# In a process of its own: Python's allocator is the process's.
CODE = """
import asyncio, contextvars, gc, random, sys
import uvloop
from swhttp.worker.handles import Handles

def mapped():
    total = 0
    for line in open("/proc/self/maps"):
        begin, end = line.split()[0].split("-")
        total += int(end, 16) - int(begin, 16)
    return total >> 20

async def turns():
    for _ in range(3):
        await asyncio.sleep(0)

async def main():
    loop, context = asyncio.get_running_loop(), contextvars.Context()
    handles = Handles(loop)
    await turns()
    for _ in range(int(sys.argv[1])):
        before = mapped()
        crowd = [loop.call_soon(gc.isenabled, context=context) for _ in range(80_000)]
        await turns()
        most = mapped() - before
        random.Random(1).shuffle(crowd)
        del crowd  # the loop keeps some of everywhere
        for _ in range(int(sys.argv[2])):
            handles.swap()
            await turns()
        gc.collect()
        print(most, mapped() - before)

uvloop.run(main())
"""


def mebibytes(crowds: int, swaps: int) -> list[list[int]]:
    """Of each crowd: how many MiB the process had for it, and had for it when it had left."""
    command = [sys.executable, "-c", CODE, str(crowds), str(swaps)]
    done = subprocess.run(command, cwd=TESTS.parent, env=os.environ | {"PYTHONMALLOC": "pymalloc"}, check=True,
                          capture_output=True, text=True)
    return [[int(figure) for figure in line.split()] for line in done.stdout.splitlines()]


def test_the_loop_keeps_some_of_a_crowd() -> None:
    [[most, left]] = mebibytes(1, swaps=0)
    assert most > 6
    assert left > most - 3


@pytest.mark.parametrize("swaps", [1, 2])
def test_none_are_kept(swaps: int) -> None:
    for most, left in mebibytes(3, swaps):
        assert most > 6
        assert left <= most // 3  # where the interpreter has put something of its own meanwhile
