"""When a worker looks for the next request before it sleeps."""

from __future__ import annotations

from swhttp.worker.looks import Looks

SOON = 16  # lone requests before the first look
MOST = 1023  # looks that are skipped at most


class Worker:
    """Counts as a worker does."""

    def __init__(self) -> None:
        self.looks = Looks(2)
        self.taken = 0

    def serve(self, requests: int) -> bool:
        """Serve so many, and ask."""
        self.taken += requests
        return self.looks.worth(self.taken)

    def skipped(self) -> int:
        """Lone requests until the next look."""
        return next(count for count in range(MOST + 2) if self.serve(1))


def lonely() -> Worker:
    """A worker that has just said yes for the first time."""
    worker = Worker()
    assert [worker.serve(1) for _ in range(SOON)] == [False] * (SOON - 1) + [True]
    return worker


def test_lone_requests_are_looked_for_after_a_run_of_them() -> None:
    lonely()


def test_two_at_a_time_are_few() -> None:
    worker = Worker()
    assert [worker.serve(2) for _ in range(SOON)][-1]


def test_a_batch_ends_the_run() -> None:
    worker = lonely()
    assert not worker.serve(3)
    assert worker.skipped() == SOON - 1


def test_a_wake_up_without_a_request_is_no_reason_to_look_and_ends_nothing() -> None:
    worker = lonely()
    assert not worker.serve(0)
    assert worker.serve(1)


def test_looks_in_vain_are_skipped_twice_as_long_each_time() -> None:
    worker = lonely()
    skips = []
    for _ in range(12):
        worker.looks.learn(False)
        skips.append(worker.skipped())
    assert skips == [1, 3, 7, 15, 31, 63, 127, 255, 511, MOST, MOST, MOST]


def test_a_look_that_finds_something_makes_good_for_all() -> None:
    worker = lonely()
    for _ in range(5):
        worker.looks.learn(False)
        worker.skipped()
    worker.looks.learn(True)
    assert worker.skipped() == 0
    worker.looks.learn(False)
    assert worker.skipped() == 1
