"""The objects behind receive and send, start_response and write, are used again, unless the app could notice."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from tests.support.fleet import Start
from tests.support.processes import wait_until
from tests.support.server import Server

APPS = str(Path(__file__).parent / "apps")
HELD = 8
UNREAD = 60_000  # bytes of a body
THREADS = 4  # of the barrier in exchanges_wsgi


@pytest.fixture
def wsgi_site(server: Start) -> Server:
    """One worker, so that requests meet."""
    return server(
        *("exchanges_wsgi:app", "--app-dir", APPS, "--workers", "1", "--reactors", "1", "--threads", str(THREADS))
    )


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


def test_a_kept_exchange_holds_no_body_that_its_app_did_not_read(site: Server) -> None:
    before = site.get("/memory")
    with contextlib.ExitStack() as clients:
        held = [clients.enter_context(site.connect()) for _ in range(HELD)]
        for client in held:
            client.send_request("POST", "/hold", body=bytes(UNREAD))
        wait_until(lambda: bool(site.get(f"/release?{HELD}") == HELD), "all to be held")
        for client in held:
            assert client.response().status == 200
    assert site.get("/memory") - before < UNREAD


@pytest.mark.parametrize("how", ["keep0", "keep1", "keep2", "weak0", "weak1"])
def test_what_an_app_keeps_is_not_given_to_another_request(site: Server, how: str) -> None:
    for _ in range(3):
        site.get(f"/{how}")
        assert site.get("/known") is False


def test_what_an_app_does_to_its_scope_no_other_request_sees(site: Server) -> None:
    first = site.get("/spoil")
    assert first[0] == {"version": "3.0", "spec_version": "2.5"}
    assert set(first[1]) == {"http.response.trailers", "http.response.early_hint", "http.response.pathsend"}
    for _ in range(3):
        assert site.get("/spoil") == first


def test_what_an_app_keeps_of_its_scope_stays_its_own(site: Server) -> None:
    for _ in range(3):
        assert site.get("/spoil-later") == 0


def test_exchanges_of_wsgi_requests_are_kept_for_others(wsgi_site: Server) -> None:
    with contextlib.ExitStack() as clients:
        held = [clients.enter_context(wsgi_site.connect()) for _ in range(THREADS)]
        for client in held:
            client.send_request("GET", "/hold")
        for client in held:
            assert client.response().status == 200
    # One of them is used for this request; made anew for each request there would be one, or two.
    assert wsgi_site.get("/count") == THREADS


@pytest.mark.parametrize("how", ["keep0", "keep1", "keep2", "weak0", "weak1"])
def test_what_a_wsgi_app_keeps_is_not_given_to_another_request(wsgi_site: Server, how: str) -> None:
    for _ in range(3):
        wsgi_site.get(f"/{how}")
        assert wsgi_site.get("/known") is False
