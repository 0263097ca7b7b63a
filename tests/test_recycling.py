"""Workers that have served long enough are replaced without a trace; more or fewer of them while the server runs; and
code that does not boot any more."""

from __future__ import annotations

import re
import signal

import pytest

from swhttp.wear import Wear
from tests.support.client import Connection
from tests.support.fleet import Start
from tests.support.processes import wait_until
from tests.support.release import Release
from tests.support.server import EXIT_BOOT_FAILED

ONE = ("--workers", "1", "--reactors", "1")


# When one is worn


@pytest.mark.parametrize(
    ("wear", "worn"),
    [(Wear(10, 0, 0, 0.0), {(10, 0, 0.0), (11, 0, 0.0)}), (Wear(0, None, 100, 0.0), {(0, 100 << 20, 0.0)}),
     (Wear(0, None, 0, 60.0), {(0, 0, 60.0)}), (Wear(0, None, 0, 0.0), set())])
def test_only_what_has_a_bound_wears(wear: Wear, worn: set[tuple[int, int, float]]) -> None:
    assert wear.matters is bool(worn)
    limit = wear.requests_for(0, 1, 99)
    for case in [(9, (100 << 20) - 1, 59.9), (10, 0, 0.0), (11, 0, 0.0), (0, 100 << 20, 0.0), (0, 0, 60.0)]:
        done, memory, age_s = case
        assert bool(wear.why(done, limit, memory, age_s)) is (case in worn)


@pytest.mark.parametrize(("jitter", "most"), [(None, 150), (0, 100), (7, 107)])
def test_the_jitter_differs_from_worker_to_worker_and_stays_the_same_for_one(jitter: int | None, most: int) -> None:
    wear = Wear(100, jitter, 0, 0.0)
    limits = [wear.requests_for(slot, 1, 5) for slot in range(500)]
    assert limits == [wear.requests_for(slot, 1, 5) for slot in range(500)]
    assert max(limits) == most
    assert min(limits) == (101 if most > 100 else 100)


# In a server


def ask_until_another_answers(client: Connection) -> tuple[int, int]:
    """Two pids: of the worker that has answered first, and of the next."""
    first = int(client.get("/").body)
    while (now := int(client.get("/").body)) == first:
        pass
    return first, now



@pytest.mark.parametrize(
    ("options", "why"),
    [(("--max-requests", "20", "--max-requests-jitter", "3"), r"after \d+ requests"),
     (("--max-worker-memory", "60"), r"at \d+ MiB"),
     (("--max-worker-lifetime", "0.3"), r"after \d+ s")])
def test_a_worn_worker_is_replaced_without_a_trace(server: Start, options: tuple[str, ...], why: str) -> None:
    site = server("leaky:app", *ONE, *options)
    with site.connect() as client:
        old, _ = ask_until_another_answers(client)
        site.wait_for_log(rf"\[INFO\] Worker is replaced, {why}: slot 0, pid {old}")
        site.wait_for_log(rf"\[INFO\] Worker left: slot 0, pid {old}")
        assert client.get("/").keeps_open
    lines = site.log.lines
    booted = next(n for n, line in enumerate(lines) if "Worker booted: slot 1" in line)
    left = next(n for n, line in enumerate(lines) if f"Worker left: slot 0, pid {old}" in line)
    assert booted < left, "the replacement is ready first"


def test_ttin_and_ttou_make_one_worker_more_or_fewer_within_bounds(server: Start) -> None:
    site = server("reference:wsgi", *ONE, "--max-workers", "2")
    (first,) = site.workers()
    site.kill(signal.SIGTTIN)
    wait_until(lambda: len(site.workers()) == 2, "a second worker")
    site.wait_for_log("Worker booted", count=2)
    site.kill(signal.SIGTTIN)
    site.wait_for_log(r"\[WARNING\] SIGTTIN: there can be 1 to 2 workers, not 3")
    site.kill(signal.SIGTTOU)
    wait_until(lambda: len(site.workers()) == 1, "one to leave")
    assert site.workers() != [first], "the oldest leaves"
    site.kill(signal.SIGTTOU)
    site.wait_for_log(r"\[WARNING\] SIGTTOU: there can be 1 to 2 workers, not 0")
    assert site.get("/")["pid"] in site.workers()


def test_code_that_does_not_boot_any_more_ends_the_server_after_so_many_tries(server: Start) -> None:
    with Release("wsgi") as release:
        site = server(*release.options, *ONE, "--boot-retries", "3")
        site.expect_log("")
        release.deploy("2", "import")
        site.kill(signal.SIGKILL, site.workers()[0])
        site.finish(expect=EXIT_BOOT_FAILED)
        text = site.log.text()
        assert len(re.findall("Worker died: .* exit code 3", text)) == 3
        assert re.findall("The next boot is tried in (.*) s", text) == ["0.1", "0.2"]
        assert "No worker boots, 3 times in a row: giving up" in text
