"""Load while a worker is killed every 300 ms: every request is answered, whole, by 200 or an immediate 502.

SWHTTP_CHAOS_SECONDS lengthens each run (default 4 s); `python -m tests.chaos --seconds 30` runs one and
prints figures.
"""

from __future__ import annotations

import os
import random

import pytest

from tests.chaos import KINDS, Figures, run, server_options
from tests.support.fleet import Start

SECONDS = float(os.environ.get("SWHTTP_CHAOS_SECONDS", "4"))


@pytest.mark.timeout(SECONDS + 90)
@pytest.mark.parametrize(
    ("interface", "workers", "threads", "reactors"),
    [("wsgi", 2, 1, 1), ("wsgi", 2, 4, 1), ("asgi", 2, 1, 1), ("asgi", 1, 1, 2)],
)
def test_killed_workers_hang_nobody(
    server: Start, interface: str, workers: int, threads: int, reactors: int
) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    site = server(f"reference:{interface}", *server_options(workers, threads, reactors))
    figures = Figures(interface, SECONDS, clients=16, seed=seed)
    figures.in_flight_limit = threads if interface == "wsgi" else figures.clients
    run(site, figures)
    assert figures.judge() == [], figures


@pytest.mark.timeout(SECONDS + 90)
@pytest.mark.parametrize(("interface", "threads", "reactors"), [("wsgi", 2, 1), ("asgi", 1, 2)])
def test_killed_workers_spoil_no_large_body(server: Start, interface: str, threads: int, reactors: int) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    site = server(f"bodies:{interface}", *server_options(2, threads, reactors))
    figures = Figures(interface, SECONDS, clients=12, seed=seed, asked=KINDS)
    figures.in_flight_limit = threads if interface == "wsgi" else figures.clients
    run(site, figures)
    assert figures.judge() == [], figures
