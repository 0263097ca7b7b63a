"""When a worker gives back the memory of a crowd."""

from __future__ import annotations

from swhttp.worker.trim import Departure

FEW = 1000  # requests between two looks
CROWD = 400


def looks(departure: Departure, *in_flight: int, taken: int = 0) -> list[bool]:
    return [departure.look(count, taken) for count in in_flight]


def test_a_crowd_has_left_when_three_quarters_are_gone_for_two_looks() -> None:
    departure = Departure()
    assert looks(departure, CROWD, CROWD // 2, CROWD // 4 + 1) == [False] * 3
    assert looks(departure, CROWD // 4, CROWD // 4) == [False, True]


def test_it_must_not_have_come_back_in_between() -> None:
    assert looks(Departure(), CROWD, 0, CROWD, 0, 0) == [False, False, False, False, True]


def test_what_stays_is_the_next_crowd() -> None:
    departure = Departure()
    assert looks(departure, CROWD, CROWD // 4, CROWD // 4)[-1]
    assert not any(looks(departure, *[CROWD // 4] * 3))
    assert looks(departure, 0, 0) == [False, True]


def test_a_quarter_is_no_crowd_any_more() -> None:
    departure = Departure()
    departure.look(CROWD, 0)
    assert departure.is_crowd(CROWD // 4 + 1)
    assert not departure.is_crowd(CROWD // 4)


def test_a_busy_worker_puts_it_off() -> None:
    departure = Departure()
    assert [departure.look(0, (FEW + 1) * count) for count in range(1, 5)] == [False] * 4
    taken = 4 * (FEW + 1)
    assert departure.busy
    assert [departure.look(0, taken + FEW * count) for count in range(1, 3)] == [False, True]
    assert not departure.busy
