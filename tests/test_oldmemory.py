"""After a crowd Python fills the memory that it had before, and what the crowd had goes back to the kernel."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.support.server import TESTS

pytestmark = pytest.mark.unsanitized  # the sanitizer's own memory would count

# In a process of its own: the allocator is the process's. What is left of the crowd lies in as many of its arenas.
CODE = """
import json, sys
from swhttp.worker.oldmemory import OldMemory
SIZE, LEFT = 100, int(sys.argv[1])  # bytes have no list of free ones before the allocator's
some = [bytes(SIZE) for _ in range(20_000)]
del some[::2]  # so there is room
before = OldMemory()
crowd = [bytes(SIZE) for _ in range(400_000)]
left = crowd[:: len(crowd) // LEFT]
crowd.reverse()  # from its end, so the first, which lie where there was room, leave first
del crowd
def old(things):
    return sum(id(thing) in before for thing in things)
def made():
    return [bytes(SIZE) for _ in left]
def mapped():
    total = 0
    for line in open("/proc/self/maps"):
        begin, end = line.split()[0].split("-")
        total += int(end, 16) - int(begin, 16)
    return total / (1 << 20)
first, held = old(made()), mapped()
before.prefer()
second = old(made())
left = made()
print(json.dumps([len(left), first, second, held - mapped()]))
"""


def after_a_crowd(left: int, allocator: str = "pymalloc", *flags: str) -> tuple[int, int, int, float]:
    """Of `left` objects that remain of it: how many are made anew; how many of these lie in old memory, without and
    with preference; and how many MiB less the process has when those that are left are made anew."""
    done = subprocess.run([sys.executable, *flags, "-c", CODE, str(left)], cwd=TESTS.parent, check=True, text=True,
                          env=os.environ | {"PYTHONMALLOC": allocator}, capture_output=True)
    made, without, preferred, less = json.loads(done.stdout)
    return made, without, preferred, less


@pytest.mark.parametrize("left", [50, 100])
def test_what_is_made_anew_leaves_the_arenas_of_a_crowd(left: int) -> None:
    made, without, preferred, less = after_a_crowd(left)
    assert without == 0  # what comes next lies where the crowd has just left
    assert preferred == made
    assert less > 20


def test_nothing_is_done_while_each_place_is_written_down() -> None:
    _, without, preferred, _ = after_a_crowd(50, "pymalloc", "-X", "tracemalloc")
    assert (without, preferred) == (0, 0)
