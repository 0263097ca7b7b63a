"""Two and three processes over the same rings, with no tick anywhere: a lost wake-up blocks and fails.

`jitter` spreads the moments at which one side publishes while the other falls asleep. Whether these runs can fail was
tried on two x86 cores by taking parts of the protocols away, one at a time. Of 22 tests then failed: without the
producer's fence 6, the consumer's 4, want_space's 4, release's 6, with the swap as load and store 3, on the state
alone 5, with want_space before the announcement of sleep 4, without the flush before a wait 2, quiet whatever the
sleeper said 2. Either fence of want_ack is missed in about every second run: both words are in one cache line. The
spin model (`make model`) misses none of them. SWHTTP_RACE_TIMES=10 makes all runs ten times as long.
"""

from __future__ import annotations

import pytest

from tests.ipc.conftest import Make
from tests.ipc.race import Race

JITTER = [0, 15]

pytestmark = pytest.mark.alone  # where two sides do not run at the same time they do not race


def answered(race: Race) -> int:
    """Requests answered in full."""
    return sum(race.memory.scoreboard.reactors[r]["responses"] for r in range(race.reactors))


@pytest.mark.parametrize("jitter", JITTER)
def test_no_wakeup_is_lost_at_the_rhythm_of_one_connection(memory_of: Make, jitter: int) -> None:
    race = Race(memory_of(response_ring_bytes=4096), total=20_000, outstanding=1, jitter=jitter)
    race.run()
    assert answered(race) == race.total
    assert race.wakes() > 0, "nobody ever slept: the run has shown nothing"


@pytest.mark.parametrize("jitter", JITTER)
def test_no_wakeup_is_lost_with_many_requests_at_once(memory_of: Make, jitter: int) -> None:
    race = Race(memory_of(request_ring_bytes=4096, response_ring_bytes=65536), 100_000, outstanding=64, jitter=jitter)
    race.run()
    assert answered(race) == race.total


@pytest.mark.parametrize("outstanding", [1, 64])
def test_two_workers_wake_one_reactor(memory_of: Make, outstanding: int) -> None:
    race = Race(memory_of(response_ring_bytes=4096), 10_000, outstanding, workers=2, jitter=13)
    race.run()
    assert answered(race) == race.total
    assert race.wakes() > 0


@pytest.mark.parametrize("outstanding", [1, 16])
def test_one_worker_sleeps_for_two_reactors(memory_of: Make, outstanding: int) -> None:
    memory = memory_of(reactors=2, response_ring_bytes=4096)
    race = Race(memory, 8_000, outstanding, reactors=2, jitter=13)
    race.run()
    assert answered(race) == 2 * race.total


@pytest.mark.parametrize("outstanding", [1, 64])
def test_a_quiet_worker_relies_on_no_tick_that_is_not_announced(memory_of: Make, outstanding: int) -> None:
    race = Race(memory_of(response_ring_bytes=4096), 8_000, outstanding, jitter=13, quiet=True)
    race.run()
    assert answered(race) == race.total


@pytest.mark.parametrize("outstanding", [2, 64])
def test_wakeups_held_back_are_given_before_the_worker_sleeps_or_waits(memory_of: Make, outstanding: int) -> None:
    race = Race(memory_of(response_ring_bytes=512), 15_000, outstanding, jitter=13, hold=8)
    race.run()
    assert answered(race) == race.total
    assert sum(slot["quiet"] for slot in race.memory.scoreboard.slots) > 0, "nothing was held back"


@pytest.mark.parametrize("jitter", JITTER)
@pytest.mark.parametrize("ring_bytes", [128, 1024])
def test_no_wakeup_is_lost_while_rings_are_full(memory_of: Make, ring_bytes: int, jitter: int) -> None:
    memory = memory_of(request_ring_bytes=128, response_ring_bytes=ring_bytes)
    race = Race(memory, 8_000, outstanding=32, jitter=jitter, frames=4)
    race.run()
    assert answered(race) == race.total
    assert memory.scoreboard.slots[0]["frames"] == 4 * race.total


@pytest.mark.parametrize("jitter", [9, 12])
def test_a_response_never_waits_for_ever_for_its_client(memory_of: Make, jitter: int) -> None:
    memory = memory_of(request_ring_bytes=2048, response_ring_bytes=1024)
    race = Race(memory, 6_000, outstanding=1, jitter=jitter, frames=8, high=1)
    race.run()
    assert answered(race) == race.total


@pytest.mark.parametrize("jitter", JITTER)
@pytest.mark.parametrize(("workers", "outstanding"), [(1, 4), (2, 32)])
def test_every_request_is_taken_or_revoked_and_never_both(
    memory_of: Make, workers: int, outstanding: int, jitter: int
) -> None:
    race = Race(memory_of(), 60_000, outstanding, workers=workers, jitter=jitter, revoke_of_16=12)
    race.run()
    taken = [sum(column) for column in zip(*race.taken, strict=True)]
    assert [a + b for a, b in zip(taken, race.revoked[0], strict=True)] == [1] * race.total
    lost = sum(slot["lost"] for slot in race.memory.scoreboard.slots)
    assert lost == sum(race.revoked[0]), "every descriptor of a revoked request is read and passed over"
    assert 0 < lost < race.total, "both sides must have won"
