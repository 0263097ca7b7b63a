"""A gibibyte each way, and a throttled client: no process grows by more than 32 MiB, and others are served.

The figure is Pss, see tests/support/memory.py. The long run, at 1 MiB a second, is `make soak`.
"""

from __future__ import annotations

import pytest

from tests.soak.flow import download, run, upload
from tests.support.fleet import Start

MEBIBYTE = 1 << 20
GIBIBYTE = 1 << 30

pytestmark = pytest.mark.alone  # others are to be served all the while, which takes a CPU


@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_an_upload_of_a_gibibyte(server: Start, interface: str) -> None:
    flow = run(server, interface, GIBIBYTE, 0, (upload,))
    assert flow.failures == [], flow
    assert flow.others >= 3, flow


@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_a_streamed_download_of_a_gibibyte(server: Start, interface: str) -> None:
    flow = run(server, interface, GIBIBYTE, 0, (download,))
    assert flow.failures == [], flow


@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_throttled_clients_both_ways(server: Start, interface: str) -> None:
    flow = run(server, interface, 24 * MEBIBYTE, 8 * MEBIBYTE)
    assert flow.failures == [], flow
    # All the while: there was hardly a moment when nobody else was served.
    assert flow.seconds >= 2.5, flow
    assert flow.slowest_other_s < 1.5, flow


def test_what_is_moved_for_a_slow_client_again_and_again_stays_as_it_is(server: Start) -> None:
    # At this pace the socket takes nothing for 0.2 s at a time, and holds megabytes of the file it was last sent from.
    flow = run(server, "asgi", 20 * MEBIBYTE, 4 * MEBIBYTE, (download,))
    assert flow.failures == [], flow
