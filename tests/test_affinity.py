"""--cpu-affinity: workers are on as many CPUs as there are, evenly, whichever slots they come to be in."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter

import pytest

from swhttp import affinity
from swhttp.affinity import Places
from tests.support.fleet import Start
from tests.support.processes import wait_until


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("off", ()), ("auto", (1, 2, 3, 8)), ("3", (3,)), ("8,1-2", (8, 1, 2)), ("1, 1-3", (1, 2, 3)), ("2-2", (2,))])
def test_what_the_option_means(text: str, cpus: tuple[int, ...]) -> None:
    assert affinity.parse(text, frozenset({8, 1, 2, 3})) == cpus


@pytest.mark.parametrize("text", ["", ",", "a", "3-1", "1-", "-1", "1-2-3", "99999", "9" * 40, "1 2", "²"])
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="off, auto or a list of CPUs as in 0-3,8 is needed"):
        affinity.parse(text, frozenset({1, 2}))


def test_a_cpu_that_may_not_be_used_is_named() -> None:
    with pytest.raises(ValueError, match=r"^CPU 4 is not one of those that may be used: 0-2,8$"):
        affinity.parse("0,4", frozenset({0, 1, 2, 8}))


def test_nobody_has_a_place_when_it_is_off() -> None:
    places = Places(())
    places.take(0)
    assert places.of(0) is None
    assert places.leave(0) == []


def test_places_are_even_whoever_comes_and_goes() -> None:
    choice = random.Random(1)
    for cpus in ((0,), (0, 1), (5, 1, 7), tuple(range(16))):
        places = Places(cpus)
        alive: set[int] = set()
        for _ in range(500):
            if alive and (len(alive) == 20 or choice.random() < 0.5):
                gone = choice.choice(sorted(alive))
                alive.discard(gone)
                for mover, cpu in places.leave(gone):
                    assert mover in alive
                    assert places.of(mover) == cpu
            else:
                slot = choice.choice([slot for slot in range(40) if slot not in alive])
                alive.add(slot)
                places.take(slot)
            load = Counter(places.of(slot) for slot in alive)
            assert max(load[cpu] for cpu in cpus) - min(load[cpu] for cpu in cpus) <= 1


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="with one CPU all workers are on it anyhow")
def test_workers_are_pinned_and_replacements_take_the_place_that_is_free(server: Start) -> None:
    one, two = sorted(os.sched_getaffinity(0))[:2]
    site = server("reference:wsgi", "--workers", "2", "--reactors", "1", "--cpu-affinity", f"{one},{two}")

    def cpus() -> list[list[int]]:
        try:
            threads = [[os.sched_getaffinity(int(task)) for task in os.listdir(f"/proc/{pid}/task")]
                       for pid in site.workers()]
        except OSError:
            return []  # one has ended meanwhile
        return sorted(sorted(set().union(*masks)) for masks in threads)

    assert cpus() == [[one], [two]]
    assert os.sched_getaffinity(site.pid) == os.sched_getaffinity(0)  # its reactors go where there is room
    site.expect_log("Worker died")
    for signum in (signal.SIGKILL, signal.SIGTERM):
        before = site.workers()
        site.kill(signum, before[1])
        site.wait_for_workers(1, other_than=set(before))
        wait_until(lambda: len(site.workers()) == 2, "the end of the old worker")
        wait_until(lambda: cpus() == [[one], [two]], "workers on both CPUs")
    before = site.workers()
    site.kill(signal.SIGUSR1)
    site.wait_for_workers(2, other_than=set(before))
    wait_until(lambda: set(site.workers()).isdisjoint(before), "the end of the old workers")
    wait_until(lambda: cpus() == [[one], [two]], "workers on both CPUs")
