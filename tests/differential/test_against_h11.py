"""Whatever bytes come, the server accepts, refuses or waits as h11 does, and its app sees what h11 read.

SWHTTP_DIFFERENTIAL_EXAMPLES: how many examples in all (`make differential`: 20,000).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from tests.differential.differences import (
    EARLIER,
    LATER,
    LAXER,
    MAX_BODY_BYTES,
    OPTIONS,
    STRICTER,
    Earlier,
    Later,
    Laxer,
    Options,
    Stricter,
    fired,
    rulings,
)
from tests.differential.presentation import STEPS
from tests.differential.requests import ONE, PIPELINED, deliveries
from tests.differential.witness import Delivery, Witness
from tests.support.counters import Since
from tests.support.fleet import Start

EXAMPLES = int(os.environ.get("SWHTTP_DIFFERENTIAL_EXAMPLES", "1500"))
thorough = pytest.mark.timeout(60 + EXAMPLES // 5)
Entry = Stricter | Laxer | Earlier | Later | Options
ENTRIES: tuple[Entry, ...] = (*STRICTER, *LAXER, *EARLIER, *LATER, *OPTIONS)


@pytest.fixture(scope="module", params=["asgi", "asgi streamed", "wsgi"])
def witness(request: pytest.FixtureRequest, module_server: Start) -> Witness:
    """A server with one reactor and one worker, and who examines it. Streamed: the app is called before the body."""
    interface, _, streamed = request.param.partition(" ")
    options = ["--workers", "1", "--reactors", "1", "--keep-alive", "60", "--limit-request-body", str(MAX_BODY_BYTES)]
    if streamed:
        options += ["--inline-body", "16"]
    return Witness(module_server(f"reference:{interface}", *options), interface)


@pytest.fixture(scope="module", autouse=True)
def needed() -> Iterator[None]:
    """Reports what the generated requests have never needed: that says something about how they are generated."""
    yield
    idle = [entry.name for entry in (*ENTRIES, *STEPS) if not fired[entry.name]]
    if idle and fired:
        warnings.warn(f"never needed in {EXAMPLES} examples: {', '.join(idle)}", stacklevel=1)


def examples(share: float) -> settings:
    """Hypothesis' settings for a share of each server's examples. Nothing is stored: a failure shows its bytes."""
    return settings(max_examples=max(1, round(EXAMPLES / 3 * share)), deadline=None, database=None,
                    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_each_allowed_difference_is_one(witness: Witness, entry: Entry) -> None:
    # An entry that the server or h11 has outlived would hide a difference.
    before = fired.copy()
    assert entry.name in {name for ruling in rulings(entry.example) for name in (*ruling.entries, *ruling.late)}
    assert witness.departures(Delivery(entry.example)) == []
    assert fired[entry.name] == before[entry.name] + 1
    fired.clear()
    fired.update(before)


def test_a_body_behind_its_head_is_streamed_where_that_is_wanted(
    request: pytest.FixtureRequest, witness: Witness
) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\n"
    since = Since(witness.site)
    assert witness.departures(Delivery(head + b"x" * 40, (len(head),), apart=True)) == []
    assert (since["chunks"] > 0) == ("asgi streamed" in request.node.name)


@thorough
@examples(3 / 4)
@given(delivery=deliveries(ONE))
def test_a_request(witness: Witness, delivery: Delivery) -> None:
    assert witness.departures(delivery) == []


@thorough
@examples(1 / 4)
@given(delivery=deliveries(PIPELINED))
def test_two_requests_in_a_row(witness: Witness, delivery: Delivery) -> None:
    assert witness.departures(delivery) == []
