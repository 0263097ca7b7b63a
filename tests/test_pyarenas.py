"""After a crowd Python's allocator fills old arenas first, so that those of the crowd become empty."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from tests.support.server import TESTS

# In a process of its own: the allocator is the process's.
CODE = """
import json
from swhttp.worker import pyarenas
SIZE = 100  # bytes have no list of free ones before the allocator's
some = [bytes(SIZE) for _ in range(20000)]
del some[::2]  # old arenas have room
pyarenas.begin()
crowd = [bytes(SIZE) for _ in range(200000)]
most = len(pyarenas.young_arenas())
left = crowd[::4000]
crowd.reverse()  # from its end, so the first, which lie in old arenas, leave first
del crowd
def young(things):
    return sum(any(begin <= id(thing) < end for begin, end in pyarenas.young_arenas()) for thing in things)
def made():
    return [bytes(SIZE) for _ in left]
before = young(made())
pyarenas.prefer_old()
kept, after = len(pyarenas.young_arenas()), young(made())
left = made()
print(json.dumps([most, before, kept, after, len(pyarenas.young_arenas())]))
pyarenas.begin()
print(len(pyarenas.young_arenas()))
"""


def python(allocator: str) -> list[str]:
    """The lines that CODE has printed."""
    environment = os.environ | {"PYTHONMALLOC": allocator}
    return subprocess.run([sys.executable, "-c", CODE], cwd=TESTS.parent, env=environment, check=True, text=True,
                          capture_output=True).stdout.splitlines()


def test_what_is_made_anew_leaves_the_arenas_of_a_crowd() -> None:
    figures, grown_old = python("pymalloc")
    most, before, kept, after, at_last = json.loads(figures)
    assert most > 20
    assert before == 50  # what comes next lies where the crowd has just left
    assert kept > most // 2  # as few things keep as many arenas
    assert after == 0
    assert at_last <= 2  # what the interpreter has made meanwhile may be there
    assert grown_old == "0"


def test_another_allocator_is_left_alone() -> None:
    assert python("malloc") == ["[0, 0, 0, 0, 0]", "0"]
