"""Load while a random one of four workers is killed every 200 ms, with `--replay safe`: see tests/soak/storm.py."""

from __future__ import annotations

import pytest

from tests.soak.storm import run
from tests.support.fleet import Start

SECONDS = 3.0


@pytest.mark.timeout(SECONDS + 90)
@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_in_a_storm_no_get_fails_and_no_post_is_done_twice(server: Start, interface: str) -> None:
    storm = run(server, interface, SECONDS)
    print(storm)
    assert storm.failures == []
