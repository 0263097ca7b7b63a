"""A few reloads and kills under WebSockets, of what `make soak` does with a thousand: see tests/soak/sockets.py."""

from __future__ import annotations

import pytest

from tests.soak.sockets import asgi, calls
from tests.support.fleet import Start

NO_BOUND_S = 60.0  # beside other tests a deadline may be seen late, but never early


@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_sessions_of_a_handler_notice_neither_reloads_nor_kills(server: Start, interface: str) -> None:
    outcome = calls(server, interface, clients=60, reloads=2, kills=3)
    print(outcome)
    assert outcome.failures == []


def test_asgi_sockets_stay_until_they_leave_or_the_drain_is_over(server: Start) -> None:
    outcome = asgi(server, clients=60, reloads=1, drain_s=4.0, late_s=NO_BOUND_S)
    print(outcome)
    assert outcome.failures == []
