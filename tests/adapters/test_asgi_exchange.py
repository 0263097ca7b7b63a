"""The objects behind receive and send are used again, unless the app could notice."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from tests.support.fleet import Start
from tests.support.processes import wait_until
from tests.support.server import Server

APPS = str(Path(__file__).parent / "apps")
HELD = 8


@pytest.fixture
def site(server: Start) -> Server:
    """One worker, so that requests meet."""
    return server("exchanges:app", "--app-dir", APPS, "--workers", "1", "--reactors", "1")


def test_exchanges_of_requests_that_are_through_are_kept_for_others(site: Server) -> None:
    with contextlib.ExitStack() as clients:
        held = [clients.enter_context(site.connect()) for _ in range(HELD)]
        for client in held:
            client.send_request("GET", "/hold")
        wait_until(lambda: bool(site.get(f"/release?{HELD}") == HELD), "all to be held")
        for client in held:
            assert client.response().status == 200
    # The one that counts, and those that were open at once; made anew for each request there would be one.
    assert site.get("/count") == HELD + 1
    assert site.get("/count") == HELD + 1


@pytest.mark.parametrize("how", ["keep0", "keep1", "keep2", "weak0", "weak1"])
def test_what_an_app_keeps_is_not_given_to_another_request(site: Server, how: str) -> None:
    for _ in range(3):
        site.get(f"/{how}")
        assert site.get("/known") is False
